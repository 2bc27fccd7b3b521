"""Number the frames that a decoder returns, and tell which of them are affected by damage."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import av

_INCOMPLETE = "its data are incomplete"

PlacedFrame = tuple[int, "av.VideoFrame | None", str]
"""A frame's number, the frame if it was not lost, and its fault."""


class FrameOrder:
    """Numbers the frames of one pass, and keeps track of which are affected by damage.

    Attributes
    ----------
    lost : str
        Why no later frame can be numbered; empty as long as they can.

    Notes
    -----
    A frame is affected if the decoder reports damage in its own packet, and, in
    an inter-coded video, in any packet since the last key frame.
    """

    def __init__(self, timestamps: Callable[[], list[int]], intra_only: bool) -> None:
        self.lost = ""
        self._timestamps = timestamps
        self._intra_only = intra_only
        self._next = 0
        self._last: int | None = None
        self._waiting: list[tuple[av.VideoFrame, bool]] = []
        self._damage = ""
        self._damaged_stamp = -math.inf
        self._tainted = False
        self._ranks: dict[int, int] = {}
        self._shift = 0

    def place(
        self, packet: av.Packet[Any], found: list[av.VideoFrame], damage: str
    ) -> Iterator[PlacedFrame]:
        """Number the frames that came with a packet."""
        import av

        if self._intra_only:
            # Each packet is one frame, whatever happened to the others.
            if packet.size or found:
                frame = found[0] if found else None
                if frame is None or frame.is_corrupt:
                    damage = damage or _INCOMPLETE
                yield self._number(frame, damage)
            return
        if damage:
            self._note(packet.pts, damage)
        for frame in found:
            if frame.is_corrupt:
                self._note(frame.pts, damage or _INCOMPLETE)
            elif frame.key_frame and frame.pts is not None and frame.pts > self._damaged_stamp:
                self._tainted = False
            if frame.pict_type == av.video.frame.PictureType.B:
                # It is predicted from the next frame too, which may yet turn out to be damaged.
                self._waiting.append((frame, self._tainted))
                continue
            yield from self._release(frame.is_corrupt)
            yield from self._emit(frame, self._tainted)

    def finish(self) -> Iterator[PlacedFrame]:
        """Number the frames that are left at the end of the video."""
        yield from self._release(False)
        while self._damage and not self.lost and self._next < len(self._ranks) - self._shift:
            yield self._number(None, self._damage)

    def _release(self, tainted: bool) -> Iterator[PlacedFrame]:
        waiting, self._waiting = self._waiting, []
        for frame, own in waiting:
            yield from self._emit(frame, own or tainted)

    def _emit(self, frame: av.VideoFrame, tainted: bool) -> Iterator[PlacedFrame]:
        if self.lost:
            return
        if self._damage:
            # A frame may have been lost: the time stamp tells.
            number = -1 if frame.pts is None else self._ranks.get(frame.pts, -1) - self._shift
            if number < self._next:
                self.lost = (
                    f"frame {self._next} and later ones cannot be told apart, since a frame "
                    f"before them is damaged ({self._damage})"
                )
                return
            while self._next < number:
                yield self._number(None, self._damage)
        self._last = frame.pts
        yield self._number(frame, self._damage if tainted else "")

    def _number(self, frame: av.VideoFrame | None, damage: str) -> PlacedFrame:
        number, self._next = self._next, self._next + 1
        return number, frame, f"frame {number} is damaged: {damage}" if damage else ""

    def _note(self, stamp: int | None, damage: str) -> None:
        if not self._damage:
            # Only now: to list all time stamps is to read the file once more.
            self._ranks = {stamp: rank for rank, stamp in enumerate(self._timestamps())}
            if self._last is not None:
                self._shift = self._ranks.get(self._last, 0) - (self._next - 1)
        self._damage, self._tainted = damage, True
        self._damaged_stamp = max(self._damaged_stamp, math.inf if stamp is None else stamp)
