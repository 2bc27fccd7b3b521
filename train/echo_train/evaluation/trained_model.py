"""A trained model, loaded from a run folder or a weights file; for `echo-eval` and `echo-predict`.

A run measures itself when it ends with the weights that it loads from its folder, so the metrics
are those of the files.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from echo_common.cli.settings import current_keys, from_table, to_table
from echo_common.errors import RunError
from echo_train.data.frame_set import Choice, choice_of, data_set_of
from echo_train.evaluation.settings import ModelSettings
from echo_train.networks.architecture import Network, rebuild
from echo_train.runs import run_folder
from echo_train.runs.checkpoint import DAMAGE, check_epochs, check_settings, load_checkpoint
from echo_train.runs.settings import AUTO
from echo_train.runs.summary import read_postprocess
from echo_train.runs.weights_file import read_weights, weights_path
from echo_train.runtime.precision import choose_precision, forward, supports
from echo_train.targets.base import Prediction, Target
from echo_train.targets.factory import restore_target
from echo_train.transforms.batch import add_phase_channel, normalise
from echo_train.transforms.letterbox import Letterbox

CONSTANT = 2.5 / 255
"""Range of gray values, in [0, 1], up to which a frame has nothing in it; a black frame that was
compressed is not exactly constant."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A network with its weights, and the target that its logits stand for.

    Attributes
    ----------
    folder : Path
        The run, or the weights file.
    config : dict
        All settings of the run, as config.toml holds them.
    measured : dict or None
        Of a weights file, what it holds of the run's summary.json; None for a run.
    note : str
        What a user of a weights file has to know; empty for a run.
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
    postprocess : str
        One of `echo_train.runs.settings.POSTPROCESSING`, applied to masks.
    """

    folder: Path
    config: Mapping[str, Any]
    measured: Mapping[str, Any] | None = None
    note: str = ""
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
    postprocess: str = "none"

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

    def predict(self, images: Tensor, phases: Tensor | None = None) -> Prediction:
        """Predict images as `logits` takes them, but of any size, in their pixels."""
        scaled = self.scale(images)
        return self.read(self.logits(scaled, phases), scaled, (images.shape[2], images.shape[3]))

    def read(self, logits: Tensor, images: Tensor, size: tuple[int, int]) -> Prediction:
        """Turn logits into a prediction in the pixels of the frames.

        Nothing is found in a frame of constant gray.

        Parameters
        ----------
        logits : Tensor, (frame, channel, y, x) float
        images : Tensor, (frame, 1, y, x) float
            What `logits` was given.
        size : tuple of int
            (height, width) of the frames before `scale`.
        """
        letterbox = None if size == self.shape else Letterbox.of(size, self.shape)
        rows, columns = letterbox.box if letterbox else (slice(None), slice(None))
        gray = images[:, 0, rows, columns].flatten(1)
        constant = gray.amax(1) - gray.amin(1) <= CONSTANT
        return self.target.predict(logits, letterbox, constant.cpu().numpy(), self.postprocess)

    def logits(self, images: Tensor, phases: Tensor | None = None) -> Tensor:
        """Run the network.

        Parameters
        ----------
        images : Tensor, (frame, 1, y, x) float
            Gray values in [0, 1], of the size `shape`; they are normalised as in training.
        phases : Tensor, (frame,) float, optional
            As `add_phase_channel` takes them. A network without this channel ignores them.

        Returns
        -------
        logits : Tensor, (frame, channel, y, x) float32
        """
        images = self._network_input(images, phases)
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
        images = self._network_input(self.scale(images), None)
        with torch.inference_mode():
            maps = [
                letterbox.enlarge(level[:, None])[:, 0] for level in self.network.attention(images)
            ]
        return [level.cpu().numpy() for level in maps]

    def _network_input(self, images: Tensor, phases: Tensor | None) -> Tensor:
        images = normalise(images, self.settings.data.normalise)
        if self.settings.data.phase_channel:
            images = add_phase_channel(images, phases)
        return images

    @property
    def takes_phases(self) -> bool:
        """Whether the model takes the phase of a frame."""
        return self.settings.data.phase_channel

    def parameters(self) -> int:
        """Number of the network's parameters."""
        return sum(values.numel() for values in self.network.parameters())


