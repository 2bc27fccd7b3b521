"""The console scripts of training; each says what to install if torch is missing.

Preparation is installed without torch, and brings these commands along.
"""

from __future__ import annotations

from echo_common.cli.start import start

_REPORT = ("matplotlib", "jinja2")
_TRAIN = ("torch", "torchmetrics", *_REPORT)


def train() -> None:
    """Run `echo-train`."""
    start("echo_train.commands.train", _TRAIN, "train")


def evaluate() -> None:
    """Run `echo-eval`."""
    start("echo_train.commands.evaluate", _TRAIN, "train")


def predict() -> None:
    """Run `echo-predict`."""
    start("echo_train.commands.predict", _TRAIN, "train")


def report() -> None:
    """Run `echo-report`."""
    start("echo_train.commands.report", _REPORT, "report")
