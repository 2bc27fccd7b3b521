"""`echo-predict`: videos are read, segmented at any size, and written in their own pixels."""

from __future__ import annotations

import csv
import functools
import re
import resource
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from echo_common.errors import DataError, DataNotFoundError, OutputError
from echo_common.geometry.contours import contour_from_landmarks
from echo_common.geometry.raster import rasterise
from echo_common.output_folder import RECORD_FOLDER, OutputFolder
from echo_common.store.reader import EchoStore
from echo_train.commands.predict import cli
from echo_train.evaluation.trained_model import load_model
from echo_train.prediction.segment import area_table, segment
from echo_train.prediction.video import Clip, read_clip, save_overlay
from echo_train.targets.base import Prediction
from echo_train.transforms.letterbox import Letterbox
from support.avi import avi_bytes, jpeg
from support.clips import clip
from support.commands import exit_code
from support.datasets import frame_pattern, write_video

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten frames at 25 frames a second."""
    path = tmp_path_factory.mktemp("videos") / "study.avi"
    write_video(path, [frame_pattern(1, frame) for frame in range(10)], fps=25.0)
    return path


echo_predict = functools.partial(exit_code, cli)


def names(out: Path) -> set[str]:
    return {path.name for path in out.iterdir()} - {RECORD_FOLDER}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_frames_are_read_from_the_video(video: Path) -> None:
    clip = read_clip(video)
    assert clip.rate == 25 and clip.numbers.tolist() == list(range(10))
    for number, image in enumerate(clip.images):
        # Motion-JPEG loses a little.
        assert np.abs(image.astype(int) - frame_pattern(1, number)).mean() < 3
    few = read_clip(video, [7, 2, 7])
    assert few.numbers.tolist() == [2, 7]
    np.testing.assert_array_equal(few.images, clip.images[[2, 7]])


def test_bad_videos_are_errors_with_the_reason(video: Path, tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"no video .*nothing\.avi"):
        read_clip(tmp_path / "nothing.avi")
    (tmp_path / "text.avi").write_text("no video")
    with pytest.raises(DataError, match=r"text\.avi: the file is text, not a video"):
        read_clip(tmp_path / "text.avi")
    with pytest.raises(DataError, match="has 10 frames, counted from 0, so it has no frame 10"):
        read_clip(video, [3, 10])
    content = video.read_bytes()
    (tmp_path / "cut.avi").write_bytes(content[: len(content) * 6 // 10])
    clip = read_clip(tmp_path / "cut.avi")
    assert clip.faults == (f"the file is cut short after {len(clip.numbers)} frames",)
    np.testing.assert_array_equal(clip.images, read_clip(video).images[: len(clip.numbers)])


SIZES = st.tuples(st.integers(1, 300), st.integers(1, 300))


@given(size=SIZES, target=SIZES)
def test_a_frame_is_scaled_to_fit_and_centred(
    size: tuple[int, int], target: tuple[int, int]
) -> None:
    letterbox = Letterbox.of(size, target)
    assert all(1 <= inner <= room for inner, room in zip(letterbox.inner, target, strict=True))
    assert letterbox.inner[0] == target[0] or letterbox.inner[1] == target[1]
    scale = min(target[0] / size[0], target[1] / size[1])
    for inner, side in zip(letterbox.inner, size, strict=True):
        assert abs(inner - side * scale) <= 0.5 or inner == 1
    for offset, inner, room in zip(letterbox.offset, letterbox.inner, target, strict=True):
        assert abs((room - inner - offset) - offset) <= 1
    image = np.full(size, 200, np.uint8)
    shrunk = letterbox.shrink(image)
    assert shrunk.shape == target
    assert (shrunk > 0).sum() == letterbox.inner[0] * letterbox.inner[1]


def test_a_frame_of_the_right_size_is_not_changed() -> None:
    image = np.arange(112 * 112, dtype=np.uint8).reshape(112, 112)
    letterbox = Letterbox.of((112, 112), (112, 112))
    np.testing.assert_array_equal(letterbox.shrink(image), image)
    logits = torch.randn(1, 2, 112, 112)
    assert torch.equal(letterbox.enlarge(logits), logits)
    points = np.array([[[3.5, 7.25]]], dtype=np.float32)
    np.testing.assert_array_equal(letterbox.enlarge_points(points), points)


def test_enlarging_restores_positions_in_the_frame() -> None:
    """The mask and centre of a disc in a large frame, after shrinking the frame."""
    y, x = np.mgrid[:300, :420]
    disc = ((x - 290.0) ** 2 + (y - 120.0) ** 2 <= 60**2).astype(np.uint8)
    letterbox = Letterbox.of((300, 420), (112, 112))
    assert (letterbox.inner, letterbox.offset) == ((80, 112), (16, 0))
    shrunk = letterbox.shrink(255 * disc)
    rows_, columns = np.nonzero(shrunk > 127)
    centre = np.array([[[columns.mean(), rows_.mean()]]])
    np.testing.assert_allclose(letterbox.enlarge_points(centre), [[[290, 120]]], atol=0.5)
    logits = torch.from_numpy(shrunk.astype(np.float32))[None, None] - 127.5
    again = (letterbox.enlarge(logits)[0, 0] > 0).numpy()
    dice = 2 * (again & (disc > 0)).sum() / (again.sum() + disc.sum())
    assert dice > 0.985


@pytest.mark.parametrize("target", ["mask", "landmarks"])
def test_frames_of_the_store_are_segmented_as_in_the_run(
    runs: Path, small_store: Path, target: str
) -> None:
    model = load_model(runs / target, "best", CPU)
    store = EchoStore(small_store)
    images = store.read("frames")
    prediction = segment(model, images)
    true = store.read("masks/chords") > 0
    listed = rows(runs / target / "frames.csv")
    assert len(listed) == 12
    for row in listed:
        place = int(row["row"])
        assert prediction.masks[place].sum() == int(row["predicted_pixels"])
        both = (prediction.masks[place] > 0) & true[place]
        score = 2 * both.sum() / (prediction.masks[place].sum() + true[place].sum())
        assert score == pytest.approx(float(row["dice"]), abs=1e-6)


def test_landmarks_of_a_large_frame_become_a_mask_of_its_size(
    runs: Path, small_store: Path
) -> None:
    model = load_model(runs / "landmarks", "best", CPU)
    images = EchoStore(small_store).read("frames")[:2]
    large = images.repeat(3, axis=1).repeat(3, axis=2)
    small_found, found = segment(model, images), segment(model, large)
    assert small_found.points is not None and found.points is not None
    np.testing.assert_allclose(found.points, (small_found.points + 0.5) * 3 - 0.5, atol=1e-3)
    for mask, points in zip(found.masks, found.points, strict=True):
        contour = contour_from_landmarks(points, "anatomical")
        np.testing.assert_array_equal(mask, rasterise(contour, (336, 336), "chords"))


def test_masks_of_a_large_frame_are_those_of_the_small_one(runs: Path, small_store: Path) -> None:
    model = load_model(runs / "mask", "best", CPU)
    images = EchoStore(small_store).read("frames")[:2]
    small_found = segment(model, images).masks
    found = segment(model, images.repeat(3, axis=1).repeat(3, axis=2)).masks
    assert found.shape == (2, 336, 336)
    # The middle of each block of 3x3 is the small frame's pixel.
    np.testing.assert_array_equal(found[:, 1::3, 1::3], small_found)


def predicted() -> tuple[Clip, Prediction]:
    clip = Clip(
        path=Path("study.avi"),
        numbers=np.array([0, 10]),
        seconds=np.array([0, 0.5]),
        images=np.full((2, 40, 50), 60, np.uint8),
        rate=20.0,
    )
    masks = np.zeros((2, 40, 50), np.uint8)
    masks[0, 10:20, 15:30] = 1
    points = np.array([[[15, 10], [29, 19]], [[np.nan, np.nan], [1.5, 2]]], dtype=np.float32)
    return clip, Prediction(masks=masks, points=points)


def test_the_table_has_area_and_landmarks_of_every_frame() -> None:
    clip, prediction = predicted()
    assert area_table(clip, prediction).splitlines() == [
        "frame,seconds,area_px,x0,y0,x1,y1,missed",
        "0,0.0000,150,15.000,10.000,29.000,19.000,0",
        "10,0.5000,0,,,1.500,2.000,1",
    ]
    without = Prediction(masks=prediction.masks)
    assert area_table(clip, without).splitlines()[1] == "0,0.0000,150,0"


def test_the_overlay_draws_the_contour_along_the_mask(tmp_path: Path) -> None:
    clip, prediction = predicted()
    save_overlay(tmp_path / "study.avi", clip, Prediction(masks=prediction.masks))
    capture = cv2.VideoCapture(str(tmp_path / "study.avi"))
    assert capture.get(cv2.CAP_PROP_FPS) == 20
    frames = [capture.read()[1] for _ in range(2)]
    assert not capture.read()[0]
    factor = round(448 / 50)
    assert frames[0].shape == (40 * factor, 50 * factor, 3)
    red = frames[0][..., 2].astype(int) - frames[0][..., 0] > 60
    y, x = np.nonzero(red)
    expected = [15 * factor, 30 * factor - 1, 10 * factor, 20 * factor - 1]
    np.testing.assert_allclose([x.min(), x.max(), y.min(), y.max()], expected, atol=2)
    assert not red[12 * factor : 18 * factor, 17 * factor : 28 * factor].any()
    assert not (frames[1][..., 2].astype(int) - frames[1][..., 0] > 60).any()
    assert [path.name for path in tmp_path.iterdir()] == ["study.avi"]


def test_the_command_writes_masks_table_and_overlay(
    runs: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert echo_predict(runs / "landmarks", video, "--out", out, "--device", "cpu") == 0
    assert names(out) == {"study.npz", "study.csv", "study.avi"}
    with np.load(out / "study.npz") as found:
        expected = segment(load_model(runs / "landmarks", "best", CPU), read_clip(video).images)
        np.testing.assert_array_equal(found["frames"], np.arange(10))
        np.testing.assert_array_equal(found["masks"], expected.masks)
        np.testing.assert_array_equal(found["points"], expected.points)
    areas = [int(row["area_px"]) for row in rows(out / "study.csv")]
    assert areas == expected.masks.sum(axis=(1, 2)).tolist()
    assert f"10 frames, area {min(areas)} to {max(areas)} px" in capsys.readouterr().out


@pytest.mark.parametrize("target", ["mask", "landmarks"])
def test_nothing_is_found_in_frames_of_constant_gray(
    runs: Path, small_store: Path, tmp_path: Path, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor does the shape prior fill it in; other frames of the same clip are not affected."""
    ordinary = frame_pattern(1, 3)
    frames = [np.zeros_like(ordinary), ordinary, np.full_like(ordinary, 130)]
    (tmp_path / "gray.avi").write_bytes(avi_bytes([jpeg(frame) for frame in frames]))
    video, out = tmp_path / "gray.avi", tmp_path / "out"
    assert echo_predict(runs / target, video, "--out", out, "--device", "cpu") == 0
    listed = rows(out / "gray.csv")
    model = load_model(runs / target, "best", CPU)
    alone = segment(model, read_clip(video, [1]).images)
    areas = [int(row["area_px"]) for row in listed]
    assert areas == [0, int(alone.masks.sum()), 0]
    assert [row["missed"] for row in listed] == ["1", str(int(alone.missed()[0])), "1"]
    assert " missed (no ventricle found)" in capsys.readouterr().out
    if target == "landmarks":
        assert not any(listed[0][column] for column in ("x0", "y0", "x6", "y6"))


