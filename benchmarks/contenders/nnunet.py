"""nnU-Net v2 from PNG files: its preprocessing, loader, augmentation, 2D network and training.

The batch size and the number of passes are those of every contender, and the training and test
frames too. Everything else is as nnU-Net plans it, but for the variant ``width-16``, whose network
has half the channels of the planned one.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contenders.contender import BATCH, WIDTH, Clock, Contender, Epoch, dice, main

DATASET = "Dataset001_Ventricle"

CPU = torch.device("cpu")


class Batches:
    """As many batches of nnU-Net's endless loader as there are in one pass."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self.endless, _ = trainer.get_dataloaders()

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for _ in range(self.trainer.num_iterations_per_epoch):
            batch = next(self.endless)
            yield batch["data"], batch["target"]


class NnUNet(Contender):
    """nnU-Net with the variants ``planned`` and ``width-16``."""

    def __init__(self, work: Path, variant: str) -> None:
        super().__init__(work, variant)
        self.folder = work / "nnunet"
        # nnU-Net reads these when it is imported.
        for name in ("raw", "preprocessed", "results"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
            os.environ[f"nnUNet_{name}"] = str(self.folder / name)

    def prepare(self, method: str) -> None:
        """Extract the fingerprint, plan, and preprocess the 2D configuration."""
        from batchgenerators.utilities.file_and_folder_operations import save_json
        from nnunetv2.experiment_planning import plan_and_preprocess_api as api

        raw = self.folder / "raw" / DATASET
        shutil.rmtree(raw, ignore_errors=True)
        splits = {split: self.frames(split) for split in ("TRAIN", "VAL", "TEST")}
        for folder, kind, ending in (("imagesTr", "images", "_0000"), ("labelsTr", method, "")):
            (raw / folder).mkdir(parents=True)
            for frames in splits.values():
                for frame in frames:
                    os.link(self.png(kind, frame), raw / folder / f"{frame.name}{ending}.png")
        save_json(
            {
                "channel_names": {"0": "ultrasound"},
                "labels": {"background": 0, "ventricle": 1},
                "numTraining": sum(map(len, splits.values())),
                "file_ending": ".png",
            },
            str(raw / "dataset.json"),
        )
        os.environ["nnUNet_n_proc_DA"] = "1"  # noqa: SIM112
        if not (self.folder / "preprocessed" / DATASET / "splits_final.json").exists():
            api.extract_fingerprints([1], num_processes=1)
            api.plan_experiments([1])
        api.preprocess([1], configurations=["2d"], num_processes=[1])
        names = {split: [frame.name for frame in frames] for split, frames in splits.items()}
        save_json(
            [{"train": names["TRAIN"], "val": names["VAL"]}],
            str(self.folder / "preprocessed" / DATASET / "splits_final.json"),
        )

    def trainer(self, augment: bool, epochs: int) -> Any:
        """Make nnU-Net's trainer, with the batch size and passes of every contender."""
        from batchgenerators.utilities.file_and_folder_operations import load_json
        from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
        from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerNoDA import (
            nnUNetTrainerNoDA,
        )

        # Without processes of its own, augmentation runs in the process that trains.
        os.environ["nnUNet_n_proc_DA"] = "0"  # noqa: SIM112
        folder = self.folder / "preprocessed" / DATASET
        plans = load_json(str(folder / "nnUNetPlans.json")) | {"continue_training": False}
        plan = plans["configurations"]["2d"]
        plan["batch_size"] = BATCH
        if self.variant == "width-16":
            network = plan["architecture"]["arch_kwargs"]
            features = network["features_per_stage"]
            network["features_per_stage"] = [WIDTH * each // features[0] for each in features]
        trainer_class = nnUNetTrainer if augment else nnUNetTrainerNoDA
        dataset = load_json(str(folder / "dataset.json"))
        trainer = trainer_class(plans, "2d", 0, dataset, device=CPU)
        trainer.num_epochs = epochs
        trainer.num_iterations_per_epoch = math.ceil(len(self.frames("TRAIN")) / BATCH)
        trainer.initialize()
        return trainer

    def loader(self, augment: bool) -> Batches:
        """Open nnU-Net's own loader."""
        return Batches(self.trainer(augment, 1))

    def train(self, epochs: int) -> Iterator[Epoch]:
        """Train with nnU-Net's loss, optimiser and learning rate."""
        clock = Clock()
        trainer = self.trainer(True, epochs)
        batches = Batches(trainer)
        for _ in range(epochs):
            trainer.set_deep_supervision_enabled(True)
            trainer.on_train_epoch_start()
            for images, masks in batches:
                trainer.train_step({"data": images, "target": masks})
            trainer.current_epoch += 1
            val = self.mean_dice(trainer, "VAL")
            cpu = clock()
            yield Epoch(
                cpu=cpu, val=val, test=clock.without(lambda: self.mean_dice(trainer, "TEST"))
            )

    def mean_dice(self, trainer: Any, split: str) -> float:
        """Mean foreground Dice with nnU-Net's prediction, without mirroring."""
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        trainer.set_deep_supervision_enabled(False)
        predictor = nnUNetPredictor(use_mirroring=False, device=CPU, allow_tqdm=False)
        predictor.manual_initialization(
            trainer.network,
            trainer.plans_manager,
            trainer.configuration_manager,
            None,
            trainer.dataset_json,
            type(trainer).__name__,
            None,
        )
        frames = self.frames(split)
        cases = trainer.dataset_class(
            trainer.preprocessed_dataset_folder, [frame.name for frame in frames]
        )
        scores: list[float] = []
        with torch.inference_mode():
            for frame in frames:
                image, mask, *_ = cases.load_case(frame.name)
                logits = predictor.predict_sliding_window_return_logits(
                    torch.from_numpy(np.asarray(image[:]))
                )
                # nnU-Net cuts black borders off, which have neither ventricle nor prediction.
                scores += dice(logits.argmax(0).numpy() == 1, np.asarray(mask[:])[0] == 1)
        return float(np.mean(scores))


if __name__ == "__main__":
    main(NnUNet)
