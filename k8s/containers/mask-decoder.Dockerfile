# Ray Serve's image of the mask decoder; KubeRay gives the command.
#   docker build -f k8s/containers/mask-decoder.Dockerfile -t reasoncd/mask-decoder:0.1.0 .
FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# Where no GPU is used, an index with CPU builds of torch makes the image some 5 GB smaller.
ARG PIP_EXTRA_INDEX_URL=""
RUN python -m venv /opt/reasoncd/venv
ENV PATH=/opt/reasoncd/venv/bin:$PATH
WORKDIR /src
# What it depends on changes seldom and weighs gigabytes: a layer of its own.
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY reasoncd/__init__.py reasoncd/
RUN pip install ".[mask-decoder,serve]"
COPY reasoncd/ reasoncd/
COPY services/__init__.py services/convnext.py services/module_file.py services/py.typed services/wire.py services/
COPY services/serving/ services/serving/
COPY services/mask_decoder/ services/mask_decoder/
RUN pip install --no-deps .

FROM python:3.11-slim-bookworm
# KubeRay's probes ask with wget.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin reasoncd
COPY --from=build /opt/reasoncd/venv /opt/reasoncd/venv
# A login shell, which KubeRay may start, sets PATH anew and then reads this.
COPY k8s/containers/path.sh /etc/profile.d/reasoncd.sh
ENV PATH=/opt/reasoncd/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp
USER 10001:10001
WORKDIR /tmp
# Kubernetes has probes; outside of it nothing listens until Serve is told what to run.
HEALTHCHECK NONE
