"""A resumed run ends with the state of an uninterrupted one, or explains why it cannot."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from echo_common.errors import RunError, SettingsError
from echo_prep.build.build import build
from echo_prep.settings import BuildSettings
from echo_train.runs.run_folder import read_config
from echo_train.training.train import train
from support.datasets import small_videos, write_small_dataset
from support.training import (
    assert_same_states,
    checkpoint,
    open_loader,
    resume,
    stopped_before,
    tiny,
    train_in_parts,
    without_times,
)


@pytest.mark.parametrize(
    "changes",
    [
        {"target": "mask"},
        {"target": "landmarks"},
        {"ema": 0.9, "clip_norm": 0.5, "weight_decay": 0.01, "schedule": "one-cycle"},
        {"precision": "bf16"},
    ],
    ids=["mask", "landmarks", "ema", "bfloat16"],
)
def test_a_resumed_run_is_bit_identical_to_an_uninterrupted_one(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    # A CPU without bfloat16 in hardware emulates it.
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    uninterrupted = train(tiny(small_store, tmp_path / "uninterrupted", epochs=4, **changes))
    resumed = train_in_parts(tiny(small_store, tmp_path / "resumed", epochs=4, **changes), 2, 4)
    for name in ("last.pt", "best.pt"):
        assert_same_states(
            without_times(checkpoint(uninterrupted / name)),
            without_times(checkpoint(resumed / name)),
        )


def test_a_run_with_a_constant_rate_can_be_extended(small_store: Path, tmp_path: Path) -> None:
    long = train(tiny(small_store, tmp_path / "long", schedule="constant", epochs=2))
    extended = train(tiny(small_store, tmp_path / "extended", schedule="constant", epochs=1))
    resume(small_store, extended, schedule="constant", epochs=2)
    assert_same_states(
        without_times(checkpoint(long / "last.pt")), without_times(checkpoint(extended / "last.pt"))
    )


def test_a_finished_run_with_another_schedule_is_extended(
    small_store: Path, tmp_path: Path
) -> None:
    """Its further epochs have the learning rates of the new number of epochs."""
    folder = train(tiny(small_store, tmp_path / "run", epochs=2))
    first = checkpoint(folder / "last.pt")["history"]
    with stopped_before(4), pytest.raises(KeyboardInterrupt):
        resume(small_store, folder, epochs=5)
    state = checkpoint(folder / "last.pt")
    assert state["history"][:2] == first and len(state["history"]) == 3
    steps = math.ceil(len(open_loader(tiny(small_store))[1].frames.indices("TRAIN")) / 4)
    # The last step of epoch 3 of 5; cosine, with a rise over the first 5 % of all steps.
    rise = 0.05 * 5 * steps
    progress = (3 * steps - 1 - rise) / (5 * steps - rise)
    rate = 0.01 * (1 + math.cos(math.pi * progress)) / 2
    assert state["optimiser"]["param_groups"][0]["lr"] == pytest.approx(rate, rel=0.05)
    # config.toml has the new number, which a further resumption takes.
    assert read_config(folder)["epochs"] == 5
    resume(small_store, folder, epochs=5)
    assert json.loads((folder / "summary.json").read_text())["epochs"] == 5


def test_an_extension_that_was_stopped_at_once_is_resumed(
    small_store: Path, tmp_path: Path
) -> None:
    folder = train(tiny(small_store, tmp_path / "run", epochs=1))
    with stopped_before(2), pytest.raises(KeyboardInterrupt):
        resume(small_store, folder, epochs=2)
    resume(small_store, folder, epochs=2)
    assert len(checkpoint(folder / "last.pt")["history"]) == 2


def test_an_unfinished_run_with_another_schedule_cannot_be_extended(
    small_store: Path, tmp_path: Path
) -> None:
    settings = tiny(small_store, tmp_path / "run", epochs=2)
    with stopped_before(2), pytest.raises(KeyboardInterrupt):
        train(settings)
    with pytest.raises(RunError, match="epochs was 2 and is 3"):
        resume(small_store, tmp_path / "run", epochs=3)
    folder = train(tiny(small_store, tmp_path / "finished", epochs=2))
    with pytest.raises(RunError, match="epochs was 2 and is 1"):
        resume(small_store, folder, epochs=1)


def test_another_seed_gives_other_weights(small_store: Path, tmp_path: Path) -> None:
    states = [
        checkpoint(train(tiny(small_store, tmp_path / str(seed), epochs=1, seed=seed)) / "last.pt")
        for seed in (0, 1)
    ]
    assert not states[0]["network"]["head.weight"].equal(states[1]["network"]["head.weight"])


def test_a_finished_run_has_nothing_left_to_train(small_store: Path, tmp_path: Path) -> None:
    folder = train(tiny(small_store, tmp_path / "run"))
    before = checkpoint(folder / "last.pt")
    resume(small_store, folder)
    assert_same_states(checkpoint(folder / "last.pt"), before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 3}, "width was 2 and is 3"),
        ({"learning_rate": 0.5}, "learning_rate was 0.01 and is 0.5"),
        ({"seed": 9}, "seed was 0 and is 9"),
        ({"batch_size": 5}, "batch_size was 4 and is 5"),
        ({"target": "landmarks"}, "target was mask and is landmarks"),
    ],
)
def test_a_changed_setting_is_refused_by_name(
    small_store: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    folder = train(tiny(small_store, tmp_path / "run", epochs=1))
    before = (folder / "last.pt").read_bytes()
    with pytest.raises(RunError, match=message):
        resume(small_store, folder, epochs=1, **change)
    assert (folder / "last.pt").read_bytes() == before


def test_a_rebuilt_store_with_other_data_is_refused(tmp_path: Path) -> None:
    store, data = tmp_path / "small.zarr", tmp_path / "data"
    videos = small_videos(8)
    write_small_dataset(data, videos)
    build(BuildSettings(data=data, store=store, jobs=1, backend="threading"))
    folder = train(tiny(store, tmp_path / "run", epochs=1))
    videos[0] = dataclasses.replace(
        videos[0], traces={frame: rows + 1.0 for frame, rows in videos[0].traces.items()}
    )
    shutil.rmtree(data)
    write_small_dataset(data, videos)
    build(BuildSettings(data=data, store=store, jobs=1, backend="threading"))
    with pytest.raises(RunError, match=r"was rebuilt with other data: frames, masks/chords;"):
        resume(store, folder, epochs=1)


def test_a_store_rebuilt_without_changes_is_accepted(
    small_dataset: Path, small_store: Path, tmp_path: Path
) -> None:
    settings = tiny(small_store, tmp_path / "run")
    with stopped_before(2), pytest.raises(KeyboardInterrupt):
        train(settings)
    build(BuildSettings(data=small_dataset, store=small_store, jobs=1, backend="threading"))
    resume(small_store, tmp_path / "run")
    assert len(checkpoint(tmp_path / "run" / "last.pt")["history"]) == 2


def test_a_moved_store_is_accepted(small_store: Path, tmp_path: Path) -> None:
    folder, moved = tmp_path / "run", tmp_path / "moved.zarr"
    with stopped_before(2), pytest.raises(KeyboardInterrupt):
        train(tiny(small_store, folder))
    shutil.copytree(small_store, moved)
    resume(moved, folder)
    assert len(checkpoint(folder / "last.pt")["history"]) == 2


def test_resuming_needs_a_run(small_store: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"contains no run: config\.toml is missing"):
        resume(small_store, tmp_path)
    with pytest.raises(SettingsError, match="--resume needs --run"):
        train(tiny(small_store, resume=True))


def test_a_run_without_a_complete_epoch_starts_again(small_store: Path, tmp_path: Path) -> None:
    folder = train(tiny(small_store, tmp_path / "run", epochs=1))
    (folder / "last.pt").unlink()
    (folder / "best.pt").unlink()
    resume(small_store, folder, epochs=1)
    fresh = train(tiny(small_store, tmp_path / "fresh", epochs=1))
    assert_same_states(
        checkpoint(folder / "last.pt")["network"], checkpoint(fresh / "last.pt")["network"]
    )
