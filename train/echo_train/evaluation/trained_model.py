"""A trained model, loaded from its run folder; for `echo-eval` and `echo-predict`.

A run measures itself when it ends with the weights that it loads from its folder, so the metrics
are those of the files.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from echo_common.cli.settings import component, current_keys, from_table, to_table
from echo_common.errors import RunError
from echo_common.store import schema
from echo_train.data.frame_set import Choice, data_set_of
from echo_train.data.settings import LoaderSettings, SelectionSettings
from echo_train.landmarks.settings import LandmarkSettings
from echo_train.losses.settings import LossSettings
from echo_train.networks.architecture import Network, rebuild
from echo_train.runs import run_folder
from echo_train.runs.checkpoint import DAMAGE, check_epochs, check_settings, load_checkpoint
from echo_train.runtime.precision import choose_precision, forward, supports
from echo_train.runtime.settings import DeviceSettings
from echo_train.targets.base import Prediction, Target
from echo_train.targets.factory import restore_target
from echo_train.transforms.batch import normalise
from echo_train.transforms.letterbox import Letterbox

CONSTANT = 2.5 / 255
"""Range of gray values, in [0, 1], up to which a frame has nothing in it; a black frame that was
compressed is not exactly constant."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Settings of a run that determine how its model is used."""

    selection: SelectionSettings = component(SelectionSettings)
    data: LoaderSettings = component(LoaderSettings)
    losses: LossSettings = component(LossSettings)
    decoding: LandmarkSettings = component(LandmarkSettings)
    hardware: DeviceSettings = component(DeviceSettings)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A network with its weights, and the target that its logits stand for.

    Attributes
    ----------
    folder : Path
        The run.
    checkpoint : str
        One of `echo_train.runs.settings.CHECKPOINTS`.
    epoch : int
        After this epoch the weights were saved.
    settings : ModelSettings
        Of the run.
    choice : Choice
        Masks or landmarks that the run was trained on.
    shape : tuple of int
        (height, width) of the frames that it was trained on.
    store : dict of str to str
        Keys of the arrays that it was trained on.
    content : dict of str to str
        Digests of these arrays, from `Choice.content`; empty in runs of version 0.1.
    data_set : str
        The files that the store was made from.
    network : Network
    target : Target
    device : torch.device
    """

    folder: Path
    checkpoint: str
    epoch: int
    settings: ModelSettings
    choice: Choice
    shape: tuple[int, int]
    store: dict[str, str]
    content: dict[str, str]
    data_set: str
    network: Network
    target: Target
    device: torch.device

    @property
    def precision(self) -> str:
        """The precision that the run was trained in if the device has it, else float32."""
        trained = self.settings.hardware.precision
        known = trained == "auto" or supports(trained, self.device)
        return choose_precision(trained if known else "fp32", self.device)

    def scale_frames(self, frames: np.ndarray) -> Tensor:
        """Scale frames to fit into the network's input, centred on black.

        Parameters
        ----------
        frames : ndarray, (frame, y, x) uint8

        Returns
        -------
        images : Tensor, (frame, 1, y, x) float32
            Gray values in [0, 1], of the size `shape`.
        """
        letterbox = Letterbox.of((frames.shape[1], frames.shape[2]), self.shape)
        scaled = torch.from_numpy(np.array([letterbox.shrink(frame) for frame in frames]))
        return scaled.to(self.device)[:, None].float() / 255

    def scale(self, images: Tensor) -> Tensor:
        """Scale images, (frame, 1, y, x) float in [0, 1], as `scale_frames` scales frames.

        Images of the network's size are returned unchanged.
        """
        if tuple(images.shape[2:]) == self.shape:
            return images
        return self.scale_frames((images[:, 0] * 255).round().byte().cpu().numpy())

    def predict(self, images: Tensor) -> Prediction:
        """Predict images, (frame, 1, y, x) float in [0, 1], of any size, in their pixels."""
        scaled = self.scale(images)
        return self.read(self.logits(scaled), scaled, (images.shape[2], images.shape[3]))

    def read(self, logits: Tensor, images: Tensor, size: tuple[int, int]) -> Prediction:
        """Turn logits into a prediction; nothing is found in a frame of constant gray.

        Parameters
        ----------
        logits : Tensor, (frame, channel, y, x) float
        images : Tensor, (frame, 1, y, x) float
            What `logits` was given.
        size : tuple of int
            (height, width) of the frames before `scale`.

        Returns
        -------
        prediction : Prediction
            In the pixels of the frames.
        """
        letterbox = None if size == self.shape else Letterbox.of(size, self.shape)
        rows, columns = letterbox.box if letterbox else (slice(None), slice(None))
        gray = images[:, 0, rows, columns].flatten(1)
        constant = gray.amax(1) - gray.amin(1) <= CONSTANT
        return self.target.predict(logits, letterbox, constant.cpu().numpy())

    def logits(self, images: Tensor) -> Tensor:
        """Run the network.

        Parameters
        ----------
        images : Tensor, (frame, 1, y, x) float
            Gray values in [0, 1], of the size `shape`; they are normalised as in training.

        Returns
        -------
        logits : Tensor, (frame, channel, y, x) float32
        """
        images = normalise(images, self.settings.data.normalise)
        with torch.inference_mode():
            return forward(self.network, images, self.device, self.precision)

    def attention(self, images: Tensor) -> list[np.ndarray]:
        """Compute the attention maps; none for a network without attention gates.

        Parameters
        ----------
        images : Tensor, (frame, 1, y, x) float
            Gray values in [0, 1].

        Returns
        -------
        maps : list of ndarray, (frame, y, x) float32
            In [0, 1], the finest level first, at the size of the images.
        """
        letterbox = Letterbox.of((images.shape[2], images.shape[3]), self.shape)
        images = normalise(self.scale(images), self.settings.data.normalise)
        with torch.inference_mode():
            maps = [
                letterbox.enlarge(level[:, None])[:, 0] for level in self.network.attention(images)
            ]
        return [level.cpu().numpy() for level in maps]

    def parameters(self) -> int:
        """Number of the network's parameters."""
        return sum(values.numel() for values in self.network.parameters())


