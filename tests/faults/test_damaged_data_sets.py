"""A build from a damaged data set keeps all sound rows, and opens no file outside it.

Each case builds a store with the command. Every frame in the store must be the
correct one, whatever was damaged.
"""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_common.cli.command import run_command
from echo_prep.cli import cli
from echo_prep.dataset.file_names import VideoFolder
from echo_prep.dataset.video import prepare_process, read_frames
from echo_prep.layouts.echonet_dynamic import read_dataset
from support.avi import Layout, avi_bytes, ffmpeg_frames, jpeg
from support.datasets import SHAPE, frame_pattern, small_videos, write_small_dataset, write_video

VIDEOS = small_videos(5)
NAMES = [video.name for video in VIDEOS]
OTHERS = NAMES[1:]


def build(data: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        run_command(
            cli,
            args=["build", "--data", str(data), "--store", str(store), "--jobs", "1",
                  "--landmarks", "3"],
        )  # fmt: skip
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert isinstance(stop.value.code, int)
    return stop.value.code


def sound_rows(store: Path) -> dict[tuple[str, int], np.ndarray]:
    group = zarr.open_group(store, mode="r")
    keys = zip(group["index/video"][:], group["index/frame"][:], strict=True)
    rows = zip(keys, group["index/status"][:], group["frames"][:], strict=True)
    return {(str(name), int(frame)): pixels for (name, frame), ok, pixels in rows if not ok}


def expected_rows(data: Path, names: list[str]) -> dict[tuple[str, int], np.ndarray]:
    rows = {}
    for video in VIDEOS:
        if video.name in names:
            frames = ffmpeg_frames(data / "Videos" / f"{video.name}.avi")
            rows |= {(video.name, number): frames[number] for number in video.traces}
    return rows


def assert_right(rows: dict[tuple[str, int], np.ndarray], expected: dict[Any, Any]) -> None:
    assert expected.keys() <= rows.keys()
    for key, pixels in expected.items():
        assert np.abs(rows[key].astype(int) - pixels).max() <= 2, key


def damage_video(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def apply(data: Path) -> None:
        path = data / "Videos" / f"{NAMES[0]}.avi"
        path.write_bytes(change(path.read_bytes()))

    return apply


def rewrite(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def apply(data: Path) -> None:
        (data / name).write_bytes(change((data / name).read_bytes()))

    return apply


def first_video_rows(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Replace bytes in the rows of the first video only."""

    def change(content: bytes) -> bytes:
        lines = content.split(b"\n")
        name = NAMES[0].encode()
        return b"\n".join(line.replace(old, new) if name in line else line for line in lines)

    return change


def other_codec(codec: str) -> Callable[[Path], None]:
    def apply(data: Path) -> None:
        frames = [frame_pattern(0, number) for number in range(12)]
        write_video(data / "Videos" / f"{NAMES[0]}.avi", frames, codec)

    return apply


# Each case damages only the first video; the frames of the other four must be in the store.
CASES: dict[str, Callable[[Path], None]] = {
    "video of zero bytes": damage_video(lambda content: b""),
    "video of zeros": damage_video(lambda content: bytes(len(content))),
    "video of text": damage_video(lambda content: b"hello\n" * 999),
    "video of another size": damage_video(
        lambda content: avi_bytes([jpeg(np.zeros((50, 60), np.uint8))] * 12, (50, 60))
    ),
    "video with a false size in its header": damage_video(
        lambda content: avi_bytes([jpeg(frame_pattern(0, n)) for n in range(12)], (30000, 30000))
    ),
    "video without frames": damage_video(lambda content: avi_bytes([])),
    "video of dropped frames": damage_video(lambda content: avi_bytes([b""] * 12)),
    "video with sound": damage_video(
        lambda content: avi_bytes([jpeg(frame_pattern(0, 0))] * 12, layout=Layout(sound=True))
    ),
    "video with a false frame count": damage_video(
        lambda content: content[:48] + b"\xff\xff\xff\x7f" + content[52:]
    ),
    "video in another codec": other_codec("FFV1"),
    "lossless video cut in half": lambda data: (
        other_codec("FFV1")(data),
        damage_video(lambda content: content[: len(content) // 2])(data),
    )[0],
    "shape of a billion pixels": rewrite(
        "FileList.csv", first_video_rows(b",112,112,", b",99999,99999,")
    ),
    "numbers of 1e308": rewrite("FileList.csv", first_video_rows(b"55.5", b"1e308")),
    "numbers that are NaN": rewrite("FileList.csv", first_video_rows(b"55.5", b"NaN")),
    "name with a path": rewrite("FileList.csv", first_video_rows(b"0X", b"../0X")),
    "absolute name": rewrite("VolumeTracings.csv", first_video_rows(b"0X", b"/0X")),
    "name in latin-1": rewrite("VolumeTracings.csv", first_video_rows(b"0X", b"\xe9X")),
    "name with a null byte": rewrite("VolumeTracings.csv", first_video_rows(b"0X", b"\0X")),
    "name of two thousand letters": rewrite(
        "VolumeTracings.csv", first_video_rows(b"0X", b"0X" * 999)
    ),
    "name with an unclosed quote": rewrite("VolumeTracings.csv", first_video_rows(b"0X", b'"0X')),
    "coordinates of 1e308": rewrite("VolumeTracings.csv", first_video_rows(b",6", b",1e308,6")),
    "frame beyond any video": rewrite("VolumeTracings.csv", first_video_rows(b".avi,", b".avi,,")),
    "windows line ends": rewrite("VolumeTracings.csv", lambda text: text.replace(b"\n", b"\r\n")),
    "byte-order mark": rewrite("VolumeTracings.csv", lambda text: b"\xef\xbb\xbf" + text),
    "tracings repeated": rewrite(
        "VolumeTracings.csv", lambda text: text + b"".join(text.splitlines(keepends=True)[1:43])
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_damaged_video_or_row_costs_no_other(
    tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_small_dataset(tmp_path / "d", VIDEOS)
    expected = expected_rows(data, OTHERS)
    CASES[case](data)
    assert build(data, tmp_path / "s.zarr", capsys) == 0
    assert_right(sound_rows(tmp_path / "s.zarr"), expected)


@pytest.mark.parametrize("tenth", range(10))
@pytest.mark.parametrize("name", ["FileList.csv", "VolumeTracings.csv"])
def test_a_truncated_table_gives_a_smaller_data_set_or_an_error(
    tmp_path: Path, tenth: int, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_small_dataset(tmp_path / "d", VIDEOS)
    expected = expected_rows(data, NAMES)
    content = (data / name).read_bytes()
    (data / name).write_bytes(content[: len(content) * tenth // 10])
    code = build(data, tmp_path / "s.zarr", capsys)
    if code == 1:
        assert tenth < 4
        return
    rows = sound_rows(tmp_path / "s.zarr")
    assert_right(rows, {key: expected[key] for key in rows})


@settings(deadline=None, max_examples=120)
@given(
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=6)),
        min_size=1,
        max_size=6,
    ),
    cut=st.none() | st.floats(0, 1),
    layout=st.builds(
        Layout,
        index=st.sampled_from([None, "movi", "file"]),
        rec=st.booleans(),
        sound=st.booleans(),
    ),
)
def test_changed_bytes_anywhere_in_a_video(
    tmp_path_factory: pytest.TempPathFactory,
    changes: list[tuple[float, bytes]],
    cut: float | None,
    layout: Layout,
) -> None:
    prepare_process()
    frames = [jpeg(frame_pattern(0, number)) for number in range(6)]
    content = bytearray(avi_bytes(frames, layout=layout))
    for fraction, new in changes:
        # About half of the changes are in the headers, where a single byte matters.
        offset = int(fraction * (600 if len(new) % 2 else len(content)))
        content[offset : offset + len(new)] = new
    if cut is not None:
        del content[int(cut * len(content)) :]
    folder = tmp_path_factory.mktemp("videos")
    (folder / "a.avi").write_bytes(content)
    for read in read_frames(VideoFolder(folder), "a", [5, 0, 3, 99], SHAPE):
        assert (read.pixels is None) == bool(read.message)
        assert read.pixels is None or read.pixels.shape == SHAPE


@settings(deadline=None, max_examples=120)
@given(
    changes=st.lists(
        st.tuples(
            st.floats(0, 1, exclude_max=True),
            st.one_of(
                st.sampled_from([b'"', b"\n", b",", b"\r", b"\0", b"."]), st.binary(max_size=2)
            ),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_changed_bytes_anywhere_in_the_tracings(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, bytes]]
) -> None:
    data = write_small_dataset(tmp_path_factory.mktemp("data"), VIDEOS, write_videos=False)
    path = data / "VolumeTracings.csv"
    lines = path.read_bytes().splitlines(keepends=True)
    changed = set()
    for fraction, new in changes:
        row = 1 + int(fraction * (len(lines) - 1))
        changed |= {row, row + 1}
        column = int(fraction * 1e6) % len(lines[row])
        lines[row] = lines[row][:column] + new + lines[row][column + 1 :]
    path.write_bytes(b"".join(lines))
    # A changed row may now name another video and spoil its trace.
    changed_lines = b"".join(lines[row] for row in changed if row < len(lines))
    sound = {
        (name, trace.frame): trace
        for name, traces in read_dataset(data).traces.items()
        for trace in traces
    }
    row = 1
    for video in VIDEOS:
        for frame, rows in video.traces.items():
            if video.name.encode() not in changed_lines and changed.isdisjoint(
                range(row, row + 21)
            ):
                trace = sound[video.name, frame]
                np.testing.assert_allclose(trace.contour[:20], rows[1:, :2], atol=1e-8)
            row += 21


def test_nothing_outside_the_data_folder_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "secret.avi"
    secret.write_bytes(avi_bytes([jpeg(frame_pattern(9, n)) for n in range(12)]))
    data = write_small_dataset(tmp_path / "d", VIDEOS)
    for name in ("FileList.csv", "VolumeTracings.csv"):
        content = (data / name).read_text()
        for number, target in enumerate(("../../secret", str(secret.with_suffix("")))):
            content = content.replace(NAMES[number], target)
        (data / name).write_text(content)
    link = data / "Videos" / f"{NAMES[2]}.avi"
    link.unlink()
    link.symlink_to(secret)
    opened: list[str] = []
    os_open, builtin_open = os.open, builtins.open

    def record_os_open(path: Any, *arguments: Any, **options: Any) -> int:
        opened.append(str(path))
        return os_open(path, *arguments, **options)

    def record_open(file: Any, *arguments: Any, **options: Any) -> Any:
        opened.append(str(file))
        return builtin_open(file, *arguments, **options)

    monkeypatch.setattr(os, "open", record_os_open)
    monkeypatch.setattr(builtins, "open", record_open)
    assert build(data, tmp_path / "s.zarr", capsys) == 0
    assert any(path.endswith(f"{NAMES[3]}.avi") for path in opened)
    assert not [path for path in opened if "secret" in path]
    rows = sound_rows(tmp_path / "s.zarr")
    assert {name for name, _ in rows} == set(NAMES[3:])
