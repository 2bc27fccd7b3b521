"""The settings of `echo-train`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from echo_common.schema import FALLOFFS, IDENTITIES, METHODS
from echo_common.settings import setting

from echo_train.augment import AugmentSettings
from echo_train.batches import NORMALISATIONS
from echo_train.decode import DECODERS
from echo_train.landmark_losses import LANDMARK_LOSSES
from echo_train.mask_losses import MASK_LOSSES

TARGETS = ("mask", "landmarks")

HEATMAPS = ("cached", "rendered")
"""Where the heatmaps come from; the first is the default."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainSettings(AugmentSettings):
    """What to train, on what, and how.

    Attributes
    ----------
    store : Path
    run : Path or None
        Run folder; None for a new one under ``runs/``.
    target : str
        One of `TARGETS`.
    landmarks : int
        Number of landmarks.
    method, identity, falloff : str or None
        None for what the store holds, the default first.
    loss : str or None
        None for the target's default.
    decoder : str
        How a landmark's place is read off its map.
    min_confidence : float
        In [0, 1]; a landmark whose map is less sure than this is missed.
    heatmaps : str
        One of `HEATMAPS`.
    normalise : str
        One of `echo_train.batches.NORMALISATIONS`.
    width : int
        Channels of the U-Net at full resolution.
    epochs, batch_size : int
    learning_rate : float
    seed : int
        Decides the first weights and the order of the samples.
    device : str
        ``auto`` for the first GPU, or the CPU where there is none.
    resume : bool
        Go on with the run in the run folder.
    """

    store: Path = setting(Path("cache/echonet.zarr"), "The store that echo-prep build made.")
    run: Path | None = setting(None, "Run folder; by default a new one under runs/.")
    target: str = setting("mask", "What the network predicts.", choices=TARGETS)
    landmarks: int = setting(7, "Number of landmarks, for --target landmarks.", minimum=3)
    method: str | None = setting(
        None, "Which masks; by default what the store holds, chords first.", choices=METHODS
    )
    identity: str | None = setting(
        None,
        "Which landmarks; by default what the store holds, anatomical first.",
        choices=IDENTITIES,
    )
    falloff: str | None = setting(
        None, "Which heatmaps; by default what the store holds, gaussian first.", choices=FALLOFFS
    )
    loss: str | None = setting(
        None,
        "Loss; by default bce for masks and spatial-ce for landmarks.",
        choices=(*MASK_LOSSES, *LANDMARK_LOSSES),
    )
    decoder: str = setting(
        "centroid", "How a landmark's place is read off its map.", choices=tuple(DECODERS)
    )
    min_confidence: float = setting(
        0.2, "A landmark whose map is less sure than this is missed.", minimum=0, maximum=1
    )
    distance_weight: float = setting(
        0.0, "Weight of a second head that learns the distance to the contour.", minimum=0
    )
    shape_prior: bool = setting(
        False, "Pull landmarks back that do not fit the others, as the training split has them."
    )
    width: int = setting(64, "Channels of the U-Net at full resolution.", minimum=1)
    heatmaps: str = setting(
        HEATMAPS[0],
        "Heatmaps as the store has them, or drawn anew on the device.",
        choices=HEATMAPS,
    )
    normalise: str = setting(
        NORMALISATIONS[0],
        "frame: give each frame a mean of 0 and a deviation of 1.",
        choices=NORMALISATIONS,
    )
    epochs: int = setting(20, "Times the training split is seen.", minimum=1)
    batch_size: int = setting(16, "Images a step.", minimum=1)
    learning_rate: float = setting(1e-3, "Step size of Adam.", minimum=0)
    seed: int = setting(0, "Decides the first weights and the order of the samples.", minimum=0)
    device: str = setting("auto", "auto, cpu, cuda, cuda:1, …")
    resume: bool = setting(False, "Go on with the run in --run.")

    def loss_name(self) -> str:
        """The loss that is used: the given one, or the target's default."""
        default = MASK_LOSSES if self.target == "mask" else LANDMARK_LOSSES
        return self.loss or next(iter(default))
