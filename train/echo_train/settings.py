"""The settings of `echo-train`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from echo_common.cli.settings import setting
from echo_common.errors import SettingsError
from echo_common.geometry.contours import CURVES
from echo_common.store.schema import FALLOFFS, IDENTITIES, METHODS
from echo_train.landmarks.decoders import DECODERS
from echo_train.losses.landmark_losses import LANDMARK_LOSSES
from echo_train.losses.mask_losses import MASK_LOSSES, MaskLossSettings
from echo_train.networks.architecture import NETWORKS
from echo_train.networks.prior_channel import PriorSettings
from echo_train.training.schedule import SCHEDULES
from echo_train.transforms.augment import AugmentSettings
from echo_train.transforms.batch import NORMALISATIONS

TARGETS = ("mask", "landmarks")

LOADERS = ("auto", "resident", "stream")
"""How a store is read; the first is the default."""

SPLITS_BY = ("store", "image", "video")
"""Who decides what is for training: the store, or a draw over images or videos."""

HEATMAPS = ("rendered", "cached")
"""Where the heatmaps come from; the first is the default."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainSettings(AugmentSettings, PriorSettings, MaskLossSettings):
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
    loader : str
        One of `LOADERS`.
    buffer_mb : int
        Megabytes that a stream may hold of the store.
    heatmaps : str
        One of `HEATMAPS`.
    normalise : str
        One of `echo_train.transforms.batch.NORMALISATIONS`.
    network : str
        A name of `echo_train.networks.architecture.NETWORKS`.
    width : int
        Channels of the U-Net at full resolution.
    epochs, batch_size : int
    learning_rate : float
    schedule : str
        One of `echo_train.training.schedule.SCHEDULES`.
    warm_up : float or None
        Share of the steps in which the rate rises; None for the schedule's own.
    weight_decay : float
    clip_norm : float
        Largest norm of all gradients together; 0 for any.
    ema : float
        Decay of a moving average of the weights, which is then what is
        validated and kept as the best; 0 for none.
    patience : int
        Epochs without a better validation Dice that end a run; 0 for none.
    seed : int
        Decides the first weights and the order of the samples.
    split_by : str
        One of `SPLITS_BY`.
    train_images : int or None
        Frames to train on, drawn at random; None for all.
    folds, fold : int and int or None
        Cross-validation: validate on this fold of so many, from 1, and train
        on the others; 0 folds for the store's own splits.
    device : str
        ``auto`` for the first GPU, or the CPU where there is none.
    compile, bf16 : bool
        How CUDA computes; the CPU runs the network as it is, in float32.
    tensorboard : bool
        Write events into the run folder.
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
    curve: str | None = setting(
        None,
        "How landmarks are joined to a contour; by default open-spline for anatomical landmarks "
        "and polygon for others.",
        choices=CURVES,
    )
    distance_weight: float = setting(
        0.0, "Weight of a second head that learns the distance to the contour.", minimum=0
    )
    shape_prior: bool = setting(
        True, "Pull landmarks back that do not fit the others, as the training split has them."
    )
    network: str = setting(next(iter(NETWORKS)), "Which network learns.", choices=tuple(NETWORKS))
    width: int = setting(64, "Channels of the U-Net at full resolution.", minimum=1)
    loader: str = setting(
        LOADERS[0],
        "resident: all in the device's memory; stream: chunk by chunk; auto: what fits.",
        choices=LOADERS,
    )
    buffer_mb: int = setting(1024, "Memory in MB that --loader stream shuffles in.", minimum=1)
    heatmaps: str = setting(
        HEATMAPS[0],
        "rendered: drawn on the device, sharp under --augment; cached: read from the store.",
        choices=HEATMAPS,
    )
    normalise: str = setting(
        NORMALISATIONS[0],
        "frame: give each frame a mean of 0 and a deviation of 1.",
        choices=NORMALISATIONS,
    )
    epochs: int = setting(20, "Times the training split is seen.", minimum=1)
    batch_size: int = setting(16, "Images a step.", minimum=1)
    learning_rate: float = setting(2e-3, "Step size of Adam.", minimum=0)
    schedule: str = setting(
        SCHEDULES[0], "How the learning rate goes over the run.", choices=SCHEDULES
    )
    warm_up: float | None = setting(
        None,
        "Share of the steps in which the learning rate rises; by default 0.05 for cosine, 0.3 "
        "for one-cycle and 0 for constant.",
        minimum=0,
        maximum=1,
    )
    weight_decay: float = setting(0.0, "Weight decay, as AdamW has it.", minimum=0)
    clip_norm: float = setting(
        0.0,
        "Largest norm of the gradients, above which they are scaled down; 0 for any.",
        minimum=0,
    )
    ema: float = setting(
        0.0,
        "Decay of a moving average of the weights, such as 0.999, which is validated and kept "
        "in their place; 0 for none.",
        minimum=0,
        maximum=1,
    )
    patience: int = setting(
        0, "Stop after so many epochs without a better validation Dice; 0 for never.", minimum=0
    )
    seed: int = setting(0, "Decides the first weights and the order of the samples.", minimum=0)
    split_by: str = setting(
        SPLITS_BY[0],
        "store: its own splits; image, video: four fifths for training, the rest for validation. "
        "By image, a patient may stand on both sides.",
        choices=SPLITS_BY,
    )
    train_images: int | None = setting(
        None,
        "Train on so many frames, drawn at random; with --split-by image or video, a quarter as "
        "many are for validation.",
        minimum=1,
    )
    folds: int = setting(
        0, "Cross-validation by video: folds of the training and validation videos.", minimum=0
    )
    fold: int | None = setting(
        None, "Which fold to validate on, from 1; by default each in turn.", minimum=1
    )
    device: str = setting("auto", "auto, cpu, cuda, cuda:1, …")
    compile: bool = setting(True, "Compile the network on CUDA; the CPU runs it as it is.")
    bf16: bool = setting(True, "Compute in bfloat16 on CUDA; the CPU computes in float32.")
    tensorboard: bool = setting(False, "Write TensorBoard events into the run folder.")
    resume: bool = setting(False, "Go on with the run in --run.")

    def loss_name(self) -> str:
        """The loss that is used: the given one, or the target's default."""
        default = MASK_LOSSES if self.target == "mask" else LANDMARK_LOSSES
        return self.loss or next(iter(default))

    def check(self) -> None:
        """Check that the settings of one run have a meaning together.

        Raises
        ------
        SettingsError
            If they contradict each other; the message names the option.
        """
        known = MASK_LOSSES if self.target == "mask" else LANDMARK_LOSSES
        if self.loss_name() not in known:
            raise SettingsError(
                f"--loss {self.loss} is no loss for --target {self.target}; choose one of "
                f"{', '.join(known)}"
            )
        self.check_prior()
        if self.target == "landmarks" and self.prior != "none" and self.prior_use == "weight":
            raise SettingsError(
                "--prior-use weight weighs the pixels of masks; for --target landmarks give "
                "--prior-use channel"
            )
        if self.resume and self.run is None:
            raise SettingsError("--resume needs --run, the folder of the run to go on with")
        if self.ema == 1:
            raise SettingsError("--ema 1 would keep the first weights; give less, such as 0.999")
        if self.folds == 1 or (self.fold or 0) > self.folds:
            raise SettingsError(
                f"--fold {self.fold or 1} of --folds {self.folds}: there must be at least two "
                "folds, and the fold be one of them"
            )
        if self.folds and (self.split_by != "store" or self.train_images is not None):
            raise SettingsError(
                "--folds divides all of the store's videos; give neither "
                "--split-by nor --train-images with it"
            )
        if self.folds and self.fold is None:
            raise SettingsError("one run validates on one fold; give --fold as well as --folds")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepSettings(TrainSettings):
    """Settings of one run, or of several that differ in seed or fold alone.

    Attributes
    ----------
    seeds : int
        How many seeds, from `seed` on, are trained with each.
    """

    seeds: int = setting(1, "Train with so many seeds, from --seed on.", minimum=1)

    def is_sweep(self) -> bool:
        """Whether there is more than one run to train."""
        return self.seeds > 1 or (self.folds > 0 and self.fold is None)

    def runs(self) -> dict[str, TrainSettings]:
        """The settings of each run by its name, folds outermost; their folders are left open."""
        names = {field.name for field in dataclasses.fields(TrainSettings)}
        values = {name: getattr(self, name) for name in names}
        every_fold = self.folds > 0 and self.fold is None
        runs = {}
        for fold in range(1, self.folds + 1) if every_fold else [self.fold]:
            for seed in range(self.seed, self.seed + self.seeds):
                parts = [f"fold-{fold}"] if every_fold else []
                parts += [f"seed-{seed}"] if self.seeds > 1 else []
                own = {"fold": fold, "seed": seed, "run": None, "resume": False}
                runs["-".join(parts)] = TrainSettings(**{**values, **own})
        return runs

    def one_run(self) -> TrainSettings:
        """The settings of the one run that there is to train."""
        (settings,) = self.runs().values()
        return dataclasses.replace(settings, run=self.run, resume=self.resume)
