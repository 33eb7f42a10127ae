# One image, two commands: `python -m gateway` (the default) and `python -m workers`.
#
# python:3.12-slim-trixie: every pinned wheel exists for it (glibc 2.41, so nothing is compiled), and pyproject.toml
# allows it. Alpine's musl would compile PyAV.
# No init process: both commands are run in exec form, handle SIGTERM themselves and reap what they start.

FROM python:3.12-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/build && python -m venv --without-pip /opt/vidu-gateway

# Dependencies first: they change less often than the code, and this layer is kept until they do.
COPY requirements.lock deploy/requirements-build.lock ./
RUN pip wheel --no-deps --require-hashes --only-binary :all: -r requirements.lock -w /wheels \
 && /opt/build/bin/pip install --no-deps --require-hashes --only-binary :all: -r requirements-build.lock
RUN pip --python /opt/vidu-gateway/bin/python install --no-index --no-deps /wheels/*.whl

COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
COPY workers workers
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation -w /own . \
 && pip --python /opt/vidu-gateway/bin/python install --no-index --no-deps /own/*.whl \
 && /opt/vidu-gateway/bin/python -m compileall -q /opt/vidu-gateway

FROM python:3.12-slim-trixie
RUN groupadd --gid 10001 gateway && useradd --uid 10001 --gid 10001 --no-create-home gateway \
 && install -d -o gateway -g gateway /var/lib/vidu-gateway /var/lib/vidu-gateway/blobs
COPY --from=build /opt/vidu-gateway /opt/vidu-gateway
ENV PATH=/opt/vidu-gateway/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GATEWAY_HOST=0.0.0.0 \
    GATEWAY_PORT=8080
USER 10001:10001
# Without GATEWAY_MEDIA_URL, files are in the folder `blobs` of this one.
WORKDIR /var/lib/vidu-gateway
EXPOSE 8080
# Of the gateway; whoever runs the workers switches it off. Readiness is the load balancer's question.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"GATEWAY_PORT\"]}/livez', timeout=2)"]
CMD ["python", "-m", "gateway"]
