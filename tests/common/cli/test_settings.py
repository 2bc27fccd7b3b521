"""Settings in flat tables, and settings composed of components."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from echo_common.cli.options import click_options
from echo_common.cli.settings import (
    component,
    from_table,
    from_toml,
    replace,
    setting,
    to_table,
)
from echo_common.cli.values import read_settings_file
from echo_common.errors import SettingsError
from support.example_settings import Composed, Drawing, Example, Shape


@pytest.mark.parametrize(
    "text, message",
    [
        ("other = 1", "settings that are not known: other"),
        ("jobs = 'x'", "not a valid integer"),
        ("=", "is not TOML"),
        (None, "cannot be read"),
    ],
)
def test_reading_back_what_is_no_settings_file(
    tmp_path: Path, text: str | None, message: str
) -> None:
    file = tmp_path / "config.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError, match=message):
        from_toml(Example, file)


def test_each_component_reads_its_part_of_a_table() -> None:
    table = to_table(replace(Composed(), sides=7, jobs=2), leave_out=("method",))
    assert "method" not in table and "run" not in table
    assert from_table(Shape, table, "here") == Shape(sides=7)
    assert from_table(Example, table, "here") == Example(jobs=2)
    with pytest.raises(SettingsError, match=r"here: .*2 is not in the range"):
        from_table(Shape, {"sides": 2}, "here")


def test_a_setting_is_replaced_in_the_component_that_declares_it() -> None:
    before = Composed(copies=3)
    after = replace(before, sides=9, copies=4)
    assert after == Composed(drawing=Drawing(shape=Shape(sides=9)), copies=4)
    assert before == Composed(copies=3)
    with pytest.raises(TypeError, match="Composed has no settings drawing, side"):
        replace(before, side=9, drawing=Drawing())


def test_two_settings_of_one_name_are_a_mistake() -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Twice:
        first: Shape = component(Shape)
        second: Shape = component(Shape)

    with pytest.raises(TypeError, match="several settings named sides"):
        replace(Twice(), sides=4)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("--rate=nan", "finite"),
        ("--rate=inf", "finite"),
        ("--rate=1e400", "finite"),
        ("--count=" + "9" * 25, "20 digits"),
        ("--count=99999999999999999", "larger than"),
        ("--out=", "empty"),
        ("--out=a\nb", "cannot be printed"),
        ("--out=a\x1b[31m", "cannot be printed"),
        ("--out=\udcff", "UTF-8"),
        ("--label=\u202eavi", "cannot be printed"),
    ],
)
def test_values_that_no_setting_takes(value: str, message: str) -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Own:
        rate: float = setting(1.0, "A rate.")
        count: int = setting(1, "A count.")
        out: Path = setting(Path("out"), "A path.")
        label: str = setting("x", "A label.")

    @click.command()
    @click_options(Own)
    def command(**values: Any) -> None:
        raise AssertionError("never called")

    result = CliRunner().invoke(command, [value])
    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("count = " + "[" * 50_000, "nested too deeply"),
        ("count = " + "9" * 5_000, "not TOML"),
        ("#" * (1 << 20) + "\n", "too many"),
    ],
)
def test_files_that_hold_no_settings(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(content)
    with pytest.raises(SettingsError, match=message):
        read_settings_file(path)


def test_a_device_is_not_read_as_settings() -> None:
    with pytest.raises(SettingsError, match="not a regular file"):
        read_settings_file(Path("/dev/zero"))
