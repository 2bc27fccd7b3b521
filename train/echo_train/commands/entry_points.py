"""The console scripts of training; each says what to install if torch is missing.

Preparation is installed without torch, and brings these commands along.
"""

from __future__ import annotations

from echo_common.cli.start import start

_NEEDS = ("torch", "torchmetrics", "matplotlib")


def train() -> None:
    """Run `echo-train`."""
    start("echo_train.commands.train", _NEEDS, "train")


def evaluate() -> None:
    """Run `echo-eval`."""
    start("echo_train.commands.evaluate", _NEEDS, "train")


def predict() -> None:
    """Run `echo-predict`."""
    start("echo_train.commands.predict", _NEEDS, "train")


def report() -> None:
    """Run `echo-report`."""
    start("echo_train.commands.report", _NEEDS, "train")