def load_model(
    model: str | os.PathLike[str],
    checkpoint: str = "best",
    device: torch.device | str = "cpu",
    postprocess: str = AUTO,
) -> TrainedModel:
    """Read a model from a run folder or a weights file.

    Parameters
    ----------
    model : path-like
    checkpoint : str
        One of `echo_train.runs.settings.CHECKPOINTS`; a weights file has the best.
    postprocess : str
        One of `echo_train.runs.settings.POSTPROCESSING`, or ``auto`` for what the run chose on its
        validation frames; ignored by a model of landmarks.

    Raises
    ------
    RunError
        If the folder contains no run, or its checkpoint or the weights file cannot be read.
    SettingsError
        If its config.toml is not that of a run.
    """
    folder, device = Path(model), torch.device(device)
    weights = weights_path(folder)
    if weights is not None:
        if checkpoint != "best":
            raise RunError(f"{folder} has the best weights alone; omit --checkpoint {checkpoint}")
        state = read_weights(weights)
        facts = {name: state[name] for name in ("measured", "note")}
        facts |= {"folder": folder, "checkpoint": checkpoint, "config": state["settings"]}
        if postprocess == AUTO:
            postprocess = state["measured"].get("postprocess", "none")
        facts["postprocess"] = postprocess
        return _restore(state, facts, device, weights, weights)
    path, config = folder / f"{checkpoint}.pt", folder / run_folder.CONFIG
    table = run_folder.read_config(folder)
    settings = from_table(ModelSettings, table, config)
    state = load_checkpoint(path)
    now = {**to_table(settings), **current_keys(ModelSettings, table)}
    # A setting that an earlier version lacked is as by default.
    trained = current_keys(ModelSettings, state.get("settings", now))
    check_settings({**to_table(ModelSettings()), **trained}, now, path)
    check_epochs(state, path)
    if settings.selection.target == "mask" and postprocess == AUTO:
        postprocess = read_postprocess(folder)
    facts = {"folder": folder, "checkpoint": checkpoint, "config": table}
    facts["postprocess"] = postprocess
    return _restore(state, facts, device, path, config)


def _restore(
    state: dict[str, Any], facts: dict[str, Any], device: torch.device, path: Path, config: Path
) -> TrainedModel:
    """Make the model of a checkpoint at a path whose settings are from the file `config`."""
    settings = from_table(ModelSettings, facts["config"], config)
    choice = choice_of(settings.selection, config)
    if set(state["store"]) != set(choice.arrays()):
        raise RunError(
            f"{path} was trained on {', '.join(state['store'])}, and {config.name} names {choice}; "
            "restore both from a copy, or train again"
        )
    try:
        # A run that averages its weights is validated with the average.
        if state.get("average"):
            state = {**state, "network": state["average"]["network"]}
        height, width = state["shape"]
        target = restore_target(settings.losses, settings.decoding, choice, state["target"])
        if state["architecture"]["out_channels"] != target.channels:
            raise ValueError(f"it has {state['architecture']['out_channels']} output channels")
        weights = state["target"].get("pixel_weights")
        if weights is not None and weights.shape != (height, width):
            raise ValueError("its weights of pixels are of another size than its frames")
        is_best = facts["checkpoint"] == "best"
        if choice.landmarks is not None:
            facts = {**facts, "postprocess": "none"}
        return TrainedModel(
            **facts,
            epoch=int(state["best"]["epoch"]) if is_best else len(state["history"]),
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
            f"{path} does not fit the settings of {config.name} and this version: "
            f"{run_folder.reason_of(error)}; restore it from a copy, or train again"
        ) from error
