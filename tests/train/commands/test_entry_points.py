"""The console scripts with and without the packages that only training needs."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

WITHOUT = """
import sys
sys.modules[{package!r}] = None
from echo_train.commands import entry_points
entry_points.{script}()
"""


@pytest.mark.parametrize("package", ["torch", "matplotlib"])
@pytest.mark.parametrize("script", ["train", "evaluate", "predict", "report"])
def test_a_missing_package_is_told_with_how_to_install_it(script: str, package: str) -> None:
    code = WITHOUT.format(package=package, script=script)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {package} is not installed")
    assert "echo-lv-segmentation[train]" in line


def test_every_console_script_exists() -> None:
    root = Path(__file__).parents[3]
    scripts = tomllib.loads((root / "pyproject.toml").read_text())["project"]["scripts"]
    for name, place in scripts.items():
        module, function = place.split(":")
        code = f"import sys; sys.argv = [{name!r}, '--help']; import {module} as m; m.{function}()"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("Usage: ")
