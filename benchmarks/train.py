"""How fast training is fed, and how much of a device it uses; prints a table.

    echo-prep synth data/bench --videos 64
    python benchmarks/train.py --data data/bench

Measures, each with the code that `echo-train` runs:

load    reading a store of 20,048 frames with 7 heatmaps into memory
batch   what a batch costs, against the step that it feeds
stream  frames/s of `--loader stream` with masks, in a buffer smaller than the store
epoch   training against the same network fed as EchoNet-Dynamic's own loader feeds it: the whole
        video decoded and the polygon drawn by skimage for each sample, in worker processes
landmarks   the end of a landmark epoch, from decoded landmarks to counted masks: all frames at once
        and frame by frame, on one core
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import cv2
import joblib
import numpy as np
import skimage.draw
import torch
from helpers import describe_machine, print_row, repeat_dataset
from scipy.interpolate import CubicSpline
from torch.utils.data import DataLoader, Dataset

from echo_common.cli.settings import replace
from echo_common.geometry.contours import SPLINE_POINTS
from echo_common.geometry.raster import rasterise
from echo_common.store.reader import EchoStore
from echo_common.store.schema import SPLITS
from echo_prep.build.build import build
from echo_prep.dataset.echonet_dynamic import TRACINGS, read_dataset
from echo_prep.settings import BuildSettings
from echo_train.data.frame_set import choose
from echo_train.data.loader import Loader, make_loader
from echo_train.data.settings import HEATMAPS
from echo_train.landmarks.shape_prior import IMPLAUSIBLE, MEASUREMENT, ShapePrior
from echo_train.metrics.overlap import MaskCounts, packed_counts
from echo_train.networks.unet import UNet
from echo_train.runtime import device as devices
from echo_train.targets.factory import make_target
from echo_train.targets.landmarks import LandmarkTarget
from echo_train.training.optimiser import make_optimiser
from echo_train.training.settings import TrainSettings
from echo_train.transforms.batch import Batch
from echo_train.transforms.settings import AUGMENTS

FRAMES = 20_048
"""Frames of EchoNet-Dynamic with a sound trace."""

PARTS = ("load", "batch", "stream", "epoch", "landmarks")


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--work", type=click.Path(path_type=Path), default=Path("cache/benchmark"))
@click.option("--only", default=",".join(PARTS), help="Parts, with commas.", show_default=True)
@click.option("--device", "device_name", default="auto", show_default=True)
@click.option("--width", default=64, show_default=True)
@click.option("--batch-size", default=16, show_default=True)
@click.option("--steps", default=5, help="Steps of a timing.", show_default=True)
@click.option("--samples", default=256, help="Samples of an epoch of `epoch`.", show_default=True)
@click.option("--workers", default=0, help="Of the reference; 0 for the cores.")
@click.option("--threads", type=int, help="Of torch; by default one a core.")
def main(
    data: Path,
    work: Path,
    only: str,
    device_name: str,
    width: int,
    batch_size: int,
    steps: int,
    samples: int,
    workers: int,
    threads: int | None,
) -> None:
    """Measure how fast training is fed, on a data set in EchoNet-Dynamic's format."""
    if threads:
        torch.set_num_threads(threads)
    device = devices.pick_device(device_name)
    settings = replace(TrainSettings(), width=width, batch_size=batch_size, loader="resident")
    print(f"machine: {describe_machine()}; {devices.describe(device)}; torch {torch.__version__}\n")
    parts = only.split(",")
    if unknown := set(parts) - set(PARTS):
        raise click.UsageError(
            f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}"
        )
    work.mkdir(parents=True, exist_ok=True)
    if {"load", "batch", "stream"} & set(parts):
        large = large_store(data, work)
        settings = replace(settings, store=large)
    if "load" in parts:
        measure_load(settings, device)
    if "batch" in parts:
        measure_batch(settings, device, steps)
    if "stream" in parts:
        measure_stream(settings, device)
    if {"epoch", "landmarks"} & set(parts):
        settings = replace(settings, store=made_store(data, work / "small.zarr"))
    if "epoch" in parts:
        measure_epoch(settings, data, device, samples, workers or joblib.cpu_count())
    if "landmarks" in parts:
        measure_landmarks(settings)


