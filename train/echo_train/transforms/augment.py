"""Random augmentation of training batches: a geometric transform, then changes of gray values.

Whole batches are augmented on the device. The changes of a frame depend on the
seed, the epoch and the frame alone, not on batches or devices.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from echo_common.errors import SettingsError
from echo_train.runtime.counter_rng import frame_keys, uniforms
from echo_train.transforms import intensity, scanner
from echo_train.transforms.batch import Batch
from echo_train.transforms.settings import Strengths
from echo_train.transforms.spatial import transform


def mirror_order(identity: str, count: int) -> list[int]:
    """Order in which a frame's landmarks become the landmarks of its mirror image.

    Parameters
    ----------
    identity : str
        One of `echo_common.store.schema.IDENTITIES`.
    count : int
        Number of landmarks.

    Raises
    ------
    SettingsError
        For an even number of anatomical landmarks: the left wall has one more
        than the right, so the mirror image has landmarks that the frame lacks.
    """
    if identity == "angle":
        # Mirroring preserves the angles and therefore their order.
        return list(range(count))
    if identity == "uniform":
        # From the apex around the contour, in the other direction.
        return [0, *range(count - 1, 0, -1)]
    if identity == "anatomical" and count % 2 == 0:
        raise SettingsError(
            f"{count} anatomical landmarks cannot be mirrored: the left wall has one more than "
            "the right; set --augment-flip 0, leave out --tta-mirror, or use an odd number of "
            "--landmarks"
        )
    return list(range(count - 1, -1, -1))


class Augmenter:
    """Augments batches at random.

    Parameters
    ----------
    strengths : Strengths
    landmark_order : list of int or None
        Order of the landmarks in mirrored frames, from `mirror_order`; None
        without landmarks or mirrored frames.
    """

    def __init__(self, strengths: Strengths, landmark_order: list[int] | None) -> None:
        self.strengths = strengths
        self._landmark_order = landmark_order

    def draw(self, index: Tensor, key: Tensor) -> dict[str, Tensor]:
        """Draw the changes of frames at random.

        They are drawn once for an epoch: within each batch these few numbers would
        be as many operations as the changes of its pixels.

        Parameters
        ----------
        index : Tensor, (frame,) int64
        key : Tensor, () int64
            Of the epoch, from `echo_train.runtime.counter_rng.epoch_key`.

        Returns
        -------
        draws : dict of str to Tensor
            Arguments of the changes by name, whose first dimension is that of
            `index`; empty if all strengths are 0.
        """
        strengths = self.strengths
        if not any(dataclasses.astuple(strengths)):
            return {}
        keys = frame_keys(index, key)
        uniform = dict(zip(_DRAWS, uniforms(keys, len(_DRAWS)).unbind(1), strict=True))
        flip = uniform["flip"] < strengths.flip
        angle = math.radians(strengths.rotation) * _symmetric(uniform["rotation"])
        scale_y = _factor(uniform["scale"], strengths.scale)
        scale_x = scale_y * torch.where(flip, -1.0, 1.0)
        cos, sin = angle.cos(), angle.sin()
        matrix = torch.stack([scale_x * cos, -scale_y * sin, scale_x * sin, scale_y * cos], dim=1)
        shift = torch.stack([_symmetric(uniform[f"shift_{axis}"]) for axis in "xy"], dim=1)
        slopes = torch.stack([_factor(uniform[name], strengths.tone) for name in _TONES], dim=1)
        narrower = strengths.fan * _half_zero(uniform["fan_angle"])
        return {
            "matrix": matrix.reshape(-1, 2, 2),
            "shift": strengths.shift * shift,
            "flip": flip,
            "gamma": _factor(uniform["gamma"], strengths.gamma),
            "gain": _factor(uniform["gain"], strengths.gain),
            "blur": strengths.blur * _half_zero(uniform["blur"]),
            "speckle": strengths.speckle * _half_zero(uniform["speckle"]),
            # Other keys than those of the draws above, so that the noise is independent of them.
            "speckle_key": keys + 1,
            "sector": strengths.sector * _half_zero(uniform["sector"]),
            "sector_middle": scanner.FAN_ANGLE * _symmetric(uniform["sector_middle"]),
            "tone": slopes / slopes.sum(1, keepdim=True),
            "fan_angle": scanner.FAN_ANGLE * (1 - narrower),
            # Up to the middle between the middle of the fan and where one edge stays.
            "fan_middle": 0.5 * scanner.FAN_ANGLE * narrower * _symmetric(uniform["fan_middle"]),
            "fan_depth": 1 - 0.5 * strengths.fan * _half_zero(uniform["fan_depth"]),
            "shading": strengths.shading * _half_zero(uniform["shading"]),
            "shading_key": keys + 2,
            "haze": strengths.haze * _half_zero(uniform["haze"]),
            "haze_reach": 0.1 * _factor(uniform["haze_reach"], 3.0),
            "haze_key": keys + 3,
            "edges": strengths.edges * _half_zero(uniform["edges"]),
            "edges_sigma": 1.5 + 3.5 * uniform["edges_sigma"],
            "overlay": (uniform["overlay"] < strengths.overlay).float(),
            "overlay_key": keys + 4,
            "beam": strengths.beam * _half_zero(uniform["beam"]),
            "beam_power": _MOST_POWER * _symmetric(uniform["beam_power"]),
            "wall": strengths.wall * _half_zero(uniform["wall"]),
            "wall_reach": 2 + 4 * uniform["wall_reach"],
        }

    def __call__(self, batch: Batch, draws: dict[str, Tensor]) -> Batch:
        """Augment a batch; truth moves with the images.

        Parameters
        ----------
        batch : Batch
        draws : dict of str to Tensor
            From `draw`, of all frames of the `echo_train.data.frame_set.FrameSet`.
        """
        if not draws:
            return batch
        strengths = self.strengths
        draws = {name: values.index_select(0, batch.index) for name, values in draws.items()}
        images = batch.images
        if strengths.beam:
            change = partial(scanner.spread, reach=_blur_reach(strengths.beam))
            images = _change(images, draws["beam"], change, draws["beam_power"])
        if strengths.wall:
            wall = draws["wall"], scanner.darken_wall, batch.masks, draws["wall_reach"]
            images = _change(images, *wall)
        if strengths.shading:
            key = draws["shading_key"]
            images = _change(images, draws["shading"], scanner.change_shading, key)
        # Before the geometric transform, while the apex of the fan is where it was scanned.
        if strengths.haze:
            haze = draws["haze"], scanner.add_haze, draws["haze_reach"], draws["haze_key"]
            images = _change(images, *haze)
        if strengths.fan:
            fan = (draws[f"fan_{name}"] for name in ("middle", "angle", "depth"))
            images = scanner.crop_fan(images, *fan)
        if strengths.sector:
            images = scanner.drop_sector(images, draws["sector_middle"], draws["sector"])
        batch = dataclasses.replace(batch, images=images)
        if strengths.shift or strengths.scale or strengths.rotation or strengths.flip:
            height, width = batch.masks.shape[1:]
            x, y = draws["shift"].unbind(1)
            shift = torch.stack([width * x, height * y], dim=1)
            batch = transform(batch, draws["matrix"], shift, draws["flip"], self._landmark_order)
        images = batch.images
        if strengths.overlay:
            key = draws["overlay_key"]
            images = _change(images, draws["overlay"], scanner.draw_overlay, key)
        if strengths.edges:
            sigma = draws["edges_sigma"]
            images = _change(images, draws["edges"], scanner.enhance_edges, sigma)
        if strengths.tone:
            images = intensity.change_tone(images, draws["tone"])
        if strengths.gamma:
            images = intensity.change_gamma(images, draws["gamma"])
        if strengths.gain:
            images = intensity.change_gain(images, draws["gain"])
        if strengths.blur:
            blur = partial(intensity.blur, reach=_blur_reach(strengths.blur))
            images = _change(images, draws["blur"], blur)
        if strengths.speckle:
            key = draws["speckle_key"]
            images = _change(images, draws["speckle"], intensity.add_speckle, key)
        return dataclasses.replace(batch, images=images)


_MOST_POWER = 6.0
"""An image of 52 dB from black to white has amplitudes of exp(6 times its gray value)."""

_TONES = tuple(f"tone_{number}" for number in range(6))

# New names belong at the end: the numbers of the others depend on their positions.
_DRAWS = (
    "shift_x", "shift_y", "scale", "rotation", "flip", "gamma", "gain", "speckle", "blur",
    "sector", "sector_middle", *_TONES, "fan_angle", "fan_middle", "fan_depth",
    "shading", "haze", "haze_reach", "edges", "edges_sigma",
    "overlay", "beam", "beam_power", "wall", "wall_reach",
)  # fmt: skip


def _on_cpu(images: Tensor) -> bool:
    """Whether a change may depend on values, which would wait for a GPU and split a graph."""
    return images.device.type == "cpu" and not torch.compiler.is_compiling()


def _change(
    images: Tensor, strength: Tensor, change: Callable[..., Tensor], *per_frame: Tensor
) -> Tensor:
    """Apply a change that leaves frames of strength 0 unchanged, on the CPU to the others only."""
    if not _on_cpu(images):
        return change(images, strength, *per_frame)
    frames = strength.nonzero()[:, 0]
    arguments = (values.index_select(0, frames) for values in (images, strength, *per_frame))
    return images.index_copy(0, frames, change(*arguments))


def _blur_reach(largest: float) -> int:
    """Half the width in pixels of the kernel of a blur with standard deviations up to `largest`.

    Beyond 5.6 standard deviations a weight is below the rounding of float32, 2**-23 of the
    largest weight. The cost is proportional to the width, which is limited.
    """
    return min(6, max(1, math.floor(math.sqrt(2 * math.log(2**23)) * largest)))


def _symmetric(uniform: Tensor) -> Tensor:
    """Map [0, 1] to [-1, 1]."""
    return 2 * uniform - 1


def _factor(uniform: Tensor, largest: float) -> Tensor:
    """Map [0, 1] to [1 / (1 + largest), 1 + largest], half of it below 1."""
    return torch.exp(math.log1p(largest) * _symmetric(uniform))


def _half_zero(uniform: Tensor) -> Tensor:
    """Map the lower half of [0, 1] to 0 and the upper half to [0, 1]."""
    return _symmetric(uniform).clamp_min(0)
