"""The files of results: arrays, contours and a table for each clip, and a table of all clips."""

from __future__ import annotations

import dataclasses
import gzip
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from echo_common.output_folder import OutputFolder
from echo_common.tables import csv_table, fixed
from echo_train.evaluation.measured_files import mask_png
from echo_train.prediction.clip import Clip
from echo_train.prediction.measurement import Measurement, headline
from echo_train.prediction.overlay import draw, save_overlay
from echo_train.prediction.picture import clip_png
from echo_train.prediction.sector import Sector
from echo_train.prediction.segment import PackedMasks, Segmentation
from echo_train.prediction.settings import PredictSettings

MEASURES = "measures.csv"
"""The table of all clips."""

COLUMNS = (
    "clip", "status", "reason", "beats", "ef", "ef_sd", "edv", "esv", "volume_unit", "fac",
    "strain", "heart_rate", "ed_frames", "es_frames",
)  # fmt: skip
"""Columns of `MEASURES`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipResult:
    """What was found in a clip.

    Attributes
    ----------
    name : str
        Of its files.
    sector : Sector or None
        What the model saw of each frame; None for all.
    note : str
        What has to be known of the model; mostly empty.
    """

    name: str
    clip: Clip
    sector: Sector | None
    found: Segmentation
    measured: Measurement
    note: str = ""

    def line(self, folder: Path) -> str:
        """Describe the result in a line."""
        found, clip = self.found, self.clip
        reasons, counts = np.unique(found.reasons[found.reasons != ""], return_counts=True)
        missed = "".join(
            f", {count} missed ({reason})" for reason, count in zip(reasons, counts, strict=True)
        )
        faults = f", {len(clip.faults)} faults" if clip.faults else ""
        return (
            f"{clip.path}: {headline(self.measured)}; {len(found.areas)} frames{faults}, area "
            f"{found.areas.min()} to {found.areas.max()} px{missed}, confidence "
            f"{np.median(found.confidence):.2f}; {folder / self.name}.csv"
        )

    def view(self, image: np.ndarray, frame: int, keep_text: bool) -> np.ndarray:
        """Draw what was found over a frame, (y, x) uint8; black outside the sector."""
        found, shift = self.found, np.zeros(2)
        if self.sector is not None and not keep_text:
            image, shift = self.sector.cut(image), np.array([self.sector.x, self.sector.y])
        seconds, phase = found.seconds[frame], phases(found, self.measured)[frame]
        parts = [
            f"frame {found.numbers[frame]}",
            "" if np.isnan(seconds) else f"{seconds:.2f} s",
            phase or ("not found" if found.reasons[frame] else ""),
        ]
        points = None if found.points is None else found.points[frame] - shift
        return draw(image, found.contours[frame] - shift, points, "  ".join(filter(None, parts)))


def claim_results(output: OutputFolder, name: str, settings: PredictSettings) -> None:
    """Raise an `OutputError` before a clip is segmented if its files may not be written."""
    suffixes = ["npz", "csv", "json", "png"]
    suffixes += ["mp4"] * settings.overlay + ["nii.gz"] * (settings.masks == "nifti")
    output.claim(*(f"{name}.{suffix}" for suffix in suffixes))


def write_results(output: OutputFolder, result: ClipResult, settings: PredictSettings) -> None:
    """Write all files of a clip.

    Raises
    ------
    OutputError
        If one of them may not be written.
    """
    name, found, keep_text = result.name, result.found, settings.keep_text
    with output.writer(f"{name}.npz") as path:
        save_arrays(path, found)
    output.write_text(f"{name}.csv", frame_table(found, result.measured))
    with output.writer(f"{name}.json") as path, path.open("w", encoding="utf-8") as file:
        file.writelines(contour_lines(name, found, result.note))
    output.write_bytes(f"{name}.png", _picture(result, keep_text))
    if settings.masks is not None:
        _write_masks(output, result, settings.masks)
    if settings.overlay:
        with output.writer(f"{name}.mp4") as path:
            save_overlay(path, _overlay_frames(result, keep_text))


def _overlay_frames(result: ClipResult, keep_text: bool) -> Iterator[tuple[float, np.ndarray]]:
    """Read the frames again, and draw what was found over them."""
    frame = 0
    for chunk in result.clip.chunks():
        for seconds, image in zip(chunk.seconds, chunk.images, strict=True):
            yield seconds, result.view(image, frame, keep_text)
            frame += 1


def _picture(result: ClipResult, keep_text: bool) -> bytes:
    """Plot the curves, and show the frames of the first beat, or the middle one if there is none.

    If the frames were cropped, the picture also shows where.
    """
    found, measured = result.found, result.measured
    chosen = [*measured.ed[:1], *measured.es[:1]] or [len(found.numbers) // 2]
    numbers = found.numbers[sorted(chosen)]
    clip = Clip(result.clip.path, [range(number, number + 1) for number in numbers.tolist()])
    images = np.concatenate([chunk.images for chunk in clip.chunks()])
    shown = {
        f"{phases(found, measured)[frame] or 'frame'} {found.numbers[frame]}": result.view(
            image, frame, keep_text
        )
        for frame, image in zip(sorted(chosen), images, strict=True)
    }
    if result.sector is not None:
        shown["cropped"] = result.sector.outline(images[0], keep_text)
    return clip_png(result.name, found, measured, shown, result.note)


def save_arrays(path: Path, found: Segmentation) -> None:
    """Write frame numbers, masks and points as NumPy's NPZ, one mask at a time."""
    arrays: dict[str, np.ndarray | PackedMasks] = {"frames": found.numbers, "masks": found.masks}
    if found.points is not None:
        arrays["points"] = found.points
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                if isinstance(array, np.ndarray):
                    np.lib.format.write_array(file, array, allow_pickle=False)
                    continue
                shape = (len(array), *array.shape)
                header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                for mask in array:
                    file.write(mask.tobytes())


