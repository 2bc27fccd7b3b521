"""Options made from settings; the order option, environment, file, default."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click
import cloup
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from echo_common.cli.options import click_options, given_options
from echo_common.cli.settings import (
    component,
    from_toml,
    replace,
    setting,
    to_table,
    to_toml,
)
from echo_common.errors import SettingsError
from support.example_settings import Composed, Drawing, Example, Renamed, Shape


@click.command()
@click_options(Example)
@click.pass_context
def show(ctx: click.Context, **values: Any) -> None:
    click.echo(repr(Example(**values)))
    click.echo(",".join(given_options(ctx, values)))


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(show, arguments, env=env or {})


def shown(*arguments: str, env: dict[str, str] | None = None) -> Example:
    result = run(*arguments, env=env)
    assert result.exit_code == 0, result.output
    names = {"Example": Example, "PosixPath": Path}
    return eval(result.stdout.splitlines()[0], names)


def test_defaults_are_the_dataclasses() -> None:
    assert shown() == Example()
    assert run().output.splitlines()[1] == ""


def test_option_over_environment_over_file_over_default(tmp_path: Path) -> None:
    file = tmp_path / "build.toml"
    file.write_text('jobs = 1\nlr = 0.25\nmethod = ["hull", "chords"]\nstrict = true\n')
    config = ("--config", str(file))
    assert shown(*config) == Example(jobs=1, lr=0.25, method=("hull", "chords"), strict=True)
    env = {"ECHO_JOBS": "2", "ECHO_METHOD": "hull"}
    assert shown(*config, env=env) == Example(jobs=2, lr=0.25, method=("hull",), strict=True)
    options = ("--jobs", "3", "--no-strict")
    assert shown(*config, *options, env=env) == Example(jobs=3, lr=0.25, method=("hull",))
    given = run(*config, *options, env=env).stdout.splitlines()[1]
    assert set(given.split(",")) == {"jobs", "lr", "method", "strict"}


def test_a_variable_that_overrides_the_file_is_said(tmp_path: Path) -> None:
    file = tmp_path / "build.toml"
    file.write_text("jobs = 1\nlr = 0.25\n")
    note = "note: the environment variable ECHO_JOBS overrides jobs of --config\n"
    env = {"ECHO_JOBS": "2", "ECHO_STRICT": "1"}
    assert run("--config", str(file), env=env).stderr == note
    assert run("--config", str(file), "--jobs", "3", env=env).stderr == ""
    assert run(env=env).stderr == ""


def test_an_unknown_key_is_refused_with_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "build.toml"
    file.write_text("jbos = 1\n")
    assert "; did you mean jobs?" in " ".join(run("--config", str(file)).output.split())
    with pytest.raises(SettingsError, match="not known: jbos; did you mean jobs"):
        from_toml(Example, file)


def test_every_setting_has_its_environment_variable() -> None:
    env = {
        "ECHO_STORE": "b.zarr",
        "ECHO_RUN": "runs/x",
        "ECHO_METHOD": "hull,chords",
        "ECHO_LANDMARKS": "3, 11,3",
        "ECHO_LR": "0.125",
        "ECHO_JOBS": "5",
        "ECHO_STRICT": "1",
    }
    assert shown(env=env) == Example(
        store=Path("b.zarr"),
        run=Path("runs/x"),
        method=("hull", "chords"),
        landmarks=(3, 11),
        lr=0.125,
        jobs=5,
        strict=True,
    )


@pytest.mark.parametrize("text, value", [("landmarks = 5", (5,)), ("landmarks = [3, 9]", (3, 9))])
def test_a_list_of_one_needs_no_brackets_in_a_file(
    tmp_path: Path, text: str, value: tuple[int, ...]
) -> None:
    file = tmp_path / "build.toml"
    file.write_text(text)
    assert shown("--config", str(file)).landmarks == value


@pytest.mark.parametrize(
    "text, message",
    [
        ("jobs = ", "is not TOML"),
        ("jbos = 1", "does not know: jbos; it knows jobs, landmarks, lr, method, run"),
        ("jobs = -1", "-1 is not in the range x>=0"),
        ("method = ['chord']", "'chord' is not one of 'chords', 'hull'"),
        ("landmarks = [3, 'x']", "'x' is not a valid integer"),
        ("landmarks = [3, 43]", "43 is not in the range 3<=x<=42"),
        ("landmarks = []", "empty item"),
        ("jobs = 1.5", "'1.5' is not a valid integer"),
        ("jobs = [1]", "jobs: [1] is no value for this setting"),
        ("landmarks = [[3]]", "landmarks: [[3]] is no value"),
        ("landmarks = 1979-05-27", "landmarks: datetime.date(1979, 5, 27) is no value"),
        ("store = {a = 1}", "store: {'a': 1} is no value"),
    ],
)
def test_a_bad_file_is_wrong_usage(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "build.toml"
    file.write_text(text)
    result = run("--config", str(file))
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert isinstance(result.exception, SystemExit)


def test_a_file_that_is_no_text_or_not_there_is_wrong_usage(tmp_path: Path) -> None:
    file = tmp_path / "build.toml"
    file.write_bytes(b"\xff\xfe\0")
    assert run("--config", str(file)).exit_code == 2
    assert run("--config", str(tmp_path / "none.toml")).exit_code == 2
    assert run("--config", str(tmp_path)).exit_code == 2


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--jobs", "many"), "'many' is not a valid integer"),
        (("--landmarks", "3,,4"), "has an empty item"),
        (("--landmarks", ""), "has an empty item"),
        (("--landmarks", "2"), "2 is not in the range 3<=x<=42"),
        (("--method", "hull,polygon"), "'polygon' is not one of"),
        (("--nonsense",), "No such option"),
        (("surplus",), "unexpected extra argument"),
    ],
)
def test_bad_options_are_wrong_usage(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.output


examples = st.builds(
    Example,
    store=st.from_regex(r"[a-z][a-z \"'\\#]{0,8}", fullmatch=True).map(Path),
    run=st.none() | st.just(Path("runs/ä")),
    method=st.permutations(["chords", "hull"]).map(tuple),
    landmarks=st.lists(st.integers(3, 42), min_size=1, unique=True).map(tuple),
    lr=st.floats(0, 1e300),
    jobs=st.integers(0, 2**40),
    strict=st.booleans(),
)


@hypothesis_settings(deadline=None)
@given(example=examples)
def test_settings_come_back_from_toml(example: Example, tmp_path_factory: Any) -> None:
    file = tmp_path_factory.mktemp("toml") / "config.toml"
    file.write_text(to_toml(example), encoding="utf-8")
    assert from_toml(Example, file) == example
    # The same file is a --config of the command.
    assert shown("--config", str(file)) == example


def test_components_have_flat_options_variables_and_keys(tmp_path: Path) -> None:
    @click.command()
    @click_options(Composed)
    def command(**values: Any) -> None:
        click.echo(to_toml(replace(Composed(), **values)))

    file = tmp_path / "config.toml"
    file.write_text("jobs = 4\nsides = 5\n")
    result = CliRunner().invoke(
        command,
        ["--config", str(file), "--sides", "6", "--copies", "2"],
        env={"ECHO_COLOR": "blue"},
    )
    assert result.exit_code == 0, result.output
    file.write_text(result.output)
    expected = Composed(
        drawing=Drawing(color="blue", shape=Shape(sides=6)), example=Example(jobs=4), copies=2
    )
    assert from_toml(Composed, file) == expected
    assert list(to_table(expected))[:2] == ["color", "sides"]


def test_options_are_listed_under_titles_in_the_order_of_their_declaration() -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Titled:
        drawing: Drawing = component(Drawing, "What to draw")
        quiet: bool = setting(False, "A switch.", title="How to draw")
        copies: int = setting(1, "A number.")
        shape_again: int = setting(1, "A number.", title="What to draw")

    command = cloup.command()(click_options(Titled)(lambda **values: None))
    lines = CliRunner().invoke(command, ["--help"]).output.splitlines()
    assert [line.split()[0] for line in lines if line.startswith(("  --", "What", "How"))] == [
        "What", "--color", "--sides", "--shape-again", "How", "--quiet", "--copies", "--config",
        "--help",
    ]  # fmt: skip


@click.command()
@click_options(Renamed)
def show_speed(speed: str) -> None:
    click.echo(speed)


@pytest.mark.parametrize(("text", "value"), [("true", "full"), ("false", "slow")])
def test_a_flag_that_was_replaced_is_read_from_files_and_variables(
    tmp_path: Path, text: str, value: str
) -> None:
    file = tmp_path / "old.toml"
    file.write_text(f"fast = {text}\n")

    def shown_speed(*arguments: str, **env: str) -> str:
        return CliRunner().invoke(show_speed, arguments, env=env).output.strip()

    assert shown_speed("--config", str(file)) == value
    assert shown_speed(ECHO_FAST=text) == value
    assert from_toml(Renamed, file).speed == value
    # The setting itself is stronger, and the precedence is as ever.
    assert shown_speed(ECHO_FAST=text, ECHO_SPEED="any") == "any"
    assert shown_speed("--speed", "any", "--config", str(file), ECHO_FAST=text) == "any"
    assert CliRunner().invoke(show_speed, ["--fast"]).exit_code == 2


def test_a_flag_that_is_neither_true_nor_false_is_wrong_usage(tmp_path: Path) -> None:
    file = tmp_path / "old.toml"
    file.write_text("fast = 'perhaps'\n")
    for arguments, env in ([["--config", str(file)], {}], [[], {"ECHO_FAST": "perhaps"}]):
        result = CliRunner().invoke(show_speed, arguments, env=env)
        assert result.exit_code == 2
        assert "'perhaps' is not a valid boolean" in result.output
