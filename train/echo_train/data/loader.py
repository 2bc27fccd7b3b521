"""Frames of a store as batches on the device, for training and evaluation.

A source gives stored pixels: from the memory of the device, or from a stream if the store does not
fit. The loader augments, renders heatmaps and normalises batches of them on the device.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Generator

import numpy as np
import torch
from torch import Tensor

from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_train.data.frame_set import Choice, FrameSet, read_frame_set
from echo_train.data.resident import ResidentSource, SharedArrays
from echo_train.data.settings import LoaderSettings
from echo_train.data.splits import split_frames
from echo_train.data.stream import StreamSource
from echo_train.landmarks.heatmaps import HeatmapShape, render_heatmaps
from echo_train.runtime import device as devices
from echo_train.runtime import memory
from echo_train.runtime.counter_rng import epoch_key, frame_keys, uniforms
from echo_train.transforms.augment import Augmenter, mirror_order
from echo_train.transforms.batch import (
    Batch,
    Pixels,
    add_phase_channel,
    join,
    normalise,
    phase_values,
    split,
    to_batch,
)
from echo_train.transforms.settings import AugmentSettings

RESIDENT_FRACTION = 0.5
"""Fraction of the free memory that frames may use; the network and its gradients need the rest."""

CACHED_FRAMES = 16
"""Frames that a CPU augments together: their tensors fit into the cache of a core."""

UNTOLD = 0.25
"""Fraction of the training frames whose phase a network is not told, so that it can do without."""


Source = ResidentSource | StreamSource
"""Gives stored pixels by frame."""


class Loader:
    """Gives the frames of a store as batches in any order.

    Parameters
    ----------
    augmenter : Augmenter
        Augments the frames of training.
    rendered : HeatmapShape or None
        Shape of the heatmaps to render; None if the source gives them, or
        without landmarks.
    seed : int
        Determines the order and the augmentation of the frames in training.
    """

    def __init__(
        self,
        settings: LoaderSettings,
        frames: FrameSet,
        source: Source,
        augmenter: Augmenter,
        rendered: HeatmapShape | None,
        seed: int = 0,
    ) -> None:
        self.frames = frames
        self.device = source.device
        self.name = source.name
        self._settings = settings
        self._source = source
        self._augmenter = augmenter
        self._rendered = rendered
        self._seed = seed
        self._compiled: Callable[..., Batch] | None = None
        self._points = None if frames.points is None else torch.from_numpy(frames.points)
        if self._points is not None:
            self._points = self._points.to(self.device)
        self._phases = phase_values(frames.phase).to(self.device)

    def compile(self, enabled: bool = True) -> None:
        """Compile the preparation of full batches of training on CUDA, or undo it."""
        compiled = devices.compile_on_cuda(self._prepare, self.device, enabled)
        self._compiled = compiled if enabled else None

    def order(self, indices: np.ndarray, epoch: int) -> np.ndarray:
        """Shuffle frames for an epoch of training; the order depends on the seed and the epoch.

        Parameters
        ----------
        indices : ndarray, (sample,) int64
            Frames to train on, ascending.
        """
        return self._source.order(indices, self._seed, epoch)

    def batches(
        self,
        order: np.ndarray,
        batch_size: int,
        augment_epoch: int | None = None,
        normalised: bool = True,
    ) -> Generator[Batch]:
        """Yield batches of frames in an order; the last batch may be smaller.

        A caller that may be interrupted closes the generator, which ends the reading of a stream.

        Parameters
        ----------
        order : ndarray, (sample,) int64
            Indices into `frames`.
        augment_epoch : int, optional
            Augment with the random numbers of this epoch; by default frames are
            not augmented.
        normalised : bool
            Normalise images as for the network; else they are gray values in [0, 1].
        """
        draws, phases = None, self._phases
        if augment_epoch is not None:
            key = epoch_key(self._seed, augment_epoch, self.device)
            every_frame = torch.arange(len(self.frames), device=self.device)
            draws = self._augmenter.draw(every_frame, key)
            if self._settings.phase_channel:
                # Other keys than those of the augmentation.
                untold = uniforms(frame_keys(every_frame, key) + 2, 1)[:, 0] < UNTOLD
                phases = phases.masked_fill(untold, 0)
        for pixels in self._source.pixels(order, batch_size):
            # A batch of another size would compile it again.
            if self._compiled and draws is not None and len(pixels.index) == batch_size:
                yield self._compiled(pixels, draws, phases, normalised)
            elif draws and self.device.type == "cpu":
                pieces = split(pixels, CACHED_FRAMES)
                prepared = (self._prepare(piece, draws, phases, normalised) for piece in pieces)
                yield join(prepared, len(pixels.index))
            else:
                yield self._prepare(pixels, draws, phases, normalised)

    def _prepare(
        self, pixels: Pixels, draws: dict[str, Tensor] | None, phases: Tensor, normalised: bool
    ) -> Batch:
        """Make a batch of stored pixels, augmented if there are draws."""
        points = None if self._points is None else self._points[pixels.index]
        batch = dataclasses.replace(to_batch(pixels, points), phases=phases[pixels.index])
        if draws is not None:
            batch = self._augmenter(batch, draws)
        images, heatmaps = batch.images, batch.heatmaps
        if normalised:
            images = normalise(images, self._settings.normalise)
            if self._settings.phase_channel:
                images = add_phase_channel(images, batch.phases)
        if self._rendered is not None and batch.points is not None:
            heatmaps = render_heatmaps(batch.points, batch.masks, self._rendered)
        return dataclasses.replace(batch, images=images, heatmaps=heatmaps)

    def pixels(self, index: np.ndarray) -> Pixels:
        """Give the stored pixels of a few frames on the host, for pictures."""
        (pixels,) = self._source.pixels(index, len(index))
        return Pixels(
            index=pixels.index.cpu(), images=pixels.images.cpu(), masks=pixels.masks.cpu()
        )


def make_loader(
    store: EchoStore,
    choice: Choice,
    settings: LoaderSettings,
    device: torch.device,
    seed: int = 0,
    shared: SharedArrays | None = None,
) -> Loader:
    """Make the loader of a store's frames.

    Parameters
    ----------
    seed : int
        Determines the order and the augmentation of the frames in training.
    shared : SharedArrays, optional
        Arrays of earlier loaders in this process, which are not read again.

    Raises
    ------
    StoreDamagedError
        If a chunk is missing or altered.
    SettingsError
        If a video has frames in two splits, there are fewer frames than should
        be drawn, the landmarks cannot be mirrored as the augmentation requires,
        or the buffer of a stream is too small.
    """
    augmenter = make_augmenter(settings.augmentation, choice.landmarks)
    rendered = None
    if choice.landmarks is not None and settings.heatmaps == "rendered":
        parameters = store.manifests[choice.landmarks.heatmap(str(choice.falloff))].parameters
        rendered = HeatmapShape.of(parameters)
    frames = split_frames(read_frame_set(store, choice), settings.splits)
    arrays = pixel_arrays(choice, settings.heatmaps)
    source: Source
    shared = shared or SharedArrays()
    if pick_source(store, choice, settings, device, shared) == "resident":
        source = ResidentSource(shared.read(store, frames, arrays, device), device)
    else:
        buffer_bytes = settings.buffer_mb * 1_000_000
        source = StreamSource(store, frames, arrays, device, row_bytes(store, arrays), buffer_bytes)
    return Loader(settings, frames, source, augmenter, rendered, seed)


def pick_source(
    store: EchoStore,
    choice: Choice,
    settings: LoaderSettings,
    device: torch.device,
    shared: SharedArrays | None = None,
) -> str:
    """Name of the source; ``auto`` is resident if the frames fit in memory, else a stream.

    The order of the samples depends on the source. Memory of `shared` arrays
    counts as free.
    """
    if settings.loader != "auto":
        return settings.loader
    size = store.rows * row_bytes(store, pixel_arrays(choice, settings.heatmaps))
    free = memory.free_memory(device) + (shared.size(device) if shared else 0)
    return "resident" if size <= RESIDENT_FRACTION * free else "stream"


def pixel_arrays(choice: Choice, heatmaps: str) -> dict[str, str]:
    """Paths of the arrays that a run reads pixels from, by name of the `Pixels` field."""
    arrays = {"images": schema.FRAMES, "masks": schema.mask_path(choice.method)}
    if choice.landmarks is not None and heatmaps == "cached":
        arrays["heatmaps"] = choice.landmarks.heatmap(str(choice.falloff))
    return arrays


def row_bytes(store: EchoStore, arrays: dict[str, str]) -> int:
    """Bytes per row of arrays together."""
    return sum(math.prod(store.shape(path)[1:]) for path in arrays.values())


def make_augmenter(settings: AugmentSettings, landmarks: schema.LandmarkSet | None) -> Augmenter:
    """Make the augmenter of training frames.

    Raises
    ------
    SettingsError
        If frames should be mirrored and their landmarks cannot be.
    """
    strengths = settings.strengths()
    landmark_order = None
    if landmarks is not None and strengths.flip:
        landmark_order = mirror_order(landmarks.identity, landmarks.count)
    return Augmenter(strengths, landmark_order)
