"""The panels of a contact sheet: what each shows of a frame, and how it is drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from echo_common.errors import NotInStoreError
from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_common.store.schema import FALLOFFS, IDENTITIES, METHODS, LandmarkSet
from echo_prep.geometry.heatmaps import border_band
from echo_prep.geometry.polygons import polygons, whole_pixels
from echo_prep.geometry.settings import HeatmapSettings
from echo_prep.preview import contact_sheet as sheet
from echo_prep.preview.settings import PreviewSettings


@dataclasses.dataclass(frozen=True)
class Panel:
    """One kind of tile; its kind, one of `PANELS` of the settings, decides which fields it has."""

    kind: str
    label: str
    method: str = METHODS[0]
    array: str = ""
    band: HeatmapSettings = dataclasses.field(default_factory=HeatmapSettings)


def choose_panels(store: EchoStore, settings: PreviewSettings) -> list[Panel]:
    """Choose the panels that the settings request and the store has.

    Raises
    ------
    NotInStoreError
        If the store lacks a method, a landmark set or a falloff that is
        requested by name; the message gives the command that adds it.
    """
    methods = list(settings.method or store.methods())
    for method in methods:
        store.require_mask(method)
    sets = _choose_sets(store, settings, methods)
    choices = {
        "frame": [Panel("frame", "frame")],
        "tracing": [Panel("tracing", "tracing, long axis")],
        "mask": [
            Panel("mask", f"mask: {method}", method, schema.mask_path(method)) for method in methods
        ],
        "band": [
            Panel(
                "band",
                f"band: {method}, {size}x{size}, {times} times",
                method,
                schema.mask_path(method),
                HeatmapSettings(band_kernel=size, band_iterations=times),
            )
            for method in methods
            for size, times in _bands(store, method)
        ],
        "landmarks": [
            Panel(
                "landmarks",
                f"landmarks: {_describe(landmarks)}",
                landmarks.method,
                landmarks.points,
            )
            for landmarks in sets
        ],
        "heatmap": [
            Panel(
                "heatmap",
                f"{falloff}: {_describe(landmarks)}",
                landmarks.method,
                landmarks.heatmap(falloff),
            )
            for landmarks in sets
            for falloff in store.falloffs(landmarks)
            if falloff in (settings.falloff or FALLOFFS)
        ],
    }
    panels = [panel for kind in settings.panels for panel in choices[kind]]
    if not panels:
        raise NotInStoreError(
            f"{store.path} has nothing to show as {', '.join(settings.panels)}; echo-prep info "
            "lists what it contains"
        )
    return panels


def _describe(landmarks: LandmarkSet) -> str:
    return f"{landmarks.count} {landmarks.identity}, {landmarks.method}"


def _choose_sets(
    store: EchoStore, settings: PreviewSettings, methods: list[str]
) -> list[LandmarkSet]:
    chosen = [
        landmarks
        for landmarks in store.landmark_sets()
        if landmarks.method in methods
        and landmarks.identity in (settings.identity or IDENTITIES)
        and (settings.landmarks is None or landmarks.count in settings.landmarks)
    ]
    # A name that is requested and not in the store is an error, not an empty panel.
    missing = LandmarkSet(
        method=(methods or METHODS)[0],
        identity=(settings.identity or IDENTITIES)[0],
        count=(settings.landmarks or (7,))[0],
    )
    for identity in settings.identity or ():
        if not any(landmarks.identity == identity for landmarks in chosen):
            store.require_landmarks(dataclasses.replace(missing, identity=identity))
    for count in settings.landmarks or ():
        if not any(landmarks.count == count for landmarks in chosen):
            store.require_landmarks(dataclasses.replace(missing, count=count))
    for falloff in settings.falloff or ():
        if not any(falloff in store.falloffs(landmarks) for landmarks in chosen):
            store.require_landmarks([*chosen, missing][0], falloff)
    return chosen


def _bands(store: EchoStore, method: str) -> list[tuple[int, int]]:
    """Kernel and iterations of the bands of a method's heatmaps; the default if it has none."""
    height, width = store.shape(schema.FRAMES)[1:]
    shape = height, width
    parameters = [
        store.manifests[landmarks.heatmap(falloff)].parameters
        for landmarks in store.landmark_sets()
        if landmarks.method == method
        for falloff in store.falloffs(landmarks)
    ] or [dataclasses.asdict(HeatmapSettings().scaled(shape))]
    bands = ((values["band_kernel"], values["band_iterations"]) for values in parameters)
    return list(dict.fromkeys(bands))


