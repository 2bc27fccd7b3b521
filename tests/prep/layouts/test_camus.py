"""CAMUS: info files, official lists, square pixels, and everything that may be wrong."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from echo_common.errors import DataError
from echo_common.store.reader import EchoStore
from echo_prep.build.build import build
from echo_prep.build.report import BuildReport
from echo_prep.dataset.types import Dataset
from echo_prep.layouts.camus import Camus
from echo_prep.layouts.settings import LayoutSettings
from echo_prep.settings import BuildSettings
from support.archives import make_heart, write_camus
from support.oracles import dice


def read(root: Path) -> Dataset:
    return Camus().read(root, Camus.options)


def make(data: Path, store: Path, **options: object) -> BuildReport:
    layout = LayoutSettings(**options)  # type: ignore[arg-type]
    return build(
        BuildSettings(data=data, store=store, dataset=layout, masks_only=True, backend="threading")
    )


def test_what_the_archive_tells_is_in_the_store(tmp_path: Path) -> None:
    data, path = write_camus(tmp_path / "data", range(6)), tmp_path / "s.zarr"
    assert make(data, path).rejects == ()
    store = EchoStore(path)
    assert store.shape("frames") == (24, 112, 112)
    assert (
        store.read("index/video")[:4].tolist() == ["patient0001_2CH"] * 2 + ["patient0001_4CH"] * 2
    )
    assert store.read("index/view")[:4].tolist() == ["2CH", "2CH", "4CH", "4CH"]
    assert store.read("index/patient").tolist()[::4] == [f"patient{n + 1:04d}" for n in range(6)]
    assert set(store.read("index/quality").tolist()) == {"Good"}
    assert store.read("index/phase").tolist() == [0, 1] * 12
    assert store.read("index/frame").tolist() == [0, 17] * 12
    assert store.read("index/split").tolist()[::4] == [0, 1, 2, 0, 1, 2]
    assert set(store.read("index/ef").tolist()) == {54}
    # The files have 224 x 112 pixels of 0.154 x 0.308 mm: 112 x 112 square ones.
    np.testing.assert_allclose(store.read("index/spacing"), 0.308, rtol=1e-6)
    inside = store.read("frames")[0][make_heart(0).mask() > 0]
    assert inside.mean() < store.read("frames")[0].mean() / 2


def test_another_size_keeps_the_spacing_right(tmp_path: Path) -> None:
    data, path = write_camus(tmp_path / "data", range(3)), tmp_path / "s.zarr"
    settings = BuildSettings(data=data, store=path, size=64, masks_only=True, backend="threading")
    build(settings)
    store = EchoStore(path)
    area = store.read("masks/annotated").sum(axis=(1, 2)) * store.read("index/spacing") ** 2
    known = [
        make_heart(n, s).mask().sum() * 0.308**2 for n in range(3) for _ in "ab" for s in (0, 1)
    ]
    np.testing.assert_allclose(area, known, rtol=0.03)


def test_without_lists_patients_are_drawn(tmp_path: Path) -> None:
    dataset = read(write_camus(tmp_path, range(12), official=False))
    splits = {video.patient: video.split for video in dataset.videos}
    assert all(video.split == splits[video.patient] for video in dataset.videos)
    assert Counter(splits.values()) == {0: 10, 1: 1, 2: 1}


def test_other_labels_and_views(tmp_path: Path) -> None:
    data = write_camus(tmp_path / "data", range(3))
    make(data, tmp_path / "s.zarr", label=2, view=("4CH",))
    store = EchoStore(tmp_path / "s.zarr")
    assert set(store.read("index/view").tolist()) == {"4CH"}
    wall, heart = store.read("masks/annotated")[0], make_heart(0).mask()
    # Scaled pixels at the border may be half of each.
    assert dice(wall, heart) < 0.02 < wall.mean()


def test_every_fault_is_one_reject_with_its_reason(tmp_path: Path) -> None:
    data = write_camus(tmp_path / "data", range(6))
    folder = data / "database_nifti"
    stem = "{0}/{0}_4CH_{1}".format

    def path(number: int, name: str) -> Path:
        return folder / stem(f"patient{number:04d}", name)

    content = path(1, "ED_gt.nii.gz").read_bytes()
    path(1, "ED_gt.nii.gz").write_bytes(content[: len(content) // 2])
    path(1, "ES_gt.nii.gz").unlink()
    plain = bytearray(gzip.decompress(content))
    plain[352:] = bytes(len(plain) - 352)
    path(2, "ED_gt.nii.gz").write_bytes(gzip.compress(bytes(plain)))
    path(2, "ES_gt.nii.gz").write_bytes(b"not a NIfTI file")
    path(3, "ED.nii.gz").write_bytes(b"not a NIfTI file")
    path(4, "ED_gt.nii.gz").unlink()
    path(4, "ED_gt.nii.gz").symlink_to(tmp_path / "elsewhere.nii.gz")
    (tmp_path / "elsewhere.nii.gz").write_bytes(content)
    (data / "database_split" / "subgroup_testing.txt").write_text("patient0006\n")
    report = make(data, tmp_path / "s.zarr", view=("4CH",))
    reasons = {(reject.video, reject.reason) for reject in report.rejects}
    assert reasons >= {
        ("patient0001_4CH", "mask"),
        ("patient0001_4CH", "missing"),
        ("patient0002_4CH", "degenerate"),
        ("patient0002_4CH", "mask"),
        ("patient0003_4CH", "split"),
        ("patient0004_4CH", "refused"),
    }
    assert report.rows == report.traced - len(report.rejects)
    (data / "database_split" / "subgroup_testing.txt").write_text("patient0003\npatient0006\n")
    report = make(data, tmp_path / "s.zarr", view=("4CH",))
    assert ("patient0003_4CH", "unreadable") in {(one.video, one.reason) for one in report.rejects}
    assert report.rows == 6


def test_a_patient_in_two_lists_is_told(tmp_path: Path) -> None:
    write_camus(tmp_path, range(3))
    (tmp_path / "database_split" / "subgroup_testing.txt").write_text("patient0001\n")
    with pytest.raises(DataError, match="'patient0001', which another list has too"):
        read(tmp_path)
