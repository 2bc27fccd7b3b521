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
    code = WITHOUT.format(package=package, script=script)
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
    assert (tmp_path / "report.html").read_text().count("<img") > 0


def test_every_console_script_exists() -> None:
    root = Path(__file__).parents[3]
    scripts = tomllib.loads((root / "pyproject.toml").read_text())["project"]["scripts"]
    for name, place in scripts.items():
        module, function = place.split(":")
        code = f"import sys; sys.argv = [{name!r}, '--help']; import {module} as m; m.{function}()"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("Usage: ")
