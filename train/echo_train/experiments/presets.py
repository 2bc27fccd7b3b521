"""The paper's four experiments as settings; `echo-train --preset` takes them.

A preset is what settings have where nobody says otherwise: an option, an
environment variable and a file of settings each win over it. What is not in
the paper's text is as its public code has it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from echo_common.errors import NotInStoreError
from echo_common.store.reader import EchoStore
from echo_train.data.frame_set import Choice
from echo_train.data.selection import choose
from echo_train.settings import TrainSettings

ALL = "all"
"""Not a preset, but all of them one after the other; see `echo_train.experiments.paper`."""

_MASKS: dict[str, Any] = {
    "target": "mask",
    "method": "centroid",
    "split_by": "image",
    "network": "unet",
    "width": 64,
    "loss": "bce",
    "learning_rate": 1e-4,
    "schedule": "constant",
    "batch_size": 64,
    "augment": "none",
    "normalise": "none",
}

_FEW = {"train_images": 1600, "epochs": 5}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # Section 4.1: all images, 16,038 for training and 4,010 for testing of 20,048.
    "experiment-1": {**_MASKS, "epochs": 20},
    # Section 4.2: 1,600 and 400.
    "experiment-2": {**_MASKS, **_FEW},
    # Section 4.3: 800 and 200, seven landmarks.
    "experiment-3": {
        **_MASKS,
        "target": "landmarks",
        "landmarks": 7,
        "identity": "angle",
        "falloff": "gaussian",
        "loss": "channel-ce",
        "decoder": "argmax",
        "min_confidence": 0.0,
        "shape_prior": False,
        "batch_size": 8,
        "train_images": 800,
        "epochs": 5,
    },
    # Section 4.4: experiment 2 without what links the two paths.
    "experiment-4": {**_MASKS, **_FEW, "network": "unet-no-skip"},
}
"""Settings by name of the field in `echo_train.settings.TrainSettings`."""


def with_preset(preset: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a preset, with what was given in place of its own.

    Parameters
    ----------
    preset : str or None
        A name of `PRESETS`.
    given : mapping
        What the user set by option, environment or file.
    """
    return {**({} if preset is None else PRESETS[preset]), **given}


_STORED = frozenset({"method", "identity", "landmarks", "falloff"})


def choose_for_preset(settings: TrainSettings, given: Mapping[str, Any]) -> Choice:
    """Settle what an experiment trains on; see `echo_train.data.selection.choose`.

    Parameters
    ----------
    settings : TrainSettings
        From `with_preset`.
    given : mapping
        What the user set in place of the preset's own.

    Raises
    ------
    NotInStoreError
        If the store lacks it; the message is the build that adds all that the
        paper's experiments need.
    """
    store = EchoStore(settings.store)
    try:
        return choose(store, settings)
    except NotInStoreError as error:
        if _STORED & given.keys():
            raise
        raise NotInStoreError(
            f"{store.path} lacks masks or landmarks of the paper's experiments; add them with: "
            f"echo-prep build --paper --store {shlex.quote(str(store.path))}"
        ) from error
