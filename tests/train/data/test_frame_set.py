"""The choice of targets, its error message, and the frames of a store that can be read."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from echo_common.errors import NotInStoreError, SettingsError
from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_common.store.schema import LandmarkSet
from echo_prep.build.build import build
from echo_prep.cli import cli
from echo_prep.settings import BuildSettings
from echo_train.data.frame_set import Choice, choose, read_frame_set
from echo_train.data.settings import SelectionSettings


@pytest.fixture(scope="module")
def rich_store(small_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> EchoStore:
    """Two methods, two identities, 5 and 7 landmarks, two falloffs."""
    path = tmp_path_factory.mktemp("cache") / "rich.zarr"
    build(
        BuildSettings(
            data=small_dataset,
            store=path,
            jobs=1,
            method=("convexhull", "chords"),
            identity=("uniform", "anatomical"),
            landmarks=(7, 5),
            falloff=("euclidean", "gaussian"),
        )
    )
    return EchoStore(path)


def landmark_choice(method: str, identity: str, count: int, falloff: str) -> Choice:
    landmarks = LandmarkSet(method=method, identity=identity, count=count)
    return Choice(method=method, landmarks=landmarks, falloff=falloff)


def test_of_several_targets_the_default_is_chosen(rich_store: EchoStore) -> None:
    assert choose(rich_store, SelectionSettings()) == Choice(method="chords")
    chosen = choose(rich_store, SelectionSettings(target="landmarks"))
    assert chosen == landmark_choice("chords", "anatomical", 7, "gaussian")


def test_the_only_target_of_a_store_is_chosen(
    small_dataset: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("cache") / "other.zarr"
    settings = BuildSettings(
        data=small_dataset, store=path, jobs=1, method=("centroid",), identity=("angle",),
        landmarks=(7,), falloff=("euclidean",),
    )  # fmt: skip
    build(settings)
    store = EchoStore(path)
    assert choose(store, SelectionSettings()) == Choice(method="centroid")
    chosen = choose(store, SelectionSettings(target="landmarks"))
    assert chosen == landmark_choice("centroid", "angle", 7, "euclidean")


def test_a_requested_target_is_chosen(rich_store: EchoStore) -> None:
    assert choose(rich_store, SelectionSettings(method="convexhull")) == Choice(method="convexhull")
    requested = SelectionSettings(
        target="landmarks",
        landmarks=5,
        method="convexhull",
        identity="uniform",
        falloff="euclidean",
    )
    assert choose(rich_store, requested) == landmark_choice("convexhull", "uniform", 5, "euclidean")


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        (SelectionSettings(method="centroid"), "--method centroid"),
        (
            SelectionSettings(target="landmarks", landmarks=9),
            "--method chords --identity anatomical --landmarks 9 --falloff gaussian",
        ),
        (
            SelectionSettings(
                target="landmarks", method="convexhull", identity="angle", falloff="euclidean"
            ),
            "--method convexhull --identity angle --landmarks 7 --falloff euclidean",
        ),
    ],
)
def test_the_command_in_the_message_adds_the_missing_target(
    settings: SelectionSettings,
    options: str,
    small_store: Path,
    small_dataset: Path,
    tmp_path: Path,
) -> None:
    path = tmp_path / "copy.zarr"
    shutil.copytree(small_store, path)
    with pytest.raises(NotInStoreError) as caught:
        choose(EchoStore(path), settings)
    command = re.search(r"echo-prep (build .*)$", str(caught.value))
    assert command is not None
    assert command[1] == f"build --store {path} {options}"
    arguments = [*shlex.split(command[1]), "--data", str(small_dataset), "--jobs", "1"]
    assert CliRunner().invoke(cli, arguments).exit_code == 0
    choice = choose(EchoStore(path), settings)
    assert choice.method == (settings.method or "chords")
    if choice.landmarks is not None:
        assert choice.landmarks.count == settings.landmarks


def test_unreadable_rows_are_skipped(small_dataset: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(small_dataset, data)
    missing = sorted((data / "Videos").iterdir())[4]
    missing.unlink()
    build(BuildSettings(data=data, store=tmp_path / "some.zarr", jobs=1))
    store = EchoStore(tmp_path / "some.zarr")
    frames = read_frame_set(store, choose(store, SelectionSettings(target="landmarks")))
    status = store.read(schema.STATUS)
    assert (status != 0).sum() == 2
    assert len(frames) == 22
    assert missing.stem not in set(frames.video)
    np.testing.assert_array_equal(frames.rows, np.flatnonzero(status == 0))
    np.testing.assert_array_equal(frames.video, store.read("index/video")[frames.rows])
    assert frames.points is not None
    (landmarks,) = store.landmark_sets()
    np.testing.assert_array_equal(frames.points, store.read(landmarks.points)[frames.rows])
    assert frames.shape == (112, 112)


def test_splits_are_those_of_the_store(small_store: Path) -> None:
    frames = read_frame_set(EchoStore(small_store), Choice(method="chords"))
    sizes = [len(frames.indices(split)) for split in schema.SPLITS]
    assert sizes == [12, 6, 6]
    together = np.concatenate([frames.indices(split) for split in schema.SPLITS])
    assert sorted(together) == list(range(24))
    assert frames.points is None


def test_a_video_in_two_splits_is_refused(small_store: Path) -> None:
    class Leaking(EchoStore):
        def read(self, array: str) -> np.ndarray:
            values = super().read(array)
            if array == "index/split":
                values = values.copy()
                values[0] = schema.SPLITS.index("TEST")
            return values

    store = Leaking(small_store)
    name = store.read("index/video")[0]
    with pytest.raises(
        SettingsError, match=f"video {name} has frames in the splits TEST and TRAIN"
    ):
        read_frame_set(store, Choice(method="chords"))
