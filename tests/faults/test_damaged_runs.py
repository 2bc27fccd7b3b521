"""Every file of a run times every kind of damage: one message that names the file, and no hang."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from echo_common.errors import RunError
from echo_train.commands.evaluate import cli as echo_eval
from echo_train.commands.predict import cli as echo_predict
from echo_train.commands.report import cli as echo_report
from echo_train.commands.train import cli as echo_train
from echo_train.evaluation.trained_model import load_model
from echo_train.experiments.sweep import sweep
from echo_train.reporting.html_page import report_page
from echo_train.reporting.run_rows import make_rows
from echo_train.runs.summary import read_summary
from echo_train.training.train import train
from support.commands import exit_code
from support.damage import no_hang
from support.datasets import frame_pattern, write_video
from support.training import checkpoint, tiny


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def run(small_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    more = {"target": "landmarks", "shape_prior": True, "ema": 0.5}
    return train(tiny(small_store, folder, epochs=1, **more))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "study.avi"
    write_video(path, [frame_pattern(1, frame) for frame in range(2)])
    return path


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


def words(folder: Path, video: Path, sound: Path) -> dict[str, tuple[Any, list[str | Path]]]:
    """Commands that read a run, by the name of the test."""
    out = folder.parent / "out"
    device = ["--device", "cpu"]
    predict = [folder, video, "--no-overlay", *device]
    return {
        "eval": (echo_eval, [folder, "--out", out / "eval", *device]),
        "eval last": (echo_eval, [folder, "--out", out / "l", "--checkpoint", "last", *device]),
        "predict": (echo_predict, [*predict, "--out", out / "predict"]),
        "report": (echo_report, [sound, folder, "--out", out / "page.html"]),
        "train": (echo_train, ["--resume", "--run", folder]),
    }


READERS = {
    "config.toml": ("eval", "predict", "train"),
    "summary.json": ("report",),
    "metrics.csv": ("report",),
    "frames.csv": ("report",),
    "best.pt": ("eval", "predict"),
    "last.pt": ("eval last", "train"),
}
"""Commands that cannot work without the file."""


def replaced(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def linked(target: str) -> Callable[[Path], object]:
    def damage(path: Path) -> None:
        path.unlink()
        path.symlink_to(target)

    return damage


def in_its_place(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "empty": replaced(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "one byte short": lambda path: path.write_bytes(path.read_bytes()[:-3]),
    "random": replaced(np.random.default_rng(0).bytes(4000)),
    "zeros": replaced(bytes(4000)),
    "deep": replaced(b"a = " + b"[" * 200_000),
    "list": replaced(b"[]"),
    "pickle of three bytes": replaced(b"\x80\x02."),
    "a word in a row": lambda path: path.write_bytes(path.read_bytes()[:60] + b"\nx\n"),
    "folder": in_its_place(Path.mkdir),
    "pipe": in_its_place(os.mkfifo),
    "dangling link": linked("nowhere"),
    "device": linked("/dev/zero"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_one_message_that_names_it(
    name: str,
    damage: str,
    run: Path,
    copy: Path,
    video: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    DAMAGES[damage](copy / name)
    for command, (cli, arguments) in words(copy, video, run).items():
        capsys.readouterr()
        with no_hang():
            code = exit_code(cli, *arguments)
        said = capsys.readouterr().err
        assert code in (0, 1), (command, said)
        if code:
            last = said.strip().splitlines()[-1]
            assert last.startswith("error: ") and "Traceback" not in said, (command, said)
            assert name in last, (command, said)
        # A missing file may be made again, and a text cut at a row's end may be sound.
        elif command in READERS[name]:
            made_again = command == "train" and (name == "last.pt")
            optional = name == "metrics.csv"
            assert damage in ("one byte short", "missing") and (
                damage != "missing" or made_again or optional
            ), (command, damage)


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in ("settings", "val"):
                yield from leaves(item, (*path, key))


WRONG = (None, "x", [], {}, math.inf, 10**400)


def test_no_value_of_a_summary_ends_in_a_traceback(copy: Path) -> None:
    """Each value of summary.json times each kind of wrong value: refused, or shown."""
    summary = json.loads((copy / "summary.json").read_text())
    (copy / "metrics.csv").unlink()
    places = list(leaves(summary))
    assert len(places) > 80
    refused = 0
    for place in places:
        for wrong in ("gone", *WRONG):
            changed = json.loads(json.dumps(summary))
            *above, last = place
            table = changed
            for key in above:
                table = table[key]
            if wrong == "gone":
                del table[last]
            else:
                table[last] = wrong
            (copy / "summary.json").write_text(json.dumps(changed))
            try:
                read = read_summary(copy)
            except RunError as error:
                assert "summary.json" in str(error)
                refused += 1
            else:
                assert b"</html>" in report_page(make_rows([copy], [read]), [None])
    assert refused > 3 * len(places)


def changes(state: dict[str, Any]) -> Iterator[tuple[str, Callable[[dict[str, Any]], object]]]:
    """Damages of a checkpoint that torch reads without an error."""
    for key in state:
        for wrong in (None, "x", [], {}, 3, [1], math.inf, -1, 10**30):
            yield f"{key} is {wrong!r:.20}", lambda s, k=key, w=wrong: s.update({k: w})
        yield f"no {key}", lambda s, k=key: s.pop(k)
    for shape in ([0, 0], [100_000, 100_000], [112.0, 112], [112], [-1, 5]):
        yield f"shape {shape}", lambda s, v=shape: s.update(shape=v)
    for key, wrong in (
        ("width", 0), ("width", -1), ("width", 10**6), ("width", "x"), ("out_channels", 10**9),
        ("network", "x"), ("network", []), ("prior_shape", [2, 2]), ("other", 1),
    ):  # fmt: skip
        yield f"{key} {wrong!r}", lambda s, k=key, w=wrong: s["architecture"].update({k: w})
    for key in ("mean", "modes", "residual"):
        for tensor in (torch.zeros(3), torch.zeros(2, 2, dtype=torch.int8), torch.tensor(math.nan)):
            yield f"target {key}", lambda s, k=key, t=tensor: s["target"].update({k: t})
    for tensor in (torch.zeros(()), torch.zeros(1, 1, 1, 1), torch.zeros(99, dtype=torch.int64)):

        def first(s: dict[str, Any], tensor: torch.Tensor = tensor) -> None:
            weights = weights_of(s)
            weights[next(iter(weights))] = tensor

        yield f"weights {tuple(tensor.shape)}", first
    for kind in (torch.float64, torch.bfloat16, torch.int32):
        yield (
            f"weights {kind}",
            lambda s, kind=kind: weights_of(s).update(
                {name: value.to(kind) for name, value in weights_of(s).items()}
            ),
        )
    yield (
        "weights NaN",
        lambda s: [
            value.fill_(math.nan) for value in weights_of(s).values() if value.is_floating_point()
        ],
    )
    for epoch in (math.inf, math.nan, "x", -1, 10**30):
        yield f"best {epoch}", lambda s, e=epoch: s["best"].update(epoch=e)
        yield f"history {epoch}", lambda s, e=epoch: s["history"][0].update(epoch=e)


def weights_of(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    return (state.get("average") or state)["network"]


@pytest.mark.parametrize("name", ["best", "last"])
def test_no_part_of_a_checkpoint_ends_in_a_traceback(name: str, copy: Path) -> None:
    """A model is refused by a message that names the file, or it works."""
    path = copy / f"{name}.pt"
    sound = path.read_bytes()
    refused = []
    for what, change in changes(checkpoint(path)):
        path.write_bytes(sound)
        state = checkpoint(path)
        change(state)
        torch.save(state, path)
        try:
            model = load_model(copy, name)
        except RunError as error:
            assert path.name in str(error), what
            refused.append(what)
        else:
            masks = model.target.predict(model.logits(torch.rand(1, 1, *model.shape))).masks
            assert masks.shape == (1, *model.shape), what
    assert {"weights NaN", "shape [0, 0]", "width 1000000", "target is None"} <= set(refused)


def unfinished_epochs() -> Iterator[Any]:
    """Damages of what an unfinished epoch of a landmark run has left behind."""
    yield from ("x", [1], {"losses": {}})
    losses = {"losses": torch.ones(2), "counts": torch.tensor([4, 4])}
    points = {"points": torch.zeros(8, 7, 2), "masks": torch.zeros(8, 1568, dtype=torch.uint8)}
    predictions = {"index": torch.arange(8), **points, "position": 8}
    sound = {"losses": losses, "predictions": predictions, "seconds": 1.0}
    for part in sound:
        yield {**sound, part: None}
    yield {**sound, "seconds": "x"}
    for wrong in ({"losses": torch.tensor([1.0, math.nan])}, {"losses": torch.ones(3)}):
        yield {**sound, "losses": {**losses, **wrong}}
    for name in predictions:
        yield {**sound, "predictions": {**predictions, name: None}}
        yield {**sound, "predictions": {**predictions, name: torch.zeros(8, 3)}}


def test_no_part_of_the_state_to_resume_ends_in_a_traceback(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy / "last.pt"
    sound = path.read_bytes()
    moments = checkpoint(path)["optimiser"]["state"]
    cases: list[Callable[[dict[str, Any]], object]] = [
        lambda s: s["optimiser"].pop("state"),
        lambda s: s["optimiser"].pop("param_groups"),
        lambda s: s["optimiser"].update(state=[]),
        lambda s: s["optimiser"]["state"].pop(next(iter(moments))),
        lambda s: s["optimiser"]["state"][0].update(exp_avg=torch.zeros(1)),
        lambda s: s["optimiser"]["state"][0].pop("step"),
        lambda s: s["optimiser"]["state"][0]["exp_avg_sq"].fill_(math.nan),
        lambda s: s["optimiser"]["param_groups"][0].update(lr="x"),
        lambda s: s["optimiser"]["param_groups"].pop(),
        lambda s: s["average"].update(steps="x"),
        lambda s: s["average"].update(network={}),
        lambda s: s.update(average=None),
        lambda s: s.update(store={"frames": "other"}),
        lambda s: s["network"].popitem(),
        *(lambda s, value=value: s.update(unfinished=value) for value in unfinished_epochs()),
    ]
    for number, change in enumerate(cases):
        path.write_bytes(sound)
        state = checkpoint(path)
        change(state)
        torch.save(state, path)
        damaged = path.read_bytes()
        assert exit_code(echo_train, "--resume", "--run", copy) == 1, number
        said = capsys.readouterr().err
        assert "Traceback" not in said and ("last.pt" in said or "is not the store" in said)
        assert path.read_bytes() == damaged
    path.write_bytes(sound)
    assert exit_code(echo_train, "--resume", "--run", copy) == 0


@pytest.mark.parametrize("damage", ["empty", "random", "deep", "folder", "pipe", "dangling link"])
def test_a_damaged_comparison_of_a_sweep_is_not_replaced(
    damage: str, small_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from echo_common.cli.settings import replace
    from echo_train.experiments.settings import SweepSettings

    shared = {"width": 2, "epochs": 1, "batch_size": 8, "device": "cpu"}
    settings = replace(
        SweepSettings(), store=small_store, run=tmp_path / "sweep", seeds=2, **shared
    )
    path = sweep(settings) / "sweep.json"
    DAMAGES[damage](path)
    with no_hang():
        assert exit_code(echo_train, "--resume", "--run", path.parent) == 1
    said = capsys.readouterr().err
    assert "sweep.json" in said and "Traceback" not in said
    assert "move it away" in said or "is not replaced" in said
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert exit_code(echo_train, "--resume", "--run", path.parent) == 0
    assert json.loads(path.read_text())["runs"] == ["seed-0", "seed-1"]
