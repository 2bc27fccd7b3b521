"""The console scripts of training: each says what to install where torch is missing.

Preparation is installed without torch, and brings these commands along.
"""

from __future__ import annotations

import importlib
import sys

import click

_NEEDED = ("torch", "torchmetrics", "matplotlib")


def train() -> None:
    """Run `echo-train`."""
    _run("train")


def evaluate() -> None:
    """Run `echo-eval`."""
    _run("evaluate")


def predict() -> None:
    """Run `echo-predict`."""
    _run("predict")


def report() -> None:
    """Run `echo-report`."""
    _run("report")


def _run(module: str) -> None:
    try:
        command = importlib.import_module(f"echo_train.commands.{module}")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _NEEDED:
            raise
        click.echo(
            f"error: {package} is not installed, which only training needs; install it with: "
            "pip install 'echo-lv-segmentation[train]'",
            err=True,
        )
        sys.exit(1)
    command.main()
