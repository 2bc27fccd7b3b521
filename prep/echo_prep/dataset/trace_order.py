"""Check traces as geometry, and restore the order of their rows and of the ends in a row.

A table that was sorted, merged or edited can keep its numbers and lose their
order. The contour then crosses itself, and its mask is wrong. An order that can
be restored beyond doubt is restored; otherwise the trace is rejected.

A person's hand trembles. A trace that is in order except for the noise of its
own points is not changed.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from echo_common.geometry.contours import shoelace_area

ROWS_IN_ORDER = "rows put in order"
AXIS_TURNED = "ends of the long axis exchanged"
ENDS_EXCHANGED = "ends of chords exchanged"

TREMBLE = 0.03
"""Share of the contour's area in a loop that is still a tremble of the hand."""

_FAR = 1.5
"""Step sideways between neighbours, in lengths of the axis, that is a slip of the keyboard."""

_CLEARLY_NARROWER = 0.87
"""Width of the apical chords, as a share of the basal ones, that tells the ends apart."""

_FEW = 6
"""Chords of 20 that are exchanged beyond doubt: the others tell which wall comes first."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OrderedTrace:
    """The rows of a trace in order, or the reason why no order can be restored.

    Attributes
    ----------
    rows : ndarray, (21, 4) float64
        X1, Y1, X2, Y2 of the long axis from apex to base, then of the chords from apex to base.
    corrections : tuple of str
        What was changed.
    reason, message : str
        Keyword and description of the fault; empty if there is none.
    """

    rows: np.ndarray
    corrections: tuple[str, ...] = ()
    reason: str = ""
    message: str = ""


@dataclasses.dataclass(frozen=True)
class _Shape:
    """Traces in coordinates of their long axes: lengths as shares of it; (trace, chord) float64.

    `along` and `beside` are the middle of each chord, from the apex down and from the axis to the
    side; `slope` and `across` are its extent in these directions.
    """

    along: np.ndarray
    beside: np.ndarray
    slope: np.ndarray
    across: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> _Shape:
        ends = rows.reshape(len(rows), 21, 2, 2)
        apex, axis = ends[:, 0, :1], ends[:, 0, 1] - ends[:, 0, 0]
        squared = np.maximum((axis**2).sum(axis=-1), 1e-12)[:, None, None]
        side = np.stack([axis[:, 1], -axis[:, 0]], axis=-1)
        frame = np.stack([axis, side], axis=-1) / squared
        middles = (ends[:, 1:].mean(axis=2) - apex) @ frame
        extents = (ends[:, 1:, 1] - ends[:, 1:, 0]) @ frame
        return cls(middles[..., 0], middles[..., 1], extents[..., 0], extents[..., 1])

    @property
    def noise(self) -> np.ndarray:
        """Standard deviation of the chords' distances, once in order, from even ones; (trace,)."""
        ordered = np.sort(self.along, axis=1)
        place = np.linspace(-1, 1, ordered.shape[1])
        trend = (ordered @ place / (place @ place))[:, None] * place
        return (ordered - ordered.mean(axis=1, keepdims=True) - trend).std(axis=1)

    @property
    def tilt(self) -> np.ndarray:
        """How far the chords are from right angles to the axis, as a sine; (trace,)."""
        widths = np.hypot(self.slope, self.across).sum(axis=1)
        return np.abs(self.slope).sum(axis=1) / np.maximum(widths, 1e-12)

    @property
    def uncrossed(self) -> np.ndarray:
        """Share of the chords that the axis does not cross; (trace,)."""
        reach = np.abs(self.across) / 2 + 0.02
        return (np.abs(self.beside) > reach).mean(axis=1)

    @property
    def gap(self) -> np.ndarray:
        """How far the first and last chord are from half a step inside the axis; (trace,)."""
        ordered = np.sort(self.along, axis=1)
        return np.maximum(np.abs(ordered[:, 0] - 0.025), np.abs(ordered[:, -1] - 0.975))

    @property
    def jump(self) -> np.ndarray:
        """Largest step sideways from the end of a chord to that of the next; (trace,)."""
        ends = self.beside[:, None] + np.array([[-0.5], [0.5]]) * self.across[:, None]
        return np.asarray(np.abs(np.diff(ends, axis=2)).max(axis=(1, 2)))

    def matches(self, strict: bool = False) -> np.ndarray:
        """Whether the axis may belong to the chords, whatever their order; (trace,) bool."""
        factor = 0.6 if strict else 1
        return (
            (self.tilt < 0.4 * factor)
            & (self.uncrossed < 0.25 * factor)
            & (self.gap < 0.18 * factor)
            & (self.noise < 0.06 * factor)
        )

    def in_order(self) -> np.ndarray:
        """Whether the chords go from the apex to the base, all from one wall; (trace,) bool."""
        tremble = np.minimum(6 * self.noise, 0.15)
        back = (np.maximum.accumulate(self.along, axis=1) - self.along).max(axis=1)
        return (back <= np.maximum(tremble, 0.01)) & ~self.exchanged().any(axis=1)

    def exchanged(self) -> np.ndarray:
        """Chords that go from the other wall than most; (trace, chord) bool."""
        wall = np.sign(np.sign(self.across).sum(axis=1, keepdims=True))
        tremble = np.maximum(np.minimum(6 * self.noise, 0.15), 0.02)[:, None]
        return (np.sign(self.across) == -wall) & (np.abs(self.across) > tremble)


