"""A search: trials within their ranges, pruned by their validation Dice, and resumed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from echo_common.cli.settings import replace
from echo_common.errors import SettingsError
from echo_train.experiments import search as searches
from echo_train.experiments.search import JOURNAL, parse_range, search
from echo_train.experiments.settings import SweepSettings
from support.training import TINY

optuna = pytest.importorskip("optuna", reason="the extra search is not installed")


def small_search(store: Path, run: Path, **changes: Any) -> SweepSettings:
    settings = replace(SweepSettings(), store=store, run=run, width=1, epochs=1, batch_size=8)
    settings = replace(settings, device="cpu", precision=TINY.hardware.precision)
    return replace(settings, **{"search": ("learning-rate=1e-3..1e-1",), "trials": 2, **changes})


def study_of(folder: Path) -> Any:
    backend = optuna.storages.journal.JournalFileBackend(str(folder / JOURNAL))
    storage = optuna.storages.JournalStorage(backend)
    return optuna.load_study(study_name="search", storage=storage)


def test_trials_are_runs_within_the_ranges_and_are_resumed(
    small_store: Path, tmp_path: Path
) -> None:
    ranges = ("learning-rate=1e-3..1e-1", "loss=bce,dice", "width=1..2")
    said: list[str] = []
    folder = search(small_search(small_store, tmp_path / "s", search=ranges), said.append)
    search(
        small_search(small_store, tmp_path / "s", search=ranges, trials=3, resume=True),
        said.append,
    )
    assert sum(line.startswith("trial ") for line in said) == 3
    study = study_of(folder)
    assert len(study.trials) == 3
    for trial in study.trials:
        summary = json.loads((folder / f"trial-{trial.number}" / "summary.json").read_text())
        settings = summary["settings"]
        assert trial.params["learning-rate"] == settings["learning_rate"]
        assert 1e-3 <= settings["learning_rate"] <= 1e-1 and settings["width"] in (1, 2)
        assert trial.params["loss"] == settings["loss"] in ("bce", "dice")
        assert trial.value == summary["val"]["dice"]["mean"]
    table = json.loads((folder / "sweep.json").read_text())
    assert table["runs"] == ["trial-0", "trial-1", "trial-2"]


def test_a_trial_below_the_median_is_stopped(tmp_path: Path, small_store: Path) -> None:
    """Trial n is better at all epochs the lower n is: from the fifth on, all are below."""
    epochs: dict[int, int] = {}

    def train(settings: Any, say: Any, quiet: bool, **more: Any) -> Path:
        number = int(settings.folder.run.name.removeprefix("trial-"))
        for epoch in range(1, 4):
            epochs[number] = epoch
            more["observers"][0].log_epoch(epoch, {"dice/val": 0.9 - number / 10})
        return settings.folder.run

    def summary(folder: Path) -> dict[str, Any]:
        number = int(folder.name.removeprefix("trial-"))
        return {"val": {"dice": {"mean": 0.9 - number / 10}}}

    with (
        mock.patch.object(searches, "train", train),
        mock.patch.object(searches, "read_summary", summary),
        mock.patch.object(searches, "group_results", lambda base, names: {"runs": names}),
    ):
        folder = search(small_search(small_store, tmp_path / "s", trials=6))
    assert epochs == {0: 3, 1: 3, 2: 3, 3: 3, 4: 1, 5: 1}
    assert json.loads((folder / "sweep.json").read_text())["runs"] == [
        f"trial-{number}" for number in range(4)
    ]
    assert study_of(folder).best_trial.number == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("width=8..4", "no range from a smaller to a larger"),
        ("loss=bce..dice", "'bce..dice' is not one of"),
        ("learning-rate=a..b", "'a..b' is not a valid float"),
        ("widht=1..2", "did you mean width"),
    ],
)
def test_a_wrong_range_is_one_message(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_range(text)


def test_a_search_needs_optuna_and_one_process(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="leave out --grid"):
        search(small_search(small_store, tmp_path / "s", seeds=2))
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(SettingsError, match=r"pip install 'echo-lv-segmentation\[search\]'"):
        search(small_search(small_store, tmp_path / "s"))
    assert not (tmp_path / "s").exists()
