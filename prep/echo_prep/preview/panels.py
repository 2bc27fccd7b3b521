"""The tiles of a contact sheet: what each shows of a frame and how it is drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from echo_common.cli.settings import setting
from echo_common.errors import NotInStoreError
from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_common.store.schema import FALLOFFS, IDENTITIES, METHODS, LandmarkSet
from echo_prep.geometry.heatmaps import HeatmapSettings, border_band
from echo_prep.geometry.polygons import polygons, whole_pixels
from echo_prep.preview import contact_sheet

PANELS = ("frame", "tracing", "mask", "band", "landmarks", "heatmap")
"""What can be shown of a frame."""

FRAMES = 8
"""How many frames are shown where nothing is said of it."""

TILE = 336
"""About how many pixels wide a tile is where no scale is asked for."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreviewSettings:
    """What to show of a store, and how.

    Attributes
    ----------
    out : Path
    rows : tuple of int or None
    videos : tuple of str or None
    count : int
        Number of frames, evenly spread over those usable, where neither rows
        nor videos are named; 0 for `FRAMES`, or fewer where each has so many
        panels that the sheet would be too large.
    panels : tuple of str
        Of `PANELS`, in the order in which they are shown.
    method, identity, falloff : tuple of str or None
    landmarks : tuple of int or None
        None for all that the store holds.
    columns : int
        Tiles side by side.
    scale : int
        Pixels of the sheet a pixel of a frame; 0 for tiles of about `TILE`.
    """

    out: Path = setting(Path("preview.png"), "The PNG file to write.")
    rows: tuple[int, ...] | None = setting(None, "Rows to show; several with commas.", minimum=0)
    videos: tuple[str, ...] | None = setting(None, "Videos to show; several with commas.")
    count: int = setting(
        0,
        f"Frames to show where none are named, evenly spread; 0 for {FRAMES}, or as many as fit.",
        minimum=0,
    )
    panels: tuple[str, ...] = setting(
        PANELS, "What to show of each frame; several with commas.", choices=PANELS
    )
    method: tuple[str, ...] | None = setting(
        None, "Only these methods; by default all that the store holds.", choices=METHODS
    )
    identity: tuple[str, ...] | None = setting(
        None, "Only landmarks that are chosen so.", choices=IDENTITIES
    )
    landmarks: tuple[int, ...] | None = setting(
        None, "Only sets of so many landmarks.", minimum=3, maximum=42
    )
    falloff: tuple[str, ...] | None = setting(None, "Only heatmaps that fade so.", choices=FALLOFFS)
    columns: int = setting(6, "Tiles side by side.", minimum=1, maximum=64)
    scale: int = setting(
        0,
        f"Pixels a pixel of a frame; 0 for tiles about {TILE} wide.",
        minimum=0,
        maximum=16,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Panel:
    """One kind of tile; which fields it has follows from its kind, one of `PANELS`."""

    kind: str
    method: str = ""
    landmarks: LandmarkSet | None = None
    falloff: str = ""
    band: HeatmapSettings = dataclasses.field(default_factory=HeatmapSettings)

    @property
    def label(self) -> str:
        """What stands above the tile."""
        if self.kind == "frame":
            return "frame"
        if self.kind == "tracing":
            return "tracing, long axis"
        if self.kind == "band":
            size, times = self.band.band_kernel, self.band.band_iterations
            return f"band: {self.method}, {size}x{size}, {times} times"
        if self.landmarks is None:
            return f"{self.kind}: {self.method}"
        one = self.landmarks
        return f"{self.falloff or 'landmarks'}: {one.count} {one.identity}, {one.method}"


def choose_panels(store: EchoStore, settings: PreviewSettings) -> list[Panel]:
    """Choose the tiles of each frame, by what the settings ask for and the store holds.

    Raises
    ------
    NotInStoreError
        If the store lacks a method, a landmark set or a falloff that is asked
        for; the message is the command that adds it.
    """
    methods = list(settings.method or store.methods())
    for method in methods:
        store.require_mask(method)
    sets = _choose_sets(store, settings, methods)
    panels = []
    for kind in settings.panels:
        if kind in ("frame", "tracing"):
            panels.append(Panel(kind=kind))
        elif kind == "mask":
            panels += [Panel(kind=kind, method=method) for method in methods]
        elif kind == "band":
            panels += [
                Panel(kind=kind, method=method, band=band)
                for method in methods
                for band in _bands(store, method)
            ]
        elif kind == "landmarks":
            panels += [Panel(kind=kind, method=one.method, landmarks=one) for one in sets]
        else:
            panels += [
                Panel(kind=kind, method=one.method, landmarks=one, falloff=falloff)
                for one in sets
                for falloff in store.falloffs(one)
                if settings.falloff is None or falloff in settings.falloff
            ]
    if not panels:
        raise NotInStoreError(
            f"{store.path} has nothing to show as {', '.join(settings.panels)}; echo-prep info "
            "lists what it holds"
        )
    return panels


def _choose_sets(
    store: EchoStore, settings: PreviewSettings, methods: list[str]
) -> list[LandmarkSet]:
    chosen = [
        one
        for one in store.landmark_sets()
        if one.method in methods
        and one.identity in (settings.identity or IDENTITIES)
        and (settings.landmarks is None or one.count in settings.landmarks)
    ]
    # What is asked for by name and is not there is an error, not an empty place.
    wanted = LandmarkSet(
        method=(methods or METHODS)[0],
        identity=(settings.identity or IDENTITIES)[0],
        count=(settings.landmarks or (7,))[0],
    )
    for identity in settings.identity or ():
        if not any(one.identity == identity for one in chosen):
            store.require_landmarks(dataclasses.replace(wanted, identity=identity))
    for count in settings.landmarks or ():
        if not any(one.count == count for one in chosen):
            store.require_landmarks(dataclasses.replace(wanted, count=count))
    for falloff in settings.falloff or ():
        if not any(falloff in store.falloffs(one) for one in chosen):
            store.require_landmarks([*chosen, wanted][0], falloff)
    return chosen


def _bands(store: EchoStore, method: str) -> list[HeatmapSettings]:
    """Each band that heatmaps of a method were cut to; the default where it has none."""
    found: dict[tuple[int, int], HeatmapSettings] = {}
    for one in store.landmark_sets():
        for falloff in store.falloffs(one) if one.method == method else ():
            made = store.manifests[one.heatmap(falloff)].parameters
            size, times = made["band_kernel"], made["band_iterations"]
            found[size, times] = HeatmapSettings(band_kernel=size, band_iterations=times)
    return list(found.values()) or [HeatmapSettings()]


def read_chosen(store: EchoStore, array: str, rows: np.ndarray) -> np.ndarray:
    """Read some rows of an array, each chunk once.

    Parameters
    ----------
    store : EchoStore
    array : str
        Path inside the store.
    rows : ndarray, (row,) int64
        In any order, doubles allowed.

    Returns
    -------
    content : ndarray, (row, ...)
    """
    found: dict[int, np.ndarray] = {}
    for number in np.unique(rows // store.chunk_rows):
        wanted = np.unique(rows[rows // store.chunk_rows == number])
        first = int(wanted[0])
        content = store.read_rows(array, first, int(wanted[-1]) + 1)
        # Copies, so that the rest of the chunk is let go of.
        found |= {int(row): content[row - first : row - first + 1].copy() for row in wanted}
    return np.concatenate([found[int(row)] for row in rows])


def draw_tiles(
    store: EchoStore, rows: np.ndarray, frames: np.ndarray, panel: Panel, scale: int
) -> Iterator[np.ndarray]:
    """Draw one panel of each row, a tile at a time.

    Parameters
    ----------
    store : EchoStore
    rows : ndarray, (row,) int64
    frames : ndarray, (row, height, width) uint8
        The frames of these rows.
    panel : Panel
    scale : int
        Pixels of a tile a pixel of a frame.

    Yields
    ------
    tile : ndarray, (height * scale, width * scale, 3) uint8
        Red, green, blue.
    """
    if panel.kind == "frame":
        yield from (contact_sheet.enlarge(frame, scale) for frame in frames)
    elif panel.kind == "band":
        masks = read_chosen(store, schema.mask_path(panel.method), rows)
        for frame, mask in zip(frames, masks, strict=True):
            region = border_band(mask, panel.band)
            yield contact_sheet.enlarge(
                contact_sheet.tint(frame, region, contact_sheet.BAND, 0.65), scale
            )
    elif panel.kind == "mask":
        masks = read_chosen(store, schema.mask_path(panel.method), rows)
        borders = _borders(store, rows, panel.method, schema.mask_path(panel.method))
        for frame, mask, border in zip(frames, masks, borders, strict=True):
            tile = contact_sheet.enlarge(
                contact_sheet.tint(frame, mask, contact_sheet.MASK, 0.45), scale
            )
            contact_sheet.draw_line(tile, border, scale, contact_sheet.CONTOUR)
            yield tile
    elif panel.kind == "tracing":
        axes = read_chosen(store, schema.LONG_AXIS, rows)
        borders = _borders(store, rows, METHODS[0], None)
        for frame, axis, border in zip(frames, axes, borders, strict=True):
            tile = contact_sheet.enlarge(frame, scale)
            contact_sheet.draw_line(tile, border, scale, contact_sheet.CONTOUR)
            contact_sheet.draw_line(tile, axis, scale, contact_sheet.AXIS, closed=False)
            contact_sheet.draw_dots(tile, border, scale, contact_sheet.CONTOUR, 3)
            contact_sheet.draw_dots(tile, axis, scale, contact_sheet.AXIS, 3)
            yield tile
    elif panel.landmarks is not None and panel.falloff:
        heatmaps = read_chosen(store, panel.landmarks.heatmap(panel.falloff), rows)
        for frame, heats in zip(frames, heatmaps, strict=True):
            yield contact_sheet.enlarge(contact_sheet.overlay_heat(frame, heats.max(axis=0)), scale)
    elif panel.landmarks is not None:
        points = read_chosen(store, panel.landmarks.points, rows)
        borders = _borders(store, rows, panel.method, panel.landmarks.points)
        for frame, landmarks, border in zip(frames, points, borders, strict=True):
            tile = contact_sheet.enlarge(frame, scale)
            contact_sheet.draw_line(tile, border, scale, contact_sheet.CONTOUR)
            contact_sheet.draw_numbers(tile, landmarks, scale)
            contact_sheet.draw_dots(tile, landmarks, scale, contact_sheet.LANDMARK, 4.5)
            yield tile


def _borders(store: EchoStore, rows: np.ndarray, method: str, made: str | None) -> list[np.ndarray]:
    """Polygon of a method for each row, of coordinates cut as they were for an array."""
    axes = read_chosen(store, schema.LONG_AXIS, rows)
    contours = read_chosen(store, schema.CONTOUR, rows)
    if made is not None and store.manifests[made].parameters.get("truncate", False):
        axes, contours = whole_pixels(axes), whole_pixels(contours)
    return polygons(axes, contours, method)
