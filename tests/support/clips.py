"""Clips in the containers and codecs that people have, encoded by FFmpeg through PyAV."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from echo_train.prediction.clip import Chunk, Clip

CODECS = {
    "h264.mp4": ("libx264", "mp4", "yuv420p", {"g": "8"}),
    "h264.avi": ("libx264", "avi", "yuv420p", {"g": "8", "bf": "0"}),
    "mpeg4.avi": ("mpeg4", "avi", "yuv420p", {"g": "8", "qscale": "3"}),
    "mpeg4.mp4": ("mpeg4", "mp4", "yuv420p", {"g": "8", "bf": "2"}),
    "mjpeg.mov": ("mjpeg", "mov", "yuvj420p", {}),
    "ffv1.mkv": ("ffv1", "matroska", "gray", {"g": "1", "slicecrc": "1"}),
    "mpeg1.mpg": ("mpeg1video", "mpeg", "yuv420p", {"g": "8"}),
    "vp9.webm": ("libvpx-vp9", "webm", "yuv420p", {"g": "8"}),
    "gif.gif": ("gif", "gif", "gray", {}),
    "wmv.wmv": ("wmv2", "asf", "yuv420p", {"g": "8"}),
}
"""Encoder, muxer, pixel format and options of each kind of clip."""

INTRA_ONLY = ("mjpeg.mov", "ffv1.mkv")
"""Kinds whose frames do not depend on each other."""


def clip(
    kind: str, frames: Sequence[np.ndarray], times: Sequence[int] | None = None, rate: int = 50
) -> bytes:
    """Encode gray frames.

    Parameters
    ----------
    kind : str
        A key of `CODECS`.
    frames : sequence of ndarray, (height, width) uint8
    times : sequence of int, optional
        Time stamp of each frame in milliseconds; at a constant rate by default.
    rate : int
        Frames per second.
    """
    codec, muxer, pixel_format, options = CODECS[kind]
    content = io.BytesIO()
    with av.open(content, "w", format=muxer) as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = frames[0].shape
        stream.pix_fmt = pixel_format
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="gray").reformat(format=pixel_format)
            frame.pts = number if times is None else times[number]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return content.getvalue()


def packet_places(content: bytes) -> list[tuple[int, int]]:
    """Offset and size of each frame's packet, in order of storage."""
    with av.open(io.BytesIO(content)) as container:
        return [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]


def read_clip(path: Path, numbers: list[int] | None = None) -> tuple[Clip, Chunk]:
    """A clip, and all of its frames as one chunk."""
    clip = Clip(path, numbers and [range(number, number + 1) for number in numbers])
    chunks = list(clip.chunks())
    fields = [field.name for field in dataclasses.fields(Chunk)]
    parts = {name: np.concatenate([getattr(chunk, name) for chunk in chunks]) for name in fields}
    return clip, Chunk(**parts)


def dicom(path: Path, frames: np.ndarray, **elements: object) -> None:
    """Write frames, (frame, y, x) or (frame, y, x, 3), as an ultrasound multi-frame DICOM file.

    Elements replace those of an uncompressed file with a frame time of 20 ms and a patient.
    """
    import pydicom

    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = (
        pydicom.uid.UltrasoundMultiFrameImageStorage
    )
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    colour = frames.ndim == 4
    depth = 8 * frames.itemsize
    values = {
        "PatientName": "DOE^JANE",
        "PatientID": "4711-4711",
        "PatientBirthDate": "19700101",
        "Rows": frames.shape[1],
        "Columns": frames.shape[2],
        "NumberOfFrames": len(frames),
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "BitsAllocated": depth,
        "BitsStored": depth,
        "HighBit": depth - 1,
        "PixelRepresentation": 0,
        "FrameTime": "20",
        **({"PlanarConfiguration": 0} if colour else {}),
        "PixelData": frames.tobytes() + bytes(frames.nbytes % 2),
        **elements,
    }
    for name, value in values.items():
        setattr(dataset, name, value)
    dataset["PixelData"].VR = "OW" if depth == 16 else "OB"
    if (syntax := elements.get("syntax")) is not None:
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset["PixelData"].is_undefined_length = True
        del dataset.syntax
    dataset.save_as(path, enforce_file_format=True)
