"""`echo-predict` on clips and folders: its files, its messages and its exit codes."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from echo_common.output_folder import RECORD_FOLDER
from echo_common.video.video_file import Video
from echo_prep.synth.archive import synthesize
from echo_prep.synth.settings import SynthSettings
from echo_train.commands.predict import cli
from echo_train.evaluation.trained_model import load_model
from echo_train.prediction.segment import segment
from echo_train.runs.weights_file import SHIPPED
from support.avi import avi_bytes, jpeg
from support.clips import clip, read_clip
from support.commands import csv_rows, exit_code
from support.datasets import frame_pattern

CPU = torch.device("cpu")

echo_predict = functools.partial(exit_code, cli)

ALL = ("--confidence", "0", "--device", "cpu")
"""The models of these tests are not confident."""


def names(out: Path) -> set[str]:
    return {path.name for path in out.iterdir()} - {RECORD_FOLDER}


def test_the_command_writes_masks_table_and_overlay(
    runs: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert echo_predict(runs / "landmarks", video, "--out", out, *ALL) == 0
    assert names(out) == {
        "measures.csv", "study.npz", "study.csv", "study.json", "study.png", "study.mp4"
    }  # fmt: skip
    with np.load(out / "study.npz") as found:
        expected = segment(load_model(runs / "landmarks", "best", CPU), read_clip(video)[1].images)
        np.testing.assert_array_equal(found["frames"], np.arange(10))
        np.testing.assert_array_equal(found["masks"], expected.masks)
        np.testing.assert_array_equal(found["points"], expected.points)
    areas = expected.masks.sum(axis=(1, 2)).tolist()
    listed = [float(row["area_px"] or "nan") for row in csv_rows(out / "study.csv")]
    np.testing.assert_allclose(listed, expected.measures().area, atol=0.01)
    frames = json.loads((out / "study.json").read_text())["frames"]
    for frame, contour in zip(frames, expected.contours, strict=True):
        known = contour[~np.isnan(contour).any(axis=1)]
        np.testing.assert_allclose(np.reshape(frame["contour"], (-1, 2)), known, atol=0.006)
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
    assert echo_predict(runs / target, video, "--out", out, *ALL) == 0
    listed = csv_rows(out / "gray.csv")
    model = load_model(runs / target, "best", CPU)
    alone = segment(model, read_clip(video, [1])[1].images)
    with np.load(out / "gray.npz") as arrays:
        areas = arrays["masks"].sum(axis=(1, 2)).tolist()
    assert areas == [0, int(alone.masks.sum()), 0]
    assert [row["reason"] for row in listed] == [
        "constant gray",
        alone.reasons()[0],
        "constant gray",
    ]
    assert [row["found"] for row in listed] == ["0", str(int(not alone.reasons()[0])), "0"]
    assert "2 missed (constant gray)" in capsys.readouterr().out
    if target == "landmarks":
        assert not any(listed[0][column] for column in ("x0", "y0", "x6", "y6"))


def test_selected_frames_without_an_overlay(runs: Path, video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("--frames", "8,1", "--no-overlay", "--out", out, *ALL)
    assert echo_predict(runs / "mask", video, *arguments) == 0
    assert names(out) == {"measures.csv", "study.npz", "study.csv", "study.json", "study.png"}
    assert [int(row["frame"]) for row in csv_rows(out / "study.csv")] == [1, 8]


def test_a_bad_video_does_not_stop_the_others(
    runs: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    (tmp_path / "bad.avi").write_bytes(b"RIFF")
    (tmp_path / "b").mkdir()
    second = shutil.copy(video, tmp_path / "b" / "study.avi")
    videos = (video, tmp_path / "bad.avi", second)
    assert echo_predict(runs / "mask", *videos, "--out", out, *ALL) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: 1 of 3 clips could not be segmented completely: ")
    assert "bad.avi: the file is text, not a video" in error
    assert {Path(name).stem for name in names(out)} == {"measures", "study", "study-2"}
    listed = {row["clip"]: row for row in csv_rows(out / "measures.csv")}
    assert list(listed) == ["study", "bad", "study-2"]
    assert listed["bad"]["status"] == "failed"
    assert listed["bad"]["reason"] == "the file is text, not a video"
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
    options = ("--out", tmp_path / "out", "--no-overlay", "--frames", "0,3", *ALL)
    assert echo_predict(runs / "mask", folder, *options) == 0
    written = {name for name in names(tmp_path / "out") if name.endswith(("npz", "csv"))}
    assert written == {"a.npz", "a.csv", "b.npz", "b.csv", "measures.csv"}
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
    options = ("--out", tmp_path / "out", "--no-overlay", *ALL)
    videos = (tmp_path / "cut.avi", tmp_path / "damaged.avi")
    assert echo_predict(runs / "mask", *videos, *options) == 1
    *_, head, first, second = capsys.readouterr().err.strip().splitlines()
    assert head == "error: 2 of 2 clips could not be segmented completely:"
    assert re.search(r"cut\.avi: the file is cut short after [3-6] frames$", first)
    assert "damaged.avi: frame 5 is damaged: it is not a complete JPEG image" in second
    frames = [int(row["frame"]) for row in csv_rows(tmp_path / "out" / "damaged.csv")]
    assert frames == [0, 1, 2, 3, 4, 6, 7]


def test_seconds_are_the_time_stamps_of_a_variable_rate(runs: Path, tmp_path: Path) -> None:
    times = [0, 20, 40, 90, 100, 300]
    frames = [frame_pattern(1, number) for number in range(6)]
    (tmp_path / "a.mp4").write_bytes(clip("h264.mp4", frames, times))
    options = ("--out", tmp_path / "out", "--no-overlay", *ALL)
    assert echo_predict(runs / "mask", tmp_path / "a.mp4", *options) == 0
    seconds = [float(row["seconds"]) for row in csv_rows(tmp_path / "out" / "a.csv")]
    assert seconds == [0, 0.02, 0.04, 0.09, 0.1, 0.3]


def test_frames_are_chosen_by_ranges(
    runs: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--no-overlay", "--out", tmp_path / "out", *ALL)
    assert echo_predict(runs / "mask", video, "--frames", "1-3, 8", *options) == 0
    frames = [int(row["frame"]) for row in csv_rows(tmp_path / "out" / "study.csv")]
    assert frames == [1, 2, 3, 8]
    for wrong in ("3-1", "-1", "a-b", "1-", "99999999999999999999999"):
        assert echo_predict(runs / "mask", video, "--frames", wrong, *options) == 2
    assert echo_predict(runs / "mask", video, "--frames", "0-99999999", *options) == 1
    assert "more than 10,000,000 frames" in capsys.readouterr().err


def test_several_runs_are_averaged_and_must_be_of_a_kind(
    runs: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--no-overlay", "--out", tmp_path / "out", *ALL)
    assert echo_predict(runs / "mask", video, runs / "mask", *options) == 0
    with np.load(tmp_path / "out" / "study.npz") as found:
        alone = segment(load_model(runs / "mask", "best", CPU), read_clip(video)[1].images)
        np.testing.assert_array_equal(found["masks"], alone.masks)
    assert echo_predict(runs / "mask", runs / "landmarks", video, *options) == 1
    assert "only models of the same kind are averaged" in capsys.readouterr().err
    assert echo_predict(runs / "mask", *options) == 1
    assert "there is no clip among the arguments" in capsys.readouterr().err


def test_what_may_be_meant_as_a_run_is_refused(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The weights that predict without a run do not take its place."""
    for path in (tmp_path, tmp_path / "absent"):
        assert echo_predict(path, video, *ALL) == 1
        assert f"error: {path} contains no run" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic study of two beats, and the tracings of its data set."""
    folder = tmp_path_factory.mktemp("synthetic")
    synthesize(folder / "data", SynthSettings(videos=1, frames=64, seed=3, jobs=1))
    return folder / "data"


def test_without_a_run_weights_that_have_seen_no_real_heart_segment(
    study: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (video,) = (study / "Videos").iterdir()
    sentence = "these weights have seen no real heart"
    assert echo_predict(video, "--device", "cpu") == 0
    said = capsys.readouterr().out.splitlines()[0]
    assert said.startswith(f"no run is given, using {SHIPPED[0]}: ") and sentence in said
    out = tmp_path / "predict"
    assert names(out) == {
        "measures.csv", *(f"{video.stem}.{kind}" for kind in ("npz", "csv", "json", "png", "mp4"))
    }  # fmt: skip
    (measures,) = csv_rows(out / "measures.csv")
    assert sentence in measures["note"] and measures["ef"]
    assert sentence in json.loads((out / f"{video.stem}.json").read_text())["note"]
    # The tracings of the same study, filled by OpenCV.
    traced: dict[int, list[tuple[float, ...]]] = {}
    for row in csv_rows(study / "VolumeTracings.csv"):
        points = [float(row[name]) for name in ("X1", "Y1", "X2", "Y2")]
        traced.setdefault(int(row["Frame"]), []).append(tuple(points))
    with np.load(out / f"{video.stem}.npz") as found:
        for frame, rows in traced.items():
            chords = np.array(rows[1:])
            outline = np.concatenate([chords[:, :2], chords[::-1, 2:]]).round().astype(np.int32)
            true = np.zeros((112, 112), np.uint8)
            cv2.fillPoly(true, [outline], 1)
            mask = found["masks"][frame]
            assert 2 * (mask & true).sum() / (mask.sum() + true.sum()) > 0.8
    with Video(out / f"{video.stem}.mp4") as overlay:
        assert len(list(overlay.frames())) == 64


def test_the_other_weights_segment_by_their_name(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, other = tmp_path / "out", SHIPPED[1]
    options = ("--out", out, "--device", "cpu", "--no-overlay", "--frames", "0-3")
    assert echo_predict(other, study / "Videos", *options) == 0
    assert capsys.readouterr().out.startswith(f"note: {other}: ")
    (file,) = out.glob("*.npz")
    with np.load(file) as found:
        assert ("points" in found) == ("landmarks" in other)
    assert exit_code(cli, "synthetic-masks", study / "Videos", *options) == 1
    assert "synthetic-mask or synthetic-landmarks" in capsys.readouterr().err.replace(
        "synthetic-landmarks or synthetic-mask", "synthetic-mask or synthetic-landmarks"
    )


PEAKS = """
import resource, sys
from pathlib import Path
from echo_train.prediction.predict import predict_clips
from echo_train.prediction.settings import PredictSettings
import torch
torch.set_num_threads(1)
run, out, *clips = map(Path, sys.argv[1:])
for clip in clips:
    predict_clips([run, clip], PredictSettings(out=out, confidence=0.0, device="cpu"))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_length_of_a_clip(runs: Path, tmp_path: Path) -> None:
    """The frames and masks of the longer clip are 181 MB more than those of the shorter."""
    image = jpeg(cv2.resize(frame_pattern(1, 3), (448, 448)))
    for name, count in (("short", 150), ("long", 600)):
        (tmp_path / f"{name}.avi").write_bytes(avi_bytes([image] * count, (448, 448)))
    clips = [tmp_path / "short.avi", tmp_path / "long.avi"]
    command = [sys.executable, "-c", PEAKS, runs / "mask", tmp_path / "out", *clips]
    # By default glibc keeps a varying share of what is freed, and the peak varies with it.
    variables = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=variables)
    short, long = map(int, done.stdout.split())
    assert (long - short) / 1024 < 60
    with np.load(tmp_path / "out" / "long.npz") as arrays:
        assert arrays["masks"].shape == (600, 448, 448)
        assert arrays["frames"].tolist() == list(range(600))
    assert len(csv_rows(tmp_path / "out" / "long.csv")) == 600
