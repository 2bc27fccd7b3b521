"""What a run trains on: which of a store's targets, and what is known of each frame.

The pixels are not here: `echo_train.data.sources` holds them or reads them as they
are asked for. What a `FrameSet` keeps is a few bytes a frame, however large
the store is.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from echo_common.errors import SettingsError
from echo_common.store import schema
from echo_common.store.reader import EchoStore


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
    """Which of a store's targets a run uses.

    Attributes
    ----------
    method : str
        Whose masks are the truth.
    landmarks : LandmarkSet or None
        None where the target is the mask.
    falloff : str or None
    """

    method: str
    landmarks: schema.LandmarkSet | None = None
    falloff: str | None = None

    def __str__(self) -> str:
        if self.landmarks is None:
            return f"masks {self.method}"
        one = self.landmarks
        return f"{one.count} {one.identity} landmarks, {self.falloff}, masks {self.method}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrameSet:
    """The frames of a store that could be read, without their pixels.

    Attributes
    ----------
    rows : ndarray, (frame,) int64
        The row of the store, ascending.
    video : ndarray, (frame,) str
    number : ndarray, (frame,) int32
        The frame's index in its video.
    phase, split : ndarray, (frame,) uint8
        Codes of `echo_common.store.schema.PHASES` and `SPLITS`.
    shape : tuple of int
        (height, width) of every frame, in pixels.
    points : ndarray, (frame, landmark, 2) float32, or None
        True landmarks, (x, y) in pixels; None where the target is the mask.
    """

    rows: np.ndarray
    video: np.ndarray
    number: np.ndarray
    phase: np.ndarray
    split: np.ndarray
    shape: tuple[int, int]
    points: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def indices(self, split: str) -> np.ndarray:
        """Frames of a split, in the store's order."""
        return np.flatnonzero(self.split == schema.SPLITS.index(split))


def read_frame_set(store: EchoStore, choice: Choice) -> FrameSet:
    """Read what is known of a store's sound rows; no pixels.

    Raises
    ------
    StoreDamagedError
        If a chunk is missing or altered.
    SettingsError
        If a video's frames stand in two splits.
    """
    sound = np.flatnonzero(store.read(schema.STATUS) == 0)
    video, split = store.read("index/video")[sound], store.read("index/split")[sound]
    _check_splits(video, split)
    height, width = store.shape(schema.FRAMES)[1:]
    return FrameSet(
        rows=sound,
        video=video,
        number=store.read("index/frame")[sound],
        phase=store.read("index/phase")[sound],
        split=split,
        shape=(height, width),
        points=store.read(choice.landmarks.points)[sound] if choice.landmarks else None,
    )


def _check_splits(video: np.ndarray, split: np.ndarray) -> None:
    # The store's maker gives a video one split; a store from elsewhere might not, and a patient
    # on both sides makes every test figure too good.
    first: dict[str, int] = {}
    for name, code in zip(video.tolist(), split.tolist(), strict=True):
        if first.setdefault(name, code) != code:
            raise SettingsError(
                f"frames of video {name} stand in the splits {schema.SPLITS[first[name]]} and "
                f"{schema.SPLITS[code]}; a video belongs to one split"
            )
