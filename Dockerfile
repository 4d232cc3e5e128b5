# The controller image: operator and gateway, chosen by the command (sandbox-operator, sandbox-gateway).
#
#   docker build -t openhands-sandbox .
#
# agent_server_image/Dockerfile explains BASE_IMAGE and the two secrets.

ARG BASE_IMAGE=docker.io/library/debian:trixie-slim

FROM ${BASE_IMAGE} AS base
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends ca-certificates python3 \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/*.log /var/cache/ldconfig/aux-cache /var/cache/debconf/*-old

FROM base AS dependencies
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends python3-venv
COPY agent_server_image/build-tools.lock.txt requirements.lock.txt /build/
ENV PATH=/build/tools/bin:$PATH UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS=1
# Byte code is made here since the root file system is read-only later; `unchecked-hash`, since the sources never change.
RUN --mount=type=secret,id=ca-certificates,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=build-env \
    if [ -f /run/secrets/build-env ]; then . /run/secrets/build-env; fi \
    && python3 -m venv /build/tools \
    && pip install --quiet --disable-pip-version-check --no-cache-dir --cert /etc/ssl/certs/ca-certificates.crt \
        --require-hashes --requirement /build/build-tools.lock.txt \
    && uv venv --quiet --python /usr/bin/python3 /opt/openhands-sandbox \
    && uv pip sync --quiet --python /opt/openhands-sandbox/bin/python --require-hashes \
        --build-constraints /build/build-tools.lock.txt /build/requirements.lock.txt \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/openhands-sandbox/lib

# The project goes below another prefix than its dependencies: a change of code then renews one small layer of the image.
FROM dependencies AS project
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends gcc libc6-dev python3-dev
WORKDIR /build/project
COPY pyproject.toml LICENSE ./
COPY api_gateway/compile_hook.py api_gateway/compile_hook.py
COPY crds/sandbox_crds crds/sandbox_crds
COPY common/sandbox_common common/sandbox_common
COPY kubectl_plugin/kubectl_ohsb kubectl_plugin/kubectl_ohsb
COPY operator/sandbox_operator operator/sandbox_operator
COPY api_gateway/sandbox_gateway api_gateway/sandbox_gateway
# An empty README.md stands in for the project's page, which the image does not need: editing it need not renew the image.
RUN : > README.md \
    && HATCH_BUILD_HOOK_ENABLE_CUSTOM=true uv pip install --quiet --offline --no-deps --no-build-isolation --python /build/tools/bin/python --prefix /build/staging . \
    && sed -i '1s|.*|#!/opt/openhands-sandbox/bin/python|' /build/staging/bin/* \
    && python3 -m compileall -q --invalidation-mode unchecked-hash -s /build/staging -p /opt/openhands-sandbox /build/staging/lib

FROM base
COPY --from=dependencies /opt/openhands-sandbox /opt/openhands-sandbox
ENV PATH=/opt/openhands-sandbox/bin:$PATH LANG=C.UTF-8 PYTHONUNBUFFERED=1
WORKDIR /
USER 65532:65532
CMD ["sandbox-operator"]
COPY --from=project /build/staging /opt/openhands-sandbox
