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

VALIDATION_FRACTION = 0.2
"""Fraction of the frames or videos for validation in a drawn split, as in the paper."""


def draw_splits(
    frames: FrameSet, split_by: str, train_images: int | None, train_order: str = "random"
) -> FrameSet:
    """Divide all frames at random into training and validation, or draw frames for training.

    The draw depends on the frames alone, so runs with different seeds are
    comparable. With ``image``, as in the paper (section 4.1), the two frames of
    a video can be in different splits.

    Parameters
    ----------
    frames : FrameSet
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

    Returns
    -------
    frames : FrameSet
        The drawn frames with their split.

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
    """Divide the training and validation videos into folds, and validate on one of them.

    All frames of a video, which is a patient in EchoNet-Dynamic, are in the same
    fold. The folds depend on the names of the videos and the number of folds
    alone, so runs with different seeds are comparable.

    Parameters
    ----------
    frames : FrameSet
    folds : int
        At least 2.
    fold : int
        The validation fold, from 1; the other folds are for training.

    Returns
    -------
    frames : FrameSet
        With a new `split`; the test split is unchanged.

    Raises
    ------
    SettingsError
        If there are fewer videos than folds.
    """
    train, val, test = range(len(schema.SPLITS))
    not_test = frames.split != test
    videos = np.unique(frames.video[not_test])
    if len(videos) < folds:
        raise SettingsError(
            f"{len(videos)} videos for training and validation cannot make {folds} folds; "
            "lower --folds"
        )
    shuffled = np.random.default_rng(folds).permutation(videos)
    in_fold = np.isin(frames.video, shuffled[fold - 1 :: folds])
    split = np.where(not_test, np.where(in_fold, val, train), test)
    return dataclasses.replace(frames, split=split.astype(frames.split.dtype))


def _shuffle(frames: FrameSet, split_by: str) -> np.ndarray:
    """Frames in random order; with ``video``, frames of a video stay together."""
    generator = np.random.default_rng(0)
    if split_by != "video":
        return generator.permutation(len(frames))
    videos, video_index = np.unique(frames.video, return_inverse=True)
    return np.argsort(generator.permutation(len(videos))[video_index], kind="stable")


def _name_order(frames: FrameSet) -> np.ndarray:
    """Frames in order of the name of their video, and of their number in it."""
    _, video = np.unique(frames.video, return_inverse=True)
    return np.lexsort((frames.number, video))


def _train_count(frames: FrameSet, shuffled: np.ndarray, split_by: str) -> int:
    """Number of the shuffled frames that are for training."""
    if split_by == "image":
        return int(len(frames) * (1 - VALIDATION_FRACTION))
    videos = frames.video[shuffled]
    first = np.flatnonzero(np.concatenate([[True], videos[1:] != videos[:-1]]))
    if len(first) == 1:
        return len(frames)
    return int(first[int(len(first) * (1 - VALIDATION_FRACTION))])


def _select(frames: FrameSet, index: np.ndarray) -> FrameSet:
    names = ("rows", "video", "number", "phase", "split", "points")
    selected: dict[str, Any] = {
        name: None if values is None else values[index]
        for name, values in ((name, getattr(frames, name)) for name in names)
    }
    return dataclasses.replace(frames, **selected)
