"""The console scripts of training and reporting."""

from __future__ import annotations

from echo_common.cli.start import start


def train() -> None:
    """Run `echo-train`."""
    start("echo_train.commands.train")


def evaluate() -> None:
    """Run `echo-eval`."""
    start("echo_train.commands.evaluate")


def predict() -> None:
    """Run `echo-predict`."""
    start("echo_train.commands.predict")


def report() -> None:
    """Run `echo-report`."""
    start("echo_train.commands.report")
