"""Folds: each video is held out once, and a test frame never moves."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from echo_common import schema
from echo_common.errors import SettingsError
from echo_common.store import EchoStore
from echo_train.frames import Choice, FrameSet, read_frame_set
from echo_train.splits import in_folds


@pytest.fixture
def frames(small_store: Path) -> FrameSet:
    return read_frame_set(EchoStore(small_store), Choice(method="chords"))


@pytest.mark.parametrize("folds", [2, 3, 5, 9])
def test_each_frame_is_validated_in_exactly_one_fold(frames: FrameSet, folds: int) -> None:
    held_out = [in_folds(frames, folds, fold).indices("VAL") for fold in range(1, folds + 1)]
    learnt = np.flatnonzero(frames.split != schema.SPLITS.index("TEST"))
    assert sorted(np.concatenate(held_out)) == learnt.tolist()
    videos = [len(np.unique(frames.video[index])) for index in held_out]
    assert max(videos) - min(videos) <= 1


@pytest.mark.parametrize("fold", [1, 2, 3])
def test_no_video_is_on_both_sides_and_test_stays(frames: FrameSet, fold: int) -> None:
    again = in_folds(frames, 3, fold)
    sides = [set(again.video[again.indices(split)]) for split in schema.SPLITS]
    assert not sides[0] & sides[1]
    assert sum(map(len, sides)) == len(set(frames.video))
    np.testing.assert_array_equal(again.indices("TEST"), frames.indices("TEST"))


def test_a_video_keeps_its_fold_whatever_the_order_of_the_store(frames: FrameSet) -> None:
    order = np.random.default_rng(1).permutation(len(frames))
    moved = dataclasses.replace(frames, video=frames.video[order], split=frames.split[order])
    held_out = [
        set(one.video[one.indices("VAL")])
        for one in (in_folds(frames, 3, 2), in_folds(moved, 3, 2))
    ]
    assert held_out[0] == held_out[1]


def test_more_folds_than_videos_are_refused(frames: FrameSet) -> None:
    with pytest.raises(SettingsError, match=r"9 videos .* cannot make 10 folds; lower --folds"):
        in_folds(frames, 10, 1)
