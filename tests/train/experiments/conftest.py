"""Fixtures of the tests of experiments."""

from __future__ import annotations

from pathlib import Path

import pytest

from echo_prep.build.build import build
from echo_prep.settings import BuildSettings


@pytest.fixture(scope="module")
def paper_store(small_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of the small data set for the experiments: 24 frames."""
    store = tmp_path_factory.mktemp("cache") / "paper.zarr"
    build(
        BuildSettings(
            data=small_dataset,
            store=store,
            method=("centroid",),
            identity=("angle",),
            jobs=1,
            backend="threading",
        )
    )
    return store