def in_order(rows: np.ndarray) -> np.ndarray:
    """Tell which traces can be used without changes.

    Parameters
    ----------
    rows : ndarray, (trace, 21, 4) float64
        Finite coordinates in the order of the file.

    Returns
    -------
    sound : ndarray, (trace,) bool
    """
    shape = _Shape.of(rows)
    sound = shape.matches() & shape.in_order() & (shape.jump < _FAR)
    unclear = np.flatnonzero(sound & ~_surely_simple(shape))
    sound[unclear] = [largest_loop(_contour(trace)) <= TREMBLE for trace in rows[unclear]]
    return sound


def irregular(rows: np.ndarray) -> np.ndarray:
    """Tell which traces are in order but unusual, so that somebody should look at them.

    The chords of EchoNet-Dynamic are at right angles to the long axis and along
    all of it. Columns that were exchanged, or sorted without the others, change
    that, and can leave a contour that does not cross itself.

    Parameters
    ----------
    rows : ndarray, (trace, 21, 4) float64
        Traces that are `in_order`.

    Returns
    -------
    irregular : ndarray, (trace,) bool
    """
    shape = _Shape.of(rows)
    return (shape.tilt > 0.1) | (shape.gap > 0.09) | (shape.uncrossed > 0.1)


def put_in_order(rows: np.ndarray) -> OrderedTrace:
    """Restore the order of one trace that `in_order` does not accept.

    Parameters
    ----------
    rows : ndarray, (21, 4) float64
    """
    # Each row in turn as the long axis, and the other rows as chords in order.
    candidates = np.stack([_sorted(np.roll(rows, -first, axis=0)) for first in range(21)])
    shape = _Shape.of(candidates)
    misfit = shape.tilt + shape.uncrossed + 2 * shape.gap + 5 * shape.noise
    first, second = np.argsort(misfit)[:2]
    if not shape.matches(strict=True)[first] or misfit[second] < misfit[first] + 0.3:
        return _rejected(rows, "long-axis", "the long axis does not match the chords")
    ordered, corrections = candidates[first], []
    narrow = _narrowness(ordered)
    trend = np.corrcoef(np.arange(20), _Shape.of(rows[None]).along[0])[0, 1] if first == 0 else 0
    if trend < -0.5:
        # The long axis and the chords contradict each other: the apex is at the narrow end.
        if narrow > 1 / _CLEARLY_NARROWER:
            ordered[0] = ordered[0, [2, 3, 0, 1]]
            ordered = _sorted(ordered)
            corrections.append(AXIS_TURNED)
        elif narrow > _CLEARLY_NARROWER:
            return _rejected(rows, "order", "either the chords or the long axis begin at the base")
    elif trend < 0.5 and narrow > 1:
        return _rejected(rows, "order", "the rows are in no order, and the long axis may be turned")
    exchanged = _Shape.of(ordered[None]).exchanged()[0]
    if exchanged.sum() > _FEW:
        return _rejected(rows, "order", f"{exchanged.sum()} of 20 chords go from the other wall")
    if exchanged.any():
        ordered = ordered.copy()
        ordered[1:][exchanged] = ordered[1:][exchanged][:, [2, 3, 0, 1]]
        corrections.append(ENDS_EXCHANGED)
    if not np.array_equal(_row_set(ordered[1:]), _row_set(rows[1:])):
        corrections.append(ROWS_IN_ORDER)
    final = _Shape.of(ordered[None])
    if final.jump[0] >= _FAR:
        return _rejected(rows, "coordinates", "an end of a chord is far from its neighbours")
    if not (final.in_order()[0] and largest_loop(_contour(ordered)) <= TREMBLE):
        return _rejected(rows, "crossing", "the contour crosses itself")
    return OrderedTrace(rows=ordered, corrections=tuple(corrections))


