"""Fixtures of the trainer's tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from echo_train.training.train import train
from support.training import tiny


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks of width 2 are slower with two threads than with one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def runs(small_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a mask run and a landmark run; not to be written to.

    They learn enough for a Dice above 0, and all that a model may have learnt beside its weights.
    """
    folder = tmp_path_factory.mktemp("runs")
    longer = {"width": 4, "epochs": 12, "learning_rate": 0.03}
    mask = {"normalise": "frame", "ema": 0.5, "loss": "dice", "postprocess": "none"}
    train(tiny(small_store, folder / "mask", **longer, **mask))
    landmarks = {"target": "landmarks", "shape_prior": True, "distance_weight": 0.1}
    prior = {"prior": "mean-mask", "prior_use": "channel"}
    train(tiny(small_store, folder / "landmarks", **longer, **landmarks, **prior))
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, driven by Playwright; skips the test if one of them is missing."""
    sync_api = pytest.importorskip("playwright.sync_api")
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("Chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        # Chromium refuses its sandbox to root, as whom tests run in containers.
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()
