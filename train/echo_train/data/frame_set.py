"""Which of a store's targets a run uses, and what is known of each frame except its pixels.

Everything that handles frames by index uses a `FrameSet`; `echo_train.data.loader`
gives their pixels. A `FrameSet` needs less than half a kilobyte per frame.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from echo_common.errors import RunError, SettingsError
from echo_common.store import schema
from echo_common.store.manifest import table_digest
from echo_common.store.reader import EchoStore
from echo_train.data.settings import SelectionSettings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
    """The targets in a store that a run uses.

    Attributes
    ----------
    method : str
        Method of the masks.
    landmarks : LandmarkSet or None
        None if the target is the mask.
    falloff : str or None
        Falloff of the heatmaps.
    """

    method: str
    landmarks: schema.LandmarkSet | None = None
    falloff: str | None = None

    def __str__(self) -> str:
        if self.landmarks is None:
            return f"masks {self.method}"
        count, identity = self.landmarks.count, self.landmarks.identity
        return f"{count} {identity} landmarks, {self.falloff}, masks {self.method}"

    def array_keys(self, store: EchoStore) -> dict[str, str]:
        """Stage keys of the arrays that a run is trained on; they change if the data change."""
        return {name: store.manifests[name].key for name in self.arrays()}

    def content(self, store: EchoStore) -> dict[str, str]:
        """Digests of these arrays as stored, by the format of the store and the array.

        They differ if a store was built again from other videos with the same tracings.
        """
        kind = type(store.container).__name__
        return {
            f"{kind}/{name}": table_digest(
                {chunk: entry["sha256"] for chunk, entry in store.manifests[name].chunks.items()}
            )
            for name in self.arrays()
        }

    def arrays(self) -> list[str]:
        """Names of the arrays that a run is trained on."""
        names = [schema.FRAMES, schema.mask_path(self.method)]
        if self.landmarks is not None:
            names += [self.landmarks.points, self.landmarks.heatmap(str(self.falloff))]
        return names


def changed_content(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Arrays whose digests, from `Choice.content`, differ; those of other formats do not count."""
    return sorted(
        name.split("/", 1)[1] for name in before.keys() & now.keys() if before[name] != now[name]
    )


def data_set_of(attributes: Mapping[str, Any]) -> str:
    """The files that a store was made from, with their digests, for messages."""
    files = attributes.get("fingerprint") or {}
    return ", ".join(f"{name} {digest[:12]}" for name, digest in files.items()) or "unknown files"


def choose(store: EchoStore, settings: SelectionSettings) -> Choice:
    """Choose method, identity and falloff of a run.

    Unset options default to what the store contains. If it contains several, the
    first in the order of `echo_common.store.schema` is chosen.

    Raises
    ------
    NotInStoreError
        If the store lacks the target; the message contains the build command
        that adds it.
    """
    if settings.target == "mask":
        methods = [name for name in store.methods() if settings.method in (None, name)]
        if not methods:
            store.require_mask(settings.method or schema.METHODS[0])
        return Choice(method=methods[0])
    candidates = [
        Choice(method=landmarks.method, landmarks=landmarks, falloff=falloff)
        for landmarks in store.landmark_sets()
        if landmarks.count == settings.landmarks
        and settings.method in (None, landmarks.method)
        and settings.identity in (None, landmarks.identity)
        and landmarks.method in store.methods()
        for falloff in store.falloffs(landmarks)
        if settings.falloff in (None, falloff)
    ]
    if not candidates:
        # The error message is about the landmarks that settings and defaults name.
        method = settings.method or next(iter(store.methods()), schema.METHODS[0])
        landmarks = schema.LandmarkSet(
            method=method,
            identity=settings.identity or schema.IDENTITIES[0],
            count=settings.landmarks,
        )
        store.require_landmarks(landmarks, settings.falloff or schema.FALLOFFS[0])
        store.require_mask(method)
    return candidates[0]


