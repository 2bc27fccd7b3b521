#!/bin/sh
# Build the images without a Docker daemon, with buildah; tests the Dockerfile inside containers.
#
#   apt-get install buildah debootstrap          on Debian, as root
#   docker/build-with-buildah.sh                 both images
#   docker/build-with-buildah.sh prep --layers   one target, with more arguments of buildah build
#   buildah --storage-driver vfs from localhost/echo-lv-segmentation:prep
#
# The base image is a Debian root file system tagged as the Dockerfile's python:3.12-slim. Its Python
# is Debian's, so its version may differ. The package mirror is that of this machine's apt. pip's
# settings, its certificates and the files that they name are mounted during the build.
set -eu

export STORAGE_DRIVER="${STORAGE_DRIVER:-vfs}" BUILDAH_ISOLATION="${BUILDAH_ISOLATION:-chroot}"
source=$(cd "$(dirname "$0")/.." && pwd)
base=docker.io/library/python:$(sed -n 's/^ARG PYTHON=//p' "$source/Dockerfile")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

targets="prep train"
case "${1:-}" in prep | train) targets=$1 && shift ;; esac

if ! buildah inspect --type image "$base" >/dev/null 2>&1; then
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -n 1)
    debootstrap --variant=minbase \
        --include=ca-certificates,python3,python3-pip,python3-venv,python-is-python3 \
        "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$work/root" "$mirror"
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$work/root" /
    buildah commit --quiet "$container" "$base"
    buildah rm "$container" >/dev/null
    rm -rf "$work/root"
fi

# One pip.conf of all settings in force, from files and from the environment.
{
    echo "[global]"
    python3 -m pip config list | sed -n "s/^[a-z:]*\.\([a-z-]*\)='\(.*\)'\$/\1 = \2/p" |
        awk '!seen[$1]++'
} >"$work/pip.conf"
set -- "$@" --volume "$work/pip.conf:/etc/pip.conf:ro"
# The files of an index on disk are usually next to its folder.
for path in $(tr ' ' '\n' <"$work/pip.conf" |
    sed -n 's#^file://\(/.*\)/[^/]*$#\1#p; s#^/#/#p' | sort -u); do
    [ ! -e "$path" ] || set -- "$@" --volume "$path:$path:ro"
done

for target in $targets; do
    buildah build --pull-never --target "$target" --tag "localhost/echo-lv-segmentation:$target" \
        "$@" "$source"
done
