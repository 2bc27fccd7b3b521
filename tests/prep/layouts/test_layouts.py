"""Choosing a layout, its options, and what a store keeps of them; the documented own layout."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from echo_common.errors import DataError, DataNotFoundError, SettingsError
from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_prep.build.build import build
from echo_prep.build.report import CLOSE_BASE, BuildReport, shape_notes
from echo_prep.cli import cli
from echo_prep.layouts.registry import LAYOUTS
from echo_prep.layouts.settings import LAYOUT_NAMES, LayoutSettings
from echo_prep.settings import BuildSettings
from echo_prep.store.info import describe_info, store_info
from support import archives
from support.archives import make_heart
from support.datasets import SmallVideo, write_small_dataset
from support.stores import file_bytes

DOCS = Path(__file__).parents[3] / "docs" / "archives.md"


def make(data: Path, store: Path, **settings: object) -> BuildReport:
    names = {"view", "label", "val_fold", "test_fold", "layout"}
    layout = {name: settings.pop(name) for name in names & settings.keys()}
    return build(
        BuildSettings(
            data=data,
            store=store,
            dataset=LayoutSettings(**layout),  # type: ignore[arg-type]
            backend="threading",
            masks_only=True,
            **settings,  # type: ignore[arg-type]
        )
    )


def test_the_options_name_the_layouts_of_the_table() -> None:
    assert set(LAYOUT_NAMES) == {"auto", *LAYOUTS}


@pytest.mark.parametrize(
    ("writer", "layout", "methods"),
    [
        (archives.write_dynamic, None, ["chords"]),
        (archives.write_pediatric, "echonet-pediatric", ["chords"]),
        (archives.write_camus, "camus", ["annotated"]),
        (archives.write_mask_folder, "folder", ["annotated"]),
    ],
)
def test_a_layout_is_recognised_and_a_second_build_does_nothing(
    writer: archives.Writer, layout: str | None, methods: list[str], tmp_path: Path
) -> None:
    data, path = writer(tmp_path / "data", range(4)), tmp_path / "store.zarr"
    first = make(data, path)
    store = EchoStore(path)
    assert store.methods() == methods
    assert store.attributes.get("layout", {}).get("name") == layout
    before = file_bytes(path)
    again = make(data, path)
    assert (again.made, set(again.kept)) == ((), set(first.made))
    assert (again.rows, again.videos, again.traced) == (first.rows, first.videos, first.traced)
    added = make(data, path, method=("exact",))
    assert added.made == ("masks/exact",)
    assert before.items() <= {**file_bytes(path), "zarr.json": before["zarr.json"]}.items()
    # Another format of the store has the same content.
    hdf5 = tmp_path / "store.h5"
    make(data, hdf5, method=("exact",))
    for array in EchoStore(hdf5).manifests:
        np.testing.assert_array_equal(EchoStore(hdf5).read(array), EchoStore(path).read(array))


def test_a_folder_of_no_layout_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match="none of echonet-pediatric, camus, folder"):
        make(tmp_path / "data", tmp_path / "s.zarr")
    for layout in ("echonet-pediatric", "camus", "folder"):
        with pytest.raises((DataError, DataNotFoundError), match=r"has no |no valid trace"):
            make(tmp_path / "data", tmp_path / "s.zarr", layout=layout)


def test_an_option_that_does_not_apply_is_refused(tmp_path: Path) -> None:
    data = archives.write_dynamic(tmp_path / "data", range(4))
    for option in ({"view": ("A4C",)}, {"val_fold": 1}, {"label": 1}):
        with pytest.raises(SettingsError, match=r"does not apply.*echonet-dynamic"):
            make(data, tmp_path / "s.zarr", **option)
    with pytest.raises(SettingsError, match="annotated needs an archive with masks"):
        make(data, tmp_path / "s.zarr", method=("annotated",))


def test_unset_options_are_as_in_the_store(tmp_path: Path) -> None:
    data = archives.write_pediatric(tmp_path / "data", range(4), ("A4C", "PSAX"))
    path = tmp_path / "s.zarr"
    make(data, path, view=("A4C",), test_fold=2)
    assert make(data, path).made == ()
    made = make(data, path, view=("A4C", "PSAX")).made
    assert "index" in made
    store = EchoStore(path)
    assert sorted(set(store.read("index/view").tolist())) == ["A4C", "PSAX"]
    assert store.attributes["layout"]["test_fold"] == 2


def test_info_shows_the_layout_and_its_options(tmp_path: Path) -> None:
    data = archives.write_pediatric(tmp_path / "data", range(4), ("A4C", "PSAX"))
    make(data, tmp_path / "s.zarr", view=("A4C", "PSAX"))
    lines = describe_info(store_info(tmp_path / "s.zarr"))
    assert "layout: echonet-pediatric, test-fold 9, val-fold 8, view A4C,PSAX" in lines
    make(archives.write_dynamic(tmp_path / "other", range(4)), tmp_path / "o.zarr")
    assert "layout: echonet-dynamic" in describe_info(store_info(tmp_path / "o.zarr"))


def test_the_output_may_not_be_in_the_archive(tmp_path: Path) -> None:
    data = archives.write_camus(tmp_path / "data", range(3))
    with pytest.raises(OSError, match="data"):
        make(data, data / "store.zarr")


def test_chords_that_end_on_an_oblique_mitral_plane_are_counted(tmp_path: Path) -> None:
    rows = make_heart(0).chords()
    collapsed = rows.copy()
    for share, row in enumerate(rows[15:], 15):
        collapsed[share, 2:] = row[:2] + (row[2:] - row[:2]) * (20.4 - share) / 6
    videos = [
        SmallVideo(name="a", frames=6, traces={0: rows}),
        SmallVideo(name="b", frames=6, traces={0: collapsed}),
    ]
    data = write_small_dataset(tmp_path / "data", videos)
    report = make(data, tmp_path / "s.zarr")
    assert report.notes[CLOSE_BASE] == 1
    assert make(data, tmp_path / "s.zarr").notes == report.notes
    columns = {schema.CONTOUR: np.zeros((1, 40, 2)), schema.VIEW: np.array(["PSAX"])}
    assert shape_notes(columns) == {}


def test_the_documented_layout_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(4):
        for kind in ("images", "lv"):
            (tmp_path / f"data/cases/case{number}/{kind}").mkdir(parents=True)
        for frame, systole in ((3, False), (12, True)):
            mask = make_heart(number, systole).mask()
            for kind, pixels in (
                ("lv", mask * 255),
                ("images", archives.picture(mask, number, frame)),
            ):
                file = tmp_path / f"data/cases/case{number}/{kind}/{frame:04d}.png"
                cv2.imwrite(str(file), pixels)
    monkeypatch.setattr("echo_prep.layouts.registry.LAYOUTS", dict(LAYOUTS))
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S)
    exec(compile(code, str(DOCS), "exec"), {})
    store = EchoStore(tmp_path / "cache/cases.zarr")
    assert store.read("index/frame").tolist() == [3, 12] * 4
    assert store.read("index/patient").tolist() == [f"case{n}" for n in range(4) for _ in "ab"]
    assert store.read("index/phase").tolist() == [0, 1] * 4
    assert len([line for line in code.splitlines() if line.strip()]) < 30


def test_the_layout_of_a_store_is_listed_by_its_help() -> None:
    options = {option for parameter in cli.commands["build"].params for option in parameter.opts}
    assert {"--layout", "--view", "--label", "--val-fold", "--test-fold"} <= options
