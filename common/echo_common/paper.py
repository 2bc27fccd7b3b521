"""The paper's values: how it prepared its data, its four experiments and its results.

`echo-prep build --paper` takes `BUILD`, `echo-train --preset` takes `PRESETS`, and the report of
`echo-train --preset all` compares with `PUBLISHED`. Values that the paper's text leaves open are
those of its public code; docs/paper.md lists the sources.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

METHOD = "centroid"
IDENTITY = "angle"
LANDMARKS = 7
FALLOFF = "gaussian"

BUILD: Mapping[str, Any] = {
    "method": (METHOD,),
    "identity": (IDENTITY,),
    "landmarks": (LANDMARKS,),
    "falloff": (FALLOFF,),
    "truncate": True,
    "radius": 10.0,
    "sigma": 5.0,
    "gaussian": "whole",
    "band_kernel": 3,
    "band_iterations": 2,
}
"""Settings of `echo-prep build`, by field: sections 3.5 and 3.6.

A heatmap differs from the paper's if its landmark is one of the image's outermost pixels:
scikit-image's filter repeats the edge pixels outside the image, which widens the Gaussian of such a
landmark along the edge.
"""

_MASKS: Mapping[str, Any] = {
    "target": "mask",
    "method": METHOD,
    "split_by": "image",
    "train_order": "name",
    "network": "unet",
    "width": 64,
    "loss": "bce",
    "learning_rate": 1e-4,
    "schedule": "constant",
    "batch_size": 64,
    "augment": "none",
    "normalise": "none",
    "postprocess": "none",
}

_SUBSET = {"train_images": 1600, "epochs": 5}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # Section 4.1: all images, 16,038 for training and 4,010 for testing of 20,048.
    "experiment-1": {**_MASKS, "epochs": 20},
    # Section 4.2: 1,600 for training and 400 for testing.
    "experiment-2": {**_MASKS, **_SUBSET},
    # Section 4.3: 800 for training and 200 for testing, seven landmarks.
    "experiment-3": {
        **_MASKS,
        "target": "landmarks",
        "landmarks": LANDMARKS,
        "identity": IDENTITY,
        "falloff": FALLOFF,
        "loss": "channel-ce",
        "decoder": "argmax",
        "min_confidence": 0.0,
        "shape_prior": False,
        "train_images": 800,
        "epochs": 5,
    },
    # Section 4.4: experiment 2 without skip connections.
    "experiment-4": {**_MASKS, **_SUBSET, "network": "unet-no-skip"},
}
"""Settings of `echo-train`, by field, for each of the four experiments."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Published:
    """A row of the paper's table 1.

    Attributes
    ----------
    train_dice, test_dice : float
        Pixel accuracy of both classes, except in experiment 3; docs/paper.md explains it.
    """

    train_dice: float
    train_loss: float
    test_dice: float
    test_loss: float
    seconds: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curves:
    """What the notebooks of the public code print after each epoch of an experiment.

    Attributes
    ----------
    train_loss, test_loss, test_dice : tuple of float
        One value per epoch. Table 1 has the last of each, except for the losses of experiment 1:
        0.0136, and the test loss of the epoch before.
    """

    train_loss: tuple[float, ...]
    test_loss: tuple[float, ...]
    test_dice: tuple[float, ...]


CURVES: Mapping[str, Curves] = {
    "experiment-1": Curves(
        train_loss=(
            0.2497, 0.1519, 0.1090, 0.0831, 0.0673, 0.0561, 0.0479, 0.0421, 0.0372, 0.0332,
            0.0298, 0.0266, 0.0241, 0.0223, 0.0201, 0.0184, 0.0173, 0.0159, 0.0147, 0.0137,
        ),
        test_loss=(
            0.1845, 0.1303, 0.0999, 0.0783, 0.0641, 0.0555, 0.0508, 0.0462, 0.0469, 0.0425,
            0.0418, 0.0424, 0.0411, 0.0420, 0.0424, 0.0432, 0.0441, 0.0447, 0.0465, 0.0486,
        ),
        test_dice=(
            0.9802, 0.9847, 0.9835, 0.9857, 0.9858, 0.9862, 0.9861, 0.9862, 0.9851, 0.9861,
            0.9862, 0.9859, 0.9863, 0.9859, 0.9862, 0.9863, 0.9861, 0.9862, 0.9861, 0.9862,
        ),
    ),
    "experiment-3": Curves(
        train_loss=(0.0680, 0.0659, 0.0642, 0.0627, 0.0611),
        test_loss=(0.0676, 0.0683, 0.0657, 0.0655, 0.0655),
        test_dice=(0.1839, 0.2128, 0.2129, 0.2198, 0.2194),
    ),
}  # fmt: skip
"""Curves of the two experiments that the authors published, of their figures 9 and 11."""

PUBLISHED: Mapping[str, Published] = {
    "experiment-1": Published(
        train_dice=0.9946, train_loss=0.0136, test_dice=0.9862, test_loss=0.0465, seconds=4257
    ),
    "experiment-2": Published(
        train_dice=0.9848, train_loss=0.3118, test_dice=0.9828, test_loss=0.3111, seconds=436
    ),
    "experiment-3": Published(
        train_dice=0.0672, train_loss=0.0611, test_dice=0.2194, test_loss=0.0655, seconds=1294
    ),
    "experiment-4": Published(
        train_dice=0.9909, train_loss=0.2008, test_dice=0.9796, test_loss=0.2148, seconds=409
    ),
}
"""Results of each preset as the paper's table 1 gives them."""
