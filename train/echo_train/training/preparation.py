"""What a run needs before it has a folder: its store, its frames, its sizes and its trainer.

The sizes are a plan from the machine and the data if ``auto`` was given for them: `plan_sizes`
measures a few steps of each candidate, and `choose_sizes` decides from these measurements alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import torch

from echo_common.cli.settings import replace
from echo_common.cli.values import AUTOMATIC
from echo_common.errors import NotInStoreError, RunError, SettingsError
from echo_common.store.reader import EchoStore
from echo_train.data.frame_set import Choice, choose
from echo_train.data.loader import Loader, make_loader, pick_source
from echo_train.data.resident import SharedArrays
from echo_train.runtime import device as devices
from echo_train.runtime import distributed
from echo_train.runtime.distributed import Process
from echo_train.runtime.memory import explain_full_memory, free_memory, is_full_memory
from echo_train.training.forecast import (
    USABLE,
    advise_smaller,
    duration,
    gigabytes,
    measure_pace,
    run_seconds,
    settings_bytes,
)
from echo_train.training.resume import initial_model
from echo_train.training.settings import TrainSettings
from echo_train.training.trainer import Trainer

Say = Callable[[str], None]

WIDTHS = (4, 8, 12, 16, 24, 32, 48, 64)
"""Candidates for the width; the last is the paper's."""

BATCH_SIZES = (4, 8, 16, 32, 64, 128)
"""Candidates for the batch size."""

USUAL_BATCH = 16
"""The batch size that widths are measured with, if it may be chosen."""

LARGEST_SHARE = 0.05
"""Largest share of the training frames in a batch, as in nnU-Net."""

