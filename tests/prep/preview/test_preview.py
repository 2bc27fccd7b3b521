"""The contact sheet: its contents, their positions and colours, and what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from echo_common.cli.command import run_command
from echo_common.errors import EchoError, NotInStoreError, SettingsError, StoreDamagedError
from echo_common.store.reader import EchoStore
from echo_common.store.schema import LandmarkSet
from echo_prep.cli import cli
from echo_prep.preview import contact_sheet
from echo_prep.preview.panels import choose_panels, read_chosen
from echo_prep.preview.preview import preview
from echo_prep.preview.settings import PreviewSettings
from echo_prep.store.convert import convert
from support.datasets import SmallVideo, half_ellipse_trace, small_videos, write_small_dataset
from support.stores import build_in_small_chunks, build_store, file_bytes, flip_chunk

SIDE = 112
SCALE = 3


@pytest.fixture(scope="module")
def full_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames, with two methods, two identities, two counts and both falloffs."""
    folder = tmp_path_factory.mktemp("preview")
    data = write_small_dataset(folder / "data", small_videos(3))
    return build_store(
        data,
        folder / "store.zarr",
        method=("chords", "convexhull"),
        identity=("anatomical", "angle"),
        landmarks=(3, 7),
        falloff=("gaussian", "euclidean"),
    )


