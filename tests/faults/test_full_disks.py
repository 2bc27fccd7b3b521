"""A disk that is full at any write of a small command, and two conversions at once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from echo_common.lock import build_lock
from echo_common.store.reader import EchoStore
from support.damage import Bench, run
from support.diskfaults import be_full, failing_disk
from support.stores import copy_store, file_bytes


def full_at_each_step(words: tuple[str, ...], folder: Path, limit: int = 12) -> int:
    """Run a command with a disk that is full at one write after the other; returns their number.

    Each time there is one message, and nothing temporary stays in the folder.
    """
    for step in range(1, limit + 1):
        with failing_disk(step, be_full) as disk:
            code, messages = run(words)
        if disk.steps < step:
            assert code == 0, messages
            return step - 1
        errors = [line for line in messages.splitlines() if line.startswith("error: ")]
        assert code == 1 and len(errors) == 1, (step, messages)
        assert "the disk is full" in errors[0] or "free some disk space" in errors[0], errors
        assert not list(folder.rglob("*.tmp")), step
    return limit


def test_a_preview_is_written_completely_or_the_old_one_stays(zarr: Bench, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    words = ("preview", str(zarr.sound), "--out", str(sheet))
    assert run((*words, "--columns", "1"))[0] == 0
    before = sheet.read_bytes()
    assert full_at_each_step(words, tmp_path) >= 2
    assert file_bytes(tmp_path).keys() == {"sheet.png"}
    assert sheet.read_bytes() != before


def test_a_synthetic_data_set_is_finished_by_the_same_command(tmp_path: Path) -> None:
    options = ("--videos", "2", "--frames", "8", "--jobs", "1")
    assert run(("synth", str(tmp_path / "expected"), *options))[0] == 0
    words = ("synth", str(tmp_path / "data"), *options)
    # Each attempt keeps the videos that are complete, so few steps are left in the end.
    assert full_at_each_step(words, tmp_path, limit=40) >= 2
    (tmp_path / "data" / "synth.lock").unlink(missing_ok=True)
    assert file_bytes(tmp_path / "data") == file_bytes(tmp_path / "expected")


def test_verify_reports_damage_although_the_disk_is_full(zarr: Bench) -> None:
    """Its list of damaged chunks is for the next build, which `--check` makes do without."""
    copy_store(zarr.sound, zarr.cache)
    chunk = zarr.store / "frames" / "c.0.0.0"
    content = bytearray(chunk.read_bytes())
    content[60] ^= 1
    chunk.write_bytes(content)
    for step in range(1, 5):
        with failing_disk(step, be_full):
            code, messages = run(("verify", str(zarr.store)))
        assert (code, messages) == (1, "")
    assert not list(zarr.cache.rglob("*.tmp"))


def test_two_conversions_to_one_store(zarr: Bench, tmp_path: Path) -> None:
    """The second is told of the first, and can be repeated with another name."""
    target = tmp_path / "other.h5"
    words = ("convert", str(zarr.sound), str(target))
    with build_lock(target):
        code, messages = run(words)
        assert (code, messages.count("\n")) == (1, 1)
        assert "other.h5" in messages and "process" in messages
        assert not target.exists()
    assert run(words)[0] == 0
    assert EchoStore(target).rows == EchoStore(zarr.sound).rows
    code, messages = run(words)
    assert code == 1 and "is a store already" in messages
    shutil.rmtree(zarr.out, ignore_errors=True)
    zarr.out.mkdir()


@pytest.mark.parametrize("suffix", ["zarr", "h5"])
def test_two_conversions_of_one_store_to_two(zarr: Bench, tmp_path: Path, suffix: str) -> None:
    """Reading needs no lock."""
    before = file_bytes(zarr.sound)
    with build_lock(tmp_path / f"first.{suffix}"):
        assert run(("convert", str(zarr.sound), str(tmp_path / f"second.{suffix}")))[0] == 0
    assert file_bytes(zarr.sound) == before
