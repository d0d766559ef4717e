# Training with DeepSpeed on GPUs, under a RayJob.
#   docker build -f k8s/containers/training.Dockerfile -t reasoncd/training:0.1.0 .
FROM python:3.11-slim-bookworm AS build
# DeepSpeed compiles nothing: the trainer uses torch's own optimizers.
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore DS_BUILD_OPS=0
RUN python -m venv /opt/reasoncd/venv
ENV PATH=/opt/reasoncd/venv/bin:$PATH
WORKDIR /src
# What it depends on changes seldom and weighs gigabytes: a layer of its own.
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY reasoncd/__init__.py reasoncd/
RUN pip install ".[training,serve]"
COPY reasoncd/ reasoncd/
COPY services/ services/
COPY training/ training/
RUN pip install --no-deps .

FROM python:3.11-slim-bookworm
# KubeRay's probes ask with wget; rasterio's wheel expects libexpat on the machine.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libexpat1 wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin reasoncd
COPY --from=build /opt/reasoncd/venv /opt/reasoncd/venv
# A login shell, which KubeRay may start, sets PATH anew and then reads this.
COPY k8s/containers/path.sh /etc/profile.d/reasoncd.sh
ENV PATH=/opt/reasoncd/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp
USER 10001:10001
WORKDIR /tmp
# Kubernetes has probes; outside of it nothing listens.
HEALTHCHECK NONE
