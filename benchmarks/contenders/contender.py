"""What a contender of `benchmarks/peers.py` offers, and the phases in which it is measured.

Each contender is a module that runs in an environment of its own, one phase per process, and
writes what it measured to a JSON file:

    PYTHONPATH=benchmarks:train python -m contenders.nnunet load --work DIR --out FILE

prepare   From files to what the loader reads, for masks of one method.
load      CPU seconds to the first batch, and frames per CPU second.
train     Dice of the validation and the test frames after each pass over the training frames.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 16
"""Frames per batch, of every contender."""

WIDTH = 16
"""Channels of the first level of every network that is not planned by its library."""

ROUNDS = 3
"""Passes over the training frames of which the fastest counts."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Frame:
    """A traced frame of the data set; `contour` is (point, 2), (x, y) in pixels."""

    name: str
    split: str
    video: str
    number: int
    contour: list[list[float]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Epoch:
    """CPU seconds of training until the end of a pass, and the mean Dice at that moment."""

    cpu: float
    val: float
    test: float


class Contender(ABC):
    """One way from files to a trained network.

    Parameters
    ----------
    work : Path
        Folder of the comparison, written by `benchmarks/peers.py`: ``data``, a data set in
        EchoNet-Dynamic's format; ``files``, images and masks as PNG; ``frames.json``.
    variant : str
        Which of several ways of one library.
    """

    def __init__(self, work: Path, variant: str) -> None:
        self.work, self.variant = work, variant

    def frames(self, split: str) -> list[Frame]:
        """Frames of a split, in order."""
        frames = [Frame(**frame) for frame in json.loads((self.work / "frames.json").read_text())]
        return [frame for frame in frames if frame.split == split]

    def png(self, kind: str, frame: Frame) -> Path:
        """PNG file of a frame: its image (``images``), or its mask by a method."""
        return self.work / "files" / kind / f"{frame.name}.png"

    def prepare(self, method: str) -> None:  # noqa: B027
        """Make what the loader reads; by default there is nothing to make."""

    @abstractmethod
    def loader(self, augment: bool) -> Iterable[tuple[Any, Any]]:
        """Open the training frames; each iteration is one pass of batches of images and masks."""

    @abstractmethod
    def train(self, epochs: int) -> Iterator[Epoch]:
        """Train for a number of passes, with a learning rate scheduled for that number."""


class Clock:
    """CPU seconds, without those of measurements of the test frames."""

    def __init__(self) -> None:
        self.started = time.process_time()

    def __call__(self) -> float:
        """CPU seconds so far."""
        return time.process_time() - self.started

    def without(self, measure: Callable[[], float]) -> float:
        """Call a function whose time does not count."""
        before = time.process_time()
        result = measure()
        self.started += time.process_time() - before
        return result


def dice(found: np.ndarray, true: np.ndarray) -> list[float]:
    """Foreground Dice of each frame, from boolean masks (frame, y, x)."""
    total = found.sum((1, 2)) + true.sum((1, 2))
    return list(2 * (found & true).sum((1, 2)) / np.maximum(total, 1))


def measure_loading(contender: Contender) -> dict[str, float]:
    """Measure the loader of a process that has done nothing else."""
    for _ in contender.loader(augment=False):
        break
    result = {"first_batch": time.process_time()}
    for name, augment in (("plain", False), ("augmented", True)):
        loader = contender.loader(augment)
        rates = []
        for _ in range(ROUNDS):
            started = time.process_time()
            frames = sum(len(images) for images, _ in loader)
            rates.append(frames / (time.process_time() - started))
        result[name] = max(rates)
    return result


def measure_training(contender: Contender, epochs: int | None, seconds: float) -> dict[str, Any]:
    """Train for a number of passes, or for as many as take a number of CPU seconds.

    A first training of one pass measures how many these are.
    """
    if epochs is None:
        (first,) = contender.train(1)
        epochs = max(1, round(seconds / first.cpu))
        if epochs == 1:
            return {"epochs": [dataclasses.asdict(first)]}
    return {"epochs": [dataclasses.asdict(epoch) for epoch in contender.train(epochs)]}


def main(contender_class: type[Contender]) -> None:
    """Measure one phase of a contender."""
    parser = argparse.ArgumentParser()
    parser.add_argument("phase", choices=("prepare", "load", "train"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--variant", default="")
    parser.add_argument("--method", default="chords")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    contender = contender_class(options.work, options.variant)
    result: dict[str, Any] = {}
    if options.phase == "prepare":
        contender.prepare(options.method)
    else:
        import torch

        torch.set_num_threads(1)
        torch.manual_seed(options.seed)
        np.random.seed(options.seed)  # noqa: NPY002 (nnU-Net draws from it)
        if options.phase == "load":
            result = measure_loading(contender)
        else:
            result = measure_training(contender, options.epochs, options.seconds)
    options.out.write_text(json.dumps(result))