FASTER = 1.1
"""How much faster images must be with a batch twice as large, which has half the steps an epoch."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """What a few steps with a width and a batch size took.

    Attributes
    ----------
    image_seconds : float
        Of a training step, for each image.
    run_seconds : float
        Forecast of the run.
    memory : float
        Bytes that the steps took; infinite if the memory was full.
    """

    image_seconds: float
    run_seconds: float
    memory: float


@contextlib.contextmanager
def prepared(
    settings: TrainSettings, say: Say, process: Process, shared: SharedArrays | None = None
) -> Iterator[tuple[EchoStore, Trainer]]:
    """Open the store and make the trainer of a run, which needs no folder."""
    device = devices.pick_device(settings.hardware.device, process.local_rank, say)
    with (
        distributed.connected(process, device),
        explain_full_memory(
            device,
            lambda: advise_smaller(
                with_sizes(settings, WIDTHS[0], BATCH_SIZES[0]), device, process
            ),
        ),
    ):
        store = EchoStore(settings.selection.store)
        choice = choose(store, settings.selection)
        source = distributed.run_on_first(
            lambda: pick_source(store, choice, settings.data, device, shared), process
        )
        settings = replace(settings, loader=source)
        loader = make_loader(store, choice, settings.data, device, settings.training.seed, shared)
        frames = _count_frames(store, loader)
        settings = plan_sizes(settings, choice, loader, device, process, say)
        distributed.check_batches(process, settings.training.batch_size, frames)
        settings = settings.resolve(choice, frames["TRAIN"])
        trainer = Trainer(settings, choice, loader, device, process, initial_model(settings))
        # Before a folder is opened, so that a failure leaves none behind.
        obstacle = trainer.try_compiled()
        if obstacle:
            say(f"note: torch.compile failed, and the network runs uncompiled: {obstacle}")
        yield store, trainer


def choose_sizes(
    widths: Sequence[int],
    batch_sizes: Sequence[int],
    estimate: Callable[[int, int], float],
    trial: Callable[[int, int], Trial],
    memory: float,
    seconds: float,
) -> tuple[int, int]:
    """Choose a width and a batch size that fit into the memory and the time.

    The width is the largest with which a run fits, in batches of `USUAL_BATCH` images if their size
    may be chosen. The batch size is then doubled from the smallest on while images become faster by
    it, and by the factor `FASTER` if the run is in time.

    Parameters
    ----------
    widths, batch_sizes : sequence of int
        Candidates, in ascending order.
    estimate : callable
        Returns the bytes that training needs with a width and a batch size, without any step.
    trial : callable
        Measures a width and a batch size; called only if their estimate fits.
    memory : float
        Bytes that may be used.
    seconds : float
        That the run may take. If no width is fast enough, the narrowest is chosen.

    Raises
    ------
    RunError
        If nothing fits into the memory.
    """
    trials: dict[tuple[int, int], Trial] = {}

    def fits(width: int, batch_size: int) -> bool:
        if estimate(width, batch_size) > memory:
            return False
        if (width, batch_size) not in trials:
            trials[width, batch_size] = trial(width, batch_size)
        return trials[width, batch_size].memory <= memory

    usual = [size for size in batch_sizes if size <= USUAL_BATCH] or batch_sizes[:1]
    first = next((size for size in reversed(usual) if fits(widths[0], size)), None)
    if first is None:
        raise RunError(
            f"a network of width {widths[0]} in batches of {batch_sizes[0]} does not fit into "
            f"{gigabytes(memory)} of memory; use another --device"
        )
    width = widths[0]
    for wider in widths[1:]:
        if not fits(wider, first) or trials[wider, first].run_seconds > seconds:
            break
        width = wider
    fitting = itertools.takewhile(lambda size: fits(width, size), batch_sizes)
    batch_size = next(fitting)
    for larger in fitting:
        now, then = trials[width, batch_size], trials[width, larger]
        gain = FASTER if now.run_seconds <= seconds else 1.0
        if now.image_seconds <= gain * then.image_seconds:
            break
        batch_size = larger
    return width, batch_size


def plan_sizes(
    settings: TrainSettings,
    choice: Choice,
    loader: Loader,
    device: torch.device,
    process: Process,
    say: Say,
) -> TrainSettings:
    """Replace ``auto`` by the width and the batch size of the plan, and print what was measured.

    Parameters
    ----------
    settings, choice, loader, device, process
        As `Trainer` takes them; the process must be the only one.
    say : callable
        Takes each line for the user.

    Raises
    ------
    SettingsError
        If several processes train together: they would measure different times.
    RunError
        If nothing fits into the memory.
    """
    options = settings.automatic()
    if not options:
        return settings
    if process.world_size > 1:
        raise SettingsError(
            f"{' and '.join(options)} auto is for one process; plan without torchrun, with "
            "--dry-run, and give the numbers"
        )
    frames = len(loader.frames.indices("TRAIN"))
    width, batch_size = settings.architecture.width, settings.training.batch_size
    widths = WIDTHS if width == AUTOMATIC else (width,)
    most = max(BATCH_SIZES[0], LARGEST_SHARE * frames)
    batch_sizes: tuple[int, ...] = (batch_size,)
    if batch_size == AUTOMATIC:
        batch_sizes = tuple(size for size in BATCH_SIZES if size <= most)
    memory = USABLE * free_memory(device)
    minutes = settings.training.minutes
    seconds = math.inf if minutes is None else 60 * minutes

    def sized(width: int, batch_size: int) -> TrainSettings:
        # Compilation takes longer than the trial, and makes the run faster than its forecast.
        changed = replace(settings, width=width, batch_size=batch_size, compile=False)
        return changed.resolve(choice, frames)

    def estimate(width: int, batch_size: int) -> float:
        return settings_bytes(sized(width, batch_size), loader.frames.shape, device)

    def trial(width: int, batch_size: int) -> Trial:
        size = estimate(width, batch_size)
        result = _measure(sized(width, batch_size), choice, loader, device, size)
        line = f"plan: width {width} in batches of {batch_size}: "
        if math.isinf(result.memory):
            say(f"{line}the memory is full")
        else:
            say(
                f"{line}{duration(result.image_seconds)} an image, about "
                f"{duration(result.run_seconds)} in all, {gigabytes(result.memory)}"
            )
        return result

    width, batch_size = choose_sizes(widths, batch_sizes, estimate, trial, memory, seconds)
    limit = "" if minutes is None else f" and {duration(seconds)}"
    say(
        f"plan: --width {width} --batch-size {batch_size}, chosen for {gigabytes(memory)} of memory"
        f"{limit}"
    )
    return with_sizes(settings, width, batch_size)


def with_sizes(settings: TrainSettings, width: int, batch_size: int) -> TrainSettings:
    """Replace ``auto`` by a width and a batch size."""
    if not settings.automatic():
        return settings
    return replace(
        settings,
        width=settings.architecture.width or width,
        batch_size=settings.training.batch_size or batch_size,
        minutes=None,
    )


def _count_frames(store: EchoStore, loader: Loader) -> dict[str, int]:
    """Count the frames of each split that training needs; raises an error if one has none."""
    frames = {split: len(loader.frames.indices(split)) for split in ("TRAIN", "VAL")}
    for split, count in frames.items():
        if not count:
            raise NotInStoreError(
                f"{store.path} has no readable frame in the split {split}, to which the data set "
                "must assign videos; --split-by video draws other splits"
            )
    return frames


def _measure(
    settings: TrainSettings, choice: Choice, loader: Loader, device: torch.device, size: float
) -> Trial:
    """Train a few steps; on CUDA, measure their memory, of which `size` is the estimate."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    try:
        trainer = Trainer(settings, choice, loader, device)
        pace = measure_pace(trainer)
    except Exception as error:
        if not is_full_memory(error):
            raise
        return Trial(image_seconds=math.inf, run_seconds=math.inf, memory=math.inf)
    if device.type == "cuda":
        size = torch.cuda.max_memory_allocated(device) - before
    return Trial(
        image_seconds=pace.training, run_seconds=run_seconds(trainer, pace)[0], memory=size
    )
