# syntax=docker/dockerfile:1
#
#   docker build --target prep  -t echo-lv-segmentation:prep  .     preparation; no torch
#   docker build --target train -t echo-lv-segmentation:train .     both commands, with CUDA
#
# The data set is mounted at /data, the folder of stores at /cache, that of runs at /runs.
# PIP_ARGS are more arguments for pip install, such as another package index for torch.

ARG PYTHON=3.12-slim

# Names of the packages alone: an edit elsewhere in pyproject.toml installs nothing again.
FROM python:${PYTHON} AS requirements
COPY pyproject.toml /
RUN python -c 'import tomllib; project = tomllib.load(open("/pyproject.toml", "rb"))["project"]; \
    print(*project["dependencies"], sep="\n", file=open("/prep.txt", "w")); \
    print(*project["optional-dependencies"]["train"], sep="\n", file=open("/train.txt", "w"))'

FROM python:${PYTHON} AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY common common
COPY prep prep
COPY train train
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

# An environment without pip, to be copied whole; what compiled it stays behind.
FROM python:${PYTHON} AS prep-packages
ARG PIP_ARGS=""
RUN python -m venv --without-pip /opt/echo
COPY constraints.txt /
COPY --from=requirements /prep.txt /
RUN pip --python /opt/echo/bin/python install --no-cache-dir \
    --constraint /constraints.txt --requirement /prep.txt ${PIP_ARGS}

FROM prep-packages AS train-packages
ARG PIP_ARGS=""
COPY --from=requirements /train.txt /
RUN pip --python /opt/echo/bin/python install --no-cache-dir \
    --constraint /constraints.txt --requirement /train.txt ${PIP_ARGS}

FROM python:${PYTHON} AS base
# Any user may be given with --user: the caches of matplotlib and torch need no home of theirs.
ENV PATH=/opt/echo/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ECHO_DATA=/data \
    ECHO_STORE=/cache/echonet.zarr \
    USER=echo \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib
RUN useradd --uid 1000 --no-create-home echo \
    && install --directory --owner echo --group echo /data /cache /runs
# Runs go to runs/ under the working folder.
WORKDIR /
# A stopped container ends as Ctrl-C ends a command: it says how to go on.
STOPSIGNAL SIGINT

FROM base AS prep
COPY --from=prep-packages /opt/echo /opt/echo
RUN --mount=from=wheel,source=/wheel,target=/wheel \
    pip --python /opt/echo/bin/python install --no-cache-dir --no-deps /wheel/*.whl
USER 1000
CMD ["echo-prep", "--help"]

FROM base AS train
# On a GPU torch.compile builds the launchers of its kernels with the C compiler that it finds.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY --from=train-packages /opt/echo /opt/echo
RUN --mount=from=wheel,source=/wheel,target=/wheel \
    pip --python /opt/echo/bin/python install --no-cache-dir --no-deps /wheel/*.whl
USER 1000
CMD ["echo-train", "--help"]
