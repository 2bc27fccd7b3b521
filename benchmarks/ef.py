"""Errors of the ejection fraction: models of the demo's kind on videos that none was trained on.

    python benchmarks/ef.py [--target mask] [--seeds 3] [--videos 180] [--folder DIR] -- [OPTIONS]

Makes the demo's data set and a second one of another seed, each once. Trains a model for each seed
with the demo's settings and OPTIONS of echo-train, and measures it on all videos of the second data
set: first at the traced end-diastole and end-systole, then as `echo-predict` measures clips.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from helpers import describe_machine, print_row
from transfer import FAST, call

from echo_common.measures.agreement import Agreement, agreement
from echo_common.measures.disks import trace_volume
from echo_common.measures.ventricle import ejection_fraction
from echo_common.store.reader import EchoStore
from echo_train.evaluation.trained_model import load_model
from echo_train.prediction.clip import Clip
from echo_train.prediction.measurement import segment_and_measure
from echo_train.transforms.batch import phase_values

FRAMES = 64
"""Frames per video, as in the demo."""

BATCH = 64
"""Frames that are predicted together."""


def main() -> None:
    """Print one row for each seed, and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", choices=("mask", "landmarks"), default="mask")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--videos", type=int, default=180)
    parser.add_argument("--folder", type=Path, default=Path("ef-benchmark"))
    parser.add_argument("--method", default="chords", help="of the masks")
    parser.add_argument("--skip-beats", action="store_true", help="measure the traced frames only")
    parser.add_argument("options", nargs="*", help="further options of echo-train, after --")
    given = parser.parse_args()
    print(describe_machine())
    stores = [
        _make(given.folder / name, videos, seed, given.method)
        for name, videos, seed in (("training", 200, 0), ("other", given.videos, 7))
    ]
    rows = []
    for seed in range(given.seeds):
        run = given.folder / "-".join([given.target, given.method, *given.options, str(seed)])
        if not (run / "summary.json").exists():
            call(
                "echo-train", "--store", stores[0], "--target", given.target, "--landmarks", 7,
                *FAST, "--seed", seed, "--run", run,
                *given.options,
            )  # fmt: skip
        rows.append(_measure(run, stores[1], given.folder / "other", given.skip_beats))
        for label, value in rows[-1].items():
            print_row(f"{run.name}: {label}", f"{value:+.2f}")
    for label in rows[0]:
        values = [row[label] for row in rows]
        print_row(f"mean of {given.seeds} seeds: {label}", f"{np.mean(values):+.2f}")


def _make(data: Path, videos: int, seed: int, method: str) -> Path:
    store = data.with_name(f"{data.name}-{method}.zarr")
    call("echo-prep", "synth", data, "--videos", videos, "--frames", FRAMES, "--seed", seed)
    call("echo-prep", "build", "--data", data, "--store", store, "--method", method)
    return store


def _measure(run: Path, store_path: Path, data: Path, skip_beats: bool) -> dict[str, float]:
    model, store = load_model(run), EchoStore(store_path)
    video, phase, frame = (store.read(f"index/{name}") for name in ("video", "phase", "frame"))
    traced = trace_volume(store.read("tracing/long_axis"), store.read("tracing/contour"))
    names = list(dict.fromkeys(video))
    ed, es = ([int(np.flatnonzero((video == n) & (phase == p))[0]) for n in names] for p in (0, 1))
    images, told = store.read("frames"), phase_values(phase)
    starts = range(0, len(images), BATCH)
    parts = [slice(start, start + BATCH) for start in starts]
    volume = np.concatenate([
        model.predict(model.scale_frames(images[part]), told[part]).measures().volume
        for part in parts
    ])  # fmt: skip
    reference = ejection_fraction(traced[ed], traced[es])
    table = _describe("given ED and ES", agreement(
        ejection_fraction(volume[ed], volume[es]), reference
    ))  # fmt: skip
    if skip_beats:
        return table
    found, distances = np.full(len(names), np.nan), []
    for number, name in enumerate(names):
        _, measured = segment_and_measure(model, Clip(data / "Videos" / f"{name}.avi"))
        found[number] = measured.ef
        if len(measured.ed) > 1:
            pairs = ((measured.ed, frame[ed[number]]), (measured.es, frame[es[number]]))
            distances.append([np.abs(frames - true).min() for frames, true in pairs])
    table |= _describe("ED and ES found", agreement(found, reference))
    table["videos without a beat"] = float(np.isnan(found).sum())
    table["videos of several beats"] = float(len(distances))
    for column, name in enumerate(("ED", "ES") if distances else ()):
        table[f"frames from traced to found {name}"] = float(np.mean(distances, axis=0)[column])
    return table


def _describe(label: str, found: Agreement) -> dict[str, float]:
    return {f"EF {name}, {label}": getattr(found, name) for name in ("mae", "bias", "sd", "r")}


if __name__ == "__main__":
    main()
