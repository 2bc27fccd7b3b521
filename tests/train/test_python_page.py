"""The examples of docs/python.md, run as they are printed."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr

from echo_train.evaluation.trained_model import load_model

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


@pytest.fixture(scope="module")
def page() -> str:
    return "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S))


def run_page(
    page: str, store: Path, run: Path, folder: Path, patch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """The names that the page defines, with a store and a run at the paths that it names."""
    for target, link in ((store, "cache/echonet.zarr"), (run, "runs/mask")):
        (folder / link).parent.mkdir()
        (folder / link).symlink_to(target)
    patch.chdir(folder)
    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(compile(page, str(PAGE), "exec"), names)
    return names


def test_it_is_about_twenty_lines(page: str) -> None:
    assert len([line for line in page.splitlines() if line]) <= 22


@pytest.mark.parametrize("target", ["mask", "landmarks"])
def test_the_page_runs_without_a_warning(
    page: str,
    target: str,
    small_store: Path,
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = run_page(page, small_store, runs / target, tmp_path, monkeypatch)
    stored = zarr.open_group(small_store, mode="r")
    frames, masks = np.asarray(stored["frames"])[:16], np.asarray(stored["masks/chords"])[:16]

    assert names["readable"].all()
    assert names["images"].shape == (16, 1, *frames.shape[1:])
    np.testing.assert_allclose(names["images"][:, 0].numpy() * 255, frames, atol=1e-4)
    np.testing.assert_array_equal(names["targets"].numpy(), masks)

    batch = names["batch"]
    assert batch["frames"].dims == batch["chords"].dims == ("frame", "y", "x")
    np.testing.assert_array_equal(batch["frames"], frames)
    np.testing.assert_array_equal(names["areas"], masks.sum(axis=(1, 2)))

    prediction = names["prediction"]
    if target == "mask":
        logits = names["model"].logits(names["images"])
        np.testing.assert_array_equal(prediction.masks, (logits[:, 0] > 0).numpy())
        assert prediction.points is None
    else:
        assert prediction.masks.shape == frames.shape
        assert prediction.points.shape == (16, 7, 2)


def test_a_model_loads_from_a_string_on_the_cpu(runs: Path) -> None:
    model = load_model(str(runs / "mask"))
    assert (model.checkpoint, model.device) == ("best", torch.device("cpu"))
