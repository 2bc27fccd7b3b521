# syntax=docker/dockerfile:1
#
#   docker build --target prep  -t echo-lv-segmentation:prep  .     preparation; no torch
#   docker build --target train -t echo-lv-segmentation:train .     all commands, with CUDA
#
# Mount the data set at /data, the folder of stores at /cache and that of runs at /runs. A volume at
# /compiled keeps compiled kernels from one container to the next.
# PIP_ARGS are further arguments of pip install, such as another package index for torch.
# docker/build-with-buildah.sh builds the same images where no Docker daemon runs.

ARG PYTHON=3.12-slim

# The package list alone, so that other edits of pyproject.toml do not reinstall the packages. The
# extra `train` includes `report` by the name of this project, which no package index has.
FROM python:${PYTHON} AS requirements
COPY pyproject.toml /
RUN python -c 'import tomllib; project = tomllib.load(open("/pyproject.toml", "rb"))["project"]; \
    extras = project["optional-dependencies"]; \
    print(*project["dependencies"], sep="\n", file=open("/prep.txt", "w")); \
    train = [name for name in extras["train"] if not name.startswith(project["name"])]; \
    print(*train, *extras["report"], *extras["tensorboard"], sep="\n", file=open("/train.txt", "w"))'

# An environment without pip, copied into the images; build tools stay behind.
FROM python:${PYTHON} AS environment
RUN python -m venv --without-pip /opt/echo

FROM environment AS prep-packages
ARG PIP_ARGS=""
COPY constraints.txt /
COPY --from=requirements /prep.txt /
RUN pip --python /opt/echo/bin/python install --no-cache-dir \
    --constraint /constraints.txt --requirement /prep.txt ${PIP_ARGS}

FROM prep-packages AS train-packages
ARG PIP_ARGS=""
COPY --from=requirements /train.txt /
RUN pip --python /opt/echo/bin/python install --no-cache-dir \
    --constraint /constraints.txt --requirement /train.txt ${PIP_ARGS}

# This project in the same environment without other packages: the images lay it over the packages,
# so an edit of the source replaces one small layer.
FROM environment AS project
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY common common
COPY prep prep
COPY train train
RUN pip --python /opt/echo/bin/python install --no-cache-dir --no-deps .

FROM python:${PYTHON} AS base
# --user may name any user: the caches of matplotlib and torch need no home directory.
ENV PATH=/opt/echo/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ECHO_DATA=/data \
    ECHO_STORE=/cache/echonet.zarr \
    USER=echo \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib
RUN useradd --uid 1000 --no-create-home echo \
    && install --directory --owner echo --group echo /data /cache /runs
# Runs are written to runs/ in the working directory.
WORKDIR /
# Stopping a container ends the command as Ctrl-C does: it prints how to resume.
STOPSIGNAL SIGINT

FROM base AS prep
COPY --from=prep-packages /opt/echo /opt/echo
COPY --from=project /opt/echo /opt/echo
USER 1000
CMD ["echo-prep", "--help"]

FROM base AS train
# torch.compile builds the launchers of its GPU kernels with a C compiler.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    TORCHINDUCTOR_CACHE_DIR=/compiled/inductor \
    TRITON_CACHE_DIR=/compiled/triton
# Writable for any user of --user; a new volume takes over this mode.
RUN install --directory --mode 1777 /compiled
COPY --from=train-packages /opt/echo /opt/echo
COPY --from=project /opt/echo /opt/echo
USER 1000
CMD ["echo-train", "--help"]
