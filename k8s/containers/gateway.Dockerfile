# The gateway: no torch, some 0.5 GB.
#   docker build -f k8s/containers/gateway.Dockerfile -t reasoncd/gateway:0.1.0 .
FROM node:20-bookworm-slim AS page
WORKDIR /page
COPY gateway/page/package.json gateway/page/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY gateway/page/ ./
RUN npm run build

FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/reasoncd/venv
ENV PATH=/opt/reasoncd/venv/bin:$PATH
WORKDIR /src
# What it depends on changes seldom: a layer of its own.
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY reasoncd/__init__.py reasoncd/
RUN pip install ".[gateway-server]"
COPY reasoncd/ reasoncd/
COPY gateway/ gateway/
COPY --from=page /page/dist/ gateway/page/dist/
RUN pip install --no-deps .

FROM python:3.11-slim-bookworm
# rasterio's wheel expects libexpat on the machine.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libexpat1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin reasoncd
COPY --from=build /opt/reasoncd/venv /opt/reasoncd/venv
ENV PATH=/opt/reasoncd/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp
USER 10001:10001
WORKDIR /tmp
EXPOSE 50051 8080
# For Docker alone; Kubernetes has probes.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["reasoncd"]
CMD ["serve", "--help"]
