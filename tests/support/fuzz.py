"""What any bytes at all must do to the readers of videos and tables: give something sound, or say.

A fuzzer calls these with bytes that it makes up (`tests/faults/fuzz_readers.py`),
and a test with those that it once found worth keeping.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from echo_common.errors import EchoError
from echo_prep.build.plan import make_plan
from echo_prep.dataset.echonet_dynamic import FILE_LIST, TRACINGS, read_dataset
from echo_prep.dataset.video import OK, prepare_process, read_frames
from support.avi import Layout, avi_bytes, jpeg
from support.datasets import FILE_LIST_HEADER, TRACINGS_HEADER, half_ellipse_trace

SHAPE = (16, 16)

BETWEEN = b"\n====\n"
"""What parts the two tables of a data set."""


def read_video(content: bytes, folder: Path) -> None:
    """Read frames of a video with this content; AssertionError where that goes wrong."""
    prepare_process()
    (folder / "a.avi").write_bytes(content)
    numbers = [2, 0, 99]
    reads = read_frames(folder, "a", numbers, SHAPE)
    assert len(reads) == len(numbers)
    for read in reads:
        assert (read.status == OK) == (read.pixels is not None) == (not read.message)
        if read.pixels is not None:
            assert read.pixels.shape == SHAPE
            assert read.pixels.dtype == np.uint8


def read_tables(content: bytes, folder: Path) -> None:
    """Plan a store from two tables; AssertionError where that goes wrong."""
    file_list, _, tracings = content.partition(BETWEEN)
    (folder / FILE_LIST).write_bytes(file_list)
    (folder / TRACINGS).write_bytes(tracings)
    try:
        dataset = read_dataset(folder)
        plan = make_plan(dataset)
    except EchoError as error:
        # One line, whatever stood in the file.
        assert str(error).isprintable()
        return
    assert len(plan) == len(set(zip(plan.video, plan.frame.tolist(), strict=True))) > 0
    # Each trace is kept, or left out with a reason.
    listed = {(reject.video, reject.frame) for reject in plan.rejects}
    assert plan.traced <= len(plan) + len(plan.rejects) or len(listed) > 0
    assert np.isfinite(plan.contour).all() and np.isfinite(plan.long_axis).all()
    assert not any("/" in name or "\0" in name for name in plan.video)
    assert plan.digest() == make_plan(dataset).digest()


def video_seeds() -> list[bytes]:
    """Sound videos, for a fuzzer to begin with."""
    frames = [jpeg(np.full(SHAPE, 40 * number, np.uint8), 30) for number in range(3)]
    layouts = [
        Layout(),
        Layout(index=None),
        Layout(index="file", rec=True),
        Layout(sound=True, junk=True, padding=3),
    ]
    return [avi_bytes(frames, SHAPE, layout) for layout in layouts] + [
        avi_bytes([frames[0], b"", frames[2]], SHAPE)
    ]


def table_seeds() -> list[bytes]:
    """Sound tables, for a fuzzer to begin with."""
    rows = [",".join(f"{value:.4g}" for value in row) for row in half_ellipse_trace()]
    traces = "".join(f"{name}.avi,{row},{frame}\n" for name, frame in (("a", 0), ("b", 7))
                     for row in rows)  # fmt: skip
    listed = "a,55.5,40,90,112,112,50,12,TRAIN\nb,,,,,,,,VAL\n"
    whole = FILE_LIST_HEADER + listed + BETWEEN.decode() + TRACINGS_HEADER + traces
    quoted = whole.replace("a.avi", '"a.avi"').replace("\n", "\r\n")
    return [whole.encode(), b"\xef\xbb\xbf" + quoted.replace("\r\n====\r\n", "\n====\n").encode()]


READERS: dict[str, tuple[Callable[[bytes, Path], None], Callable[[], list[bytes]]]] = {
    "avi": (read_video, video_seeds),
    "csv": (read_tables, table_seeds),
}
"""By the name of the corpus: what reads it, and what to begin with."""
