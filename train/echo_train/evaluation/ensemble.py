"""Several models, or one on changed frames, whose mean prediction is that of one model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from echo_common.errors import SettingsError
from echo_train.evaluation.trained_model import TrainedModel

_SHIFT = 2
"""Pixels by which frames are shifted for test-time augmentation."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeanModel(TrainedModel):
    """The mean of models; all else is that of the first.

    Attributes
    ----------
    models : tuple of TrainedModel
    augment : bool
        Average also the predictions of shifted, brighter and darker frames.
    """

    models: tuple[TrainedModel, ...]
    augment: bool

    def logits(self, images: Tensor, phases: Tensor | None = None) -> Tensor:
        """Combine the logits of the models; see `TrainedModel.logits`."""
        return self.target.combine(
            [part for model in self.models for part in self._parts(model, images, phases)]
        )

    def attention(self, images: Tensor) -> list[np.ndarray]:
        """Attention maps of a single model; several have none in common."""
        return super().attention(images) if len(self.models) == 1 else []

    def parameters(self) -> int:
        """Number of parameters of all models."""
        return sum(model.parameters() for model in self.models)

    def _parts(
        self, model: TrainedModel, images: Tensor, phases: Tensor | None
    ) -> Iterator[Tensor]:
        yield model.logits(images, phases)
        if self.augment:
            for gamma in (0.8, 1.25):
                yield model.logits(images**gamma, phases)
            for shift in (-_SHIFT, _SHIFT):
                moved = model.logits(images.roll((shift, shift), dims=(2, 3)), phases)
                yield moved.roll((-shift, -shift), dims=(2, 3))


def average_models(models: Sequence[TrainedModel], augment: bool = False) -> TrainedModel:
    """Make the mean of models; a single one that is not augmented is returned.

    Parameters
    ----------
    models : sequence of TrainedModel
        At least one; all of one target, size of frames and loss.
    augment : bool
        Average also the predictions of shifted, brighter and darker frames.

    Raises
    ------
    SettingsError
        If the models predict different things.
    """
    first = models[0]
    for other in models[1:]:
        if _kind(other) != _kind(first):
            raise SettingsError(
                f"{first.folder} predicts {_kind(first)} and {other.folder} predicts "
                f"{_kind(other)}; only models of the same kind are averaged"
            )
    if len(models) == 1 and not augment:
        return first
    own = {field.name: getattr(first, field.name) for field in dataclasses.fields(first)}
    return MeanModel(**own, models=tuple(models), augment=augment)


def _kind(model: TrainedModel) -> str:
    height, width = model.shape
    losses = model.settings.losses
    kind = "masks" if model.choice.landmarks is None else losses.name("landmarks")
    return f"{model.choice} in {width}x{height} pixels ({kind})"