def test_landmarks_that_the_prior_filled_in_count_as_missed(runs: Path, small_store: Path) -> None:
    model = load_model(runs / "landmarks", "best", CPU)
    images = torch.from_numpy(EchoStore(small_store).read("frames")[:3])[:, None].float() / 255
    logits = model.logits(images).clone()
    logits[:] = 0
    logits[0, :, 50, 40] = logits[2, 2:, 50, 40] = 50
    prediction = model.read(logits, images, (112, 112))
    assert prediction.found is not None and prediction.points is not None
    assert prediction.missed().tolist() == [False, True, False]
    assert prediction.found.sum(axis=1).tolist() == [7, 0, 5]
    assert not np.isnan(prediction.points).any()


def test_selected_frames_without_an_overlay(runs: Path, video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("--frames", "8,1", "--no-overlay", "--out", out, "--device", "cpu")
    assert echo_predict(runs / "mask", video, *arguments) == 0
    assert names(out) == {"study.npz", "study.csv"}
    assert [int(row["frame"]) for row in rows(out / "study.csv")] == [1, 8]


def test_a_bad_video_does_not_stop_the_others(
    runs: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    (tmp_path / "bad.avi").write_bytes(b"RIFF")
    (tmp_path / "b").mkdir()
    second = shutil.copy(video, tmp_path / "b" / "study.avi")
    videos = (video, tmp_path / "bad.avi", second)
    assert echo_predict(runs / "mask", *videos, "--out", out, "--device", "cpu") == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: 1 of 3 videos could not be segmented completely: ")
    assert "bad.avi: the file is text, not a video" in error
    assert {Path(name).stem for name in names(out)} == {"study", "study-2"}
    assert (out / "study.csv").read_bytes() == (out / "study-2.csv").read_bytes()


def test_all_videos_of_a_folder(
    runs: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("b.AVI", "a.data"):
        shutil.copy(video, folder / name)
    (folder / "list.m3u8").write_text("#EXTM3U\na.data\n")
    (folder / "notes.avi").write_text("not a video")
    (folder / "empty").mkdir()
    options = ("--out", tmp_path / "out", "--no-overlay", "--frames", "0,3", "--device", "cpu")
    assert echo_predict(runs / "mask", folder, *options) == 0
    assert names(tmp_path / "out") == {
        "a.npz", "a.csv", "b.npz", "b.csv",
    }  # fmt: skip
    assert echo_predict(runs / "mask", folder / "empty", video, *options) == 1
    assert "empty contains no videos" in capsys.readouterr().err
    assert (tmp_path / "out" / "study.npz").exists()


def test_damaged_frames_and_a_cut_are_reported_and_the_rest_is_segmented(
    runs: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = video.read_bytes()
    (tmp_path / "cut.avi").write_bytes(content[: len(content) * 6 // 10])
    images = [jpeg(frame_pattern(1, frame)) for frame in range(8)]
    images[5] = images[5][:900] + bytes(len(images[5]) - 900)
    (tmp_path / "damaged.avi").write_bytes(avi_bytes(images))
    options = ("--out", tmp_path / "out", "--no-overlay", "--device", "cpu")
    videos = (tmp_path / "cut.avi", tmp_path / "damaged.avi")
    assert echo_predict(runs / "mask", *videos, *options) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search(r"cut\.avi: the file is cut short after [3-6] frames;", error)
    assert "damaged.avi: frame 5 is damaged: it is not a complete JPEG image" in error
    frames = [int(row["frame"]) for row in rows(tmp_path / "out" / "damaged.csv")]
    assert frames == [0, 1, 2, 3, 4, 6, 7]


def test_seconds_are_the_time_stamps_of_a_variable_rate(runs: Path, tmp_path: Path) -> None:
    times = [0, 20, 40, 90, 100, 300]
    frames = [frame_pattern(1, number) for number in range(6)]
    (tmp_path / "a.mp4").write_bytes(clip("h264.mp4", frames, times))
    options = ("--out", tmp_path / "out", "--no-overlay", "--device", "cpu")
    assert echo_predict(runs / "mask", tmp_path / "a.mp4", *options) == 0
    seconds = [float(row["seconds"]) for row in rows(tmp_path / "out" / "a.csv")]
    assert seconds == [0, 0.02, 0.04, 0.09, 0.1, 0.3]


def test_results_that_cannot_be_written_do_not_stop_the_others(
    runs: Path, video: Path, tmp_path: Path
) -> None:
    for number, bad in enumerate((tmp_path / ("n" * 251 + ".avi"), tmp_path / "first.avi")):
        shutil.copy(video, bad)
        out = tmp_path / f"out{number}"
        (out / "first.npz").mkdir(parents=True)
        videos = (bad, Path("x" * 300), video)
        options = ("--out", out, "--frames", "0", "--no-overlay", "--device", "cpu")
        assert echo_predict(runs / "mask", *videos, *options) == 1
        assert (out / "study.npz").is_file()


def test_a_folder_without_a_run_is_refused(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert echo_predict(tmp_path, video, "--device", "cpu") == 1
    assert f"error: {tmp_path} contains no run" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_input_is_not_written_over_under_any_name(
    runs: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("s.mp4", "s.avi", "t.data"):
        shutil.copy(video, tmp_path / name)
    (tmp_path / "t.avi").symlink_to("t.data")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    videos = [tmp_path / name for name in before]
    options = ("--out", tmp_path, "--frames", "0", "--device", "cpu")
    for force in ((), ("--force",)):
        assert echo_predict(runs / "mask", *videos, *options, *force) == 1
        assert "would be written over the input" in capsys.readouterr().err
        for name, content in before.items():
            assert (tmp_path / name).read_bytes() == content
    assert (tmp_path / "t.avi").is_symlink()
    # The second video of a name does not write to the name of the first.
    assert (tmp_path / "s-2.avi").is_file()


def test_a_file_of_another_origin_is_replaced_only_with_force(
    runs: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "study.csv").write_text("somebody else's")
    options = ("--out", tmp_path, "--frames", "0", "--no-overlay", "--device", "cpu")
    assert echo_predict(runs / "mask", video, *options) == 1
    assert "study.csv is there already and was not written by" in capsys.readouterr().err
    assert (tmp_path / "study.csv").read_text() == "somebody else's"
    assert not (tmp_path / "study.npz").exists()
    assert echo_predict(runs / "mask", video, *options, "--force") == 0
    assert len(rows(tmp_path / "study.csv")) == 1
    assert echo_predict(runs / "mask", video, *options) == 0


def test_an_overlay_that_may_not_grow_is_an_error_and_the_old_one_stays(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    clip, prediction = predicted()
    with OutputFolder(tmp_path) as output:
        with output.writer("study.avi") as path:
            save_overlay(path, clip, prediction)
        before = (tmp_path / "study.avi").read_bytes()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            with (
                pytest.raises(OutputError, match="cannot be written completely"),
                output.writer("study.avi") as path,
            ):
                resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
                save_overlay(path, clip, prediction)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "study.avi").read_bytes() == before
