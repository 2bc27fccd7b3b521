"""Reading a video as EchoNet-Dynamic's loader does; imports nothing of this project."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def decode_all(path: Path) -> np.ndarray:
    """Decode every frame of a video, as EchoNet-Dynamic's loader does for each sample.

    Returns
    -------
    video : ndarray, (frame, y, x, channel) uint8
        RGB.
    """
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
    height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    video = np.zeros((count, height, width, 3), dtype=np.uint8)
    for number in range(count):
        success, frame = capture.read()
        if not success:
            raise RuntimeError(f"{path} ends before frame {number}")
        video[number] = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    capture.release()
    return video
