"""Splits other than those of the store: cross-validation folds and random draws.

`echo_train.data.loader` applies them to the frames of a run.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from echo_common.errors import SettingsError
from echo_common.store import schema
from echo_train.data.frame_set import FrameSet
from echo_train.data.settings import SplitSettings

VALIDATION_FRACTION = 0.2
"""Fraction of the frames or videos for validation in a drawn split, as in the paper."""


def split_frames(frames: FrameSet, settings: SplitSettings) -> FrameSet:
    """Divide frames as the settings of a run ask; see `draw_splits` and the functions below it.

    Raises
    ------
    SettingsError
        If there are fewer frames or patients than should be drawn or divided.
    """
    frames = draw_splits(frames, settings.split_by, settings.train_images, settings.train_order)
    if settings.fold is not None:
        frames = assign_folds(frames, settings.folds, settings.fold)
    if settings.train_patients is not None:
        frames = draw_patients(frames, settings.train_patients)
    return frames


def draw_splits(
    frames: FrameSet, split_by: str, train_images: int | None, train_order: str = "random"
) -> FrameSet:
    """Divide all frames at random into training and validation, or draw frames for training.

    The draw depends on the frames alone, so runs with different seeds are
    comparable. With ``image``, as in the paper (section 4.1), the two frames of
    a video can be in different splits.

    Parameters
    ----------
    split_by : str
        One of `echo_train.data.settings.SPLITS_BY`. With ``store``, only training
        frames are drawn. Otherwise a quarter as many frames are drawn for
        validation, and the test split is empty.
    train_images : int or None
        Training frames to draw; None for all.
    train_order : str
        One of `echo_train.data.settings.TRAIN_ORDERS`: whether `train_images` takes random frames
        or the first by name. With ``image``, training and validation together are the first
        frames, divided at random, as in the paper's code; otherwise each split has its first.

    Raises
    ------
    SettingsError
        If there are fewer frames than should be drawn.
    """
    train, val = schema.SPLITS.index("TRAIN"), schema.SPLITS.index("VAL")
    counts = {}
    if train_images is not None:
        counts[train] = train_images
        if split_by != "store":
            val_images = train_images * VALIDATION_FRACTION / (1 - VALIDATION_FRACTION)
            counts[val] = max(1, round(val_images))
    in_name_order, images = train_order == "name", sum(counts.values())
    first_images = in_name_order and split_by == "image" and 0 < images <= len(frames)
    if first_images:
        frames = _select(frames, np.sort(_name_order(frames)[:images]))
    shuffled = _shuffle(frames, split_by)
    split = frames.split.copy()
    if split_by != "store":
        training = counts[train] if first_images else _train_count(frames, shuffled, split_by)
        split[:] = val
        split[shuffled[:training]] = train
    if train_images is None:
        return dataclasses.replace(frames, split=split)
    drawn = split != train if split_by == "store" else np.zeros(len(frames), dtype=bool)
    order = _name_order(frames) if in_name_order else shuffled
    for code, count in counts.items():
        candidates = order[split[order] == code]
        if len(candidates) < count:
            raise SettingsError(
                f"--train-images {train_images} needs {count} frames of the split "
                f"{schema.SPLITS[code]}, but there are only {len(candidates)}; give a smaller "
                "number"
            )
        drawn[candidates[:count]] = True
    return _select(dataclasses.replace(frames, split=split), np.flatnonzero(drawn))


def assign_folds(frames: FrameSet, folds: int, fold: int) -> FrameSet:
    """Divide the training and validation patients into folds, and validate on one of them.

    All frames of a patient are in the same fold; a video of an unknown patient, as
    in EchoNet-Dynamic, counts as one. The folds depend on the names of patients
    or videos and the number of folds alone, so runs with different seeds are comparable.
    The test split is unchanged.

    Parameters
    ----------
    folds : int
        At least 2.
    fold : int
        The validation fold, from 1; the other folds are for training.

    Raises
    ------
    SettingsError
        If there are fewer patients than folds.
    """
    train, val, test = range(len(schema.SPLITS))
    not_test = frames.split != test
    patients = np.unique(frames.groups[not_test])
    if len(patients) < folds:
        raise SettingsError(
            f"{len(patients)} {_kind(frames)} for training and validation cannot make {folds} "
            "folds; lower --folds"
        )
    shuffled = np.random.default_rng(folds).permutation(patients)
    in_fold = np.isin(frames.groups, shuffled[fold - 1 :: folds])
    split = np.where(not_test, np.where(in_fold, val, train), test)
    return dataclasses.replace(frames, split=split.astype(frames.split.dtype))


def draw_patients(frames: FrameSet, count: int) -> FrameSet:
    """Draw patients for training; the other splits are unchanged.

    The draw depends on the names of patients or videos alone, and a smaller draw
    is part of a larger one.

    Parameters
    ----------
    count : int
        Patients to draw; a video of an unknown patient counts as one.

    Raises
    ------
    SettingsError
        If there are fewer patients.
    """
    training = frames.split == schema.SPLITS.index("TRAIN")
    patients = np.unique(frames.groups[training])
    if len(patients) < count:
        raise SettingsError(
            f"--train-patients {count}: there are only {len(patients)} {_kind(frames)} for "
            "training; give a smaller number"
        )
    drawn = np.random.default_rng(0).permutation(patients)[:count]
    return _select(frames, np.flatnonzero(~training | np.isin(frames.groups, drawn)))


def _kind(frames: FrameSet) -> str:
    return "videos" if frames.patient is None else "patients"


def _shuffle(frames: FrameSet, split_by: str) -> np.ndarray:
    """Frames in random order; with ``video``, frames of a patient stay together."""
    generator = np.random.default_rng(0)
    if split_by != "video":
        return generator.permutation(len(frames))
    videos, video_index = np.unique(frames.groups, return_inverse=True)
    return np.argsort(generator.permutation(len(videos))[video_index], kind="stable")


def _name_order(frames: FrameSet) -> np.ndarray:
    """Frames in order of the name of their video, and of their number in it."""
    _, video = np.unique(frames.video, return_inverse=True)
    return np.lexsort((frames.number, video))


def _train_count(frames: FrameSet, shuffled: np.ndarray, split_by: str) -> int:
    """Number of the shuffled frames that are for training."""
    if split_by == "image":
        return int(len(frames) * (1 - VALIDATION_FRACTION))
    videos = frames.groups[shuffled]
    first = np.flatnonzero(np.concatenate([[True], videos[1:] != videos[:-1]]))
    if len(first) == 1:
        return len(frames)
    return int(first[int(len(first) * (1 - VALIDATION_FRACTION))])


def _select(frames: FrameSet, index: np.ndarray) -> FrameSet:
    fields = ((field.name, getattr(frames, field.name)) for field in dataclasses.fields(frames))
    selected: dict[str, Any] = {
        name: values[index] for name, values in fields if isinstance(values, np.ndarray)
    }
    return dataclasses.replace(frames, **selected)
