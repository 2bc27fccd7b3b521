"""Metrics of a trained model on the splits of a store, and the files that hold them.

`echo_train.training.train` measures a run when it ends; `echo-eval` measures on any split or store.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from echo_common.cli.progress import Progress, silent
from echo_common.cli.settings import replace
from echo_common.errors import NotInStoreError, RunError, SettingsError
from echo_common.output_folder import OutputFolder
from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_train.data.frame_set import Choice, changed_content, choose, data_set_of
from echo_train.data.loader import Loader, make_loader
from echo_train.evaluation.ensemble import average_models, describe_average
from echo_train.evaluation.floor import TrainingSplit, read_training_split
from echo_train.evaluation.measure import measure
from echo_train.evaluation.measured_files import MaskFiles, Measured, write_measured
from echo_train.evaluation.robustness import measure_robustness
from echo_train.evaluation.settings import EvaluateSettings
from echo_train.evaluation.trained_model import TrainedModel, load_model
from echo_train.reporting.robustness_report import RobustnessRow
from echo_train.runs import run_folder
from echo_train.runs.summary import read_summary
from echo_train.targets.base import Prediction
from echo_train.transforms.batch import Batch


class Evaluation:
    """The model of a run, and the store that it is measured on.

    Parameters
    ----------
    folder : Path
        The run.
    others : sequence of Path
        Runs whose predictions are averaged with those of the run.

    Raises
    ------
    SettingsError
        If runs cannot be averaged, or a split that one measures is not that of another.
    RunError
        If the folder contains no run, or its checkpoint cannot be read.
    StoreError
        If the store does not exist, is damaged, or lacks the masks or landmarks of the run.
    """

    def __init__(
        self,
        folder: Path,
        settings: EvaluateSettings,
        device: torch.device,
        others: Sequence[Path] = (),
    ) -> None:
        models = [
            load_model(run, settings.checkpoint, device, settings.postprocess)
            for run in (folder, *others)
        ]
        splits = {model.settings.data.splits for model in models}
        if len(splits) > 1 and settings.split != "test":
            raise SettingsError(
                f"--split {settings.split}: the runs have different splits, such as those of "
                "folds, so that one was trained on frames that another holds out; measure "
                "--split test"
            )
        self.model = average_models(models, settings.tta, settings.tta_mirror)
        if settings.store is None and self.model.measured is not None:
            raise SettingsError(
                f"{folder} holds weights, and does not say which store to measure them on; give "
                "--store"
            )
        self.store = EchoStore(settings.store or self.model.settings.selection.store)
        choice = choose(self.store, self.model.settings.selection)
        self.trained_on_store = choice.array_keys(self.store) == self.model.store
        data = replace(self.model.settings.data, loader="auto")
        if not self.trained_on_store:
            # Folds and random draws apply only to the frames that the run was trained on.
            data = replace(
                data,
                folds=0,
                fold=None,
                split_by="store",
                train_images=None,
                train_patients=None,
            )
        self.loader = make_loader(self.store, choice, data, self.model.device)
        self.notes = self._compare(choice) + describe_average(models, settings)

    def _compare(self, choice: Choice) -> list[str]:
        """Tell where the model and the store do not go together, and what is done about it."""
        notes = []
        shape, own = self.loader.frames.shape, self.model.shape
        if shape != own:
            notes.append(
                f"the frames of {self.store.path} are {shape[1]}x{shape[0]}, and the model was "
                f"trained on {own[1]}x{own[0]}: frames are scaled to the model, and predictions "
                f"back; distances and areas are in pixels of {shape[1]}x{shape[0]} frames, and "
                "there is no loss"
            )
        if not self.trained_on_store:
            keys = choice.array_keys(self.store)
            other = [name for name, key in keys.items() if self.model.store.get(name) != key]
            notes.append(
                f"{self.store.path} does not hold the data that the model was trained on "
                f"({', '.join(other)} differ): it is made from "
                f"{data_set_of(self.store.attributes)}, and the model was trained on "
                f"{self.model.data_set}; its own splits are measured"
            )
            splits = self.model.settings.data.splits
            if splits.folds or splits.split_by != "store":
                drawn = (
                    f"--folds {splits.folds}" if splits.folds else f"--split-by {splits.split_by}"
                )
                notes.append(
                    f"the model was trained with splits of its own ({drawn}): if the store has "
                    "patients of its training data, they may be in any split that is measured"
                )
        elif changed := changed_content(self.model.content, choice.content(self.store)):
            notes.append(
                f"{self.store.path} was built again since the model was trained, with other "
                f"content: {', '.join(changed)}"
            )
        return notes

    def orders(self, split: str) -> dict[str, np.ndarray]:
        """Frames of each split to measure, by the name of the split; see `EvaluateSettings`.

        Raises
        ------
        NotInStoreError
            If there are none.
        """
        frames = self.loader.frames
        names = [name for name in schema.SPLITS if split in ("all", name.lower())]
        orders = {name.lower(): frames.indices(name) for name in names}
        if split == "all":
            orders["all"] = np.arange(len(frames))
        orders = {name: order for name, order in orders.items() if len(order)}
        if not orders:
            present = [name.lower() for name in schema.SPLITS if len(frames.indices(name))]
            raise NotInStoreError(
                f"{self.store.path} has no readable frame of the split {split} to measure "
                f"{self.model.folder} on; it has {', '.join(present) or 'none at all'}"
            )
        return orders

    def area_range(self, training: TrainingSplit | None) -> tuple[float, float] | None:
        """Range of areas in the model's training split, from the store or what the run measured.

        Parameters
        ----------
        training : TrainingSplit or None
            Of the store.
        """
        if self.trained_on_store:
            return None if training is None else training.area_range
        stored = _measured(self.model).get("training_area")
        return (stored[0], stored[1]) if stored else None


def evaluate(
    folder: Path,
    output: OutputFolder,
    settings: EvaluateSettings,
    device: torch.device,
    progress: Progress[Any] = silent,
    others: Sequence[Path] = (),
) -> list[RobustnessRow]:
    """Measure a run, and write summary.json, frames.csv, videos.csv, pictures and masks.

    Parameters
    ----------
    folder, others
        As `Evaluation` takes them.
    output : OutputFolder
        For the results; those of an earlier call are replaced.
    progress : Progress
        Wraps the batches.

    Returns
    -------
    robustness : list of RobustnessRow
        Of the last split that was measured; empty without `settings.noise`.

    Raises
    ------
    EchoError
        As `Evaluation` does, or if the split has no frames.
    """
    started = time.perf_counter()
    evaluation = Evaluation(folder, settings, device, others)
    model, orders = evaluation.model, evaluation.orders(settings.split)
    training = read_training_split(evaluation.store, model.choice, evaluation.loader.frames)
    areas = evaluation.area_range(training)
    observers = []
    if settings.masks is not None:
        frames = evaluation.loader.frames
        observers.append(MaskFiles(output, frames, np.concatenate(list(orders.values()))).write)
    measured = measure_splits(model, evaluation.loader, orders, areas, progress, *observers)
    if settings.correct_volumes:
        exponent = _fitted_exponent(model)
        measured = {
            name: (dataclasses.replace(results, correction=exponent), loss)
            for name, (results, loss) in measured.items()
        }
        evaluation.notes.append(
            f"end-systolic volumes are corrected by the exponent {exponent:.3f}, fitted on the "
            "validation split of the run (--correct-volumes)"
        )
    seconds = time.perf_counter() - started
    write_measured(
        output,
        model,
        evaluation.loader,
        measured,
        training,
        {
            "run": str(folder),
            "store": str(evaluation.store.path),
            "checkpoint": model.checkpoint,
            "epoch": model.epoch,
            "seconds": seconds,
            "images_per_second": sum(map(len, orders.values())) / seconds,
            "training_area": areas,
            "notes": evaluation.notes,
        },
    )
    if not settings.noise:
        return []
    return measure_robustness(
        model, evaluation.loader, list(orders.values())[-1], areas, settings.noise_seed, progress
    )


def _measured(model: TrainedModel) -> Mapping[str, Any]:
    """What a weights file or the summary.json of a run tells; empty for an unfinished run."""
    if model.measured is not None:
        return model.measured
    if not (model.folder / run_folder.SUMMARY).exists():
        return {}
    summary = read_summary(model.folder)
    return {**summary, "exponent": summary.get("val", {}).get("ef", {}).get("exponent")}


def _fitted_exponent(model: TrainedModel) -> float:
    """The correction of volumes that the validation split of a run fits best."""
    exponent = _measured(model).get("exponent")
    if not exponent:
        raise RunError(
            f"{model.folder} has no exponent to correct volumes by: the run is not finished or was "
            "measured by an earlier version, or no validation video is traced at ED and at ES; "
            "train again, or leave out --correct-volumes"
        )
    return float(exponent)


def measure_splits(
    model: TrainedModel,
    loader: Loader,
    orders: Mapping[str, np.ndarray],
    areas: tuple[float, float] | None,
    progress: Progress[Any] = silent,
    observe: Callable[[Prediction, Batch], None] = lambda prediction, batch: None,
) -> Measured:
    """Measure a model on each split that has frames, with `measure`."""
    return {
        name: measure(model, loader, order, areas, progress, observe)
        for name, order in orders.items()
        if len(order)
    }
