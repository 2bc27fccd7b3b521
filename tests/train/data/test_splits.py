"""Folds, which validate on each video once and keep the test split, and drawn splits."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from echo_common.errors import SettingsError
from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_prep.build.build import build
from echo_prep.settings import BuildSettings
from echo_prep.synth.videos import study_name
from echo_train.data.frame_set import Choice, FrameSet, read_frame_set
from echo_train.data.settings import TRAIN_ORDERS
from echo_train.data.splits import assign_folds, draw_patients, draw_splits
from support.archives import write_camus
from support.frames import frame_set


@pytest.fixture
def frames(small_store: Path) -> FrameSet:
    return read_frame_set(EchoStore(small_store), Choice(method="chords"))


@pytest.mark.parametrize("folds", [2, 3, 5, 9])
def test_each_frame_is_validated_in_exactly_one_fold(frames: FrameSet, folds: int) -> None:
    validation = [assign_folds(frames, folds, fold).indices("VAL") for fold in range(1, folds + 1)]
    expected = np.flatnonzero(frames.split != schema.SPLITS.index("TEST"))
    assert sorted(np.concatenate(validation)) == expected.tolist()
    videos = [len(np.unique(frames.video[index])) for index in validation]
    assert max(videos) - min(videos) <= 1


@pytest.mark.parametrize("fold", [1, 2, 3])
def test_no_video_is_in_two_splits_and_the_test_split_stays(frames: FrameSet, fold: int) -> None:
    divided = assign_folds(frames, 3, fold)
    videos = [set(divided.video[divided.indices(split)]) for split in schema.SPLITS]
    assert not videos[0] & videos[1]
    assert sum(map(len, videos)) == len(set(frames.video))
    np.testing.assert_array_equal(divided.indices("TEST"), frames.indices("TEST"))


def test_the_fold_of_a_video_does_not_depend_on_the_order_of_the_store(frames: FrameSet) -> None:
    order = np.random.default_rng(1).permutation(len(frames))
    moved = dataclasses.replace(frames, video=frames.video[order], split=frames.split[order])
    validation = [
        set(divided.video[divided.indices("VAL")])
        for divided in (assign_folds(frames, 3, 2), assign_folds(moved, 3, 2))
    ]
    assert validation[0] == validation[1]


def test_more_folds_than_videos_are_refused(frames: FrameSet) -> None:
    with pytest.raises(SettingsError, match=r"9 videos .* cannot make 10 folds; lower --folds"):
        assign_folds(frames, 10, 1)


def many(videos: int) -> FrameSet:
    """Two frames per video, in the training split except for the last ten frames."""
    count = 2 * videos
    return frame_set(
        count,
        rows=3 * np.arange(count),
        video=np.repeat([f"v{number:05}" for number in range(videos)], 2),
        number=np.arange(count, dtype=np.int32),
        phase=np.tile(np.array([0, 1], np.uint8), videos),
        split=np.where(np.arange(count) < count - 10, 0, 2).astype(np.uint8),
        points=np.arange(count * 6, dtype=np.float32).reshape(count, 3, 2),
    )


def counts(frames: FrameSet) -> list[int]:
    return [len(frames.indices(split)) for split in schema.SPLITS]


def videos_of(frames: FrameSet, split: str) -> set[str]:
    return set(frames.video[frames.indices(split)].tolist())


def test_a_split_over_images_has_the_papers_counts() -> None:
    assert counts(draw_splits(many(10_024), "image", None)) == [16_038, 4_010, 0]


PAPER_DRAWS = {"experiment-1": None, "experiments-2-4": 1_600, "experiment-3": 800}


@pytest.mark.parametrize("order", TRAIN_ORDERS)
@pytest.mark.parametrize("images", PAPER_DRAWS.values(), ids=PAPER_DRAWS)
def test_share_of_test_images_whose_video_is_in_training(order: str, images: int | None) -> None:
    # The names of EchoNet-Dynamic are random hexadecimal numbers, in no order in the store.
    frames = dataclasses.replace(
        many(10_024), video=np.repeat([study_name(3, number) for number in range(10_024)], 2)
    )
    drawn = draw_splits(frames, "image", images, order)
    tested = drawn.video[drawn.indices("VAL")]
    found = np.isin(tested, drawn.video[drawn.indices("TRAIN")]).mean()
    # Each other frame is equally likely to be one of the training frames.
    pool = len(frames) if images is None or order == "random" else images + len(tested)
    expected = len(drawn.indices("TRAIN")) / (pool - 1)
    # Test images of one video count together, which doubles the variance.
    error = np.sqrt(2 * expected * (1 - expected) / len(tested))
    assert found == pytest.approx(expected, abs=3 * error)
    closed_form = {None: 0.800, 1_600: 0.080, 800: 0.040} if order == "random" else {}
    assert expected == pytest.approx(closed_form.get(images, 0.800), abs=0.001)


def test_the_first_images_by_name_are_drawn() -> None:
    frames = many(500)
    drawn = draw_splits(frames, "image", 160, "name")
    assert counts(drawn) == [160, 40, 0]
    np.testing.assert_array_equal(drawn.rows, frames.rows[:200])
    # Seven of ten images would be rounded down from four fifths.
    assert [len(draw_splits(frames, "image", n, "name")) for n in (1, 7, 10)] == [2, 9, 12]


@pytest.mark.parametrize("split_by", ["store", "video"])
def test_other_splits_take_their_first_frames_by_name(split_by: str) -> None:
    frames = many(50)
    order = np.random.default_rng(2).permutation(len(frames))
    names = ("rows", "video", "number", "phase", "split", "points")
    moved = dataclasses.replace(frames, **{name: getattr(frames, name)[order] for name in names})
    full, few = (draw_splits(moved, split_by, images, "name") for images in (None, 20))
    training = np.sort(full.rows[full.indices("TRAIN")])
    np.testing.assert_array_equal(np.sort(few.rows[few.indices("TRAIN")]), training[:20])
    assert not videos_of(few, "TRAIN") & videos_of(few, "VAL")


def test_a_split_over_videos_has_no_video_in_two_splits() -> None:
    drawn = draw_splits(many(500), "video", None)
    assert counts(drawn) == [800, 200, 0]
    assert not videos_of(drawn, "TRAIN") & videos_of(drawn, "VAL")


@pytest.mark.parametrize("split_by", ["image", "video"])
def test_few_frames_are_drawn_from_the_split_of_all_frames(split_by: str) -> None:
    full, few = (draw_splits(many(500), split_by, images) for images in (None, 160))
    assert counts(few) == [160, 40, 0]
    for split in ("TRAIN", "VAL"):
        assert set(few.rows[few.indices(split)]) < set(full.rows[full.indices(split)])
    if split_by == "video":
        assert len(videos_of(few, "TRAIN")) == 80


def test_only_training_frames_are_drawn_from_the_splits_of_the_store() -> None:
    frames = many(50)
    drawn = draw_splits(frames, "store", 30)
    assert counts(drawn) == [30, 0, 10]
    np.testing.assert_array_equal(
        drawn.rows[drawn.indices("TEST")], frames.rows[frames.indices("TEST")]
    )


@pytest.mark.parametrize("split_by", ["store", "image", "video"])
def test_a_drawn_frame_keeps_its_values(split_by: str) -> None:
    frames = many(50)
    drawn = draw_splits(frames, split_by, 20)
    assert (np.diff(drawn.rows) > 0).all()
    index = drawn.rows // 3
    assert drawn.points is not None and frames.points is not None
    for name in ("video", "number", "phase", "points"):
        np.testing.assert_array_equal(getattr(drawn, name), getattr(frames, name)[index])


def test_without_a_draw_the_splits_are_unchanged(frames: FrameSet) -> None:
    same = draw_splits(frames, "store", None)
    np.testing.assert_array_equal(same.split, frames.split)
    np.testing.assert_array_equal(same.rows, frames.rows)


@pytest.mark.parametrize(("split_by", "count"), [("image", 81), ("video", 81), ("store", 91)])
def test_more_frames_than_exist_cannot_be_drawn(split_by: str, count: int) -> None:
    draw_splits(many(50), split_by, count - 1)
    with pytest.raises(SettingsError, match=f"--train-images {count} needs {count} frames"):
        draw_splits(many(50), split_by, count)


def with_patients(videos: int) -> FrameSet:
    """As `many`, with three videos per patient, except for the last two videos."""
    frames = many(videos)
    number = np.arange(len(frames)) // 6
    patient = np.array([f"p{one:03}" for one in number])
    patient[-4:] = ""
    return dataclasses.replace(frames, patient=patient, spacing=np.arange(len(frames)) / 7)


def patients_of(frames: FrameSet, split: str) -> set[str]:
    return set(frames.groups[frames.indices(split)].tolist())


def test_videos_of_a_patient_stay_together_in_folds_and_draws() -> None:
    frames = with_patients(60)
    assert set(frames.groups) == {*(f"p{n:03}" for n in range(20)), "v00058", "v00059"}
    for divided in (
        *(assign_folds(frames, 4, fold) for fold in range(1, 5)),
        draw_splits(frames, "video", None),
        draw_patients(frames, 7),
    ):
        splits = [patients_of(divided, split) for split in schema.SPLITS]
        # The last patient of the test split also has a video in training, as in `many`.
        shared = {"p018"}
        assert not (splits[0] & splits[1]) - shared
    with pytest.raises(SettingsError, match=r"patients .* cannot make 40 folds"):
        assign_folds(frames, 40, 1)


def test_patients_are_drawn_for_training_and_all_columns_with_them() -> None:
    frames = with_patients(60)
    few, more = draw_patients(frames, 3), draw_patients(frames, 8)
    assert len(patients_of(few, "TRAIN")) == 3
    assert patients_of(few, "TRAIN") < patients_of(more, "TRAIN")
    for drawn in (few, more):
        assert drawn.indices("TEST").size == frames.indices("TEST").size
        rows = drawn.rows // 3
        assert drawn.points is not None
        assert drawn.spacing is not None
        np.testing.assert_array_equal(drawn.points, frames.points[rows])
        np.testing.assert_array_equal(drawn.spacing, rows / 7)
        np.testing.assert_array_equal(drawn.video, frames.video[rows])
    with pytest.raises(SettingsError, match="there are only 19 patients"):
        draw_patients(frames, 99)
    with pytest.raises(SettingsError, match="there are only 55 videos"):
        draw_patients(many(60), 99)


@pytest.mark.parametrize(
    ("rows", "what"), [(1, "video patient0001_2CH"), (2, "patient patient0001")]
)
def test_a_video_or_patient_in_two_splits_is_refused(
    rows: int, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, path = write_camus(tmp_path / "data", range(3)), tmp_path / "s.zarr"
    build(BuildSettings(data=data, store=path, masks_only=True, backend="threading"))
    store = EchoStore(path)
    frames = read_frame_set(store, Choice(method="annotated"))
    assert set(frames.groups) == {"patient0001", "patient0002", "patient0003"}
    np.testing.assert_allclose(frames.spacing, 0.308, rtol=1e-6)
    read, split = store.read, store.read("index/split")
    split[:rows] = schema.SPLITS.index("TEST")
    monkeypatch.setattr(store, "read", lambda name: split if name == "index/split" else read(name))
    with pytest.raises(SettingsError, match=f"{what} has frames in the splits"):
        read_frame_set(store, Choice(method="annotated"))