def _row_set(chords: np.ndarray) -> np.ndarray:
    """Chords without regard to which end comes first."""
    return np.sort(chords.reshape(-1, 2, 2).view(np.complex128)[..., 0], axis=1)


def _rejected(rows: np.ndarray, reason: str, message: str) -> OrderedTrace:
    return OrderedTrace(rows=rows, reason=reason, message=message)


def _sorted(rows: np.ndarray) -> np.ndarray:
    """The trace with its chords sorted from the apex on."""
    along = _Shape.of(rows[None]).along[0]
    return np.concatenate([rows[:1], rows[1:][np.argsort(along, kind="stable")]])


def _narrowness(rows: np.ndarray) -> float:
    """Width of the first four chords, as a share of the last four's."""
    widths = np.hypot(*(rows[1:, 2:] - rows[1:, :2]).T)
    return float(widths[:4].sum() / max(widths[-4:].sum(), 1e-12))


def _contour(rows: np.ndarray) -> np.ndarray:
    return np.concatenate([rows[1:, :2], rows[:0:-1, 2:]])


def _surely_simple(shape: _Shape) -> np.ndarray:
    """Contours that cannot cross themselves, since the walls never change sides."""
    wall = np.sign(shape.across.sum(axis=1))[:, None, None]
    ends = np.stack([-1, 1])[:, None] / 2
    down = shape.along[:, None] + ends * shape.slope[:, None]
    side = (shape.beside[:, None] + ends * shape.across[:, None]) * wall
    left = np.maximum(np.maximum(side[:, 0, :-2], side[:, 0, 1:-1]), side[:, 0, 2:])
    right = np.minimum(np.minimum(side[:, 1, :-2], side[:, 1, 1:-1]), side[:, 1, 2:])
    step = np.diff(shape.along, axis=1).min(axis=1)
    return (
        (np.diff(down, axis=2) > 0).all(axis=(1, 2))
        & (left < right).all(axis=1)
        & (np.abs(shape.slope).max(axis=1) < step)
        & (side[:, 0] < side[:, 1]).all(axis=1)
    )


def largest_loop(contour: np.ndarray) -> float:
    """Area of the largest loop at which a closed polygon crosses itself, as a share of its area.

    Each crossing divides the polygon in two; its loop is the smaller part.

    Parameters
    ----------
    contour : ndarray, (point, 2) float64

    Returns
    -------
    share : float
        0 for a simple polygon; at most 1.
    """
    start, step = contour, np.roll(contour, -1, axis=0) - contour
    first, second = np.triu_indices(len(contour), 2)
    apart = (first > 0) | (second < len(contour) - 1)
    first, second = first[apart], second[apart]
    between = start[second] - start[first]
    turn = _cross(step[first], step[second])
    with np.errstate(divide="ignore", invalid="ignore"):
        at = _cross(between, step[second]) / turn
        other = _cross(between, step[first]) / turn
        crossing = (at > 0) & (at < 1) & (other > 0) & (other < 1)
    largest = 0.0
    for one, two, share in zip(first[crossing], second[crossing], at[crossing], strict=True):
        point = start[one] + share * step[one]
        inner = shoelace_area(np.concatenate([point[None], contour[one + 1 : two + 1]]))
        outer = shoelace_area(np.concatenate([point[None], contour[two + 1 :], contour[: one + 1]]))
        largest = max(largest, min(inner, outer) / max(inner + outer, 1e-12))
    return largest


def _cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.asarray(first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0])
