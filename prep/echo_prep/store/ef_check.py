"""Ejection fractions of a store's tracings against the archive's list: `echo-prep info --check-ef`.

Mixed-up tracings, phases and files show as large differences.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from echo_common.measures.agreement import agreement
from echo_common.measures.ventricle import ejection_fraction, measure_traces
from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_common.tables import text_table

LIMIT = 10.0
"""Percentage points; a video whose two ejection fractions differ more is listed."""


def compare_ef(path: Path) -> dict[str, Any]:
    """Compare the ejection fractions of all videos that are traced at ED and at ES.

    Returns
    -------
    comparison : dict
        ``store``; ``mae``, ``bias`` (traced minus listed), ``sd`` and ``r`` in percentage points,
        None if unknown; ``n``, the number of videos compared; ``limit``; and ``differ``: the videos
        beyond it as ``video``, ``split``, ``traced``, ``listed``, ``ed_frame`` and ``es_frame``,
        the largest difference first.

    Raises
    ------
    StoreNotFoundError, StoreError, StoreDamagedError
        If there is no finished store.
    """
    store = EchoStore(path)
    video, phase, frame, split, listed = (
        store.read(f"index/{name}") for name in ("video", "phase", "frame", "split", "ef")
    )
    volume = measure_traces(store.read(schema.LONG_AXIS), store.read(schema.CONTOUR)).volume
    store.container.close()
    diastole, systole = (
        {video[row]: row for row in np.flatnonzero(phase == schema.PHASES.index(name)).tolist()}
        for name in ("ED", "ES")
    )
    names = [name for name in diastole if name in systole]
    ed, es = (np.array([rows[name] for name in names], dtype=int) for rows in (diastole, systole))
    traced = ejection_fraction(volume[ed], volume[es])
    found = agreement(traced, listed[ed])
    difference = np.nan_to_num(np.abs(traced - listed[ed]))
    order = np.argsort(-difference, kind="stable")
    differ = [
        {
            "video": str(names[number]),
            "split": schema.SPLITS[split[ed[number]]],
            "traced": round(float(traced[number]), 2),
            "listed": round(float(listed[ed[number]]), 2),
            "ed_frame": int(frame[ed[number]]),
            "es_frame": int(frame[es[number]]),
        }
        for number in order[: (difference > LIMIT).sum()].tolist()
    ]
    numbers = {
        name: None if np.isnan(value) else value
        for name, value in dataclasses.asdict(found).items()
    }
    return {"store": str(path), **numbers, "limit": LIMIT, "differ": differ}


def describe_ef(comparison: dict[str, Any]) -> list[str]:
    """Describe a comparison in lines of text."""
    store, differ = comparison["store"], comparison["differ"]
    if not comparison["n"]:
        return [f"{store}: no video has both a listed ejection fraction and tracings at ED and ES"]
    spread = "" if comparison["sd"] is None else f" ± {comparison['sd']:.1f}"
    lines = [
        f"{store}: ejection fraction of {comparison['n']} videos, traced minus listed: "
        f"{comparison['bias']:+.1f}{spread} points, mean absolute difference "
        f"{comparison['mae']:.1f}; {len(differ)} differ by more than {comparison['limit']:.0f}"
    ]
    if differ:
        lines += text_table(
            [list(differ[0]), *([str(c) for c in row.values()] for row in differ)]
        ).split("\n")
    return lines
