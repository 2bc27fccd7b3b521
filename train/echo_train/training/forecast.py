"""A forecast of a run: its memory, its steps, how long it takes, and settings that fit.

`echo_train.training.train` prints it. Steps are timed on a copy of the network, so
the run itself does not change.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import math
import time
from collections.abc import Callable, Generator, Iterator

import torch

from echo_common.cli.settings import replace
from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_train.data.loader import pixel_arrays, row_bytes
from echo_train.networks.architecture import Architecture
from echo_train.runtime import device as devices
from echo_train.runtime.distributed import ONLY_PROCESS, Process
from echo_train.runtime.memory import free_memory, training_bytes
from echo_train.runtime.precision import choose_precision, forward
from echo_train.training.optimiser import WeightEMA, make_optimiser
from echo_train.training.settings import TrainSettings
from echo_train.training.trainer import Trainer
from echo_train.transforms.batch import Batch

STEPS = 5
"""Steps that are timed at most."""

ENOUGH_SECONDS = 2.0
"""No further step is timed after these."""

LONG_SECONDS = 600.0
"""A run on a CPU that takes longer gets advice."""

SHORT_SECONDS = 120.0
"""What the advised width should take."""

SMALLEST_WIDTH = 4
"""Narrower networks segment badly and are hardly faster."""

USABLE = 0.9
"""Fraction of the memory to plan with; kernels and fragmentation need the rest."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds per image, of all processes together.

    Attributes
    ----------
    training : float
        In a training step, with loading and augmentation.
    evaluation : float
        In a forward pass.
    """

    training: float
    evaluation: float


def measure_pace(trainer: Trainer, width: int | None = None) -> Pace:
    """Time a few steps on a copy of the network of a run.

    Parameters
    ----------
    trainer : Trainer
        Neither its weights nor the state of torch's random numbers change.
    width : int, optional
        Time a network of this width with random weights instead.
    """
    device, settings = trainer.device, trainer.settings
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        if width is None:
            network = copy.deepcopy(trainer.network)
        else:
            network = dataclasses.replace(trainer.architecture, width=width).make()
            network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        compiled = devices.compile_on_cuda(network, device, trainer.compiled)
        average = WeightEMA(network, settings.training.ema) if settings.training.ema else None
        optimiser = make_optimiser(network, 0.0, 0.0, device)
        batches = stack.enter_context(contextlib.closing(_batches(trainer)))

        def step() -> None:
            batch = next(batches)
            loss = trainer.target.loss(
                forward(compiled, batch.images, device, trainer.precision), batch
            )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            if average:
                average.update(network)

        network.train()
        training = _seconds(step, trainer)
        network.eval()
        batch = next(batches)

        def evaluate() -> None:
            with torch.inference_mode():
                forward(network, batch.images, device, trainer.precision)

        evaluation = _seconds(evaluate, trainer)
    images = min(settings.training.batch_size, len(trainer.frames.indices("TRAIN")))
    return Pace(
        training=training / images,
        evaluation=evaluation / len(batch.index) / trainer.process.world_size,
    )


def run_seconds(trainer: Trainer, pace: Pace) -> tuple[float, float]:
    """Forecast the seconds of the remaining epochs with the final evaluation, and of one epoch."""
    count = {split: len(trainer.frames.indices(split)) for split in ("TRAIN", "VAL", "TEST")}
    epoch = count["TRAIN"] * pace.training + count["VAL"] * pace.evaluation
    remaining = trainer.settings.training.epochs - len(trainer.history)
    return remaining * epoch + (count["VAL"] + count["TEST"]) * pace.evaluation, epoch


def describe_run(trainer: Trainer) -> str:
    """Describe data, network and device in a line, and in a second one the initial weights."""
    network = trainer.settings.architecture
    parameters = sum(weights.numel() for weights in trainer.network.parameters())
    begun = f"\nbegins with {trainer.began_with}" if trainer.began_with else ""
    return (
        f"{trainer.choice}; {len(trainer.frames.indices('TRAIN'))} training frames; "
        f"{network.network} of width {network.width}, {parameters / 1e6:.2f} million parameters; "
        f"{devices.describe_use(trainer.device, trainer.compiled, trainer.precision)}{begun}"
    )


def describe_forecast(trainer: Trainer) -> str:
    """Forecast a run in a line; a long one on a CPU comes with a width that takes less."""
    seconds, epoch = run_seconds(trainer, measure_pace(trainer))
    remaining = trainer.settings.training.epochs - len(trainer.history)
    limit = "at most" if trainer.settings.training.patience else "about"
    line = (
        f"forecast: {limit} {duration(seconds)}, {duration(epoch)} for each of {remaining} epochs"
    )
    if trainer.device.type != "cpu" or seconds <= LONG_SECONDS:
        return line
    shorter = _shorter(trainer)
    if shorter is None:
        return f"{line}; lower --epochs or --train-images for a shorter run"
    width, narrow_seconds = shorter
    more = "" if narrow_seconds < 2 * SHORT_SECONDS else "; lower --epochs as well"
    return f"{line}; --width {width} would take about {duration(narrow_seconds)}{more}"


def describe_size(trainer: Trainer, store: EchoStore) -> str:
    """List the memory and the steps of a run, in two lines."""
    settings, device = trainer.settings, trainer.device
    size = settings_bytes(settings, trainer.frames.shape, device, trainer.process)
    if trainer.loader.name == "resident":
        arrays = pixel_arrays(trainer.choice, settings.data.heatmaps)
        frames = len(trainer.frames) * row_bytes(store, arrays)
    else:
        frames = settings.data.buffer_mb * 1_000_000
    steps = settings.training.steps_per_epoch(len(trainer.frames.indices("TRAIN")))
    return (
        f"memory: {gigabytes(size)} to train in batches of {settings.training.batch_size}, "
        f"{gigabytes(frames)} for the frames; {gigabytes(free_memory(device))} are free\n"
        f"steps: {steps:,} per epoch, {steps * settings.training.epochs:,} in "
        f"{settings.training.epochs} epochs"
    )


def duration(seconds: float) -> str:
    """Write a duration for a person, to two digits.

    Examples
    --------
    >>> [duration(seconds) for seconds in (0.034, 9.84, 100, 5400, 40000, 400000)]
    ['0.034 s', '9.8 s', '100 s', '90 min', '11 h', '4.6 days']
    """
    units = (("s", 1, 120), ("min", 60, 120), ("h", 3600, 48), ("days", 86400, math.inf))
    name, size = next((name, size) for name, size, limit in units if seconds < limit * size)
    amount = seconds / size
    return f"{amount:.0f} {name}" if amount >= 9.95 else f"{amount:.2g} {name}"


def _shorter(trainer: Trainer) -> tuple[int, float] | None:
    """Find the width whose forecast is nearest to `SHORT_SECONDS`, and its forecast."""
    found: dict[int, float] = {}

    def measure(width: int) -> float:
        found[width] = run_seconds(trainer, measure_pace(trainer, width))[0]
        return found[width]

    width = trainer.architecture.width // 2
    while width >= SMALLEST_WIDTH and measure(width) > SHORT_SECONDS:
        width //= 2
    if {width, 2 * width} <= found.keys():
        # Between the two, time follows a power of the width.
        power = math.log2(found[2 * width] / found[width])
        between = width * (SHORT_SECONDS / found[width]) ** (1 / max(power, 1.0))
        between = SMALLEST_WIDTH * round(between / SMALLEST_WIDTH)
        if width < between < 2 * width:
            measure(between)
    return min(found.items(), key=lambda item: abs(math.log(item[1] / SHORT_SECONDS)), default=None)


def _batches(trainer: Trainer) -> Generator[Batch]:
    """Full batches of the first epoch, again and again."""
    full_size = trainer.settings.training.batch_size
    order = trainer.loader.order(trainer.frames.indices("TRAIN"), 1)
    order = order[: max(len(order) // full_size * full_size, min(full_size, len(order)))]
    own = trainer.process.share(order[: (STEPS + 2) * full_size], full_size)
    while True:
        yield from trainer.loader.batches(own, trainer.process.batch_size(full_size), 1)


def _seconds(work: Callable[[], None], trainer: Trainer) -> float:
    """Time a call: the shortest of a few."""
    device = trainer.device
    if device.type != "cpu":
        # The first call compiles and allocates.
        work()
    times: list[float] = []
    # Several processes exchange tensors in a step, so all of them take the same number of steps.
    limit = ENOUGH_SECONDS if trainer.process.world_size == 1 else math.inf
    while len(times) < STEPS and sum(times) < limit:
        devices.synchronise(device)
        started = time.perf_counter()
        work()
        devices.synchronise(device)
        times.append(time.perf_counter() - started)
    return min(times)


def gigabytes(size: float) -> str:
    """Write a number of bytes for a person."""
    return f"{size / 1e9:.2f} GB"


def settings_bytes(
    settings: TrainSettings,
    shape: tuple[int, int],
    device: torch.device,
    process: Process = ONLY_PROCESS,
) -> int:
    """Estimate the memory that training needs on each device, without its frames.

    Parameters
    ----------
    shape : tuple of int
        (height, width) of the frames.
    process : Process
        Its share of a batch is on its device.
    """
    count = settings.selection.landmarks if settings.selection.target == "landmarks" else 1
    architecture = Architecture.of(
        settings.architecture,
        settings.location_prior,
        channels=count,
        shape=shape,
        phase_channel=settings.data.phase_channel,
    )
    frames = process.batch_size(settings.training.batch_size)
    precision = choose_precision(settings.hardware.precision, device)
    return training_bytes(
        architecture.make, (frames, architecture.image_channels, *shape), precision
    )


def advise_smaller(settings: TrainSettings, device: torch.device, process: Process) -> str:
    """Name the setting to lower, and the highest value by halving that should fit."""
    shape = EchoStore(settings.selection.store).shape(schema.FRAMES)[1:]
    usable = USABLE * free_memory(device)
    if device.type == "cuda":
        # What this process has taken is free again when it ends.
        usable += USABLE * torch.cuda.memory_reserved(device)
    batch_size, width = settings.training.batch_size, settings.architecture.width
    candidates = [
        *(("batch_size", value, batch_size) for value in _halves(batch_size, process.world_size)),
        *(("width", value, width) for value in _halves(width, 1)),
    ]
    for name, value, before in candidates:
        smaller = replace(settings, **{name: value})
        if settings_bytes(smaller, (shape[0], shape[1]), device, process) <= usable:
            return f"lower --{name.replace('_', '-')} to {value} (it is {before})"
    return "neither a smaller --batch-size nor a smaller --width fits; use another --device"


def _halves(value: int, smallest: int) -> Iterator[int]:
    while (value := value // 2) >= smallest:
        yield value
