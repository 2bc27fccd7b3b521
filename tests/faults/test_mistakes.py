"""Every option times every kind of wrong value: one message, no traceback, no hang.

The commands are called in this process, as their console scripts call them. A
value that happens to be allowed may do its work; what counts is how it ends.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from unittest import mock

import click
import pytest

from echo_common.cli.command import run_command
from echo_prep.cli import cli as echo_prep

pytest.importorskip("torch")

from echo_train.commands.evaluate import cli as echo_eval
from echo_train.commands.predict import cli as echo_predict
from echo_train.commands.report import cli as echo_report
from echo_train.commands.train import cli as echo_train
from support.damage import no_hang

SECONDS = 120
"""After which a command counts as one that hangs; the slowest here takes a second or two."""

PIPE = "pipe"
"""A named pipe in the working folder: not a device, which a root that fails would replace."""

WRONG_TEXTS = (
    "",
    " ",
    "nan",
    "-inf",
    "1e400",
    "-1",
    "9" * 25,
    "0",
    "0x10",
    "1,,2",
    "1.5",
    "é\x1b[31m",
    "a\nb",
    "\udcff",
    "../../..",
    "n" * 300,
    PIPE,
    "--",
)

ALLOWED = 2
"""Values that turn out to be allowed before an option is done: each of them does all the work."""

NOT_TRIED = {"config", "help", "version", "resume", "jobs", "seeds", "frames_per_video"}
"""Options of click itself, those with a test of their own, and those whose work is long."""


def call(command: click.Command, words: list[str]) -> tuple[int, str]:
    """Exit code and messages of a command, ended as its console script ends it."""
    out, err = io.TextIOWrapper(io.BytesIO()), io.TextIOWrapper(io.BytesIO(), errors="replace")
    with (
        no_hang(SECONDS),
        mock.patch.object(sys, "stdout", out),
        mock.patch.object(sys, "stderr", err),
        mock.patch("tempfile.tempdir", "/nowhere"),
        pytest.raises(SystemExit) as end,
    ):
        run_command(command, args=words, prog_name=command.name)
    err.flush()
    err.seek(0)
    return int(end.value.code or 0), err.read()


def assert_told(command: click.Command, words: list[str]) -> bool:
    """The command works, or says in few lines what is wrong; returns whether it works."""
    code, said = call(command, words)
    assert code in (0, 1, 2), f"{words}: {code}: {said}"
    assert "Traceback" not in said, f"{words}: {said}"
    if code:
        last = said.strip().splitlines()[-1]
        assert last.lower().startswith("error: ") or "Error: " in said, f"{words}: {said}"
        assert len(said) < 4000, f"{words}: {said}"
    return code == 0


def _options(command: click.Command) -> list[click.Option]:
    return [
        option
        for option in command.params
        if isinstance(option, click.Option) and option.name not in NOT_TRIED and not option.is_flag
    ]


def _cases() -> list[tuple[str, str]]:
    commands = {
        "train": echo_train,
        "eval": echo_eval,
        "predict": echo_predict,
        "report": echo_report,
        **{f"prep {name}": sub for name, sub in echo_prep.commands.items()},  # type: ignore[attr-defined]
    }
    return [(name, option.opts[0]) for name, sub in commands.items() for option in _options(sub)]


@pytest.fixture(scope="session")
def run(small_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run; not to be written to."""
    from echo_train.training.train import train
    from support.training import tiny

    return train(tiny(small_store, tmp_path_factory.mktemp("mistakes") / "run", epochs=1))


def test_the_settings_of_another_command_are_refused_by_name(
    small_dataset: Path, small_store: Path, run: Path, tmp_path: Path
) -> None:
    build = tmp_path / "build.toml"
    build.write_text(f"data = '{small_dataset}'\nstore = '{small_store}'\njobs = 1\n")
    target = tmp_path / "made"
    for program, words, message in (
        (echo_train, ["--config", str(build), "--run", str(target)], "data"),
        (echo_eval, [str(run), "--config", str(build), "--out", str(target)], "data, jobs"),
        (echo_prep, ["build", "--config", str(run / "config.toml"), "--store", str(target)],
         "batch_size"),
        (echo_prep, ["synth", str(target), "--config", str(run / "config.toml")], "batch_size"),
    ):  # fmt: skip
        code, said = call(program, words)
        assert code == 2 and "does not know: " in said and message in said, said
        assert said.count("Error: ") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["build.toml"]


@pytest.mark.parametrize(("command", "option"), _cases())
def test_wrong_values(
    command: str,
    option: str,
    small_dataset: Path,
    small_store: Path,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo(PIPE)
    video = next((small_dataset / "Videos").iterdir())
    data = ["--data", str(small_dataset), "--jobs", "1", "--backend", "threading"]
    train = ["--width", "1", "--epochs", "1", "--batch-size", "64", "--device", "cpu"]
    measured = ["--device", "cpu", "--out", str(tmp_path / "out")]
    worked = 0
    for number, value in enumerate(WRONG_TEXTS):
        words = {
            "train": [
                *("--store", str(small_store), *train),
                *(() if option == "--run" else ("--run", str(tmp_path / f"run-{number}"))),
            ],
            "eval": [str(run), *measured],
            "predict": [str(run), str(video), *measured],
            "report": [str(run)],
            "prep build": ["build", *data, "--store", str(tmp_path / f"{number}.zarr")],
            "prep synth": [
                *("synth", str(tmp_path / f"synth-{number}"), "--videos", "1", "--frames", "4"),
            ],
            "prep info": ["info", str(small_store)],
            "prep verify": ["verify", str(small_store)],
            "prep preview": ["preview", str(small_store), "--out", str(tmp_path / "p.png")],
            "prep convert": ["convert", str(small_store), str(tmp_path / f"{number}.h5")],
        }[command]
        top = {"train": echo_train, "eval": echo_eval, "predict": echo_predict}
        program = {**top, "report": echo_report}.get(command, echo_prep)
        worked += assert_told(program, [*words, f"{option}={value}"])
        if worked == ALLOWED:
            return
