"""Stores that were written by each schema version stay readable for good, with the same values.

The stores beside this file were built once, by

    echo-prep build --data DATA --store echo-store-1.zarr --method chords,convexhull \
        --identity anatomical --landmarks 5 --falloff gaussian,euclidean

(and `--store echo-store-1.h5`) from the data set of `support.golden`, and are
never built again. What they must hold is computed here in closed form.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from echo_common.store.manifest import stage_table
from echo_common.store.reader import EchoStore
from echo_common.store.schema import LandmarkSet
from echo_prep.build.build import build
from echo_prep.geometry.settings import HeatmapSettings
from echo_prep.preview.preview import preview
from echo_prep.preview.settings import PreviewSettings
from echo_prep.settings import BuildSettings
from echo_prep.store.info import store_info
from echo_prep.store.publish import root_text
from echo_prep.store.verify import verify
from support.golden import SIDE, TRACED, VIDEOS, box, chords, frame, mask, write_golden_dataset
from support.stores import assert_same, read_all

HERE = Path(__file__).parent
STORES = ("echo-store-1.zarr", "echo-store-1.h5")
ROWS = [(video, number) for video in range(3) for number in TRACED]
LANDMARKS = LandmarkSet(method="chords", identity="anatomical", count=5)


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> EchoStore:
    return EchoStore(HERE / request.param)


def _index(store: EchoStore, name: str) -> list[object]:
    return store.read(f"index/{name}").tolist()


def test_it_is_whole(store: EchoStore) -> None:
    assert verify(store.path) == []
    info = store_info(store.path)
    assert (info["rows"], info["usable"], info["left_out"]) == (6, 5, {"beyond-end": 1})


def test_the_index(store: EchoStore) -> None:
    assert _index(store, "video") == [VIDEOS[video] for video, _ in ROWS]
    assert _index(store, "frame") == [number for _, number in ROWS]
    assert _index(store, "split") == [0, 0, 1, 1, 2, 2]
    # ED is the larger contour: first, but in the second video.
    assert _index(store, "phase") == [0, 1, 1, 0, 0, 1]
    # The third video ends before its second traced frame: beyond-end.
    assert _index(store, "status") == [0, 0, 0, 0, 0, 4]
    assert _index(store, "ef") == [50.5, 50.5, 51.5, 51.5, 52.5, 52.5]
    assert _index(store, "esv") == [40, 40, 41, 41, 42, 42]
    assert _index(store, "edv") == [80.25] * 6
    assert _index(store, "fps") == [50] * 6


def test_the_frames(store: EchoStore) -> None:
    frames = store.read("frames").astype(int)
    for row, (video, number) in enumerate(ROWS[:5]):
        # A flat square survives Motion-JPEG to within a grey level or two of rounding.
        assert np.abs(frames[row] - frame(video, number)).max() <= 2, row
    assert not frames[5].any()


def test_the_tracings(store: EchoStore) -> None:
    for row, (video, number) in enumerate(ROWS):
        rows = chords(box(video, number))
        np.testing.assert_array_equal(store.read("tracing/long_axis")[row].ravel(), rows[0])
        contour = np.concatenate([rows[1:, :2], rows[:0:-1, 2:]])
        np.testing.assert_array_equal(
            store.read("tracing/contour")[row], contour.astype(np.float32)
        )


@pytest.mark.parametrize("method", ["chords", "convexhull"])
def test_the_masks(store: EchoStore, method: str) -> None:
    for row, (video, number) in enumerate(ROWS):
        np.testing.assert_array_equal(
            store.read(f"masks/{method}")[row], mask(box(video, number)), f"row {row}"
        )


def test_the_landmarks(store: EchoStore) -> None:
    points = store.read(LANDMARKS.points)
    for row, (video, number) in enumerate(ROWS):
        left, top, right, bottom = box(video, number)
        middle = (left + right) / 2
        # From the left end of the mitral plane up the wall, over the apex and down again; half a
        # wall's arc (half the top edge, then the side) lies at the same height on both sides.
        half = ((middle - left) + (bottom - top)) / 2
        wanted = [
            (left, bottom),
            (left, bottom - half),
            (middle, top),
            (right, bottom - half),
            (right, bottom),
        ]
        np.testing.assert_allclose(points[row], wanted, atol=1e-4)


@pytest.mark.parametrize("falloff", ["gaussian", "euclidean"])
def test_the_heatmaps(store: EchoStore, falloff: str) -> None:
    points, heatmaps = store.read(LANDMARKS.points), store.read(LANDMARKS.heatmap(falloff))
    y, x = np.mgrid[:SIDE, :SIDE]
    for row, (video, number) in enumerate(ROWS):
        left, top, right, bottom = box(video, number)
        # Two pixels out and two pixels in of the rectangle, as two 3x3 dilations and erosions give.
        outer = (x >= left - 2) & (x <= right + 2) & (y >= top - 2) & (y <= bottom + 2)
        inner = (x >= left + 2) & (x <= right - 2) & (y >= top + 2) & (y <= bottom - 2)
        for point, heatmap in zip(points[row].astype(float), heatmaps[row], strict=True):
            squared = (x - point[0]) ** 2 + (y - point[1]) ** 2
            near = squared <= 100
            if falloff == "gaussian":
                values = np.exp(-squared / 50)
            else:
                values = 1 - np.sqrt(squared) / np.sqrt(squared[near]).max()
            low, high = values[near].min(), values[near].max()
            wanted = 255 * (values - low) / (high - low) * (near & outer & ~inner)
            assert np.abs(heatmap - wanted).max() <= 0.51


def _forget_truncate(path: Path) -> None:
    """Make of a store one that was built before `--truncate` was there: nothing was cut."""
    store = EchoStore(path)
    manifests = {}
    for array, manifest in store.manifests.items():
        parameters = {k: v for k, v in manifest.parameters.items() if k != "truncate"}
        if parameters != manifest.parameters:
            # The digest of other parameters is another one; which, only that version knew.
            key = hashlib.sha256(manifest.key.encode()).hexdigest()
            manifest = dataclasses.replace(manifest, parameters=parameters, key=key)
            (path / array / "manifest.json").write_text(manifest.json)
        manifests[array] = manifest
    root = root_text({**store.attributes, "stages": stage_table(manifests)})
    (path / "zarr.json").write_text(root)


@pytest.mark.parametrize(
    ("name", "older"), [(STORES[0], False), (STORES[0], True), (STORES[1], False)]
)
def test_more_is_added_without_the_videos(name: str, older: bool, tmp_path: Path) -> None:
    path, data = tmp_path / name, write_golden_dataset(tmp_path / "data")
    shutil.rmtree(data / "Videos")
    before = read_all(HERE / name)
    (shutil.copytree if (HERE / name).is_dir() else shutil.copy2)(HERE / name, path)
    if older:
        _forget_truncate(path)
        assert verify(path) == []
        preview(path, PreviewSettings(out=tmp_path / "sheet.png"))
    settings = BuildSettings(data=data, store=path, method=("centroid",), landmarks=(5,), jobs=1)
    report = build(settings)
    added = {"masks/centroid", "landmarks/centroid/anatomical-5/points"}
    made = set(report.made)
    assert added < made
    # Where the older version's keys are not this one's, what was drawn is drawn again.
    assert ("masks/chords" in made) == older
    assert {"index", "frames"} <= set(report.kept)
    assert verify(path) == []
    after = read_all(path)
    assert_same({array: after[array] for array in before}, before)
    for row, (video, number) in enumerate(ROWS):
        np.testing.assert_array_equal(after["masks/centroid"][row], mask(box(video, number)))
    assert build(settings).made == ()


@pytest.mark.parametrize("name", STORES)
def test_no_stage_of_it_is_made_again(name: str, tmp_path: Path) -> None:
    path, data = tmp_path / name, write_golden_dataset(tmp_path / "data")
    (shutil.copytree if (HERE / name).is_dir() else shutil.copy2)(HERE / name, path)
    settings = BuildSettings(
        data=data,
        store=path,
        method=("chords", "convexhull"),
        landmarks=(5,),
        falloff=("gaussian", "euclidean"),
        jobs=1,
    )
    made = build(settings).made
    # Except for the frames, whose videos have just been written again, and the heatmaps, whose
    # radius and sigma refer to a frame of 112 pixels since.
    heatmaps = {
        f"landmarks/{method}/anatomical-5/{falloff}"
        for method in ("chords", "convexhull")
        for falloff in ("gaussian", "euclidean")
    }
    assert set(made) <= {"frames", *heatmaps}
    # A whole Gaussian is another heatmap of the same name.
    whole = dataclasses.replace(settings, heatmaps=HeatmapSettings(gaussian="whole"))
    remade = {stage for stage in build(whole).made if stage.endswith("gaussian")}
    assert remade == {f"landmarks/{m}/anatomical-5/gaussian" for m in ("chords", "convexhull")}
