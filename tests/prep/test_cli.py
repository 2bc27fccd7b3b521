"""The command as a person meets it: defaults, precedence, exit codes, and no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
import zarr

from echo_common.cli.command import run_command
from echo_prep.cli import cli, main
from echo_prep.dataset.rejects import rejects_path
from support.datasets import SmallVideo, half_ellipse_trace, small_videos, write_small_dataset


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_small_dataset(tmp_path / "data" / "EchoNet-Dynamic", small_videos(3))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of echo-prep."""
    with pytest.raises(SystemExit) as stop:
        run_command(cli, args=list(arguments), prog_name="echo-prep")
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    code = stop.value.code
    assert isinstance(code, int)
    return code, out, err


def arrays(store: Path) -> set[str]:
    group = zarr.open_group(store, mode="r")
    return {name for name, _ in group.members(max_depth=None) if name.count("/") > 0}


def test_it_works_as_it_stands_without_a_path(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = run(capsys, "build", "--method", "convexhull", "--jobs", "1")
    assert code == 0
    assert "masks/convexhull" in arrays(tmp_path / "cache" / "echonet.zarr")
    assert out.splitlines()[0].startswith("made index, frames, masks/convexhull")
    assert "6 of 6 traced frames kept, from 3 videos" in out.splitlines()[-1]
    code, out, _ = run(capsys, "build", "--method", "convexhull", "--jobs", "1")
    assert code == 0
    assert out.startswith("nothing to do: cache/echonet.zarr already holds index, frames,")


def test_option_over_environment_over_file_over_default(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "build.toml"
    file.write_text(
        f'data = "{data}"\nstore = "{tmp_path / "file.zarr"}"\njobs = 1\n'
        'method = ["simplesort"]\nlandmarks = 5\nfalloff = "euclidean"\n'
    )
    monkeypatch.setenv("ECHO_STORE", str(tmp_path / "environment.zarr"))
    monkeypatch.setenv("ECHO_LANDMARKS", "4,9")
    code, out, _ = run(capsys, "build", "--config", str(file), "--method", "centroid")
    assert code == 0, out
    assert not (tmp_path / "file.zarr").exists()
    found = arrays(tmp_path / "environment.zarr")
    assert {name for name in found if name.startswith(("masks/", "landmarks/centroid/a"))} == {
        "masks/centroid",
        "landmarks/centroid/anatomical-4",
        "landmarks/centroid/anatomical-4/points",
        "landmarks/centroid/anatomical-4/euclidean",
        "landmarks/centroid/anatomical-9",
        "landmarks/centroid/anatomical-9/points",
        "landmarks/centroid/anatomical-9/euclidean",
    }


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["build", "--method", "hull"], "'hull' is not one of 'chords'"),
        (["build", "--landmarks", "2"], "2 is not in the range"),
        (["build", "--jobs", "-1"], "-1 is not in the range"),
        (["build", "--radius", "wide"], "'wide' is not a valid float"),
        (["build", "--nonsense"], "No such option"),
        (["bulid"], "No such command 'bulid'"),
    ],
)
def test_wrong_usage_is_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert message in err


def test_what_is_missing_or_wrong_is_one_line_and_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = str(tmp_path / "x.zarr")
    code, out, err = run(capsys, "build", "--data", str(tmp_path / "none"), "--store", store)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert err.startswith(f"error: no data set at {tmp_path / 'none'}: give the folder")
    long_name = str(tmp_path / ("x" * 300))
    code, _, err = run(capsys, "build", "--data", long_name, "--store", store)
    assert (code, err.count("\n")) == (1, 1)


def test_a_store_below_a_file_is_one_line_and_1(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    for store in ("file/x.zarr", "file"):
        code, _, err = run(
            capsys, "build", "--data", str(data), "--store", str(tmp_path / store), "--jobs", "1"
        )
        assert code == 1
        assert err.splitlines()[-1].startswith("error: ")


def test_what_was_left_out_is_counted_and_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = half_ellipse_trace()
    data = write_small_dataset(
        tmp_path / "d",
        [
            SmallVideo(name="a", frames=9, traces={1: rows, 5: rows[:7], 30: rows - 1}),
            SmallVideo(name="b", frames=9, traces={1: rows}, split="NONE"),
            SmallVideo(name="c", frames=9, traces={1: rows[::-1], 4: rows}),
        ],
    )
    store = tmp_path / "s.zarr"
    options = ["build", "--data", str(data), "--store", str(store), "--jobs", "1"]
    code, out, _ = run(capsys, *options)
    assert code == 0
    told = next(line for line in out.splitlines() if line.startswith("left out: "))
    assert told == (
        f"left out: 1 split, 1 row-count, 1 beyond-end; each with its reason in "
        f"{rejects_path(store)}"
    )
    assert "1 traces: rows put in order\n" in out
    assert "3 of 6 traced frames kept, from 2 videos" in out
    code, _, err = run(capsys, *options, "--strict")
    assert code == 1
    assert "not valid, and --strict was given; the first: b (FileList.csv row 3)" in err


def test_the_console_script_is_main(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["echo-prep", "--version"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    assert "echo-prep" in capsys.readouterr().out
