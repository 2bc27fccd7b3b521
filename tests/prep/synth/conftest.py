"""A synthetic data set that several test modules read."""

from __future__ import annotations

from pathlib import Path

import pytest

from echo_prep.synth.archive import synthesize
from echo_prep.synth.settings import SynthSettings


@pytest.fixture(scope="session")
def many_short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 videos of eight frames, enough for statistics of frames and tracings."""
    return make(tmp_path_factory, "echonet")


@pytest.fixture(scope="session", params=["echonet", "varied"])
def like_echonet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of each look that has EchoNet-Dynamic's statistics."""
    if request.param == "echonet":
        root: Path = request.getfixturevalue("many_short")
        return root
    return make(tmp_path_factory, request.param)


def make(tmp_path_factory: pytest.TempPathFactory, look: str) -> Path:
    root = tmp_path_factory.mktemp("synth") / look
    assert synthesize(root, SynthSettings(videos=120, frames=8, look=look, jobs=2))
    return root
