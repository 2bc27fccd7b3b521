"""Fixtures of the tests of reports."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from echo_train.reporting import agreement_plot, plots


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
