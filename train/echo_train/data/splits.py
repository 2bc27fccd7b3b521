"""Splits other than the store's own: folds by video, and draws over images or videos."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from echo_common.errors import SettingsError
from echo_common.store import schema
from echo_train.data.frame_set import FrameSet

HELD_OUT = 0.2
"""Share of the frames, or of the videos, that a drawn split keeps for validation (the paper's)."""


def draw(frames: FrameSet, by: str, train_images: int | None) -> FrameSet:
    """Divide all frames anew into training and validation, or draw a few for training.

    The draw depends on the frames alone, so that runs with different seeds
    are comparable. By image, as the paper divides (section 4.1), the two
    frames of a video may come to lie on both sides.

    Parameters
    ----------
    frames : FrameSet
    by : str
        One of `echo_train.settings.SPLITS_BY`. With ``store``, only training
        frames are drawn; else validation has a quarter as many, and the test
        split is empty.
    train_images : int or None
        Training frames to draw; None for all.

    Returns
    -------
    frames : FrameSet
        Those that were drawn, with their split.

    Raises
    ------
    SettingsError
        If there are fewer frames than are to be drawn.
    """
    train, val = schema.SPLITS.index("TRAIN"), schema.SPLITS.index("VAL")
    shuffled = _shuffled(frames, by)
    split = frames.split.copy()
    if by != "store":
        split[:] = val
        split[shuffled[: _train_count(frames, shuffled, by)]] = train
    if train_images is None:
        return dataclasses.replace(frames, split=split)
    kept = split != train if by == "store" else np.zeros(len(frames), dtype=bool)
    wanted = {train: train_images}
    if by != "store":
        wanted[val] = max(1, round(train_images * HELD_OUT / (1 - HELD_OUT)))
    for code, count in wanted.items():
        there = shuffled[split[shuffled] == code]
        if len(there) < count:
            raise SettingsError(
                f"--train-images {train_images} needs {count} frames of the split "
                f"{schema.SPLITS[code]}, and there are {len(there)}; give a smaller number"
            )
        kept[there[:count]] = True
    return _pick(dataclasses.replace(frames, split=split), np.flatnonzero(kept))


def _shuffled(frames: FrameSet, by: str) -> np.ndarray:
    """Frames in the order of the draw; by video, those of a video follow each other."""
    generator = np.random.default_rng(0)
    if by != "video":
        return generator.permutation(len(frames))
    videos, number = np.unique(frames.video, return_inverse=True)
    return np.argsort(generator.permutation(len(videos))[number], kind="stable")


def _train_count(frames: FrameSet, shuffled: np.ndarray, by: str) -> int:
    """How many of the shuffled frames are for training."""
    if by == "image":
        return int(len(frames) * (1 - HELD_OUT))
    videos = frames.video[shuffled]
    first = np.flatnonzero(np.concatenate([[True], videos[1:] != videos[:-1]]))
    return int(first[int(len(first) * (1 - HELD_OUT))]) if len(first) > 1 else len(frames)


def _pick(frames: FrameSet, kept: np.ndarray) -> FrameSet:
    names = ("rows", "video", "number", "phase", "split", "points")
    picked: dict[str, Any] = {
        name: None if values is None else values[kept]
        for name, values in ((name, getattr(frames, name)) for name in names)
    }
    return dataclasses.replace(frames, **picked)


def in_folds(frames: FrameSet, folds: int, fold: int) -> FrameSet:
    """Give each video of the training and validation splits a fold, and validate on one.

    A video is a patient in EchoNet-Dynamic; all of its frames are in one fold.
    Which videos stand in a fold depends on their names and on the number of
    folds alone, so that runs with different seeds are comparable.

    Parameters
    ----------
    frames : FrameSet
    folds : int
        At least 2.
    fold : int
        The one to validate on, from 1; the others are trained on.

    Returns
    -------
    frames : FrameSet
        With another `split`; frames of the test split stay there.

    Raises
    ------
    SettingsError
        If there are fewer videos than folds.
    """
    train, val, test = range(len(schema.SPLITS))
    learnt = frames.split != test
    videos = np.unique(frames.video[learnt])
    if len(videos) < folds:
        raise SettingsError(
            f"{len(videos)} videos for training and validation cannot make {folds} folds; "
            "lower --folds"
        )
    shuffled = np.random.default_rng(folds).permutation(videos)
    held_out = np.isin(frames.video, shuffled[fold - 1 :: folds])
    split = np.where(held_out, val, train)
    return dataclasses.replace(
        frames, split=np.where(learnt, split, test).astype(frames.split.dtype)
    )