def read_rgb(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert image is not None
    return image[:, :, ::-1]


def one_tile(
    store: Path, tmp_path: Path, row: int, scale: int = SCALE, **options: Any
) -> np.ndarray:
    """The tile of a sheet that has one."""
    out = tmp_path / "one.png"
    settings = PreviewSettings(out=out, rows=(row,), scale=scale, **options)
    assert preview(store, settings) == (1, 1)
    top, left = corner(1, settings.columns, scale, 0)
    return read_rgb(out)[top : top + SIDE * scale, left : left + SIDE * scale]


def corner(panels: int, columns: int, scale: int, block: int) -> tuple[int, int]:
    """(y, x) of the first tile of a block: below the block's heading, a gap and its own label."""
    side = SIDE * scale
    strip, gap = max(14, round(28 * side / 336)), max(4, round(6 * side / 336))
    across = min(panels, columns)
    height = strip + -(-panels // across) * (gap + strip + side) + gap
    width = across * (gap + side) + gap
    row, column = divmod(block, max(1, columns // across))
    return row * height + strip + gap + strip, column * width + gap


def centres(points: np.ndarray, scale: int = SCALE) -> tuple[np.ndarray, np.ndarray]:
    """Index of the sheet's pixels in the middle of these pixels of a frame; for odd scales."""
    x, y = np.rint(points).astype(int).T
    return y * scale + scale // 2, x * scale + scale // 2


def test_a_frame_is_shown_pixel_by_pixel(full_store: Path, tmp_path: Path) -> None:
    frame = EchoStore(full_store).read("frames")[4]
    tile = one_tile(full_store, tmp_path, 4, panels=("frame",))
    for y in range(SCALE):
        for x in range(SCALE):
            for colour in range(3):
                np.testing.assert_array_equal(tile[y::SCALE, x::SCALE, colour], frame)


def test_a_mask_is_tinted_where_it_is_1(full_store: Path, tmp_path: Path) -> None:
    store = EchoStore(full_store)
    frame, mask = store.read("frames")[2], store.read("masks/convexhull")[2]
    tile = one_tile(full_store, tmp_path, 2, panels=("mask",), method=("convexhull",))
    middle = tile[1::SCALE, 1::SCALE].astype(float)
    # Away from the contour's line, whose own pixels are tested below.
    kernel = np.ones((5, 5), np.uint8)
    inside, outside = cv2.erode(mask, kernel) == 1, cv2.dilate(mask, kernel) == 0
    assert inside.sum() > 200
    for channel, colour in enumerate(contact_sheet.MASK):
        expected = 0.55 * frame[inside] + 0.45 * colour
        np.testing.assert_allclose(middle[inside][:, channel], expected, atol=0.51)
        np.testing.assert_array_equal(middle[outside][:, channel], frame[outside])


@pytest.mark.parametrize("panel", ["mask", "tracing", "landmarks"])
def test_the_contour_has_its_colour(full_store: Path, tmp_path: Path, panel: str) -> None:
    points = EchoStore(full_store).read("tracing/contour")[1]
    options: dict[str, Any] = {"method": ("chords",), "panels": (panel,)}
    if panel == "landmarks":
        options |= {"identity": ("anatomical",), "landmarks": (3,)}
    tile = one_tile(full_store, tmp_path, 1, scale=9, **options)
    # The middles of the edges, but for those near which an axis or a landmark is drawn.
    edges = (points + np.roll(points, -1, axis=0)) / 2
    axis = EchoStore(full_store).read("tracing/long_axis")[1]
    drawn = np.concatenate([axis, points[19:21]])
    far = np.linalg.norm(edges[:, None] - drawn, axis=2).min(axis=1) > 3
    assert far.sum() > 25
    x, y = np.rint((edges[far] + 0.5) * 9 - 0.5).astype(int).T
    np.testing.assert_array_equal(
        tile[y, x], np.broadcast_to(contact_sheet.CONTOUR, (far.sum(), 3))
    )


def test_the_long_axis_and_landmarks_have_their_colours(full_store: Path, tmp_path: Path) -> None:
    store = EchoStore(full_store)
    tile = one_tile(full_store, tmp_path, 3, panels=("tracing",))
    axis = store.read("tracing/long_axis")[3]
    np.testing.assert_array_equal(
        tile[centres(np.linspace(axis[0], axis[1], 7)[[2, 3, 4]])], [contact_sheet.AXIS] * 3
    )
    points = store.read("landmarks/convexhull/angle-7/points")[3]
    tile = one_tile(
        full_store,
        tmp_path,
        3,
        panels=("landmarks",),
        method=("convexhull",),
        identity=("angle",),
        landmarks=(7,),
    )
    np.testing.assert_array_equal(tile[centres(points)], [contact_sheet.LANDMARK] * 7)


def test_the_band_is_what_heatmaps_were_cut_to(tmp_path: Path) -> None:
    data = write_small_dataset(tmp_path / "data", small_videos(1))
    store = build_store(data, tmp_path / "s.zarr", band_kernel=5, band_iterations=1)
    opened = EchoStore(store)
    (panel,) = choose_panels(opened, PreviewSettings(panels=("band",)))
    assert panel.label == "band: chords, 5x5, 1 times"
    mask, frame = opened.read("masks/chords")[0], opened.read("frames")[0]
    tile = one_tile(store, tmp_path, 0, panels=("band",))
    kernel = np.ones((5, 5), np.uint8)
    band = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, kernel) == 1
    changed = (tile[::SCALE, ::SCALE] != frame[:, :, None]).any(axis=2)
    np.testing.assert_array_equal(changed, band)


def test_the_contour_is_the_one_that_was_filled(tmp_path: Path) -> None:
    rows = half_ellipse_trace((50.9, 15.9), (50.9, 69.9), 30.0)
    data = write_small_dataset(
        tmp_path / "data", [SmallVideo(name="a", frames=3, traces={1: rows})]
    )
    store = build_store(data, tmp_path / "s.zarr", truncate=True)
    tile = one_tile(store, tmp_path, 0, scale=9, panels=("mask",))
    # The last chord, which is the mitral plane: traced at y = 68.55, cut to 68.
    y = EchoStore(store).read("tracing/contour")[0, 19, 1]
    assert y == pytest.approx(68.55)
    line = (tile[:, 51 * 9 + 4] == contact_sheet.CONTOUR).all(axis=1)
    assert np.flatnonzero(line)[-1] // 9 == 68


def test_rows_are_read_across_chunks_in_the_requested_order(tmp_path: Path) -> None:
    data = write_small_dataset(tmp_path / "data", small_videos(5))
    build_in_small_chunks(data, tmp_path / "s.zarr")
    store = EchoStore(tmp_path / "s.zarr")
    assert store.chunk_rows == 4
    rows = np.array([9, 0, 5, 3, 0, 8])
    for array in ("frames", "index/video", "tracing/contour"):
        np.testing.assert_array_equal(read_chosen(store, array, rows), store.read(array)[rows])


@pytest.mark.parametrize("falloff", ["gaussian", "euclidean"])
def test_a_heatmap_peaks_on_its_landmarks(full_store: Path, tmp_path: Path, falloff: str) -> None:
    one = LandmarkSet(method="chords", identity="anatomical", count=3)
    store = EchoStore(full_store)
    for row in range(6):
        tile = one_tile(
            full_store,
            tmp_path,
            row,
            panels=("heatmap",),
            method=("chords",),
            identity=("anatomical",),
            landmarks=(3,),
            falloff=(falloff,),
        )
        light = tile[1::SCALE, 1::SCALE].astype(int).sum(axis=2)
        heat = store.read(one.heatmap(falloff))[row].max(axis=0)
        shown = tile[::SCALE, ::SCALE].max(axis=2) != tile[::SCALE, ::SCALE].min(axis=2)
        np.testing.assert_array_equal(shown, heat > 0)
        # The three lightest pixels within the band lie on the three landmarks.
        points = store.read(one.points)[row]
        for point in points:
            near = np.hypot(*(np.mgrid[:SIDE, :SIDE][::-1] - point[:, None, None])) <= 4
            y, x = np.unravel_index(np.argmax(np.where(near, light, -1)), near.shape)
            assert np.hypot(x - point[0], y - point[1]) < 1.0


def test_everything_in_the_store_is_shown(full_store: Path, tmp_path: Path) -> None:
    settings = PreviewSettings(out=tmp_path / "all.png", count=2)
    panels = choose_panels(EchoStore(full_store), settings)
    # Frame and tracing; two masks; two bands; 2 x 2 x 2 landmark sets; each with two heatmaps.
    assert len(panels) == 2 + 2 + 2 + 8 + 16
    labels = [panel.label for panel in panels]
    assert len(set(labels)) == len(labels)
    assert {"mask: convexhull", "euclidean: 3 angle, convexhull"} < set(labels)
    assert preview(full_store, settings) == (2, 30)
    # Two blocks of five lines of six tiles, each of 336 pixels with a strip of 28 above it, and
    # gaps of 6 around them.
    height, width = read_rgb(tmp_path / "all.png").shape[:2]
    assert width == 6 * (336 + 6) + 6
    assert height == 2 * (28 + 5 * (28 + 336 + 6) + 6)


def test_blocks_of_few_panels_are_side_by_side(full_store: Path, tmp_path: Path) -> None:
    out = tmp_path / "few.png"
    settings = PreviewSettings(out=out, panels=("frame",), rows=(5, 0, 3), scale=1, columns=2)
    assert preview(full_store, settings) == (3, 1)
    image = read_rgb(out)
    frames = EchoStore(full_store).read("frames")
    corners = [corner(1, 2, 1, block) for block in range(3)]
    assert corners[0][0] == corners[1][0] < corners[2][0]
    assert corners[0][1] == corners[2][1] < corners[1][1]
    for (top, left), row in zip(corners, (5, 0, 3), strict=True):
        np.testing.assert_array_equal(
            image[top : top + SIDE, left : left + SIDE, 0], frames[row], str(row)
        )


def test_frames_are_spread_evenly_or_are_those_of_videos(full_store: Path, tmp_path: Path) -> None:
    names = EchoStore(full_store).read("index/video")
    options: dict[str, Any] = {"out": tmp_path / "x.png", "panels": ("frame",), "scale": 1}
    assert preview(full_store, PreviewSettings(**options, count=4)) == (4, 1)
    assert preview(full_store, PreviewSettings(**options)) == (6, 1)
    videos = (str(names[5]), str(names[0]))
    assert preview(full_store, PreviewSettings(**options, videos=videos)) == (4, 1)
    image = read_rgb(tmp_path / "x.png")
    frames = EchoStore(full_store).read("frames")
    for block, row in enumerate((4, 5, 0, 1)):
        top, left = corner(1, 6, 1, block)
        np.testing.assert_array_equal(image[top : top + SIDE, left : left + SIDE, 1], frames[row])


def test_a_store_with_many_panels_is_shown_with_fewer_frames(
    full_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = contact_sheet.Layout(30, (SIDE, SIDE), 6)
    monkeypatch.setattr(contact_sheet, "MAX_PIXELS", layout.size(3)[0] * layout.size(3)[1])
    out = tmp_path / "x.png"
    assert preview(full_store, PreviewSettings(out=out, scale=1)) == (3, 30)
    with pytest.raises(SettingsError, match="show fewer frames or panels"):
        preview(full_store, PreviewSettings(out=out, scale=1, count=4))


def test_the_same_sheet_from_hdf5_and_the_store_untouched(full_store: Path, tmp_path: Path) -> None:
    before = file_bytes(full_store)
    convert(full_store, tmp_path / "same.h5")
    for store in (full_store, tmp_path / "same.h5"):
        preview(store, PreviewSettings(out=tmp_path / f"{store.suffix}.png", scale=1, count=1))
    assert (tmp_path / ".zarr.png").read_bytes() == (tmp_path / ".h5.png").read_bytes()
    assert file_bytes(full_store) == before


@pytest.mark.parametrize(
    "options, kind, message",
    [
        ({"rows": (6,)}, NotInStoreError, "has no row 6; its rows are 0 to 5"),
        ({"videos": ("nobody",)}, NotInStoreError, "no usable frame of the video 'nobody'"),
        ({"rows": (0,), "videos": ("x",)}, SettingsError, "contradict each other"),
        ({"method": ("centroid",)}, NotInStoreError, "--method centroid"),
        (
            {"identity": ("angle", "uniform")},
            NotInStoreError,
            "--method chords --identity uniform --landmarks 7",
        ),
        ({"landmarks": (3, 5)}, NotInStoreError, "--identity anatomical --landmarks 5"),
    ],
)
def test_what_is_missing_is_an_error(
    full_store: Path, tmp_path: Path, options: dict[str, Any], kind: type[EchoError], message: str
) -> None:
    with pytest.raises(kind) as caught:
        preview(full_store, PreviewSettings(out=tmp_path / "x.png", **options))
    assert message in str(caught.value)
    assert not (tmp_path / "x.png").exists()


def test_a_row_without_a_frame_is_refused_and_never_chosen(tmp_path: Path) -> None:
    data = write_small_dataset(tmp_path / "data", small_videos(3))
    lost = sorted((data / "Videos").iterdir())[1]
    lost.unlink()
    store = build_store(data, tmp_path / "s.zarr")
    status = EchoStore(store).read("index/status")
    assert status.tolist() == [0, 0, 1, 1, 0, 0]
    out = tmp_path / "x.png"
    assert preview(store, PreviewSettings(out=out, panels=("frame",), scale=1)) == (4, 1)
    with pytest.raises(NotInStoreError, match=r"row 2 of .* 'missing'; choose another row"):
        preview(store, PreviewSettings(out=out, rows=(2,)))
    with pytest.raises(NotInStoreError, match="no usable frame of the video"):
        preview(store, PreviewSettings(out=out, videos=(lost.stem,)))


def test_a_damaged_store_leaves_the_old_sheet(full_store: Path, tmp_path: Path) -> None:
    store, out = tmp_path / "s.zarr", tmp_path / "x.png"
    shutil.copytree(full_store, store)
    out.write_bytes(b"old")
    flip_chunk(store, "masks/chords", "c.0.0.0")
    with pytest.raises(StoreDamagedError, match="masks/chords"):
        preview(store, PreviewSettings(out=out, force=True))
    assert out.read_bytes() == b"old"
    assert {path.name for path in tmp_path.iterdir()} == {"s.zarr", "x.png"}


def test_the_command(full_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as stop:
            run_command(cli, args=["preview", *arguments], prog_name="echo-prep")
        return stop.value.code, *capsys.readouterr()

    out = tmp_path / "new" / "sheet.png"
    options = ("--out", str(out), "--rows", "0,5", "--panels", "mask,band", "--scale", "1")
    assert run(str(full_store), *options) == (
        0,
        f"{out}: 2 frames of {full_store}, 4 panels each\n",
        "",
    )
    assert read_rgb(out).shape[2] == 3
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere")
    for name, message in (
        ("x.jpg", "give one ending in .png"),
        ("file/x.png", "is below a file"),
        ("folder.png", "is a folder"),
        ("lost/x.png", "lost/x.png was not written: file exists"),
    ):
        code, said, err = run(str(full_store), "--out", str(tmp_path / name))
        assert (code, said, err.count("\n")) == (1, "", 1)
        assert message in err
    code, _, err = run(str(full_store), "--out", str(full_store / "x.png"))
    assert code == 1
    assert "is inside the store" in err
    # Its own sheet is replaced, and nothing else.
    other = tmp_path / "other.png"
    other.write_bytes(b"\x89PNG somebody else's")
    code, _, err = run(str(full_store), *options[2:], "--out", str(other))
    assert code == 1
    assert "--force" in err
    assert other.read_bytes() == b"\x89PNG somebody else's"
    assert run(str(full_store), *options)[0] == 0
    assert run(str(full_store), *options[2:], "--out", str(other), "--force")[0] == 0
    assert other.read_bytes() == out.read_bytes()
    code, _, err = run(str(tmp_path / "none.zarr"))
    assert code == 1
    assert err.startswith("error: no store at")
    assert run(str(full_store), "--panels", "masks")[0] == 2