def read_chosen(store: EchoStore, array: str, rows: np.ndarray) -> np.ndarray:
    """Read rows of an array, each chunk once.

    Parameters
    ----------
    array : str
        Path inside the store.
    rows : ndarray, (row,) int64
        In any order, with duplicates allowed.

    Returns
    -------
    content : ndarray, (row, ...)
    """
    found: dict[int, np.ndarray] = {}
    for number in np.unique(rows // store.chunk_rows):
        wanted = np.unique(rows[rows // store.chunk_rows == number])
        first = int(wanted[0])
        content = store.read_rows(array, first, int(wanted[-1]) + 1)
        # Copies, so that the rest of the chunk can be freed.
        found |= {int(row): content[row - first : row - first + 1].copy() for row in wanted}
    return np.concatenate([found[int(row)] for row in rows])


def draw_tiles(
    store: EchoStore, rows: np.ndarray, frames: np.ndarray, panel: Panel, scale: int
) -> Iterator[np.ndarray]:
    """Draw a panel of each row.

    Parameters
    ----------
    rows : ndarray, (row,) int64
    frames : ndarray, (row, height, width) uint8
        The frames of these rows.
    scale : int
        Pixels of a tile per pixel of a frame.

    Yields
    ------
    tile : ndarray, (height * scale, width * scale, 3) uint8
        Red, green, blue.
    """
    content = read_chosen(store, panel.array, rows) if panel.array else frames
    axes = read_chosen(store, schema.LONG_AXIS, rows)
    outlines = _outlines(store, rows, axes, panel)
    for frame, values, axis, outline in zip(frames, content, axes, outlines, strict=True):
        yield _draw_tile(panel, frame, values, axis, outline, scale)


def _draw_tile(
    panel: Panel,
    frame: np.ndarray,
    content: np.ndarray,
    axis: np.ndarray,
    outline: np.ndarray,
    scale: int,
) -> np.ndarray:
    if panel.kind == "frame":
        return sheet.enlarge(frame, scale)
    if panel.kind == "band":
        band = border_band(content, panel.band)
        return sheet.enlarge(sheet.tint(frame, band, sheet.BAND, 0.65), scale)
    if panel.kind == "heatmap":
        return sheet.enlarge(sheet.overlay_heat(frame, content.max(axis=0)), scale)
    if panel.kind == "mask":
        frame = sheet.tint(frame, content, sheet.MASK, 0.45)
    tile = sheet.enlarge(frame, scale)
    sheet.draw_line(tile, outline, scale, sheet.CONTOUR)
    if panel.kind == "tracing":
        sheet.draw_line(tile, axis, scale, sheet.AXIS, closed=False)
        sheet.draw_dots(tile, outline, scale, sheet.CONTOUR, 3)
        sheet.draw_dots(tile, axis, scale, sheet.AXIS, 3)
    if panel.kind == "landmarks":
        sheet.draw_numbers(tile, content, scale)
        sheet.draw_dots(tile, content, scale, sheet.LANDMARK, 4.5)
    return tile


def _outlines(
    store: EchoStore, rows: np.ndarray, axes: np.ndarray, panel: Panel
) -> list[np.ndarray]:
    """Polygon of the panel's method for each row, from coordinates as its array was made from."""
    contours = read_chosen(store, schema.CONTOUR, rows)
    if panel.array and store.manifests[panel.array].parameters.get("truncate", False):
        axes, contours = whole_pixels(axes), whole_pixels(contours)
    return polygons(axes, contours, panel.method)
