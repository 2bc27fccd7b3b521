"""What a run depends on is in its files, and cannot change its settings."""

from __future__ import annotations

import json
import platform
import subprocess
import tomllib
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest

from echo_common.store.reader import EchoStore
from echo_train.runs.provenance import as_comments, git_commit, provenance
from echo_train.runs.run_folder import read_config
from echo_train.training.train import train
from support.training import tiny


def test_a_run_holds_date_versions_device_and_store(small_store: Path, tmp_path: Path) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    folder = train(tiny(small_store, tmp_path / "run", epochs=1))
    facts = json.loads((folder / "summary.json").read_text())["provenance"]
    assert before <= datetime.fromisoformat(facts["date"]) <= datetime.now(UTC)
    assert facts["versions"]["torch"] == version("torch")
    assert facts["versions"]["python"] == platform.python_version()
    assert facts["device"].startswith("cpu")
    store = EchoStore(small_store)
    assert facts["fingerprint"] == store.attributes["fingerprint"]
    assert facts["stages"] == {
        name: store.manifests[name].key for name in ("frames", "masks/chords")
    }
    head = (folder / "config.toml").read_text()
    assert f"# versions torch: {version('torch')}\n" in head
    assert f"# stages masks/chords: {facts['stages']['masks/chords']}\n" in head
    assert read_config(folder)["epochs"] == 1


def test_the_commit_is_that_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit() is None
    words = [
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b",
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "x",
    ]
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", *words], check=True)
    log = subprocess.run(["git", "log", "--format=%H"], capture_output=True, text=True, check=True)
    assert git_commit() == log.stdout.strip()
    monkeypatch.setenv("PATH", "")
    assert git_commit() is None


def test_a_text_of_a_store_stays_in_its_comment() -> None:
    attributes = {"fingerprint": {"a\nwidth = 9": "x\nepochs = 1\x85\u2028seed = 3"}}
    facts = provenance(datetime(2026, 1, 31, tzinfo=UTC), "cpu", {}, attributes)
    assert tomllib.loads(as_comments(facts)) == {}
