"""Checkpoints: damaged, hostile and foreign files are refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from echo_common.errors import RunError
from echo_train.runs.checkpoint import FORMAT, checkpoint_bytes, load_checkpoint


def test_a_checkpoint_with_code_in_it_is_refused_and_the_code_not_run(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)

    plain, zipped = tmp_path / "plain.pt", tmp_path / "zipped.pt"
    plain.write_bytes(pickle.dumps({"format": FORMAT, "network": Hostile()}, protocol=2))
    torch.save({"format": FORMAT, "network": Hostile()}, zipped)
    for path in (plain, zipped):
        with pytest.raises(RunError, match=f"{path.name} is damaged or not a checkpoint"):
            load_checkpoint(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_truncated_checkpoint_is_refused(tmp_path: Path, share: float) -> None:
    content = checkpoint_bytes({"network": {"weight": torch.rand(64)}})
    cut = tmp_path / "last.pt"
    cut.write_bytes(content[: int(share * len(content))])
    with pytest.raises(RunError, match=r"last\.pt is damaged or not a checkpoint"):
        load_checkpoint(cut)


def test_a_checkpoint_of_another_program_is_refused(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(RunError, match="not a checkpoint of the format"):
        load_checkpoint(tmp_path / "other.pt")
