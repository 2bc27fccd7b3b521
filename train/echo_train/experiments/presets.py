"""Settings of the paper's experiments; `echo-train --preset` takes them.

A preset replaces the defaults: an option, an environment variable and a file of settings each take
precedence over it. Its values are in `echo_common.paper`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from echo_common.errors import NotInStoreError
from echo_common.paper import BUILD
from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_train.data.frame_set import Choice, choose
from echo_train.training.settings import TrainSettings

_IN_STORE = frozenset({"method", "identity", "landmarks", "falloff"})


def choose_for_preset(settings: TrainSettings, given: Mapping[str, Any]) -> Choice:
    """Choose what an experiment trains on; see `echo_train.data.frame_set.choose`.

    Parameters
    ----------
    settings : TrainSettings
        With those of the preset.
    given : mapping
        What the user set in place of the preset's own values.

    Raises
    ------
    NotInStoreError
        If the store lacks it; the message names the build that adds all that the paper's
        experiments need.
    """
    store = EchoStore(settings.selection.store)
    try:
        return choose(store, settings.selection)
    except NotInStoreError as error:
        if _IN_STORE & given.keys():
            raise
        raise NotInStoreError(
            f"{store.path} lacks masks or landmarks of the paper's experiments; add them with: "
            f"echo-prep build --paper --store {shlex.quote(str(store.path))}"
        ) from error


def differences(store: EchoStore, choice: Choice) -> list[str]:
    """Tell how the masks and heatmaps of a choice differ from those of the paper's code."""
    notes, masks = [], schema.mask_path(choice.method)
    if not store.manifests[masks].parameters.get("truncate"):
        notes.append(
            f"note: {masks} was made from rounded coordinates; the paper's code truncates them, as "
            "echo-prep build --paper does"
        )
    if choice.landmarks is not None and choice.falloff == "gaussian":
        heatmaps = choice.landmarks.heatmap(choice.falloff)
        gaussian = store.manifests[heatmaps].parameters.get("gaussian", schema.GAUSSIANS[0])
        if gaussian != BUILD["gaussian"]:
            notes.append(
                f"note: {heatmaps} is cut at the pixel expansion; the Gaussians of the paper's "
                "code are not, as those of echo-prep build --paper"
            )
    return notes
