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

TRAIN_ORDERS = ("random", "name")
"""Which frames `train_images` takes: random ones, or the first in order of name."""

LOADERS = ("auto", "resident", "stream")

HEATMAPS = ("rendered", "cached")

NORMALISATIONS = ("none", "frame")
"""How images are scaled after the division by 255."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectionSettings:
    """Which store, and which of its targets."""

    target: str = setting("mask", "What the network predicts.", choices=TARGETS)
    store: Path = setting(Path("cache/echonet.zarr"), "The store, made by echo-prep build.")
    landmarks: int = setting(
        7, "Number of landmarks, for --target landmarks.", minimum=3, maximum=1024
    )
    method: str | None = setting(
        None,
        "Method of the masks; default: the first that the store contains.",
        choices=METHODS,
    )
    identity: str | None = setting(
        None,
        "Identity of the landmarks; default: the first that the store contains.",
        choices=IDENTITIES,
    )
    falloff: str | None = setting(
        None,
        "Falloff of the heatmaps; default: the first that the store contains.",
        choices=FALLOFFS,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitSettings:
    """Which frames are for training and which for validation."""

    split_by: str = setting(
        SPLITS_BY[0],
        "store: the splits of the store; image, video: draw four fifths of the images or videos "
        "for training and take the rest for validation. With image, a patient can be in both; "
        "with video, all videos of a patient stay together.",
        choices=SPLITS_BY,
    )
    train_images: int | None = setting(
        None,
        "Number of training frames; default: all. With --split-by image or video, a quarter as "
        "many are for validation.",
        minimum=1,
    )
    train_patients: int | None = setting(
        None,
        "Number of training patients, drawn at random; a video of an unknown patient counts as "
        "one. Default: all.",
        minimum=1,
    )
    train_order: str = setting(
        TRAIN_ORDERS[0],
        "Which frames --train-images takes: random ones, or the first in order of the videos' "
        "names, as the paper's code does.",
        choices=TRAIN_ORDERS,
    )
    folds: int = setting(
        0,
        "Number of folds for cross-validation over the training and validation patients, or videos "
        "of unknown patients; 0 for none.",
        minimum=0,
    )
    fold: int | None = setting(
        None, "Fold to validate on, from 1; default: each in turn.", minimum=1
    )

    def check(self) -> None:
        """Raise a `SettingsError` if folds contradict each other or another way to split."""
        if self.folds == 1 or (self.fold or 0) > self.folds:
            raise SettingsError(
                f"--fold {self.fold or 1} of --folds {self.folds}: there must be at least two "
                "folds, and the fold must be one of them"
            )
        if self.folds and (self.split_by != "store" or self.train_images is not None):
            raise SettingsError(
                "--folds divides all videos of the store; it cannot be combined with "
                "--split-by or --train-images"
            )
        if self.train_patients is not None and self.train_images is not None:
            raise SettingsError("give --train-patients or --train-images, not both")
        if self.folds and self.fold is None:
            raise SettingsError("a run validates on one fold; give --fold as well as --folds")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoaderSettings:
    """How frames are read, split, augmented and normalised."""

    splits: SplitSettings = component(SplitSettings)
    loader: str = setting(
        LOADERS[0],
        "resident: all frames in the memory of the device; stream: read chunk by chunk; auto: "
        "resident if the frames fit.",
        choices=LOADERS,
    )
    buffer_mb: int = setting(1024, "Shuffle buffer of --loader stream, in MB.", minimum=1)
    heatmaps: str = setting(
        HEATMAPS[0],
        "rendered: drawn on the device, after augmentation; cached: read from the store.",
        choices=HEATMAPS,
    )
    normalise: str = setting(
        NORMALISATIONS[0],
        "frame: scale each frame to mean 0 and standard deviation 1.",
        choices=NORMALISATIONS,
    )
    phase_channel: bool = setting(
        False,
        "Tell the network in a second channel whether a frame is at end-diastole or end-systole. "
        "echo-predict finds this in a first pass.",
    )
    augmentation: AugmentSettings = component(AugmentSettings, "Augmentation")
