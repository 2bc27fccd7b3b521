"""`--dry-run` writes nothing and tells the truth; a build with nothing to do reads no trace."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from echo_prep.build.build import build, forecast
from echo_prep.build.report import describe_forecast
from echo_prep.cli import cli
from echo_prep.settings import BuildSettings
from support.datasets import small_videos, write_small_dataset
from support.stores import build_store, file_bytes


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 videos: 600 rows."""
    return write_small_dataset(tmp_path_factory.mktemp("forecast") / "data", small_videos(300))


def test_a_dry_run_writes_nothing_and_estimates_the_size(data: Path, tmp_path: Path) -> None:
    settings = BuildSettings(data=data, store=tmp_path / "store.zarr", jobs=1)
    cast = forecast(settings)
    assert list(tmp_path.iterdir()) == []
    report = build(settings)
    assert (cast.make, cast.keep, cast.drop) == (report.made, (), ())
    assert (cast.rows, cast.rows_to_make) == (600, 600)
    chunks = sum(
        len(content) for name, content in file_bytes(settings.store).items() if "/c." in name
    )
    # From 64 rows of 600 that are much alike.
    assert cast.bytes == pytest.approx(chunks, rel=0.15)
    assert cast.seconds > 0


def test_a_dry_run_on_an_existing_store(data: Path, tmp_path: Path) -> None:
    store = build_store(data, tmp_path / "store.zarr", method=("chords", "centroid"))
    before = file_bytes(store)
    same = BuildSettings(data=data, store=store, method=("chords", "centroid"), jobs=1)
    assert describe_forecast(forecast(same))[0].startswith("nothing to do")
    more = BuildSettings(data=data, store=store, landmarks=(11,), jobs=1, prune=True)
    cast = forecast(more)
    eleven = "landmarks/chords/anatomical-11"
    seven = [f"landmarks/{method}/anatomical-7" for method in ("centroid", "chords")]
    assert cast.make == (f"{eleven}/points", f"{eleven}/gaussian")
    assert cast.keep == ("index", "frames", "masks/chords")
    assert set(cast.drop) == {
        "masks/centroid",
        *(f"{one}/{array}" for one in seven for array in ("points", "gaussian")),
    }
    done = CliRunner().invoke(
        cli, ["build", "--data", str(data), "--store", str(store), "--landmarks", "11", "--dry-run"]
    )
    assert done.output.startswith(f"would make {eleven}/points, {eleven}/gaussian\n")
    assert done.output.endswith("nothing was written\n")
    assert file_bytes(store) == before


def test_nothing_to_do_is_found_from_the_files_alone(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = build_store(data, tmp_path / "store.zarr")
    first = build(BuildSettings(data=data, store=store, jobs=1))

    def never(root: Path) -> None:
        raise AssertionError("the CSV files were read")

    monkeypatch.setattr("echo_prep.layouts.echonet_dynamic.read_dataset", never)
    second = build(BuildSettings(data=data, store=store, jobs=1))
    assert second.made == first.made == ()
    assert (second.rows, second.videos, second.traced) == (600, 300, 600)
    with pytest.raises(AssertionError, match=r"were read"):
        build(BuildSettings(data=data, store=tmp_path / "other.zarr", jobs=1))
