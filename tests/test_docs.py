"""The documentation names only what exists: links, files, folders, commands and options."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest

from echo_prep.cli import cli as prep
from echo_train.commands import evaluate, predict, report, train

ROOT = Path(__file__).parents[1]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "cache/README.md",
]
SOURCES = {"echo_common": "common", "echo_prep": "prep", "echo_train": "train"}

COMMANDS: dict[str, click.Command] = {
    **{f"echo-prep {name}": command for name, command in prep.commands.items()},
    "echo-prep": prep,
    "echo-train": train.cli,
    "echo-eval": evaluate.cli,
    "echo-predict": predict.cli,
    "echo-report": report.cli,
}

OTHER_PROGRAMS = {
    "--torch-backend", "--extra-index-url",  # uv and pip
    "--nproc-per-node",  # torchrun
    "--target", "--rm", "--user", "--gpus", "--shm-size",  # docker
}  # fmt: skip


def options_of(command: click.Command) -> set[str]:
    names = {"-h", "--help", "-t", "--version"}
    for parameter in command.params:
        names |= {*parameter.opts, *parameter.secondary_opts}
    return names


def blocks(text: str) -> list[str]:
    return re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


def anchors(text: str) -> set[str]:
    """Anchors of the headings, as GitHub and GitLab make them."""
    headings = re.findall(r"^#+ (.*)$", without_blocks(text), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def command_lines(text: str) -> list[list[str]]:
    """The lines of code that call a command of this project, as words."""
    lines = "\n".join(blocks(text)).replace("\\\n", " ").splitlines()
    calls = [line for line in lines if re.match(r"\s*(\.venv/bin/)?echo-[a-z]+ ", line)]
    return [
        [Path(command).name, *words]
        for command, *words in (shlex.split(line, comments=True) for line in calls)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(text)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file.read_text(encoding="utf-8")), target
    for name in re.findall(r"\b((?:echo_\w+|tests|benchmarks|docs)/[\w/.-]+\.\w+)", text):
        assert (ROOT / SOURCES.get(name.split("/")[0], "") / name).exists(), name
    for file, test in re.findall(r"\b(tests/[\w/]+\.py)::(\w+)", text):
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), test


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_options_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name, *words in command_lines(text):
        if name == "echo-prep" and words and not words[0].startswith("-"):
            name = f"{name} {words.pop(0)}"
        given = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert given <= options_of(COMMANDS[name]), name
    known = OTHER_PROGRAMS.union(*map(options_of, COMMANDS.values()))
    scripts = "".join(script.read_text("utf-8") for script in (ROOT / "benchmarks").glob("*.py"))
    known |= set(re.findall(r'"(--[\w-]+)"', scripts))
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", text))
    assert named <= known, page


@pytest.mark.parametrize("package", SOURCES)
def test_the_tree_in_development_md_is_that_of_the_package(package: str) -> None:
    text = (ROOT / "docs/development.md").read_text(encoding="utf-8")
    (tree,) = [block for block in blocks(text) if block.startswith("echo_train/")]
    lines = tree.split(f"{package}/\n")[1].split("\n\n")[0].splitlines()
    listed = [line.split()[0] for line in lines]
    root = ROOT / SOURCES[package] / package
    modules = {file.name for file in root.glob("*.py")} - {"__init__.py"}
    folders = {f"{file.parent.relative_to(root)}/" for file in root.glob("*/**/__init__.py")}
    assert len(listed) == len(set(listed))
    assert set(listed) == modules | folders

    rules = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    (contract,) = [
        rule
        for rule in rules["importlinter"]["contracts"]
        if rule["type"] == "layers" and rule["containers"] == [package]
    ]
    levels = {
        name: level for level, names in enumerate(contract["layers"]) for name in names.split(" | ")
    }
    order = [levels[Path(entry.split("/")[0]).stem] for entry in listed]
    assert order == sorted(order)


def test_the_packages_are_typed_and_the_citation_is_of_this_version() -> None:
    for name, source in SOURCES.items():
        assert (ROOT / source / name / "py.typed").exists()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.*)$", citation, re.M) == [project["version"]]
    assert f"## [{project['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
