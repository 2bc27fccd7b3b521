"""Fixtures of the tests of reports."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from echo_train.reporting import agreement_plot, plots
from support.reports import scores_of, write_run


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that was turned into a PNG."""
    kept: list[Figure] = []
    real = plots.encode_png

    def png(figure: Figure) -> bytes:
        kept.append(figure)
        return real(figure)

    for module in (plots, agreement_plot):
        monkeypatch.setattr(module, "encode_png", png)
    return kept


@pytest.fixture
def two_runs(tmp_path: Path) -> list[Path]:
    return [
        write_run(tmp_path / "runs/first", 0.9, scores_of(0)),
        write_run(tmp_path / "runs/second", 0.8, scores_of(1), width=16, loss="dice"),
    ]