def contour_lines(name: str, found: Segmentation, note: str = "") -> Iterator[str]:
    """Write the contours of a clip as JSON, one line a frame, after the note on the model.

    A frame has its number, its time in seconds, and the points of its closed contour, (x, y) in
    pixels with pixel centres at integers; no points if no ventricle was found.
    """
    noted = f'"note": {json.dumps(note)}, ' if note else ""
    yield f'{{"clip": {json.dumps(name)}, {noted}"unit": "px", "frames": [\n'
    last = len(found.numbers) - 1
    for frame, padded in enumerate(found.contours):
        contour = padded[~np.isnan(padded).any(axis=1)].astype(float).round(2).tolist()
        seconds = found.seconds[frame]
        content = {
            "frame": int(found.numbers[frame]),
            "seconds": None if np.isnan(seconds) else round(float(seconds), 4),
            "contour": contour,
        }
        yield json.dumps(content) + ("\n" if frame == last else ",\n")
    yield "]}\n"


def phases(found: Segmentation, measured: Measurement) -> list[str]:
    """``ED``, ``ES`` or nothing for each frame."""
    words = [""] * len(found.numbers)
    for frames, word in ((measured.ed, "ED"), (measured.es, "ES")):
        for frame in frames.tolist():
            words[frame] = word
    return words


def frame_table(found: Segmentation, measured: Measurement) -> str:
    """Write the measures and the landmarks of a clip as CSV, one row a frame.

    The area is inside the contour, which is finer than the pixels of the mask. Missed landmarks and
    unknown times are empty. If `found` is 0, `reason` says why.
    """
    count, points = len(found.numbers), found.points
    landmarks = 0 if points is None else points.shape[1]
    names = [f"{axis}{number}" for number in range(landmarks) for axis in "xy"]
    coordinates = np.empty((count, 0)) if points is None else points.reshape(count, -1)
    unit = "ml" if measured.volume_unit == "ml" else "px3"
    head = ["frame", "seconds", "phase", "found", "reason", "confidence", "area_px"]
    rows = [
        [
            found.numbers[frame],
            fixed(found.seconds[frame], 4),
            phase,
            int(not found.reasons[frame]),
            str(found.reasons[frame]),
            fixed(found.confidence[frame], 3),
            fixed(measured.curves["area"][frame], 2),
            fixed(measured.curves["volume"][frame], 2),
            *(fixed(value, 3) for value in coordinates[frame]),
        ]
        for frame, phase in enumerate(phases(found, measured))
    ]
    return csv_table([[*head, f"volume_{unit}", *names], *rows])


def measures_table(rows: Mapping[str, tuple[Measurement, np.ndarray]], note: str = "") -> str:
    """Write the measures of all clips as CSV, one row a clip.

    Parameters
    ----------
    rows : mapping of str to (Measurement, ndarray (frame,) int64)
        Measures of a clip and the numbers of its frames, by its name.
    note : str
        On the model; fills a last column `note`, unless it is empty.
    """
    table: list[list[object]] = [[*COLUMNS]]
    table += (_measures_row(name, *row) for name, row in rows.items())
    if note:
        table = [[*row, note if number else "note"] for number, row in enumerate(table)]
    return csv_table(table)


def _measures_row(name: str, measured: Measurement, numbers: np.ndarray) -> list[object]:
    return [
        name,
        measured.status,
        measured.reason,
        len(measured.ed),
        fixed(measured.ef, 1),
        fixed(measured.ef_sd, 1),
        fixed(measured.edv, 1),
        fixed(measured.esv, 1),
        measured.volume_unit if len(measured.ed) else "",
        fixed(measured.fac, 1),
        fixed(measured.strain, 1),
        fixed(measured.heart_rate, 1),
        " ".join(map(str, numbers[measured.ed])),
        " ".join(map(str, numbers[measured.es])),
    ]


def _write_nifti(path: Path, result: ClipResult) -> None:
    """Write all masks as one compressed NIfTI file with axes x, y and frame."""
    import nibabel

    found, spacing = result.found, result.clip.spacing or 1.0
    step = np.median(np.diff(found.seconds)) if len(found.numbers) > 1 else np.nan
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape((*found.masks.shape[::-1], len(found.masks)))
    header.set_zooms((spacing, spacing, 1.0 if np.isnan(step) or step <= 0 else float(step)))
    header.set_xyzt_units("mm" if result.clip.spacing else None)
    header.set_data_offset(header.single_vox_offset)
    with gzip.open(path, "wb", compresslevel=1) as file:
        header.write_to(file)
        # No extensions follow.
        file.write(bytes(header.single_vox_offset - file.tell()))
        for mask in found.masks:
            file.write(mask.tobytes())


def _write_masks(output: OutputFolder, result: ClipResult, format: str) -> None:
    name, found = result.name, result.found
    if format == "nifti":
        with output.writer(f"{name}.nii.gz") as path:
            _write_nifti(path, result)
        return
    for number, mask in zip(found.numbers.tolist(), found.masks, strict=True):
        output.write_bytes(f"{name}.mask-{number:05}.png", mask_png(mask))
