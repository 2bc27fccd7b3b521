"""Folds for cross-validation: the training and validation splits divided anew, by video."""

from __future__ import annotations

import dataclasses

import numpy as np
from echo_common import schema
from echo_common.errors import SettingsError

from echo_train.frames import FrameSet


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
