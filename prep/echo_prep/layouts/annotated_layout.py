"""Layouts of archives of masks or polygons: a subclass only lists which files belong together.

Here the masks are read, and each becomes a trace with apex, mitral corners and
chords (`echo_prep.geometry.outlines`). Archives without splits get some, drawn
by patient.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from echo_common.errors import DataError, SettingsError
from echo_common.store.schema import SPLITS
from echo_prep.dataset.file_names import unsafe_name
from echo_prep.dataset.frame_source import RefusedError
from echo_prep.dataset.rejects import Reject
from echo_prep.dataset.types import Dataset, Trace, Video, in_frame_order
from echo_prep.layouts.annotated_frames import (
    UNDECIDED,
    AnnotatedFrame,
    AnnotatedSource,
    EmptyMaskError,
)
from echo_prep.layouts.layout import Layout, file_digest

HELD_OUT = 0.1
"""Share of the patients in each of validation and test, if the archive has no splits."""


class AnnotatedLayout(Layout):
    """A layout of masks or polygons; a subclass lists the frames."""

    options: ClassVar[Mapping[str, Any]] = {"view": None, "label": None}
    methods = ("annotated",)

    @abc.abstractmethod
    def frames(self, root: Path) -> tuple[list[AnnotatedFrame], list[Reject]]:
        """List the annotated frames of an archive in a fixed order, and what has to be left out.

        Raises
        ------
        DataNotFoundError, DataError
            If the archive as a whole cannot be read.
        """

    def annotations(self, root: Path) -> list[Path]:
        """The masks, or the files with the polygons; a subclass adds lists that it reads."""
        listed, _ = self.frames(root)
        names = dict.fromkeys(frame.mask or frame.where for frame in listed)
        return [root / name for name in names]

    def fingerprint(self, root: Path) -> dict[str, str]:
        """SHA-256 of the names and contents of all annotations together."""
        digest = hashlib.sha256()
        for path in self.annotations(root):
            try:
                content = file_digest(path)
            except OSError:
                # Rejected when it is read.
                content = ""
            digest.update(f"{path.relative_to(root)}\0{content}\n".encode())
        return {"annotations": digest.hexdigest()}

    def source(
        self, root: Path, options: Mapping[str, Any], archive: Path | None = None
    ) -> AnnotatedSource:
        """The frames and masks of an archive."""
        return AnnotatedSource(
            root, options.get("label"), archive, functools.partial(self.frames, root)
        )

    def read(self, root: Path, options: Mapping[str, Any]) -> Dataset:
        """Read all masks, and make a trace of each."""
        listed, rejects = self.frames(root)
        source = self.source(root, options)
        chosen = of_views(listed, options.get("view"), root)
        traced = len(chosen) + len(rejects)
        videos: dict[str, Video] = {}
        traces: dict[str, list[Trace]] = {}
        for frame in chosen:
            name = frame.video.name
            try:
                if reason := unsafe_name(name):
                    raise RefusedError(reason)
                trace, video = source.trace(frame)
                if name in videos and (videos[name].shape, videos[name].spacing) != (
                    video.shape,
                    video.spacing,
                ):
                    raise DataError("the masks of the video have several sizes")
            except (DataError, OSError) as error:
                if isinstance(error, SettingsError):
                    raise
                where = frame.where or frame.mask
                rejects.append(Reject(name, frame.frame, where, _reason(error), str(error)))
                continue
            videos[name] = video
            traces.setdefault(name, []).append(trace)
        return Dataset(
            root=root,
            videos=tuple(_with_splits(videos.values())),
            traces=in_frame_order(traces),
            rejects=tuple(rejects),
            traced=traced,
            notes={},
            fingerprint=self.fingerprint(root),
        )


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "missing"
    if isinstance(error, RefusedError):
        return "refused"
    return "degenerate" if isinstance(error, EmptyMaskError) else "mask"


def of_views(
    frames: Sequence[AnnotatedFrame], views: Sequence[str] | None, root: Path
) -> list[AnnotatedFrame]:
    """Frames of some views; all if None."""
    if views is None:
        return list(frames)
    known = dict.fromkeys(frame.video.view for frame in frames)
    missing = [view for view in views if view not in known]
    if missing:
        has = ", ".join(filter(None, known)) or "no views"
        raise SettingsError(f"{root} has no view {', '.join(missing)}; it has {has}")
    return [frame for frame in frames if frame.video.view in views]


def _with_splits(videos: Iterable[Video]) -> list[Video]:
    """Draw the splits of an archive without: by patient, and by video if the patient is unknown."""
    videos = list(videos)
    open_ones = [video for video in videos if video.split == UNDECIDED]
    groups = dict.fromkeys(video.patient or video.name for video in open_ones)
    # By digest, so that the draw depends on the names alone.
    drawn = sorted(groups, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    held_out = max(1, round(HELD_OUT * len(drawn))) if len(drawn) >= 3 else 0
    test, val = set(drawn[:held_out]), set(drawn[held_out : 2 * held_out])

    def split(video: Video) -> int:
        group = video.patient or video.name
        return SPLITS.index("TEST" if group in test else "VAL" if group in val else "TRAIN")

    return [
        dataclasses.replace(video, split=split(video)) if video.split == UNDECIDED else video
        for video in videos
    ]
