"""Several models, or one on changed frames, whose mean prediction is that of one model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from echo_common.errors import SettingsError
from echo_train.evaluation.postprocess import DESCRIPTIONS
from echo_train.evaluation.settings import ApplySettings
from echo_train.evaluation.trained_model import TrainedModel
from echo_train.transforms.augment import mirror_order

_SHIFT = 2
"""Pixels by which frames are shifted for test-time augmentation."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeanModel(TrainedModel):
    """The mean of models; all else is that of the first.

    Attributes
    ----------
    models : tuple of TrainedModel
    augment, mirror : bool
        As `average_models` takes them.
    """

    models: tuple[TrainedModel, ...]
    augment: bool
    mirror: bool

    def logits(self, images: Tensor, phases: Tensor | None = None) -> Tensor:
        """Combine the logits of the models; see `TrainedModel.logits`."""
        return self.target.combine(
            [part for model in self.models for part in self._parts(model, images, phases)]
        )

    def attention(self, images: Tensor) -> list[np.ndarray]:
        """Attention maps of a single model; several have none in common."""
        return super().attention(images) if len(self.models) == 1 else []

    @property
    def takes_phases(self) -> bool:
        """Whether a model takes the phase of a frame."""
        return any(model.takes_phases for model in self.models)

    def parameters(self) -> int:
        """Number of parameters of all models."""
        return sum(model.parameters() for model in self.models)

    def _parts(
        self, model: TrainedModel, images: Tensor, phases: Tensor | None
    ) -> Iterator[Tensor]:
        yield from self._mirrored(model, images, phases)
        if self.augment:
            for gamma in (0.8, 1.25):
                yield from self._mirrored(model, images**gamma, phases)
            for shift in (-_SHIFT, _SHIFT):
                rolled = images.roll((shift, shift), dims=(2, 3))
                for moved in self._mirrored(model, rolled, phases):
                    yield moved.roll((-shift, -shift), dims=(2, 3))

    def _mirrored(
        self, model: TrainedModel, images: Tensor, phases: Tensor | None
    ) -> Iterator[Tensor]:
        yield model.logits(images, phases)
        if self.mirror:
            yield self.target.mirror(model.logits(images.flip(3), phases))


def average_models(
    models: Sequence[TrainedModel], augment: bool = False, mirror: bool = False
) -> TrainedModel:
    """Make the mean of models; a single one on unchanged frames is returned.

    Masks are post-processed if all models chose the same.

    Parameters
    ----------
    models : sequence of TrainedModel
        At least one; all of one target, size of frames and loss.
    augment : bool
        Average also the predictions of shifted, brighter and darker frames.
    mirror : bool
        Average also the predictions of mirrored frames, and of those of `augment`.

    Raises
    ------
    SettingsError
        If the models predict different things, or landmarks that cannot be mirrored.
    """
    first = models[0]
    for other in models[1:]:
        if _kind(other) != _kind(first):
            raise SettingsError(
                f"{first.folder} predicts {_kind(first)} and {other.folder} predicts "
                f"{_kind(other)}; only models of the same kind are averaged"
            )
    if first.choice.landmarks is not None and mirror:
        mirror_order(first.choice.landmarks.identity, first.choice.landmarks.count)
    if len(models) == 1 and not (augment or mirror):
        return first
    chosen = {model.postprocess for model in models}
    own = {field.name: getattr(first, field.name) for field in dataclasses.fields(first)}
    own["postprocess"] = first.postprocess if len(chosen) == 1 else "none"
    return MeanModel(**own, models=tuple(models), augment=augment, mirror=mirror)


def describe_average(models: Sequence[TrainedModel], settings: ApplySettings) -> list[str]:
    """Say what a reader should know about the mean of models, from `average_models`, in lines."""
    notes, chosen = [], sorted({model.postprocess for model in models})
    if len(models) > 1:
        names = ", ".join(str(model.folder) for model in models)
        notes.append(f"the mean prediction of {len(models)} runs: {names}")
    notes += [f"{model.folder}: {model.note}" for model in models if model.note]
    if settings.tta:
        notes.append("predictions of shifted, brighter and darker frames are averaged")
    if settings.tta_mirror:
        notes.append("predictions of mirrored frames are averaged")
    if len(chosen) > 1:
        notes.append(
            f"the runs chose different post-processing ({', '.join(chosen)}), so none is applied; "
            "choose one with --postprocess"
        )
    elif chosen != ["none"]:
        notes.append(f"{DESCRIPTIONS[chosen[0]]} (--postprocess {settings.postprocess})")
    return notes


def _kind(model: TrainedModel) -> str:
    height, width = model.shape
    losses = model.settings.losses
    kind = "masks" if model.choice.landmarks is None else losses.name("landmarks")
    return f"{model.choice} in {width}x{height} pixels ({kind})"
