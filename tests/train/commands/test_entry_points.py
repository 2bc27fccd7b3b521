"""The console scripts: what they import, and what they say if a package is missing."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]

HEAVY = (
    "av", "cv2", "h5py", "joblib", "matplotlib", "numpy", "pandas", "scipy", "skimage", "torch",
    "torchmetrics", "tqdm", "zarr",
)  # fmt: skip
"""Packages that take longer to import than a command may take to start."""

STARTED = """
import atexit, sys
heavy = {heavy!r}
atexit.register(lambda: print("imported:", *(name for name in heavy if name in sys.modules)))
sys.argv = {arguments!r}
import {module} as module
module.{function}()
"""

SUBCOMMANDS = ("build", "info", "verify", "preview", "convert", "synth")

WITHOUT = """
import sys
sys.modules[{package!r}] = None
sys.argv = ["echo", *{arguments!r}]
from echo_train.commands import entry_points
entry_points.{script}()
"""


@pytest.mark.parametrize(
    ("script", "package", "extra"),
    [
        *((script, "torch", "train") for script in ("train", "evaluate", "predict")),
        *((script, "matplotlib", "train") for script in ("train", "evaluate", "predict")),
        ("report", "matplotlib", "report"),
        ("report", "jinja2", "report"),
    ],
)
def test_a_missing_package_is_told_with_how_to_install_it(
    script: str, package: str, extra: str
) -> None:
    arguments = {"train": [], "evaluate": ["run"], "predict": ["run", "video"], "report": ["run"]}
    code = WITHOUT.format(package=package, script=script, arguments=arguments[script])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {package} is not installed")
    assert f"echo-lv-segmentation[{extra}]" in line


def test_report_works_without_torch(tmp_path: Path) -> None:
    runs = Path(__file__).parents[2] / "golden" / "runs-0.1.0"
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['torch', 'torchmetrics', 'zarr', 'pandas']))\n"
        f"sys.argv = ['echo-report', {str(runs / 'mask')!r}, {str(runs / 'landmarks')!r}, "
        f"'--out', {str(tmp_path / 'report.html')!r}]\n"
        "from echo_train.commands import entry_points\n"
        "entry_points.report()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.html").read_text().count("<svg") > 0


def started(arguments: list[str], **environment: str) -> list[str]:
    """Lines that a console script prints, the last of them what it imported."""
    module, function = SCRIPTS[arguments[0]].split(":")
    code = STARTED.format(heavy=HEAVY, arguments=arguments, module=module, function=function)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "words",
    [[name] for name in SCRIPTS] + [["echo-prep", subcommand] for subcommand in SUBCOMMANDS],
    ids=" ".join,
)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    lines = started([*words, "--help"])
    assert lines[0].startswith(f"Usage: {' '.join(words)} ")
    assert lines[-1] == "imported:"


@pytest.mark.parametrize("name", SCRIPTS)
def test_version_and_completion_import_nothing_heavy(name: str) -> None:
    version, imported = started([name, "--version"])
    assert version.startswith(f"{name}, version ") and imported == "imported:"
    variable = f"_{name.upper().replace('-', '_')}_COMPLETE"
    script = started([name], **{variable: "bash_source"})
    assert variable in "".join(script) and script[-1] == "imported:"
    typed = {"COMP_WORDS": f"{name} --v", "COMP_CWORD": "1", variable: "bash_complete"}
    assert started([name], **typed) == ["plain,--version", "imported:"]


def test_values_of_an_option_are_completed() -> None:
    typed = {"COMP_WORDS": "echo-train --target l", "COMP_CWORD": "2"}
    lines = started(["echo-train"], **typed, _ECHO_TRAIN_COMPLETE="bash_complete")
    assert lines == ["plain,landmarks", "imported:"]


@pytest.mark.parametrize(("package", "name"), [("echo_prep", "build"), ("echo_train", "--target")])
def test_the_packages_run_as_modules(package: str, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", package, "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Usage: ") and name in done.stdout


def test_the_subcommands_are_those_of_echo_prep() -> None:
    lines = started(["echo-prep", "--help"])
    listed = lines[lines.index("Commands:") + 1 : -1]
    assert {line.split()[0] for line in listed if line.startswith("  ") and line[2] != " "} == set(
        SUBCOMMANDS
    )


@pytest.mark.parametrize(
    ("words", "titles", "first"),
    [
        (
            ["echo-train"],
            ["What to train", "Optimisation", "Run", "Network", "Losses", "Masks", "Landmarks",
             "Data", "Augmentation", "Device", "Several runs", "Other options"],
            ["--target", "--store", "--landmarks", "--method", "--identity", "--falloff",
             "--epochs"],
        ),
        (
            ["echo-prep", "build"],
            ["What to build", "Heatmaps", "Workers", "Store and data set", "Other options"],
            ["--data", "--store", "--landmarks", "--method"],
        ),
    ],
    ids=["echo-train", "echo-prep build"],
)  # fmt: skip
def test_help_lists_options_under_titles_the_most_used_first(
    words: list[str], titles: list[str], first: list[str]
) -> None:
    lines = started([*words, "--help"])
    assert [line[:-1] for line in lines if line.endswith(":") and line[0] != " "][:-1] == titles
    options = [line.split()[0] for line in lines if line.startswith("  --")]
    assert options[: len(first)] == first
