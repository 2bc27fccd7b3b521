"""Fixtures of the tests of prediction."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.datasets import frame_pattern, write_video


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten frames at 25 frames a second."""
    path = tmp_path_factory.mktemp("videos") / "study.avi"
    write_video(path, [frame_pattern(1, frame) for frame in range(10)], fps=25.0)
    return path
