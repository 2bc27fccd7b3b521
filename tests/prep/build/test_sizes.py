"""Archives at native size and of several sizes: frames and traces are scaled together."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from echo_common.errors import DataError
from echo_common.store.reader import EchoStore
from echo_prep.build.build import build
from echo_prep.build.reuse import BuildReport
from echo_prep.dataset.video import misplaced
from echo_prep.geometry.settings import HeatmapSettings
from echo_prep.settings import BuildSettings
from support.archives import write_dynamic
from support.datasets import half_ellipse_trace, write_video
from support.oracles import dice, reference_mask
from support.stores import file_bytes

SIZES = {"a": (600, 800), "b": (112, 112), "c": (300, 240), "d": (600, 800)}
"""(height, width) of each video."""


def ventricle(shape: tuple[int, int], width: float) -> np.ndarray:
    """A trace in the middle of a frame of any size, (21, 4)."""
    height, across = shape
    rows = half_ellipse_trace((50, 15), (60, 80), width) / 112
    return rows * [across, height, across, height]


def phantom(shape: tuple[int, int], frame: int) -> np.ndarray:
    """A frame whose ventricle is dark, so that its mask can be seen in it."""
    inside = reference_mask(ventricle(shape, 40 - 15 * (frame == 4)), shape)
    return np.where(inside, 20, 200).astype(np.uint8)


def write_dataset(
    root: Path, sizes: dict[str, tuple[int, int]], listed: bool, suffix: str = ".avi"
) -> Path:
    (root / "Videos").mkdir(parents=True)
    with (root / "FileList.csv").open("w", newline="") as file:
        columns = ["FrameHeight", "FrameWidth"] if listed else []
        csv.writer(file).writerow(["FileName", "Split", *columns])
        for name, shape in sizes.items():
            csv.writer(file).writerow([name, "TRAIN", *(shape if listed else ())])
    with (root / "VolumeTracings.csv").open("w", newline="") as file:
        csv.writer(file).writerow(["FileName", "X1", "Y1", "X2", "Y2", "Frame"])
        for name, shape in sizes.items():
            for frame in (1, 4):
                for row in ventricle(shape, 40 - 15 * (frame == 4)):
                    csv.writer(file).writerow([name + ".avi", *row, frame])
    for name, shape in sizes.items():
        write_video(root / "Videos" / (name + suffix), [phantom(shape, n) for n in range(6)])
    return root


def make(data: Path, store: Path, **changes: object) -> BuildReport:
    options: dict[str, object] = {"jobs": 1, "landmarks": (7,), **changes}
    return build(BuildSettings(data=data, store=store, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("listed", [True, False])
def test_one_native_size_is_kept(tmp_path: Path, listed: bool) -> None:
    data = write_dataset(tmp_path / "d", {"a": (300, 240), "b": (300, 240)}, listed)
    report = make(data, tmp_path / "s.zarr")
    assert (report.rows, report.rejects) == (4, ())
    store = EchoStore(tmp_path / "s.zarr")
    assert store.read("frames").shape == (4, 300, 240)
    assert "index/scale" not in store.manifests
    masks = store.read("masks/chords")
    np.testing.assert_array_equal(masks[0], reference_mask(ventricle((300, 240), 40), (300, 240)))


def test_several_sizes_without_a_size_keep_the_most_frequent(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "d", SIZES, listed=False)
    report = make(data, tmp_path / "s.zarr", masks_only=True)
    assert {reject.video for reject in report.rejects} == {"b", "c"}
    assert {reject.reason for reject in report.rejects} == {"wrong-size"}
    assert EchoStore(tmp_path / "s.zarr").read("frames").shape[1:] == (600, 800)


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("suffix", [".avi", ".zarr"])
@pytest.mark.parametrize("side", [112, 128])
def test_several_sizes_are_scaled_with_their_traces(
    tmp_path: Path, listed: bool, suffix: str, side: int
) -> None:
    data = write_dataset(tmp_path / "d", SIZES, listed)
    path = tmp_path / ("s.h5" if suffix == ".avi" else "s.zarr")
    report = make(data, path, size=side)
    assert (report.rows, report.rejects) == (8, ())
    store = EchoStore(path)
    names, shapes = store.read("index/video"), store.read("index/source_shape")
    assert {str(name): tuple(shape) for name, shape in zip(names, shapes, strict=True)} == SIZES
    scale = store.read("index/scale")
    assert scale == pytest.approx([side / max(SIZES[str(name)]) for name in names])
    frames, masks = store.read("frames"), store.read("masks/chords") > 0
    for row, name in enumerate(names):
        height, width = SIZES[str(name)]
        # The ventricle is dark on a bright frame; the borders are black.
        y, x = np.mgrid[:side, :side]
        inner = (np.abs(y - (side - 1) / 2) < scale[row] * height / 2 - 1) & (
            np.abs(x - (side - 1) / 2) < scale[row] * width / 2 - 1
        )
        assert dice((frames[row] < 110) & inner, masks[row]) > 0.95
        assert not masks[row][~inner].any()
        outside = (np.abs(y - (side - 1) / 2) > scale[row] * height / 2 + 1) | (
            np.abs(x - (side - 1) / 2) > scale[row] * width / 2 + 1
        )
        assert not frames[row][outside].any()
    # Landmarks and heatmaps follow.
    points = store.read("landmarks/chords/anatomical-7/points")
    peaks = store.read("landmarks/chords/anatomical-7/gaussian").reshape(8, 7, -1).argmax(axis=2)
    found = np.stack([peaks % side, peaks // side], axis=-1)
    assert np.abs(found - points).max() <= 1


def test_a_later_build_keeps_the_size(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "d", SIZES, listed=True)
    make(data, tmp_path / "s.zarr", size=96, masks_only=True)
    before = file_bytes(tmp_path / "s.zarr")
    assert not make(data, tmp_path / "s.zarr", masks_only=True).made
    assert not make(data, tmp_path / "s.zarr", size=96, masks_only=True).made
    assert file_bytes(tmp_path / "s.zarr") == before
    report = make(data, tmp_path / "s.zarr", method=("convexhull",), masks_only=True)
    assert report.made == ("masks/convexhull",)
    report = make(data, tmp_path / "s.zarr", size=64, masks_only=True)
    assert {"index", "frames", "masks/chords"} <= set(report.made)
    assert EchoStore(tmp_path / "s.zarr").read("masks/chords").shape[1:] == (64, 64)


def test_the_size_that_all_videos_have_changes_no_byte(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "d", {"a": (112, 112), "b": (112, 112)}, listed=True)
    make(data, tmp_path / "s.zarr")
    make(data, tmp_path / "t.zarr", size=112)
    assert file_bytes(tmp_path / "s.zarr") == file_bytes(tmp_path / "t.zarr")


def test_a_size_that_the_list_gets_wrong_is_told(tmp_path: Path) -> None:
    sizes = {"a": (300, 240), "b": (240, 240), "c": (240, 240)}
    data = write_dataset(tmp_path / "d", sizes, listed=True)
    listed = (data / "FileList.csv").read_text().replace("300,240", "240,240")
    (data / "FileList.csv").write_text(listed)
    for size in (None, 96):
        report = make(data, tmp_path / f"{size}.zarr", size=size, masks_only=True)
        assert {(reject.video, reject.reason) for reject in report.rejects} == {("a", "wrong-size")}
        assert "the frames are 240x300" in report.rejects[0].message


@pytest.mark.parametrize("size", [None, 112])
def test_a_listed_size_that_no_trace_fits_is_checked_against_the_video(
    tmp_path: Path, size: int | None
) -> None:
    data = write_dataset(tmp_path / "d", {"a": (600, 800), "b": (600, 800)}, listed=True)
    listed = (data / "FileList.csv").read_text().replace("600,800", "112,112")
    (data / "FileList.csv").write_text(listed)
    report = make(data, tmp_path / "s.zarr", size=size, masks_only=True)
    assert (report.rows, report.rejects) == (4, ())
    expected = (600, 800) if size is None else (112, 112)
    assert EchoStore(tmp_path / "s.zarr").read("frames").shape[1:] == expected


def test_no_size_at_all_is_an_error(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "d", {"a": (112, 112)}, listed=False)
    (data / "Videos" / "a.avi").write_bytes(b"")
    with pytest.raises(DataError, match=r"size of the frames is not known: FileList\.csv"):
        make(data, tmp_path / "s.zarr")


def test_coordinates_of_a_native_size_are_no_slip(tmp_path: Path) -> None:
    shape = (1500, 2000)
    data = write_dataset(tmp_path / "d", {"a": shape}, listed=True)
    report = make(data, tmp_path / "s.zarr", size=112, masks_only=True)
    assert (report.rows, report.rejects) == (2, ())
    assert cv2.countNonZero(EchoStore(tmp_path / "s.zarr").read("masks/chords")[0]) > 500


def test_heatmaps_look_alike_at_every_size(tmp_path: Path) -> None:
    data = write_dynamic(tmp_path / "d", range(3))
    maps = {}
    for side in (112, 224):
        path = tmp_path / f"{side}.zarr"
        make(data, path, size=side, falloff=("gaussian", "euclidean"))
        store = EchoStore(path)
        for falloff in ("gaussian", "euclidean"):
            array = f"landmarks/chords/anatomical-7/{falloff}"
            parameters = store.manifests[array].parameters
            # As given at 112 pixels, and in proportion at any other size.
            assert parameters["radius"] == 10 * side / 112
            assert parameters.get("sigma", 5 * side / 112) == 5 * side / 112
            assert parameters["band_iterations"] == 2 * side // 112
            maps[side, falloff] = store.read(array)[0].astype(np.float64) / 255
    for falloff in ("gaussian", "euclidean"):
        small, large = maps[112, falloff], maps[224, falloff]
        halved = large.reshape(7, 112, 2, 112, 2).mean(axis=(2, 4))
        # The band of twice as many pixels is as wide, except for the steps of its border.
        assert np.corrcoef(small.ravel(), halved.ravel())[0, 1] > 0.93
        assert halved.sum() == pytest.approx(small.sum(), rel=0.1)


@pytest.mark.parametrize(
    ("side", "iterations"), [(16, 1), (112, 2), (140, 2), (141, 3), (1120, 20)]
)
def test_the_band_has_a_whole_number_of_iterations_and_at_least_one(
    side: int, iterations: int
) -> None:
    scaled = HeatmapSettings().scaled((side, side - 3))
    assert scaled.band_iterations == iterations
    assert HeatmapSettings(band_iterations=0).scaled((side, side)).band_iterations == 0
    assert HeatmapSettings().scaled((112, 112)) == HeatmapSettings()


@pytest.mark.parametrize("shape", [(112, 112), (600, 800)])
def test_the_limit_of_coordinates_grows_with_the_frame(shape: tuple[int, int]) -> None:
    contour = np.linspace([5.0, 5.0], [90.0, 90.0], 40)
    limit = 1024 * max(shape) / 112
    for far, fault in ((0.99 * limit, None), (-0.99 * limit, None), (1.01 * limit, "coordinates")):
        contour[0, 0] = far
        found = misplaced(contour, shape)
        assert (found and found[0]) == fault
