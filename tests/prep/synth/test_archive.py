from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from echo_common.errors import DataError, OutputError
from echo_prep.build.build import build
from echo_prep.cli import cli
from echo_prep.settings import BuildSettings
from echo_prep.synth.archive import SETTINGS_FILE, synthesize
from echo_prep.synth.settings import SynthSettings


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_a_video_depends_only_on_seed_number_and_length(tmp_path: Path) -> None:
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


def test_a_look_changes_the_frames_and_is_part_of_the_data_set(tmp_path: Path) -> None:
    usual, root = tmp_path / "usual", tmp_path / "varied"
    synthesize(usual, SynthSettings(videos=1, frames=8))
    # As written before there were other looks, so that old folders are recognised.
    assert "look" not in json.loads((usual / SETTINGS_FILE).read_text())
    assert not synthesize(usual, SynthSettings(videos=1, frames=8, look="echonet"))
    arguments = ["synth", str(root), "--videos", "1", "--frames", "8", "--look", "varied"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    assert "1 synthetic videos of seed 0, look varied" in result.stdout
    assert json.loads((root / SETTINGS_FILE).read_text())["look"] == "varied"
    assert not set(digests(usual).values()) & set(digests(root).values())
    for folder, look, other in ((usual, "echonet", "varied"), (root, "varied", "echonet")):
        with pytest.raises(DataError, match=rf"other settings \(look {look}\)"):
            synthesize(folder, SynthSettings(videos=1, frames=8, look=other))


def test_every_row_can_be_built(many_short: Path, tmp_path: Path) -> None:
    report = build(BuildSettings(data=many_short, store=tmp_path / "cache.zarr", jobs=1))
    assert (report.rows, report.traced, report.videos) == (240, 240, 120)
    assert report.rejects == ()


def test_a_complete_data_set_is_not_rewritten(tmp_path: Path) -> None:
    settings = SynthSettings(videos=1, frames=8)
    root = tmp_path / "set"
    assert synthesize(root, settings)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert not synthesize(root, settings)
    assert before == {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    with pytest.raises(DataError, match=r"other settings \(videos 1\)"):
        synthesize(root, SynthSettings(videos=2, frames=8))


def test_an_interrupted_run_leaves_no_data_set_and_can_be_completed(tmp_path: Path) -> None:
    settings = SynthSettings(videos=3, frames=8, jobs=1)
    uninterrupted = tmp_path / "uninterrupted"
    synthesize(uninterrupted, settings)

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
    assert digests(root) == digests(uninterrupted)


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "photos"
    other.mkdir()
    (other / "FileList.csv").write_text("mine")
    for saved in (None, "{}", "not json", "[]"):
        if saved is not None:
            (other / SETTINGS_FILE).write_text(saved)
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


def test_two_commands_do_not_write_into_one_folder(tmp_path: Path) -> None:
    settings, root = SynthSettings(videos=2, frames=8, jobs=1), tmp_path / "set"
    messages = []

    def meanwhile(items, total, label):
        with pytest.raises(OutputError, match=rf"process {os.getpid()} on .* makes a data set in"):
            synthesize(root, settings)
        messages.append(label)
        yield from items

    assert synthesize(root, settings, meanwhile)
    assert messages == ["making videos"]
    assert sorted(path.name for path in root.iterdir()) == [
        "FileList.csv", "Videos", "VolumeTracings.csv", SETTINGS_FILE,
    ]  # fmt: skip
    assert not synthesize(root, settings)


def test_links_in_the_folder_are_not_written_through(tmp_path: Path) -> None:
    settings, root, outside = SynthSettings(videos=1, frames=8), tmp_path / "set", tmp_path / "mine"
    synthesize(root, settings)
    expected = digests(root)
    (root / "FileList.csv").unlink()
    (root / "Videos").rename(outside)
    (root / "Videos").symlink_to(outside)
    before = {path: path.stat().st_mtime_ns for path in outside.iterdir()}
    with pytest.raises(OutputError, match="Videos is a link"):
        synthesize(root, settings)
    assert before == {path: path.stat().st_mtime_ns for path in outside.iterdir()}
    (root / "Videos").unlink()
    outside.rename(root / "Videos")
    assert synthesize(root, settings)
    assert digests(root) == expected


def test_command_prints_what_it_made(tmp_path: Path) -> None:
    root = tmp_path / "set"
    arguments = ["synth", str(root), "--videos", "2", "--frames", "8", "--seed", "3", "--jobs", "1"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    assert "2 synthetic videos of seed 3" in result.stdout
    assert json.loads((root / SETTINGS_FILE).read_text())["seed"] == 3
    again = CliRunner().invoke(cli, arguments)
    assert again.exit_code == 0
    assert "nothing to do" in again.stdout
