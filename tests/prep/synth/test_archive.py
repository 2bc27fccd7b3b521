from __future__ import annotations

import hashlib
import json
import resource
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from echo_common.errors import DataError
from echo_prep.build.build import build
from echo_prep.cli import cli
from echo_prep.dataset.video import read_frames
from echo_prep.settings import BuildSettings
from echo_prep.synth.archive import MARK, synthesize
from echo_prep.synth.settings import SynthSettings
from echo_prep.synth.videos import split_of, write_video


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_content_depends_on_seed_and_number_alone(tmp_path: Path) -> None:
    few = SynthSettings(videos=2, frames=10, seed=5, jobs=1)
    more = SynthSettings(videos=4, frames=10, seed=5, jobs=2)
    synthesize(tmp_path / "few", few)
    synthesize(tmp_path / "more", more)
    synthesize(tmp_path / "again", few)
    synthesize(tmp_path / "other", SynthSettings(videos=2, frames=10, seed=6, jobs=1))
    first, second = digests(tmp_path / "few"), digests(tmp_path / "more")
    assert first == digests(tmp_path / "again")
    videos = {name: digest for name, digest in first.items() if name.endswith(".avi")}
    assert len(videos) == 2
    assert videos.items() <= second.items()
    assert not set(digests(tmp_path / "other")) & set(videos)
    for table in ("FileList.csv", "VolumeTracings.csv"):
        text = (tmp_path / "few" / table).read_text()
        assert (tmp_path / "more" / table).read_text().startswith(text)


def test_every_row_can_be_built(many_short: Path, tmp_path: Path) -> None:
    report = build(BuildSettings(data=many_short, store=tmp_path / "cache.zarr", jobs=1))
    assert (report.rows, report.traced, report.videos) == (240, 240, 120)
    assert report.rejects == ()


def test_splits_have_the_data_set_s_shares() -> None:
    for seed in range(3):
        splits = [split_of(seed, number) for number in range(400)]
        assert splits.count("TRAIN") / 400 == pytest.approx(7465 / 10030, abs=0.01)
        assert splits.count("VAL") / 400 == pytest.approx(1288 / 10030, abs=0.01)
        # Even a small data set has something to validate and to test on.
        assert {"TRAIN", "VAL", "TEST"} == set(splits[:16])


def test_a_finished_set_is_left_alone(tmp_path: Path) -> None:
    settings = SynthSettings(videos=1, frames=8)
    root = tmp_path / "set"
    assert synthesize(root, settings)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert not synthesize(root, settings)
    assert before == {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    with pytest.raises(DataError, match=r"other settings \(videos 1\)"):
        synthesize(root, SynthSettings(videos=2, frames=8))


def test_a_killed_run_is_no_data_set_and_can_be_finished(tmp_path: Path) -> None:
    settings = SynthSettings(videos=3, frames=8, jobs=1)
    whole = tmp_path / "whole"
    synthesize(whole, settings)

    def stop_after_two(items, total, label):
        for number, item in enumerate(items):
            if number == 2:
                raise KeyboardInterrupt
            yield item

    root = tmp_path / "set"
    with pytest.raises(KeyboardInterrupt):
        synthesize(root, settings, stop_after_two)
    assert not (root / "FileList.csv").exists()
    assert not (root / "VolumeTracings.csv").exists()
    assert synthesize(root, settings)
    assert digests(root) == digests(whole)


def test_somebody_else_s_folder_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "photos"
    other.mkdir()
    (other / "FileList.csv").write_text("mine")
    for mark in (None, "{}", "not json", "[]"):
        if mark is not None:
            (other / MARK).write_text(mark)
        result = CliRunner().invoke(cli, ["synth", str(other), "--videos", "1"])
        assert isinstance(result.exception, DataError)
        assert "not empty" in str(result.exception)
        assert (other / "FileList.csv").read_text() == "mine"
        assert not (other / "Videos").exists()
    plain = tmp_path / "file"
    plain.write_text("mine")
    with pytest.raises(DataError, match="is a file"):
        synthesize(plain, SynthSettings(videos=1))
    with pytest.raises(DataError, match="cannot be written: not a directory"):
        synthesize(plain / "set", SynthSettings(videos=1))


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    frames = list(np.random.default_rng(0).integers(0, 255, (20, 112, 112), dtype=np.uint8))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
    try:
        with pytest.raises(DataError, match="could not be written to its end"):
            write_video(tmp_path / "video.avi", frames, 50.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("codec", ["MJPG", "FFV1"])
def test_video_is_read_as_it_was_written(tmp_path: Path, codec: str) -> None:
    y, x = np.mgrid[:112, :112]
    frames = [(127 + 100 * np.sin(x / 9 + k) * np.cos(y / 7)).astype(np.uint8) for k in range(5)]
    write_video(tmp_path / "video.avi", frames, 25.0, codec)
    reads = read_frames(tmp_path, "video", [3, 0], (112, 112))
    for read, frame in zip(reads, (frames[3], frames[0]), strict=True):
        assert read.pixels is not None
        assert np.abs(read.pixels.astype(int) - frame).mean() < 2


def test_command_says_what_it_made(tmp_path: Path) -> None:
    root = tmp_path / "set"
    arguments = ["synth", str(root), "--videos", "2", "--frames", "8", "--seed", "3", "--jobs", "1"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    assert "2 synthetic videos of seed 3" in result.stdout
    assert json.loads((root / MARK).read_text())["seed"] == 3
    again = CliRunner().invoke(cli, arguments)
    assert again.exit_code == 0
    assert "nothing to do" in again.stdout
