"""The files of a clip's results: the arrays in NAME.npz and the table NAME.csv."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from echo_common.tables import csv_table, fixed
from echo_train.prediction.segment import PackedMasks, Segmentation


def save_arrays(path: Path, found: Segmentation) -> None:
    """Write frame numbers, masks and points as NumPy's NPZ, one mask at a time."""
    arrays: dict[str, np.ndarray | PackedMasks] = {"frames": found.numbers, "masks": found.masks}
    if found.points is not None:
        arrays["points"] = found.points
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        _write_members(archive, arrays)


def frame_table(found: Segmentation) -> str:
    """Write the area of the ventricle and the landmarks as CSV, one row a frame.

    Missed landmarks and unknown times are empty. If `found` is 0, `reason` says why.
    """
    points = found.points
    landmarks = 0 if points is None else points.shape[1]
    columns = [f"{axis}{number}" for number in range(landmarks) for axis in "xy"]
    coordinates = (
        np.empty((len(found.numbers), 0)) if points is None else points.reshape(len(points), -1)
    )
    rows = [
        [
            number,
            fixed(seconds, 4),
            area,
            *(fixed(value, 3) for value in position),
            int(not reason),
            reason,
        ]
        for number, seconds, area, position, reason in zip(
            found.numbers.tolist(),
            found.seconds,
            found.areas.tolist(),
            coordinates,
            found.reasons.tolist(),
            strict=True,
        )
    ]
    return csv_table([["frame", "seconds", "area_px", *columns, "found", "reason"], *rows])


def _write_members(
    archive: zipfile.ZipFile, arrays: Mapping[str, np.ndarray | PackedMasks]
) -> None:
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
