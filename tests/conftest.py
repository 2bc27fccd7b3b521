"""Fixtures that tests of every part share."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.datasets import small_videos, write_small_dataset


@pytest.fixture(scope="session")
def small_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve sound videos of twelve frames."""
    return write_small_dataset(tmp_path_factory.mktemp("data") / "small", small_videos(12))