# --- Stores -------------------------------------------------------------------------------------


def made_store(data: Path, store: Path) -> Path:
    build(BuildSettings(data=data, store=store))
    return store


def large_store(data: Path, work: Path) -> Path:
    """Build a store of `FRAMES` rows from a data set that repeats the videos of a smaller one."""
    repeated = work / "repeated"
    if not (repeated / TRACINGS).exists():
        repeat_dataset(data, repeated, FRAMES // 2)
    return made_store(repeated, work / "large.zarr")


# --- Loading ------------------------------------------------------------------------------------


def open_loader(settings: TrainSettings, device: torch.device) -> Loader:
    store = EchoStore(settings.selection.store)
    choice = choose(store, settings.selection)
    return make_loader(store, choice, settings.data, device, settings.training.seed)


def measure_load(settings: TrainSettings, device: torch.device) -> None:
    for heatmaps in ("cached", "rendered"):
        asked = replace(settings, target="landmarks", heatmaps=heatmaps)
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            loader = open_loader(asked, device)
            devices.synchronise(device)
            seconds.append(time.perf_counter() - started)
            count = len(loader.frames)
            del loader
        print_row(
            f"load: {count} frames, masks, 7 landmarks, heatmaps {heatmaps}",
            f"{min(seconds):.2f} s (best of 3; first {seconds[0]:.2f} s)",
        )


def measure_stream(settings: TrainSettings, device: torch.device) -> None:
    for target in ("mask", "landmarks"):
        asked = replace(settings, target=target, loader="stream", buffer_mb=200)
        loader = open_loader(asked, device)
        everything = loader.frames.indices("TRAIN")
        rates = []
        for epoch in (1, 2, 3):
            started, worked = time.perf_counter(), time.process_time()
            for _ in loader.batches(loader.order(everything, epoch), settings.training.batch_size):
                pass
            devices.synchronise(device)
            rates.append(
                (
                    len(everything) / (time.perf_counter() - started),
                    len(everything) / (time.process_time() - worked),
                )
            )
        rate, alone = (statistics.median(column) for column in zip(*rates, strict=True))
        # The second figure is the first on a core that nothing else runs on.
        what = "frames and masks" if target == "mask" else "frames, masks, 7 landmarks"
        print_row(
            f"stream: {what}, buffer of 200 MB, batches of {settings.training.batch_size}",
            f"{rate:,.0f} frames/s, {alone:,.0f} a second of one core (median of 3 epochs)",
        )


# --- Steps --------------------------------------------------------------------------------------


class Stepper:
    """The step that `echo-train` takes, on batches from anywhere."""

    def __init__(self, settings: TrainSettings, loader: Loader, device: torch.device) -> None:
        choice = choose(EchoStore(settings.selection.store), settings.selection)
        self.settings, self.device = settings, device
        self.target = make_target(settings.losses, settings.decoding, choice, loader, weights=None)
        network = UNet(out_channels=self.target.channels, width=settings.architecture.width)
        self.network = network.to(device, memory_format=torch.channels_last)
        self.learner = devices.compile_on_cuda(self.network, device, settings.hardware.compile)
        self.optimiser = make_optimiser(self.network, settings.optimiser.learning_rate, 0.0, device)

    def __call__(self, batch: Batch) -> None:
        """Move the weights by one batch."""
        images = batch.images.contiguous(memory_format=torch.channels_last)
        with devices.autocast(self.device, self.settings.hardware.bf16):
            logits = self.learner(images)
        loss = self.target.loss(logits.float(), batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()


def seconds_each(
    work: Callable[[Batch], None], batches: Iterator[Batch], count: int, device: torch.device
) -> float:
    """Seconds a batch, of `count` batches in a row: nothing waits in between."""
    devices.synchronise(device)
    started = time.perf_counter()
    for _ in range(count):
        work(next(batches))
    devices.synchronise(device)
    return (time.perf_counter() - started) / count


def measure_batch(settings: TrainSettings, device: torch.device, steps: int) -> None:
    for target in ("mask", "landmarks"):
        asked = replace(settings, target=target)
        loader = open_loader(asked, device)
        step = Stepper(asked, loader, device)
        batches = endless(loader, settings.training.batch_size)
        fixed = next(batches)
        step(fixed)
        # Turn about, so that what else the machine does falls on both.
        times = [
            (
                seconds_each(step, itertools.repeat(fixed), steps, device),
                seconds_each(step, batches, steps, device),
            )
            for _ in range(3)
        ]
        still, fed = (min(column) for column in zip(*times, strict=True))
        print_row(
            f"batch: {target}, step on a fixed batch, width {settings.architecture.width}, "
            f"{settings.training.batch_size} images",
            f"{1e3 * still:.1f} ms; with the loader {fed / still - 1:+.2%}",
        )
        for augment in AUGMENTS:
            for heatmaps in HEATMAPS[: 1 if target == "mask" else None]:
                asked = replace(asked, augment=augment, heatmaps=heatmaps)
                batches = endless(open_loader(asked, device), settings.training.batch_size)
                next(batches)
                alone = min(seconds_each(lambda batch: None, batches, 20, device) for _ in range(5))
                name = target if target == "mask" else f"{target}, heatmaps {heatmaps}"
                print_row(
                    f"batch: {name}, augment {augment}, alone",
                    f"{1e3 * alone:.2f} ms, {alone / still:.2%} of the step",
                )


def endless(loader: Loader, batch_size: int) -> Iterator[Batch]:
    """Whole batches of one epoch after another."""
    train = loader.frames.indices("TRAIN")
    epoch = 0
    while True:
        epoch += 1
        order = loader.order(train, epoch)
        whole = len(order) // batch_size * batch_size
        yield from loader.batches(order[:whole], batch_size, epoch)


# --- Against the reference loader's way ----------------------------------------------------------


class DecodedSamples(Dataset[tuple[np.ndarray, np.ndarray]]):
    """Samples as EchoNet-Dynamic's own loader makes them: every frame of the video decoded."""

    def __init__(self, data: Path, count: int) -> None:
        dataset = read_dataset(data)
        self.samples = [
            (data / "Videos" / f"{video.name}.avi", trace.frame, trace.contour)
            for video in dataset.videos
            if video.split == SPLITS.index("TRAIN")
            for trace in dataset.traces[video.name]
        ]
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        path, traced, contour = self.samples[number % len(self.samples)]
        video = cv2.VideoCapture(str(path))
        frames = []
        while True:
            sound, frame = video.read()
            if not sound:
                break
            frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY))
        image = frames[traced]
        contour = np.rint(contour[~np.isnan(contour).any(axis=1)]).astype(int)
        mask = np.zeros(image.shape, dtype=np.float32)
        rows, columns = skimage.draw.polygon(contour[:, 1], contour[:, 0], mask.shape)
        mask[rows, columns] = 1
        return image[None].astype(np.float32) / 255, mask


