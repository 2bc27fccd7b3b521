"""Settings of the data: which of a store's targets, which splits, and how frames are loaded."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from echo_common.cli.settings import component, setting
from echo_common.errors import SettingsError
from echo_common.store.schema import FALLOFFS, IDENTITIES, METHODS
from echo_train.transforms.settings import AugmentSettings

TARGETS = ("mask", "landmarks")

SPLITS_BY = ("store", "image", "video")
"""What decides the splits: the store, or a draw of images or videos."""

LOADERS = ("auto", "resident", "stream")

HEATMAPS = ("rendered", "cached")

NORMALISATIONS = ("none", "frame")
"""How images are scaled after the division by 255."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectionSettings:
    """Which store, and which of its targets."""

    target: str = setting("mask", "What the network predicts.", choices=TARGETS)
    store: Path = setting(Path("cache/echonet.zarr"), "The store that echo-prep build made.")
    landmarks: int = setting(7, "Number of landmarks, for --target landmarks.", minimum=3)
    method: str | None = setting(
        None, "Which masks; by default what the store holds, chords first.", choices=METHODS
    )
    identity: str | None = setting(
        None,
        "Which landmarks; by default what the store holds, anatomical first.",
        choices=IDENTITIES,
    )
    falloff: str | None = setting(
        None, "Which heatmaps; by default what the store holds, gaussian first.", choices=FALLOFFS
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitSettings:
    """Which frames are for training and which for validation."""

    split_by: str = setting(
        SPLITS_BY[0],
        "store: its own splits; image, video: four fifths for training, the rest for validation. "
        "By image, a patient may stand on both sides.",
        choices=SPLITS_BY,
    )
    train_images: int | None = setting(
        None,
        "Train on so many frames, drawn at random; with --split-by image or video, a quarter as "
        "many are for validation.",
        minimum=1,
    )
    folds: int = setting(
        0, "Cross-validation by video: folds of the training and validation videos.", minimum=0
    )
    fold: int | None = setting(
        None, "Which fold to validate on, from 1; by default each in turn.", minimum=1
    )

    def check(self) -> None:
        """Check that the settings of one run are consistent.

        Raises
        ------
        SettingsError
            If the folds contradict each other or another way to split.
        """
        if self.folds == 1 or (self.fold or 0) > self.folds:
            raise SettingsError(
                f"--fold {self.fold or 1} of --folds {self.folds}: there must be at least two "
                "folds, and the fold be one of them"
            )
        if self.folds and (self.split_by != "store" or self.train_images is not None):
            raise SettingsError(
                "--folds divides all of the store's videos; give neither "
                "--split-by nor --train-images with it"
            )
        if self.folds and self.fold is None:
            raise SettingsError("one run validates on one fold; give --fold as well as --folds")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoaderSettings:
    """How frames are read, split, augmented and normalised."""

    splits: SplitSettings = component(SplitSettings)
    loader: str = setting(
        LOADERS[0],
        "resident: all in the device's memory; stream: chunk by chunk; auto: what fits.",
        choices=LOADERS,
    )
    buffer_mb: int = setting(1024, "Memory in MB that --loader stream shuffles in.", minimum=1)
    heatmaps: str = setting(
        HEATMAPS[0],
        "rendered: drawn on the device, sharp under --augment; cached: read from the store.",
        choices=HEATMAPS,
    )
    normalise: str = setting(
        NORMALISATIONS[0],
        "frame: give each frame a mean of 0 and a deviation of 1.",
        choices=NORMALISATIONS,
    )
    augmentation: AugmentSettings = component(AugmentSettings)
