# maskd: a small image with the weights in it.
#
#   docker build -t maskd .
#   docker run --rm -p 127.0.0.1:8080:8080 -e MASKD_ALLOW_ANONYMOUS=true maskd
#
# Inside it listens on all addresses, so it needs either MASKD_API_KEYS, the path of a mounted file of keys, or, when the
# port is published to this machine only, MASKD_ALLOW_ANONYMOUS.

FROM debian:bookworm-slim AS build
WORKDIR /src
# What it takes to build changes seldom: a layer of its own.
COPY tools/deps.sh tools/
RUN tools/deps.sh build
COPY . .
RUN make -j"$(nproc)" build models && strip build/maskd build/maskd-import

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates libcjson1 libcurl3-gnutls libexif12 libexpat1 libgnutls30 libinih1 libjpeg62-turbo \
        libmicrohttpd12 libnettle8 libopenblas0-pthread libpng16-16 libunistring2 libwebp7 libwebpdemux2 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin maskd
COPY --from=build /src/build/maskd /usr/bin/maskd
COPY --from=build /src/models/mobile_sam.safetensors /src/models/manifest.json /usr/share/maskd/

# maskd's own pool has the threads: OpenBLAS is to start none.
ENV OPENBLAS_NUM_THREADS=1 \
    MASKD_HOST=0.0.0.0 \
    MASKD_PORT=8080 \
    MASKD_MODEL=/usr/share/maskd/mobile_sam.safetensors \
    MASKD_LOG_FORMAT=json
USER maskd
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/${MASKD_PORT} && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r status <&3 && [[ $status == *' 200 '* ]]"]
ENTRYPOINT ["/usr/bin/maskd"]
