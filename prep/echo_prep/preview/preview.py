"""A contact sheet of a store's frames with their masks and landmarks, for `echo-prep preview`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from echo_common.cli.command import describe_os_error
from echo_common.errors import EchoError, NotInStoreError, SettingsError, StoreError
from echo_common.outputs import check_replaceable, has_mark, refuse_inputs, replace_file
from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_prep.preview.contact_sheet import MAX_PIXELS, PNG_MARK, Layout, encode_png
from echo_prep.preview.panels import (
    choose_panels,
    draw_tiles,
    read_chosen,
)
from echo_prep.preview.settings import FRAMES, TILE, PreviewSettings


def preview(path: Path, settings: PreviewSettings) -> tuple[int, int]:
    """Write a contact sheet of a store.

    Returns
    -------
    frames, panels : int
        Number of frames on the sheet, and of tiles of each.

    Raises
    ------
    SettingsError
        If the settings contradict each other, or the sheet would be too large.
    NotInStoreError
        If the store lacks a row, a video, or anything else that is requested.
    StoreNotFoundError, StoreDamagedError, StoreError
        If the store cannot be read, or the file cannot be written.
    OutputError
        If the file that is there is not a contact sheet, and `force` is not set.
    """
    _check_out(path, settings)
    store = EchoStore(path)
    try:
        panels = choose_panels(store, settings)
        height, width = store.shape(schema.FRAMES)[1:]
        scale = settings.scale or max(1, round(TILE / width))
        layout = Layout(len(panels), (height * scale, width * scale), settings.columns)
        fitting = next((count for count in range(FRAMES, 1, -1) if layout.fits(count)), 1)
        rows = choose_rows(store, settings, settings.count or fitting)
        _check_size(layout, len(rows))
        frames = read_chosen(store, schema.FRAMES, rows)
        labels = [panel.label for panel in panels]
        columns = [draw_tiles(store, rows, frames, panel, scale) for panel in panels]
        blocks = [
            layout.block(heading, labels, tiles)
            for heading, *tiles in zip(_headings(store, rows), *columns, strict=True)
        ]
    finally:
        store.container.close()
    _write(settings, encode_png(layout.sheet(blocks)))
    return len(rows), len(panels)


def choose_rows(store: EchoStore, settings: PreviewSettings, count: int) -> np.ndarray:
    """Choose the rows to show, (row,) int64: those named, or `count` evenly spread.

    Raises
    ------
    SettingsError
        If both rows and videos are named.
    NotInStoreError
        If the store has no such row or video, or no frame of it could be read.
    """
    status = store.read(schema.STATUS)
    usable = np.flatnonzero(status == 0)
    if settings.rows is not None and settings.videos is not None:
        raise SettingsError("--rows and --videos contradict each other: give one of them")
    if settings.rows is not None:
        for row in settings.rows:
            if row >= store.rows:
                raise NotInStoreError(
                    f"{store.path} has no row {row}; its rows are 0 to {store.rows - 1}"
                )
            if status[row] != 0:
                raise NotInStoreError(
                    f"row {row} of {store.path} has no frame: the status of its video is "
                    f"{schema.STATUSES[status[row]]!r}; choose another row"
                )
        return np.array(settings.rows, dtype=np.int64)
    if settings.videos is not None:
        names = store.read("index/video")
        found = [usable[names[usable] == video] for video in settings.videos]
        for video, own in zip(settings.videos, found, strict=True):
            if not len(own):
                raise NotInStoreError(
                    f"{store.path} has no usable frame of the video {video!r}; its first video is "
                    f"{str(names[0]) if len(names) else 'none'!r}, and those left out are listed "
                    f"in {store.path}.rejects.csv"
                )
        return np.concatenate(found)
    if not len(usable):
        raise NotInStoreError(
            f"{store.path} has no usable frame; echo-prep info lists why each was left out"
        )
    shown = min(count, len(usable))
    return usable[np.linspace(0, len(usable) - 1, shown).round().astype(int)]


def _headings(store: EchoStore, rows: np.ndarray) -> list[str]:
    columns = [
        read_chosen(store, f"index/{name}", rows) for name in ("video", "frame", "phase", "split")
    ]
    return [
        f"row {row}   {video}   frame {frame}   {schema.PHASES[phase]}   {schema.SPLITS[split]}"
        for row, video, frame, phase, split in zip(rows, *columns, strict=True)
    ]


def _check_size(layout: Layout, frames: int) -> None:
    if not layout.fits(frames):
        (height, width), tile = layout.size(frames), layout.tile
        raise SettingsError(
            f"the sheet would have {width}x{height} pixels, and {MAX_PIXELS / 1e6:.0f} megapixels "
            f"are the limit: {frames} frames of {layout.panels} panels of {tile[1]}x{tile[0]} "
            "pixels; show fewer frames or panels, or use a smaller --scale"
        )


def _check_out(store: Path, settings: PreviewSettings) -> None:
    out = settings.out
    if out.suffix.lower() != ".png":
        raise SettingsError(f"--out {out} is not the name of a PNG file: give one ending in .png")
    if Path(os.path.realpath(store)) in Path(os.path.realpath(out)).parents:
        raise SettingsError(f"--out {out} is inside the store {store}; write it somewhere else")
    refuse_inputs(out, [store])
    if out.parent.exists() and not out.parent.is_dir():
        raise StoreError(f"{out} cannot be written: it is below a file")
    check_replaceable(out, force=settings.force, is_own=lambda path: has_mark(path, PNG_MARK))


def _write(settings: PreviewSettings, content: bytes) -> None:
    try:
        replace_file(settings.out, content, mark=PNG_MARK, force=settings.force)
    except OSError as error:
        if isinstance(error, EchoError):
            raise
        reason = describe_os_error(error)
        raise StoreError(f"{settings.out} was not written: {reason}") from error
