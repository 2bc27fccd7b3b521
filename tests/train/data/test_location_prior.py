"""The location prior: its values, the weights of pixels, and its place in a checkpoint."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr

from echo_common.cli.settings import replace
from echo_common.errors import SettingsError
from echo_train.data.loader import Loader
from echo_train.data.location_prior import box, make_prior, mean_mask
from echo_train.losses.mask_losses import pixel_weights
from echo_train.networks.architecture import rebuild
from echo_train.networks.settings import PriorSettings
from echo_train.training.settings import TrainSettings
from echo_train.training.train import train
from support.training import assert_same_states, checkpoint, open_loader, tiny, train_in_parts


def loader_of(store: Path, **changes: object) -> Loader:
    return open_loader(tiny(store, **changes))[1]


def true_mean(store: Path) -> np.ndarray:
    """Mean mask of the training split, computed from the arrays of the store."""
    group = zarr.open_group(store, mode="r")
    return np.asarray(group["masks/chords"])[np.asarray(group["index/split"]) == 0].mean(axis=0)


def test_mean_mask_covers_the_training_split_only(small_store: Path) -> None:
    found = mean_mask(loader_of(small_store))
    np.testing.assert_allclose(found.numpy(), true_mean(small_store), rtol=1e-6)
    assert 0 < found.max() <= 1


@pytest.mark.parametrize("changes", [{"augment": "strong"}, {"loader": "stream"}])
def test_mean_mask_does_not_depend_on_how_frames_are_loaded(
    small_store: Path, changes: dict[str, object]
) -> None:
    expected = mean_mask(loader_of(small_store))
    assert torch.equal(mean_mask(loader_of(small_store, **changes)), expected)


def test_box_contains_its_corners() -> None:
    assert box((2, 1, 4, 1), (3, 6)).tolist() == [[0] * 6, [0, 0, 1, 1, 1, 0], [0] * 6]


def test_box_outside_the_images_is_refused(small_store: Path) -> None:
    settings = PriorSettings(prior="box", prior_box=(0, 0, 112, 50))
    with pytest.raises(SettingsError, match="112x112"):
        make_prior(settings, loader_of(small_store))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prior": "box"}, "needs --prior-box"),
        ({"prior_box": (1, 1, 2, 2)}, "--prior is none"),
        ({"prior": "box", "prior_box": (5, 1, 2, 2)}, "is empty"),
        ({"prior": "mean-mask", "target": "landmarks"}, "--prior-use channel"),
    ],
)
def test_contradictory_settings_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        replace(TrainSettings(), **changes).check()


def test_pixel_weights_grow_with_the_prior_and_have_mean_one() -> None:
    prior = torch.tensor([[0.0, 0.5], [1.0, 1.0]])
    weights = pixel_weights(prior, 4.0)
    assert weights.mean() == 1
    torch.testing.assert_close(weights / weights[0, 0], torch.tensor([[1.0, 3.0], [5.0, 5.0]]))


def test_the_checkpoint_of_a_run_contains_the_prior_channel(
    small_store: Path, tmp_path: Path
) -> None:
    settings = tiny(small_store, tmp_path / "run", prior="mean-mask", prior_use="channel")
    folder = train(replace(settings, network="attention-unet"))
    network = rebuild(checkpoint(folder / "best.pt"))
    prior = network.state_dict()["prior"][0, 0].numpy()
    np.testing.assert_allclose(prior, true_mean(small_store), rtol=1e-6)
    assert (folder / "attention.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("use", ["weight", "channel"])
def test_a_resumed_run_with_a_prior_has_identical_weights(
    small_store: Path, tmp_path: Path, use: str
) -> None:
    settings = tiny(
        small_store,
        tmp_path / "uninterrupted",
        prior="box",
        prior_box=(20, 20, 90, 90),
        prior_use=use,
    )
    uninterrupted = train(settings)
    resumed = train_in_parts(replace(settings, run=tmp_path / "resumed"), 2)
    assert_same_states(
        checkpoint(uninterrupted / "last.pt")["network"],
        checkpoint(resumed / "last.pt")["network"],
    )
    assert tomllib.loads((resumed / "config.toml").read_text())["prior_box"] == [20, 20, 90, 90]


def test_a_landmark_network_can_have_a_prior_channel(small_store: Path, tmp_path: Path) -> None:
    settings = tiny(small_store, tmp_path / "run", target="landmarks", prior="mean-mask")
    folder = train(replace(settings, prior_use="channel", epochs=1))
    assert checkpoint(folder / "last.pt")["architecture"]["prior_shape"] == (112, 112)
