"""Folders of images or clips beside masks or polygons, and everything that may be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import nibabel
import numpy as np
import pytest

from echo_common.store.reader import EchoStore
from echo_prep.build.build import build
from echo_prep.dataset.types import Dataset
from echo_prep.layouts.folder import Folder
from echo_prep.settings import BuildSettings
from support.archives import make_heart, write_coco, write_mask_folder
from support.oracles import dice


def read(root: Path, label: int | None = None) -> Dataset:
    return Folder().read(root, {"view": None, "label": label})


def reasons(dataset: Dataset) -> dict[str, str]:
    return {reject.video: reject.reason for reject in dataset.rejects}


def test_folders_named_as_splits_are_the_splits(tmp_path: Path) -> None:
    for split, numbers in (("train", (0, 1)), ("val", (2,)), ("test", (3,))):
        write_mask_folder(tmp_path / split, numbers)
    splits = {video.name: video.split for video in read(tmp_path).videos}
    assert splits == {"heart00": 0, "heart01": 0, "heart02": 1, "heart03": 2}


def test_without_splits_they_are_drawn_by_name(tmp_path: Path) -> None:
    splits = {video.name: video.split for video in read(write_coco(tmp_path, range(10))).videos}
    assert sorted(splits.values()) == [0] * 8 + [1, 2]
    (tmp_path / "annotations.json").rename(tmp_path / "other.json")
    assert splits == {video.name: video.split for video in read(tmp_path).videos}


def test_words_in_the_names_of_json_files_are_splits(tmp_path: Path) -> None:
    write_coco(tmp_path, range(4))
    (tmp_path / "annotations.json").rename(tmp_path / "instances_val2017.json")
    assert {video.split for video in read(tmp_path).videos} == {1}


def test_a_nifti_mask_has_a_slice_for_each_frame(tmp_path: Path) -> None:
    data = write_mask_folder(tmp_path / "data", (0,))
    for mask in (data / "masks").iterdir():
        mask.unlink()
    masks = np.stack([np.zeros((112, 112), np.uint8)] * 6)
    masks[0], masks[4] = make_heart(0).mask(), make_heart(0, True).mask()
    image = nibabel.Nifti1Image(masks.transpose(2, 1, 0), np.eye(4))
    nibabel.save(image, data / "masks" / "heart00.nii.gz")
    path = tmp_path / "s.zarr"
    build(BuildSettings(data=data, store=path, masks_only=True, backend="threading"))
    store = EchoStore(path)
    assert store.read("index/frame").tolist() == [0, 4]
    np.testing.assert_array_equal(store.read("masks/annotated"), masks[[0, 4]])
    assert "index/spacing" not in store


def test_labels_choose_the_ventricle(tmp_path: Path) -> None:
    write_mask_folder(tmp_path, (0,))
    path = tmp_path / "masks" / "heart00_0.png"
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) // 255
    around = cv2.dilate(mask, np.ones((9, 9), np.uint8)) * 2
    cv2.imwrite(str(path), np.where(mask > 0, mask, around))
    dataset = read(tmp_path)
    assert reasons(dataset) == {"heart00": "mask"}
    assert "values 0, 1, 2: give the ventricle's with --label" in dataset.rejects[0].message
    assert [trace.frame for trace in read(tmp_path, label=1).traces["heart00"]] == [0]


def test_polygons_of_several_categories_need_a_label(tmp_path: Path) -> None:
    write_coco(tmp_path, (0,))
    path = tmp_path / "annotations.json"
    table = json.loads(path.read_text())
    table["annotations"].append(
        {"image_id": 0, "category_id": 2, "segmentation": [[1, 1, 9, 1, 9, 9]]}
    )
    path.write_text(json.dumps(table))
    assert "categories 1, 2" in read(tmp_path).rejects[0].message
    (trace,) = read(tmp_path, label=2).traces["heart00"]
    assert trace.area == pytest.approx(32)


def _change(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda table: table["annotations"][0].update(values)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_change(segmentation={"counts": [1, 2], "size": [112, 112]}), "polygon"),
        (_change(segmentation=[[1, 2, 3]]), "polygon"),
        (_change(segmentation=[["a", "b"]]), "polygon"),
        (_change(segmentation=[[1, 1, 2, 2]]), "polygon"),
        (_change(segmentation=[[1, 1, 2, 2, 3, 3]]), "degenerate"),
        (_change(image_id=99), "polygon"),
        (lambda table: table["images"][0].update(file_name="../../etc/x.png"), "missing"),
        (lambda table: table["images"][0].update(file_name="gone.png"), "missing"),
    ],
)
def test_a_faulty_polygon_is_one_reject(
    change: Callable[[dict[str, Any]], None], reason: str, tmp_path: Path
) -> None:
    write_coco(tmp_path, (0, 1))
    path = tmp_path / "annotations.json"
    table = json.loads(path.read_text())
    change(table)
    path.write_text(json.dumps(table))
    dataset = read(tmp_path)
    assert [reject.reason for reject in dataset.rejects] == [reason]
    assert [video.name for video in dataset.videos] == ["heart01"]


def test_faulty_files_are_rejects(tmp_path: Path) -> None:
    data = write_mask_folder(tmp_path / "data", range(5))
    masks = data / "masks"
    (masks / "heart00_0.png").write_bytes(b"\x89PNG and no more")
    cv2.imwrite(str(masks / "heart01_0.png"), np.zeros((112, 112), np.uint8))
    cv2.imwrite(str(masks / "heart02_4.png"), np.ones((50, 60), np.uint8))
    (masks / "heart03_99.png").write_bytes((masks / "heart03_0.png").read_bytes())
    (masks / "nobody_0.png").write_bytes((masks / "heart03_0.png").read_bytes())
    (masks / "heart04_0.png").unlink()
    (masks / "heart04_0.png").symlink_to(tmp_path / "elsewhere.png")
    cv2.imwrite(str(tmp_path / "elsewhere.png"), np.ones((112, 112), np.uint8))
    path = tmp_path / "s.zarr"
    report = build(BuildSettings(data=data, store=path, masks_only=True, backend="threading"))
    assert {(one.video, one.frame, one.reason) for one in report.rejects} == {
        ("heart00", 0, "mask"),
        ("heart01", 0, "degenerate"),
        ("heart02", 4, "mask"),
        ("heart03", 99, "beyond-end"),
        ("nobody", None, "missing"),
        ("heart04", 0, "refused"),
    }
    store = EchoStore(path)
    sound = store.read("index/status") == 0
    for name, frame, mask in zip(
        store.read("index/video")[sound],
        store.read("index/frame")[sound],
        store.read("masks/annotated")[sound],
        strict=True,
    ):
        assert dice(mask, make_heart(int(name[-2:]), frame == 4).mask()) == 1


def test_two_annotations_of_a_frame_are_told(tmp_path: Path) -> None:
    write_coco(tmp_path, (0, 1))
    (tmp_path / "masks").mkdir()
    cv2.imwrite(str(tmp_path / "masks" / "heart00.png"), make_heart(0).mask())
    assert reasons(read(tmp_path)) == {"heart00": "listed-twice"}
