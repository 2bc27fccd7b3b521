"""Read and check traces: all rows of a (video, frame), and the contour they form.

A trace of EchoNet-Dynamic has 21 rows. Row 0 is the long axis, from the apex
to the middle of the mitral plane; rows 1 to 20 are chords across the
ventricle, from the apex to the base, (X1, Y1) on one wall and (X2, Y2) on the
other. The points therefore have an order: down one wall and up the other.
"""

from __future__ import annotations

import collections
import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from echo_common.geometry.contours import SMALLEST_AREA, shoelace_areas
from echo_prep.dataset.file_names import unsafe_name, video_name
from echo_prep.dataset.rejects import Reject
from echo_prep.dataset.trace_order import in_order, irregular, put_in_order
from echo_prep.dataset.types import Trace, in_frame_order

if TYPE_CHECKING:
    import pandas as pd

TRACE_NUMBERS = ("X1", "Y1", "X2", "Y2")
TRACE_COLUMNS = ("FileName", *TRACE_NUMBERS, "Frame")
TRACE_ROWS = 21

_LEAST, _LARGEST = -1024.0, 8192.0
"""Limits of plausible coordinates in pixels, in a frame of any size."""

_LAST_FRAME = 2**31 - 1

_IRREGULAR = "chords at an angle to the long axis or not along all of it (look at a preview)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tracings:
    """The content of VolumeTracings.csv.

    Attributes
    ----------
    traces : dict of str to tuple of Trace
        The valid traces by video name without its suffix, sorted by frame number.
    count : int
        Number of traces in the table, valid or not.
    notes : dict of str to int
        What was corrected in a valid trace, or is unusual in it, with the number of traces.
    """

    traces: dict[str, tuple[Trace, ...]]
    rejects: list[Reject]
    count: int
    notes: dict[str, int]


def read_traces(table: pd.DataFrame) -> Tracings:
    """Group the rows of VolumeTracings.csv into traces and keep the valid ones.

    Parameters
    ----------
    table : DataFrame of str and float64
        The columns `TRACE_COLUMNS`, indexed by row number; those in
        `TRACE_NUMBERS` hold numbers.
    """
    lines = np.asarray(table.index, dtype=np.int64)
    coordinates = table[list(TRACE_NUMBERS)].to_numpy(np.float64)
    names, texts = video_names(table["FileName"].to_numpy()), table["Frame"].to_numpy()
    order, starts, sizes = group_rows(names, texts)
    complete = np.flatnonzero(sizes == TRACE_ROWS)
    blocks = coordinates[order[starts[complete, None] + np.arange(TRACE_ROWS)]]
    plausible = ((blocks >= _LEAST) & (blocks <= _LARGEST)).all(axis=(1, 2))
    blocks, order_faults, notes = _ordered(blocks, plausible)
    axes, contours = split_rows(blocks)
    # Distant coordinates are rejected below; clipping them here avoids an overflow.
    areas = shoelace_areas(np.clip(contours, _LEAST, _LARGEST))
    blocks_of = dict(zip(complete.tolist(), range(len(complete)), strict=True))
    numbers = frame_numbers(texts[order[starts]])
    traces: dict[str, list[Trace]] = {}
    rejects: list[Reject] = []
    for group, first in enumerate(order[starts].tolist()):
        name, where = str(names[first]), f"VolumeTracings.csv row {lines[first]}"
        number, block = numbers[group], blocks_of.get(group)
        fault = frame_fault(name, str(texts[first]), number)
        if fault is None:
            fault = (
                _size_fault(int(sizes[group]))
                if block is None
                else _block_fault(blocks[block], float(areas[block])) or order_faults.get(block)
            )
        frame = int(number) if is_frame_number(number) else None
        if fault is None and any(trace.frame == frame for trace in traces.get(name, ())):
            fault = ("row-count", "the frame is traced twice, its number written in two ways")
        if fault is not None:
            rejects.append(Reject(name, frame, where, *fault))
            continue
        assert frame is not None and block is not None
        traces.setdefault(name, []).append(
            Trace(
                frame=frame,
                where=where,
                long_axis=axes[block],
                contour=contours[block],
                area=float(areas[block]),
            )
        )
    return Tracings(traces=in_frame_order(traces), rejects=rejects, count=len(starts), notes=notes)


