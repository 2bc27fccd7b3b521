from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest

from echo_common.errors import DataError
from echo_prep.dataset.file_names import VideoFolder
from echo_prep.dataset.video import read_frames
from echo_prep.synth.annotator import trace_rows
from echo_prep.synth.looks import LOOKS
from echo_prep.synth.phantom.movie import true_contours
from echo_prep.synth.videos import draw_study, split_of, true_volumes, write_video


def test_splits_have_echonet_dynamic_s_proportions() -> None:
    for seed in range(3):
        splits = [split_of(seed, number) for number in range(400)]
        assert splits.count("TRAIN") / 400 == pytest.approx(7465 / 10030, abs=0.01)
        assert splits.count("VAL") / 400 == pytest.approx(1288 / 10030, abs=0.01)
        # Even a small data set has videos for validation and test.
        assert {"TRAIN", "VAL", "TEST"} == set(splits[:16])


@pytest.mark.parametrize("first", range(0, 10_000, 2_500))
def test_the_volume_of_ten_thousand_studies_is_smaller_at_end_systole(first: int) -> None:
    for number in range(first, first + 2_500):
        # Studies 531 and 7195 are drawn again: they had ejection fractions of -2 and -4 %.
        study, motion = draw_study(np.random.default_rng([7, number]), 32)
        volumes = []
        for contour in true_contours(study, motion):
            axis, *chords = trace_rows(contour)
            squares = [(x2 - x1) ** 2 + (y2 - y1) ** 2 for x1, y1, x2, y2 in chords]
            volumes.append(sum(squares) * np.hypot(axis[2] - axis[0], axis[3] - axis[1]))
        assert 0 < volumes[1] < volumes[0], number


@pytest.mark.parametrize("name", [name for name in LOOKS if name != "echonet"])
def test_the_volume_of_every_look_is_smaller_at_end_systole(name: str) -> None:
    for number in range(1000):
        edv, esv = true_volumes(*draw_study(np.random.default_rng([7, number]), 32, LOOKS[name]))
        assert 0 < esv < edv, number


def test_a_full_disk_is_an_error(tmp_path: Path) -> None:
    frames = list(np.random.default_rng(0).integers(0, 255, (20, 112, 112), dtype=np.uint8))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
    try:
        with pytest.raises(DataError, match="could not be written completely"):
            write_video(tmp_path / "video.avi", frames, 50.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("codec", ["MJPG", "FFV1"])
def test_a_video_can_be_read_back(tmp_path: Path, codec: str) -> None:
    y, x = np.mgrid[:112, :112]
    frames = [(127 + 100 * np.sin(x / 9 + k) * np.cos(y / 7)).astype(np.uint8) for k in range(5)]
    write_video(tmp_path / "video.avi", frames, 25.0, codec)
    reads = read_frames(VideoFolder(tmp_path), "video", [3, 0], (112, 112))
    for read, frame in zip(reads, (frames[3], frames[0]), strict=True):
        assert read.pixels is not None
        assert np.abs(read.pixels.astype(int) - frame).mean() < 2
