"""The loader: a store's frames as batches on the device, which the loop trains on.

It joins what the other modules do each alone: a source gives uint8 pixels, and
casting, augmentation, the drawing of heatmaps and normalisation run on them
batch by batch, on the device. There are no worker processes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch

from echo_common.store.reader import EchoStore
from echo_common.store.schema import LandmarkSet
from echo_train.data.frame_set import Choice, FrameSet, read_frame_set
from echo_train.data.settings import LoaderSettings
from echo_train.data.sources import Source, make_source, pick_source, wanted_arrays
from echo_train.data.splits import assign_folds, draw_splits
from echo_train.landmarks.heatmaps import HeatmapShape, render_heatmaps
from echo_train.transforms.augment import Augmenter, mirror_order
from echo_train.transforms.batch import Batch, Pixels, normalise, to_batch
from echo_train.transforms.settings import AugmentSettings


class Loader:
    """Gives the frames of a store as batches, in any order that it is asked for.

    Parameters
    ----------
    settings : LoaderSettings
    frames : FrameSet
        What is known of each frame, without its pixels.
    source : Source
        Where the pixels come from.
    augmenter : Augmenter
        Changes the frames of training.
    rendered : HeatmapShape or None
        The heatmaps to draw; None where the source gives them, or none are needed.
    seed : int
        Decides the order of the frames in training.
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
        self._points = None if frames.points is None else torch.from_numpy(frames.points)
        if self._points is not None:
            self._points = self._points.to(self.device)

    def in_gray(self) -> Loader:
        """The same frames from the same source as gray values in [0, 1], not normalised."""
        settings = dataclasses.replace(self._settings, normalise="none")
        return Loader(
            settings, self.frames, self._source, self._augmenter, self._rendered, self._seed
        )

    def order(self, indices: np.ndarray, epoch: int) -> np.ndarray:
        """Shuffle frames for an epoch of training.

        Parameters
        ----------
        indices : ndarray, (sample,) int64
            Frames to train on, ascending.
        epoch : int

        Returns
        -------
        order : ndarray, (sample,) int64
            A function of the seed and the epoch.
        """
        return self._source.order(indices, self._seed, epoch)

    def batches(
        self, order: np.ndarray, batch_size: int, augment: int | None = None
    ) -> Iterator[Batch]:
        """Give frames in an order, in batches; the last one may be smaller.

        Parameters
        ----------
        order : ndarray, (sample,) int64
            Into `frames`.
        batch_size : int
        augment : int, optional
            Change the frames as this epoch has it; by default they are left as they are.
        """
        for pixels in self._source.pixels(order, batch_size):
            points = None if self._points is None else self._points[pixels.index]
            batch = to_batch(pixels, points)
            if augment is not None:
                batch = self._augmenter(batch, augment)
            images, heatmaps = normalise(batch.images, self._settings.normalise), batch.heatmaps
            if self._rendered is not None and batch.points is not None:
                heatmaps = render_heatmaps(batch.points, batch.masks, self._rendered)
            yield dataclasses.replace(batch, images=images, heatmaps=heatmaps)

    def pixels(self, index: np.ndarray) -> Pixels:
        """Give a few frames as the store has them, on the host; for pictures."""
        (few,) = self._source.pixels(index, len(index))
        return Pixels(index=few.index.cpu(), images=few.images.cpu(), masks=few.masks.cpu())


def pick_loader(
    store: EchoStore, choice: Choice, settings: LoaderSettings, device: torch.device
) -> str:
    """Settle what `--loader auto` is here: the order of the samples may depend on it."""
    return pick_source(settings, store, wanted_arrays(choice, settings.heatmaps), device)


def make_loader(
    store: EchoStore,
    choice: Choice,
    settings: LoaderSettings,
    device: torch.device,
    seed: int = 0,
) -> Loader:
    """Make the loader of a store's frames.

    Parameters
    ----------
    store : EchoStore
    choice : Choice
    settings : LoaderSettings
    device : torch.device
    seed : int
        Decides the order and the augmentation of the frames in training.

    Raises
    ------
    StoreDamagedError
        If a chunk is missing or altered.
    SettingsError
        If a video's frames stand in two splits, there are fewer frames than
        are to be drawn, or the landmarks cannot be mirrored and were to be.
    """
    augmenter = make_augmenter(settings.augmentation, choice.landmarks, seed)
    rendered = None
    if choice.landmarks is not None and settings.heatmaps == "rendered":
        parameters = store.manifests[choice.landmarks.heatmap(str(choice.falloff))].parameters
        rendered = HeatmapShape.of(parameters)
    splits = settings.splits
    frames = draw_splits(read_frame_set(store, choice), splits.split_by, splits.train_images)
    if splits.fold is not None:
        frames = assign_folds(frames, splits.folds, splits.fold)
    arrays = wanted_arrays(choice, settings.heatmaps)
    source = make_source(settings, store, frames, arrays, device)
    return Loader(settings, frames, source, augmenter, rendered, seed)


def make_augmenter(
    settings: AugmentSettings, landmarks: LandmarkSet | None, seed: int = 0
) -> Augmenter:
    """Make the augmenter that the settings ask for.

    Raises
    ------
    SettingsError
        If the landmarks cannot be mirrored and were to be.
    """
    strengths = settings.strengths()
    flipped = None
    if landmarks is not None:
        identity, count = landmarks.identity, landmarks.count
        flipped = mirror_order(identity, count) if strengths.flip else list(range(count))
    return Augmenter(strengths, seed, flipped)
