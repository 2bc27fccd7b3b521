"""A summary of a store: what it contains, its sources, times and sizes. For `echo-prep info`."""

from __future__ import annotations

import collections
import datetime
from pathlib import Path
from typing import Any

import numpy as np

from echo_common.store import schema
from echo_common.store.reader import EchoStore


def store_info(path: Path) -> dict[str, Any]:
    """Summarise a store as a table that can be written as JSON.

    Returns
    -------
    info : dict
        ``store``, ``format``, ``schema``, ``fingerprint``, ``layout`` (its name and
        options), ``frame`` (height and width), ``rows``, ``usable``, ``videos``,
        ``traced``, ``splits`` (usable rows by split and phase), ``left_out`` (number of
        traces and videos by reason),
        ``bytes``, and ``stages``: by name, ``made`` (UTC), ``bytes``,
        ``uncompressed``, ``parameters`` and ``versions``.

    Raises
    ------
    StoreNotFoundError, StoreError, StoreDamagedError
        If there is no finished store.
    """
    store = EchoStore(path)
    status = store.read(schema.STATUS)
    sound = status == 0
    video = store.read("index/video")
    stages = {
        name: _stage_info(store, list(stage["arrays"]))
        for name, stage in sorted(store.attributes["stages"].items())
    }
    info = {
        "store": str(path),
        "format": store.container.format,
        "schema": store.attributes["schema"],
        "fingerprint": store.attributes["fingerprint"],
        "layout": store.attributes.get("layout", {"name": "echonet-dynamic"}),
        "frame": list(store.shape(schema.FRAMES)[1:]),
        "rows": store.rows,
        "usable": int(sound.sum()),
        "videos": len(set(video[sound])),
        "traced": store.attributes["traced"],
        "splits": _splits(store, sound),
        "left_out": dict(_left_out(store, status).most_common()),
        "bytes": store_bytes(path),
        "stages": stages,
    }
    store.container.close()
    return info


def describe_info(info: dict[str, Any]) -> list[str]:
    """Describe a summary in lines of text."""
    height, width = info["frame"]
    lines = [
        f"{info['store']}: {info['format']}, schema {info['schema']}, {_size(info['bytes'])}",
        f"rows: {info['rows']} of {info['traced']} traced frames, {info['usable']} usable, from "
        f"{info['videos']} videos, {width}x{height} pixels",
    ]
    for split, counts in info["splits"].items():
        phases = ", ".join(f"{number} {phase}" for phase, number in counts.items() if number)
        lines.append(f"  {split}: {sum(counts.values())} rows ({phases or 'none'})")
    if info["left_out"]:
        reasons = ", ".join(f"{number} {reason}" for reason, number in info["left_out"].items())
        lines.append(f"left out: {reasons}")
    options = [
        f"{name.replace('_', '-')} {','.join(value) if isinstance(value, list) else value}"
        for name, value in info["layout"].items()
        if name != "name" and value is not None
    ]
    lines.append(f"layout: {', '.join([info['layout']['name'], *options])}")
    lines += [f"made from {name}, SHA-256 {digest}" for name, digest in info["fingerprint"].items()]
    lines.append("stages:")
    for name, stage in info["stages"].items():
        parameters = {key: value for key, value in stage["parameters"].items() if key != "plan"}
        settings = ", ".join(f"{key} {value}" for key, value in parameters.items())
        sizes = f"{_size(stage['bytes'])} ({_size(stage['uncompressed'])} uncompressed)"
        suffix = f"; {settings}" if settings else ""
        lines.append(f"  {name}: {sizes}, made {stage['made']}{suffix}")
    return lines


def store_bytes(store: Path) -> int:
    """Size of a store on the disk."""
    files = [store] if store.is_file() else store.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def _stage_info(store: EchoStore, arrays: list[str]) -> dict[str, Any]:
    manifests = [store.manifests[array] for array in arrays]
    specs = [store.container.spec(array)[0] for array in arrays]
    return {
        # From the file system: a store contains no times, so that equal data give equal bytes.
        "made": _utc(store.container.written_at(arrays[-1])),
        "bytes": sum(
            chunk["bytes"] for manifest in manifests for chunk in manifest.chunks.values()
        ),
        "uncompressed": sum(
            int(np.prod(spec.shape)) * np.dtype(spec.dtype).itemsize
            for spec in specs
            if spec.dtype != "str"
        ),
        "parameters": manifests[-1].parameters,
        "versions": manifests[-1].versions,
    }


def _utc(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)
    return moment.isoformat(timespec="seconds")


def _splits(store: EchoStore, sound: np.ndarray) -> dict[str, dict[str, int]]:
    split, phase = store.read("index/split"), store.read("index/phase")
    return {
        name: {
            phase_name: int((sound & (split == code) & (phase == phase_code)).sum())
            for phase_code, phase_name in enumerate(schema.PHASES)
        }
        for code, name in enumerate(schema.SPLITS)
    }


def _left_out(store: EchoStore, status: np.ndarray) -> collections.Counter[str]:
    counts = collections.Counter(reject["reason"] for reject in store.attributes["rejects"])
    counts.update(schema.STATUSES[code] for code in status[status != 0])
    return counts


def _size(number: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.2f} GB"