def measure_epoch(
    settings: TrainSettings, data: Path, device: torch.device, samples: int, workers: int
) -> None:
    loader = open_loader(settings, device)
    step = Stepper(settings, loader, device)
    batches = endless(loader, settings.training.batch_size)
    step(next(batches))
    count = samples // settings.training.batch_size
    ours = settings.training.batch_size / seconds_each(step, batches, count, device)
    reference = DataLoader(
        DecodedSamples(data, count * settings.training.batch_size),
        settings.training.batch_size,
        num_workers=workers,
        pin_memory=device.type == "cuda",
    )

    def decoded() -> Iterator[Batch]:
        for images, masks in reference:
            yield Batch(
                index=torch.zeros(len(images), dtype=torch.int64, device=device),
                images=images.to(device),
                masks=masks.to(device),
                heatmaps=None,
                points=None,
            )

    theirs = settings.training.batch_size / seconds_each(step, decoded(), count, device)
    name = (
        f"width {settings.architecture.width}, batches of {settings.training.batch_size}, "
        f"{samples} samples"
    )
    print_row(f"epoch: from the store, {name}", f"{ours:.1f} images/s")
    print_row(
        f"epoch: decoding the video per sample, {workers} workers",
        f"{theirs:.1f} images/s; the store is {ours / theirs:.1f} times as fast",
    )


