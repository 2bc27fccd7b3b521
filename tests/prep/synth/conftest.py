"""A synthetic data set that several test modules read."""

from __future__ import annotations

from pathlib import Path

import pytest

from echo_prep.synth.archive import synthesize
from echo_prep.synth.settings import SynthSettings


@pytest.fixture(scope="session")
def many_short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 videos of eight frames, enough for statistics of frames and tracings."""
    root = tmp_path_factory.mktemp("synth") / "many"
    assert synthesize(root, SynthSettings(videos=120, frames=8, jobs=2))
    return root