def choice_of(settings: SelectionSettings, source: Path) -> Choice:
    """The masks or landmarks that a run was trained on, from its resolved settings.

    Raises
    ------
    RunError
        If the settings are not resolved, as those of every run are.
    """
    if settings.method is None or (settings.target == "landmarks" and settings.identity is None):
        raise RunError(
            f"{source} does not hold the settings of a run: method or identity is missing; restore "
            "it from a copy, or train again"
        )
    if settings.target == "mask":
        return Choice(method=settings.method)
    assert settings.identity is not None
    landmarks = schema.LandmarkSet(
        method=settings.method, identity=settings.identity, count=settings.landmarks
    )
    return Choice(method=settings.method, landmarks=landmarks, falloff=settings.falloff)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrameSet:
    """The readable frames of a store, without their pixels.

    Attributes
    ----------
    rows : ndarray, (frame,) int64
        Rows in the store, ascending.
    video : ndarray, (frame,) str
    number : ndarray, (frame,) int32
        Index of the frame in its video.
    phase, split : ndarray, (frame,) uint8
        Codes of `echo_common.store.schema.PHASES` and `SPLITS`.
    shape : tuple of int
        (height, width) of every frame, in pixels.
    points : ndarray, (frame, landmark, 2) float32, or None
        True landmarks, (x, y) in pixels; None if the target is the mask.
    long_axis : ndarray, (frame, 2, 2) float32
        Traced apex and middle of the mitral plane.
    contour : ndarray, (frame, point, 2) float32
        Traced contour; rows of NaN are padding.
    patient : ndarray, (frame,) str, or None
        Empty if unknown; None if the archive does not name patients.
    spacing : ndarray, (frame,) float32, or None
        Side of a pixel in mm, NaN if unknown; None if the archive does not tell.
    view : ndarray, (frame,) str, or None
        None if the archive does not name views.
    ef : ndarray, (frame,) float32
        Ejection fraction that the archive lists for the video, in per cent; NaN if unknown.
    """

    rows: np.ndarray
    video: np.ndarray
    number: np.ndarray
    phase: np.ndarray
    split: np.ndarray
    shape: tuple[int, int]
    long_axis: np.ndarray
    contour: np.ndarray
    ef: np.ndarray
    points: np.ndarray | None = None
    patient: np.ndarray | None = None
    spacing: np.ndarray | None = None
    view: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def groups(self) -> np.ndarray:
        """Names by which frames belong together: patients, or videos if unknown; (frame,) str."""
        if self.patient is None:
            return self.video
        return np.where(self.patient != "", self.patient, self.video)

    def indices(self, split: str) -> np.ndarray:
        """Indices of the frames in a split, in the order of the store."""
        return np.flatnonzero(self.split == schema.SPLITS.index(split))


def read_frame_set(store: EchoStore, choice: Choice) -> FrameSet:
    """Read the frame set of a store, without rows that could not be decoded.

    Raises
    ------
    StoreDamagedError
        If a chunk is missing or altered.
    SettingsError
        If a video or a patient has frames in two splits.
    """
    readable = np.flatnonzero(store.read(schema.STATUS) == 0)
    video, split = store.read("index/video")[readable], store.read("index/split")[readable]
    _check_splits("video", video, split)
    patient = _optional(store, "index/patient", readable)
    if patient is not None:
        known = patient != ""
        _check_splits("patient", patient[known], split[known])
    height, width = store.shape(schema.FRAMES)[1:]
    return FrameSet(
        rows=readable,
        video=video,
        number=store.read("index/frame")[readable],
        phase=store.read("index/phase")[readable],
        split=split,
        shape=(height, width),
        points=store.read(choice.landmarks.points)[readable] if choice.landmarks else None,
        long_axis=store.read(schema.LONG_AXIS)[readable],
        contour=store.read(schema.CONTOUR)[readable],
        ef=store.read("index/ef")[readable],
        patient=patient,
        spacing=_optional(store, "index/spacing", readable),
        view=_optional(store, "index/view", readable),
    )


def _optional(store: EchoStore, column: str, rows: np.ndarray) -> np.ndarray | None:
    return store.read(column)[rows] if column in store else None


def _check_splits(kind: str, names: np.ndarray, split: np.ndarray) -> None:
    # echo-prep gives each video one split. Other software might not, and a patient in training
    # and test makes test results too good.
    first: dict[str, int] = {}
    for name, code in zip(names.tolist(), split.tolist(), strict=True):
        if first.setdefault(name, code) != code:
            raise SettingsError(
                f"{kind} {name} has frames in the splits {schema.SPLITS[first[name]]} and "
                f"{schema.SPLITS[code]}; all frames of a {kind} must be in one split"
            )