# --- The end of a landmark epoch ----------------------------------------------------------------


def measure_landmarks(settings: TrainSettings) -> None:
    settings = replace(settings, target="landmarks", shape_prior=True)
    loader = open_loader(settings, torch.device("cpu"))
    frames = loader.frames
    choice = choose(EchoStore(settings.selection.store), settings.selection)
    target = make_target(settings.losses, settings.decoding, choice, loader, weights=None)
    assert isinstance(target, LandmarkTarget) and frames.points is not None
    prior = ShapePrior.from_tensors(target.state())
    # Landmarks as a network finds them: 1.5 px from the truth, some of them missed.
    rng = np.random.default_rng(0)
    points = rng.choice(frames.points, 2048) + rng.normal(0, 1.5, (2048, *frames.points.shape[1:]))
    points = points.astype(np.float32)
    points[rng.random(points.shape[:2]) < 0.02] = np.nan
    true = target.masks(rng.choice(frames.points, 2048), frames.shape)
    packed = np.packbits(true.reshape(len(true), -1), axis=1)

    def together() -> np.ndarray:
        return packed_counts(target.masks(target.correct(points), frames.shape), packed)

    def one_by_one() -> np.ndarray:
        corrected = [correct_alone(prior, landmarks) for landmarks in points]
        masks = [
            rasterise(spline_alone(landmarks), frames.shape, target.method)
            for landmarks in corrected
        ]
        counts = MaskCounts(sync_on_compute=False)
        index = torch.arange(len(points))
        counts.update(index, torch.from_numpy(np.stack(masks)) > 0, torch.from_numpy(true) > 0)
        return counts.compute()[1].numpy()

    def seconds(work: Callable[[], np.ndarray]) -> float:
        started = time.process_time()
        work()
        return time.process_time() - started

    assert np.array_equal(together(), one_by_one()), "the counts differ"
    # In turn, so that other work on the machine affects both.
    times = [(seconds(together), seconds(one_by_one)) for _ in range(3)]
    fast, slow = (1e3 * min(column) / len(points) for column in zip(*times, strict=True))
    print_row("landmarks: from points to counts, all frames together", f"{fast:.3f} ms a frame")
    print_row(
        "landmarks: from points to counts, frame by frame",
        f"{slow:.3f} ms a frame, {slow / fast:.1f} times as long",
    )


def correct_alone(prior: ShapePrior, points: np.ndarray) -> np.ndarray:
    """Correct the landmarks of one frame as `ShapePrior.correct` does."""
    seen = ~np.isnan(points).any(axis=1)
    found = np.where(seen[:, None], points, 0.0)
    variance = MEASUREMENT**2 + prior.residual**2
    weights = seen.astype(np.float64)
    for _ in range(10):
        precision = np.repeat(weights / variance, 2)
        system = np.eye(len(prior.modes)) + (prior.modes * precision) @ prior.modes.T
        offsets = found.reshape(-1) - prior.mean
        scores = np.linalg.solve(system, (prior.modes * precision) @ offsets)
        expected = (prior.mean + scores @ prior.modes).reshape(-1, 2)
        squared = ((found - expected) ** 2).sum(axis=1) / variance
        weights = seen / (1.0 + squared / 4.0)
    corrected = points.copy()
    replaced = ~seen | (np.sqrt(squared) > IMPLAUSIBLE)
    corrected[replaced] = expected[replaced]
    return corrected


def spline_alone(landmarks: np.ndarray) -> np.ndarray:
    """Join one frame's anatomical landmarks by SciPy's spline; `contour_from_landmarks` does."""
    steps = np.sqrt(np.linalg.norm(np.diff(landmarks.astype(np.float64), axis=0), axis=1))
    along = np.concatenate([[0.0], np.cumsum(steps)])
    dense = np.union1d(along, np.linspace(0.0, along[-1], SPLINE_POINTS))
    return CubicSpline(along, landmarks.astype(np.float64), bc_type="not-a-knot")(dense)


if __name__ == "__main__":
    main()
