"""Folds, where each video is held out once and a test frame never moves, and drawn splits."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from echo_common.errors import SettingsError
from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_train.data.frame_set import Choice, FrameSet, read_frame_set
from echo_train.data.splits import draw, in_folds


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


def many(videos: int) -> FrameSet:
    """Two frames of each video, all of the store's training split but the last ten."""
    count = 2 * videos
    return FrameSet(
        rows=3 * np.arange(count),
        video=np.repeat([f"v{number:05}" for number in range(videos)], 2),
        number=np.arange(count, dtype=np.int32),
        phase=np.tile(np.array([0, 1], np.uint8), videos),
        split=np.where(np.arange(count) < count - 10, 0, 2).astype(np.uint8),
        shape=(112, 112),
        points=np.arange(count * 6, dtype=np.float32).reshape(count, 3, 2),
    )


def counts(frames: FrameSet) -> list[int]:
    return [len(frames.indices(split)) for split in schema.SPLITS]


def videos_of(frames: FrameSet, split: str) -> set[str]:
    return set(frames.video[frames.indices(split)].tolist())


def test_a_split_over_images_has_the_papers_counts_and_leaks() -> None:
    drawn = draw(many(10_024), "image", None)
    assert counts(drawn) == [16_038, 4_010, 0]
    both = videos_of(drawn, "TRAIN") & videos_of(drawn, "VAL")
    # Of the held out frames, four in five have their video's other frame in training.
    assert len(both) / 4_010 == pytest.approx(0.8, abs=0.03)


def test_a_split_over_videos_has_no_video_on_both_sides() -> None:
    drawn = draw(many(500), "video", None)
    assert counts(drawn) == [800, 200, 0]
    assert not videos_of(drawn, "TRAIN") & videos_of(drawn, "VAL")


@pytest.mark.parametrize("by", ["image", "video"])
def test_a_few_frames_are_drawn_from_the_split_over_all(by: str) -> None:
    whole, few = draw(many(500), by, None), draw(many(500), by, 160)
    assert counts(few) == [160, 40, 0]
    for split in ("TRAIN", "VAL"):
        assert set(few.rows[few.indices(split)]) < set(whole.rows[whole.indices(split)])
    if by == "video":
        assert len(videos_of(few, "TRAIN")) == 80


def test_training_frames_alone_are_drawn_from_the_stores_split() -> None:
    frames = many(50)
    drawn = draw(frames, "store", 30)
    assert counts(drawn) == [30, 0, 10]
    np.testing.assert_array_equal(
        drawn.rows[drawn.indices("TEST")], frames.rows[frames.indices("TEST")]
    )


@pytest.mark.parametrize("by", ["store", "image", "video"])
def test_what_is_known_of_a_frame_stays_with_it(by: str) -> None:
    frames = many(50)
    drawn = draw(frames, by, 20)
    assert (np.diff(drawn.rows) > 0).all()
    where = drawn.rows // 3
    assert drawn.points is not None and frames.points is not None
    for name in ("video", "number", "phase", "points"):
        np.testing.assert_array_equal(getattr(drawn, name), getattr(frames, name)[where])


def test_no_draw_leaves_everything_as_it_is(frames: FrameSet) -> None:
    same = draw(frames, "store", None)
    np.testing.assert_array_equal(same.split, frames.split)
    np.testing.assert_array_equal(same.rows, frames.rows)


@pytest.mark.parametrize(("by", "count"), [("image", 81), ("video", 81), ("store", 91)])
def test_more_frames_than_there_are_cannot_be_drawn(by: str, count: int) -> None:
    draw(many(50), by, count - 1)
    with pytest.raises(SettingsError, match=f"--train-images {count} needs {count} frames"):
        draw(many(50), by, count)