def load_model(
    folder: str | os.PathLike[str], checkpoint: str = "best", device: torch.device | str = "cpu"
) -> TrainedModel:
    """Read a model from a run folder.

    Parameters
    ----------
    folder : path-like
    checkpoint : str
        One of `echo_train.runs.settings.CHECKPOINTS`.
    device : torch.device or str

    Raises
    ------
    RunError
        If the folder contains no run, or its checkpoint cannot be read.
    SettingsError
        If its config.toml is not that of a run.
    """
    folder, device = Path(folder), torch.device(device)
    path = folder / f"{checkpoint}.pt"
    config = folder / run_folder.CONFIG
    table = run_folder.read_config(folder)
    settings = from_table(ModelSettings, table, config)
    state = load_checkpoint(path)
    choice = choice_of(settings.selection, config)
    _check_state(state, choice, path)
    now = {**to_table(settings), **current_keys(ModelSettings, table)}
    # A setting that an earlier version lacked is as by default.
    trained = current_keys(ModelSettings, state.get("settings", now))
    check_settings({**to_table(ModelSettings()), **trained}, now, path)
    check_epochs(state, path)
    try:
        # A run that averages its weights is validated with the average.
        if state.get("average"):
            state = {**state, "network": state["average"]["network"]}
        height, width = state["shape"]
        target = restore_target(settings.losses, settings.decoding, choice, state["target"])
        if state["architecture"]["out_channels"] != target.channels:
            raise ValueError(f"it has {state['architecture']['out_channels']} output channels")
        if state["target"].get("pixel_weights", torch.empty(height, width)).shape != (
            height,
            width,
        ):
            raise ValueError("its weights of pixels are of another size than its frames")
        return TrainedModel(
            folder=folder,
            checkpoint=checkpoint,
            epoch=_epoch(state, checkpoint),
            settings=settings,
            choice=choice,
            shape=(height, width),
            store=state["store"],
            content=dict(state.get("content", {})),
            data_set=data_set_of(state),
            network=rebuild(state).to(device, memory_format=torch.channels_last),  # type: ignore[call-overload]
            target=target,
            device=device,
        )
    except DAMAGE as error:
        raise RunError(
            f"{path} does not fit {config} and this version: {run_folder.reason_of(error)}; "
            "restore both from a copy of the run, or train again"
        ) from error


def choice_of(settings: SelectionSettings, source: Path) -> Choice:
    """The masks or landmarks that a run was trained on, from its resolved settings.

    Raises
    ------
    RunError
        If the settings are not resolved, as those of every run are.
    """
    if settings.method is None or (settings.target == "landmarks" and settings.identity is None):
        raise RunError(
            f"{source} does not hold the settings of a run: method or identity is missing; restore "
            "it from a copy, or train again"
        )
    if settings.target == "mask":
        return Choice(method=settings.method)
    assert settings.identity is not None
    landmarks = schema.LandmarkSet(
        method=settings.method, identity=settings.identity, count=settings.landmarks
    )
    return Choice(method=settings.method, landmarks=landmarks, falloff=settings.falloff)


def _check_state(state: dict[str, Any], choice: Choice, path: Path) -> None:
    """Check that a checkpoint is of the targets that config.toml names."""
    if set(state["store"]) != set(choice.arrays()):
        raise RunError(
            f"{path} was trained on {', '.join(state['store'])}, and {run_folder.CONFIG} next to "
            f"it names {choice}; restore both from a copy of the run, or train again"
        )


def _epoch(state: dict[str, Any], checkpoint: str) -> int:
    return int(state["best"]["epoch"]) if checkpoint == "best" else len(state["history"])
