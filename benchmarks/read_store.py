"""How fast a store is read into memory: frames, masks and seven heatmaps of 20,048 rows.

    python benchmarks/read_store.py                 a store made for the purpose
    python benchmarks/read_store.py --store PATH    one that is there

Prints seconds, processor seconds and frames/s of each array for the project's own reader, for
Zarr and HDF5, and beside it those of the zarr and h5py packages. The made
store's frames are noise under a sector, which is about what ultrasound
compresses to. A first pass, not counted, brings the files into the page cache.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import zarr

from echo_common.store.reader import EchoStore
from echo_common.store.schema import CHUNK_FRAMES, ArraySpec, is_hdf5
from echo_prep.build.stages import Stage, frames_stage, index_stage_again
from echo_prep.store.convert import convert
from echo_prep.store.delivery import Delivery
from echo_prep.store.publish import publish
from echo_prep.store.work_folder import WorkFolder, work_path

ROWS = 20_048
HEATMAPS = "landmarks/chords/anatomical-7/gaussian"


def make_store(store: Path, rows: int) -> None:
    index = index_stage_again({"rows": rows, "shape": [112, 112], "points": 40, "plan": "none"})
    frames = frames_stage(index)
    others = [
        Stage(name=path, kind="mask", parameters={"method": path}, inputs={}, arrays=(spec,))
        for path, spec in (
            ("masks/chords", _spec("masks/chords", (rows, 112, 112), ("frame", "y", "x"))),
            (HEATMAPS, _spec(HEATMAPS, (rows, 7, 112, 112), ("frame", "landmark", "y", "x"))),
        )
    ]
    work = WorkFolder(work_path(store))
    rng = np.random.default_rng(0)
    deliveries = []
    for stage in (frames, *others):
        for array in stage.arrays:
            work.begin(array, stage.key)
            count = stage.chunk_count
            for number in range(count):
                start, stop = number * CHUNK_FRAMES, min((number + 1) * CHUNK_FRAMES, rows)
                work.put(array, stage.key, number, _content(array, stop - start, rng), {})
            manifest = stage.manifest(work.chunks(array.path, stage.key, range(count)), {})
            deliveries.append(
                Delivery(spec=array, key=stage.key, manifest=manifest, made=frozenset(range(count)))
            )
    publish(store, work, None, deliveries, (), {"fingerprint": {}, "traced": rows, "rejects": []})
    work.remove()


def _spec(path: str, shape: tuple[int, ...], dimensions: tuple[str, ...]) -> ArraySpec:
    return ArraySpec(path=path, shape=shape, dtype="uint8", dimensions=dimensions)


def _content(array: ArraySpec, rows: int, rng: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[:112, :112]
    content = np.zeros((rows, *array.shape[1:]), dtype=np.uint8)
    if array.path == "frames":
        sector = (x + y > 67) & (x - y < 67)
        content[:] = rng.integers(0, 256, content.shape, dtype=np.uint8) * sector
    elif array.path == "masks/chords":
        for one in content:
            cx, cy, r = rng.uniform(45, 65), rng.uniform(40, 60), rng.uniform(12, 24)
            one[:] = (x - cx) ** 2 + (y - cy) ** 2 < r**2
    elif array.path == HEATMAPS:
        for one in content.reshape(-1, 112, 112):
            cx, cy = rng.uniform(15, 95, 2)
            squared = (x - cx) ** 2 + (y - cy) ** 2
            band = np.abs(x - cx + y - cy) < 4
            one[:] = 255 * np.exp(-squared / 50) * (squared < 100) * band
    return content


def measure(label: str, rows: int, read: Callable[[str], np.ndarray]) -> None:
    total = cpu = 0.0
    for array in ("frames", "masks/chords", HEATMAPS):
        started, busy = time.perf_counter(), time.process_time()
        values = read(array)
        seconds, used = time.perf_counter() - started, time.process_time() - busy
        total += seconds
        cpu += used
        size = values.nbytes / 1e6
        print(f"{label:18} {array:40} {size:6.0f} MB {seconds:6.2f} s {used:6.2f} CPU s")
    print(
        f"{label:18} {'all':40} {'':9} {total:6.2f} s {cpu:6.2f} CPU s {rows / total:8.0f} frames/s"
    )


def _other_reader(store: Path) -> tuple[str, Callable[[str], np.ndarray]]:
    if is_hdf5(store):
        file = h5py.File(store)
        return "h5py alone", lambda array: file[array][...]
    group = zarr.open_group(store, mode="r")
    return "zarr alone", lambda array: np.asarray(group[array][...])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, help="a store that is there")
    parser.add_argument("--rows", type=int, default=ROWS, help="rows of the made store")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="read-store-") as folder:
        stores = [options.store] if options.store else []
        if not stores:
            stores = [Path(folder) / "store.zarr", Path(folder) / "store.h5"]
            make_store(stores[0], options.rows)
            convert(*stores)
        for store in stores:
            opened = EchoStore(store)
            for array in ("frames", "masks/chords", HEATMAPS):
                opened.read(array)
            measure(f"EchoStore, {store.suffix[1:]}", opened.rows, opened.read)
            measure(*_labelled(store, opened.rows))


def _labelled(store: Path, rows: int) -> tuple[str, int, Callable[[str], np.ndarray]]:
    label, read = _other_reader(store)
    return label, rows, read


if __name__ == "__main__":
    main()
