"""DICOM clips: gray values, times and calibration, against what was written."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from echo_common.video.content import VideoError
from echo_common.video.video_file import Video
from support.avi import jpeg
from support.clips import dicom
from support.datasets import frame_pattern

pydicom = pytest.importorskip("pydicom")

FRAMES = np.array([frame_pattern(1, number) for number in range(5)])


def decode(path: Path, wanted: list[int] | None = None) -> tuple[Video, np.ndarray]:
    with Video(path) as video:
        frames = list(video.frames(wanted))
    assert not any(frame.fault for frame in frames)
    return video, np.array([frame.pixels for frame in frames])


def test_gray_frames_and_their_times(tmp_path: Path) -> None:
    dicom(tmp_path / "a", FRAMES)
    video, found = decode(tmp_path / "a")
    np.testing.assert_array_equal(found, FRAMES)
    assert video.rate == pytest.approx(50) and video.shape == FRAMES.shape[1:]
    assert (video.spacing, video.region) == (None, None)
    with Video(tmp_path / "a") as video:
        times = [frame.seconds for frame in video.frames()]
    assert times == pytest.approx([0, 0.02, 0.04, 0.06, 0.08])
    _, few = decode(tmp_path / "a", [4, 1, 9])
    np.testing.assert_array_equal(few, FRAMES[[1, 4]])


def test_times_of_a_variable_rate_and_of_none(tmp_path: Path) -> None:
    dicom(tmp_path / "a", FRAMES, FrameTimeVector=[0, 10, 20, 40, 10])
    with Video(tmp_path / "a") as video:
        assert [frame.seconds for frame in video.frames()] == pytest.approx(
            [0, 0.01, 0.03, 0.07, 0.08]
        )
    dicom(tmp_path / "b", FRAMES, FrameTime=None)
    with Video(tmp_path / "b") as video:
        assert video.rate is None and next(video.frames()).seconds is None


def test_colour_palette_inverse_and_deep_frames(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (3, 20, 30, 3)).astype(np.uint8)
    gray = np.array([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in colours])
    dicom(tmp_path / "rgb", colours)
    np.testing.assert_array_equal(decode(tmp_path / "rgb")[1], gray)
    ybr = np.array([cv2.cvtColor(frame, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]] for frame in colours])
    dicom(tmp_path / "ybr", ybr, PhotometricInterpretation="YBR_FULL")
    found = decode(tmp_path / "ybr")[1]
    # Where colours are clipped, the luma changes.
    assert np.percentile(np.abs(found.astype(int) - ybr[..., 0]), 95) <= 2
    dicom(tmp_path / "inverse", FRAMES, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(decode(tmp_path / "inverse")[1], 255 - FRAMES)
    deep = FRAMES.astype(np.uint16) * 16 + 7
    dicom(tmp_path / "deep", deep, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(decode(tmp_path / "deep")[1], FRAMES)
    table = np.arange(256)[::-1].astype("<u2") * 257
    names = ("Red", "Green", "Blue")
    luts = {f"{name}PaletteColorLookupTableDescriptor": [256, 0, 16] for name in names}
    luts |= {f"{name}PaletteColorLookupTableData": table.tobytes() for name in names}
    dicom(tmp_path / "palette", FRAMES, PhotometricInterpretation="PALETTE COLOR", **luts)
    np.testing.assert_array_equal(decode(tmp_path / "palette")[1], 255 - FRAMES)


def test_compressed_frames_and_one_that_is_damaged(tmp_path: Path) -> None:
    content = [jpeg(frame, 98) for frame in FRAMES]
    options = {
        "syntax": pydicom.uid.JPEGBaseline8Bit,
        "SamplesPerPixel": 3,
        "PlanarConfiguration": 0,
        "PhotometricInterpretation": "YBR_FULL_422",
    }
    path = tmp_path / "jpeg"
    dicom(path, FRAMES, PixelData=pydicom.encaps.encapsulate(content), **options)
    found = decode(path)[1]
    assert np.abs(found.astype(int) - FRAMES).mean() < 1
    content[2] = b"\xff\xd8" + bytes(100)
    dicom(path, FRAMES, PixelData=pydicom.encaps.encapsulate(content), **options)
    with Video(path) as video:
        frames = list(video.frames())
    assert [bool(frame.fault) for frame in frames] == [False, False, True, False, False]
    assert frames[2].fault.startswith("frame 2 is damaged: ")
    np.testing.assert_array_equal(frames[3].pixels, found[3])


def region(**elements: object) -> object:
    item = pydicom.Dataset()
    values = {
        "RegionSpatialFormat": 1,
        "RegionLocationMinX0": 10,
        "RegionLocationMinY0": 5,
        "RegionLocationMaxX1": 99,
        "RegionLocationMaxY1": 104,
        "PhysicalUnitsXDirection": 3,
        "PhysicalUnitsYDirection": 3,
        "PhysicalDeltaX": 0.05,
        "PhysicalDeltaY": 0.05,
        **elements,
    }
    for name, value in values.items():
        setattr(item, name, value)
    return item


def test_the_calibration_is_that_of_the_two_dimensional_region(tmp_path: Path) -> None:
    regions = [region(RegionSpatialFormat=3, PhysicalDeltaX=9.0), region()]
    dicom(tmp_path / "a", FRAMES, SequenceOfUltrasoundRegions=pydicom.Sequence(regions))
    video, _ = decode(tmp_path / "a")
    assert video.region == (10, 5, 90, 100) and video.spacing == pytest.approx(0.5)
    for wrong in ({"PhysicalDeltaX": 0.08}, {"PhysicalUnitsXDirection": 4}):
        regions = [region(**wrong)]
        dicom(tmp_path / "b", FRAMES, SequenceOfUltrasoundRegions=pydicom.Sequence(regions))
        assert decode(tmp_path / "b")[0].spacing is None
    regions = [region(RegionLocationMaxX1=112)]
    dicom(tmp_path / "c", FRAMES, SequenceOfUltrasoundRegions=pydicom.Sequence(regions))
    assert decode(tmp_path / "c")[0].region is None
    dicom(tmp_path / "d", FRAMES, PixelSpacing=[0.3, 0.3])
    assert decode(tmp_path / "d")[0].spacing == pytest.approx(0.3)


def test_a_file_without_pictures_or_cut_short_is_told(tmp_path: Path) -> None:
    dicom(tmp_path / "a", FRAMES)
    content = (tmp_path / "a").read_bytes()
    (tmp_path / "cut").write_bytes(content[: len(content) - FRAMES[0].size - 10])
    with Video(tmp_path / "cut") as video:
        faults = [bool(frame.fault) for frame in video.frames()]
    assert any(faults)
    (tmp_path / "bad").write_bytes(bytes(128) + b"DICM" + bytes(20))
    with pytest.raises(VideoError, match="the DICOM file has no pictures, or is damaged"):
        Video(tmp_path / "bad")