def split_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split the rows of one or more traces into the long axis and the ordered contour.

    Parameters
    ----------
    rows : ndarray, (…, 21, 4) float64
        X1, Y1, X2, Y2 in the order of the file.

    Returns
    -------
    long_axis : ndarray, (…, 2, 2) float64
    contour : ndarray, (…, 40, 2) float64
        ``x1[1:]`` followed by ``reversed(x2[1:])``, as EchoNet-Dynamic's own
        loader joins them.
    """
    long_axis = rows[..., 0, :].reshape(*rows.shape[:-2], 2, 2)
    return long_axis, np.concatenate([rows[..., 1:, :2], rows[..., :0:-1, 2:]], axis=-2)


def _ordered(
    blocks: np.ndarray, usable: np.ndarray
) -> tuple[np.ndarray, dict[int, tuple[str, str]], dict[str, int]]:
    """Bring the rows of each trace into order; returns also the faults, by trace, and the notes."""
    blocks = blocks.copy()
    sound = usable.copy()
    sound[usable] = in_order(blocks[usable])
    faults: dict[int, tuple[str, str]] = {}
    notes: collections.Counter[str] = collections.Counter()
    for number in np.flatnonzero(usable & ~sound).tolist():
        found = put_in_order(blocks[number])
        if found.reason:
            faults[number] = (found.reason, found.message)
            continue
        blocks[number], sound[number] = found.rows, True
        notes.update(found.corrections)
    unusual = int(irregular(blocks[sound]).sum())
    if unusual:
        notes[_IRREGULAR] = unusual
    return blocks, faults, dict(notes)


def video_names(texts: np.ndarray) -> np.ndarray:
    """Names of videos from cells; see `echo_prep.dataset.file_names.video_name`."""
    import pandas as pd

    codes, words = pd.factorize(texts)
    names = [video_name(str(word)) for word in words]
    return np.array(names, dtype=object)[codes] if names else texts


def join_rows(long_axis: np.ndarray, contour: np.ndarray) -> np.ndarray:
    """Restore the rows of traces from long axes and contours; the reverse of `split_rows`.

    Parameters
    ----------
    long_axis : ndarray, (…, 2, 2) float
    contour : ndarray, (…, 40, 2) float

    Returns
    -------
    rows : ndarray, (…, 21, 4) float
    """
    first, second = contour[..., : TRACE_ROWS - 1, :], contour[..., : TRACE_ROWS - 2 : -1, :]
    axis = long_axis.reshape(*long_axis.shape[:-2], 1, 4)
    return np.concatenate([axis, np.concatenate([first, second], axis=-1)], axis=-2)


def group_rows(names: np.ndarray, texts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group rows by (name, frame): the sorting order, each group's start, and its size."""
    import pandas as pd

    # By the text of the frame number, so that rows with an invalid number form a group too.
    videos, _ = pd.factorize(names)
    frames, words = pd.factorize(texts)
    codes, _ = pd.factorize(videos.astype(np.int64) * max(len(words), 1) + frames)
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    return order, starts, np.diff(starts, append=len(order))


def frame_numbers(texts: np.ndarray) -> np.ndarray:
    """Convert each text to float64; NaN if it is not a number."""
    import pandas as pd

    codes, words = pd.factorize(texts)
    return pd.to_numeric(pd.Series(words), errors="coerce").to_numpy(np.float64)[codes]


def is_frame_number(number: float) -> bool:
    """Whether a number can be that of a frame."""
    return bool(np.isfinite(number) and float(number).is_integer() and 0 <= number <= _LAST_FRAME)


def frame_fault(name: str, text: str, number: float) -> tuple[str, str] | None:
    """Reason and message if a trace's video or frame is not valid; None if both are."""
    if reason := unsafe_name(name):
        return "refused", reason
    if not is_frame_number(number):
        return "frame-number", f"Frame is {text[:40]!r}, not a whole number from 0"
    return None


def _size_fault(rows: int) -> tuple[str, str]:
    several = "several tracings have the same frame number"
    hint = several if rows > TRACE_ROWS else "the tracing is incomplete"
    return "row-count", f"{rows} rows instead of {TRACE_ROWS}: {hint}"


def _block_fault(rows: np.ndarray, area: float) -> tuple[str, str] | None:
    farthest = np.abs(rows).max()
    if not np.isfinite(farthest):
        number = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
        return "coordinates", f"row {number} of the trace has a coordinate that is not a number"
    if rows.min() < _LEAST or rows.max() > _LARGEST:
        return "coordinates", f"a coordinate is {farthest:.3g} px away"
    if area < SMALLEST_AREA:
        return "degenerate", f"the contour's area is {area:.2g} square pixels"
    return None
