"""Keys of stages: those of stores that earlier versions built, but for what has changed since."""

from __future__ import annotations

from pathlib import Path

import pytest

from echo_common.store.reader import EchoStore
from echo_common.store.schema import GAUSSIANS, LandmarkSet
from echo_prep.build.stages import (
    Stage,
    heatmap_stage,
    mask_stage,
    points_stage,
    restore_index_stage,
)
from echo_prep.geometry.settings import HeatmapSettings

GOLDEN = Path(__file__).parents[2] / "golden/echo-store-1.zarr"

KEYS = {
    "masks/chords": "72554db2da77",
    "masks/convexhull": "796fa6b15c7c",
    "masks/centroid": "098c0b93284f",
    "landmarks/chords/anatomical-7/points": "29d02f46d634",
    "landmarks/chords/anatomical-7/gaussian": "3af8aebd2550",
    "landmarks/chords/anatomical-7/euclidean": "06fac8d6562b",
    "landmarks/chords/uniform-7/points": "21a415c657c8",
    "landmarks/chords/uniform-7/gaussian": "9f93fc15e439",
    "landmarks/chords/optimal-7/points": "d1e33cb19ab4",
    "landmarks/simplesort/anatomical-7/points": "d991abc53363",
}
"""First digits of the keys of version 0.1.0, for the index of the golden store."""

CHANGED = {
    # Sorted by y alone; landmarks of `simplesort` are on the polygon of `chords`.
    "masks/simplesort": "804eed2f58d8",
    "landmarks/simplesort/anatomical-7/gaussian": "d43b6cb0a537",
    # Angles that are equal to six decimals are ties.
    "landmarks/chords/angle-7/points": "915971798e6a",
    "landmarks/chords/angle-7/gaussian": "f2c29c3d9f7b",
}
"""The same of stages whose content has changed since."""


def stage(name: str, gaussian: str = GAUSSIANS[0]) -> Stage:
    """Stage of the golden store by the name of its array."""
    index = restore_index_stage(EchoStore(GOLDEN).manifests["index/video"].parameters)
    kind, method, *rest = name.split("/")
    if kind == "masks":
        return mask_stage(index, method, False)
    identity, count = rest[0].split("-")
    landmarks = LandmarkSet(method=method, identity=identity, count=int(count))
    if rest[1] == "points":
        return points_stage(index, landmarks, False)
    return heatmap_stage(index, landmarks, rest[1], HeatmapSettings(gaussian=gaussian), False)


@pytest.mark.parametrize("name", KEYS)
def test_a_stage_whose_content_is_unchanged_keeps_its_key(name: str) -> None:
    assert stage(name).key.startswith(KEYS[name])


@pytest.mark.parametrize("name", CHANGED)
def test_a_stage_whose_content_has_changed_has_another_key(name: str) -> None:
    assert not stage(name).key.startswith(CHANGED[name])


def test_only_a_whole_gaussian_has_the_parameter_and_another_key() -> None:
    name = "landmarks/chords/anatomical-7/gaussian"
    assert stage(name, "whole").parameters == {**stage(name).parameters, "gaussian": "whole"}
    assert stage(name, "whole").key != stage(name).key
    euclidean = "landmarks/chords/anatomical-7/euclidean"
    assert stage(euclidean, "whole").key == stage(euclidean).key
