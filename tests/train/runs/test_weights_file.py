"""Weights files against their runs, against safetensors' own reader, and when damaged."""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from echo_common.errors import OutputError, RunError
from echo_common.store.reader import EchoStore
from echo_common.store.schema import LandmarkSet
from echo_train.commands.evaluate import cli as evaluate_cli
from echo_train.commands.predict import cli as predict_cli
from echo_train.evaluation.trained_model import load_model
from echo_train.prediction.segment import segment
from echo_train.runs.weights_file import FORMAT, SHIPPED, weights_path, write_weights
from support.commands import exit_code
from support.damage import no_hang
from support.training import checkpoint

echo_eval = functools.partial(exit_code, evaluate_cli)

NOTE = "has seen no real heart"


@pytest.fixture(scope="module")
def files(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of each run of `runs`; not to be written to."""
    folder = tmp_path_factory.mktemp("weights")
    for name in ("mask", "landmarks"):
        write_weights(runs / name, folder / f"{name}.safetensors", NOTE)
    return folder


@pytest.mark.parametrize("name", ["mask", "landmarks"])
def test_a_file_holds_the_weights_rounded_to_float16(runs: Path, files: Path, name: str) -> None:
    state = checkpoint(runs / name / "best.pt")
    stored = load_file(files / f"{name}.safetensors")
    for part in ("network", "target"):
        for key, tensor in state[part].items():
            values, found = tensor.numpy(), stored.pop(f"{part}.{key}")
            rounded = part == "network" and values.ndim > 1
            assert found.dtype == (np.float16 if rounded else values.dtype)
            np.testing.assert_array_equal(found, values.astype(found.dtype))
            # Eleven bits of mantissa.
            np.testing.assert_allclose(found, values, rtol=2**-11, atol=2**-25)
    assert not stored


@pytest.mark.parametrize("name", ["mask", "landmarks"])
def test_a_model_from_a_file_predicts_as_its_run(
    runs: Path, files: Path, small_store: Path, name: str
) -> None:
    run, model = load_model(runs / name), load_model(files / f"{name}.safetensors")
    for field in ("settings", "choice", "shape", "store", "content", "data_set", "epoch"):
        own, other = getattr(model, field), getattr(run, field)
        if field == "settings":
            # A file knows its data by their keys, and no path and device.
            assert (own.losses, own.decoding, own.data) == (
                other.losses,
                other.decoding,
                other.data,
            )
        else:
            assert own == other, field
    assert model.note == NOTE and not run.note
    assert model.config["ema"] == run.config["ema"] and "store" not in model.config
    images = EchoStore(small_store).read("frames")
    scaled = run.scale_frames(images)
    assert (model.logits(scaled) - run.logits(scaled)).abs().max() < 0.03
    masks, expected = segment(model, images).masks, segment(run, images).masks
    assert (masks != expected).sum() <= 0.01 * expected.sum()
    if name == "landmarks":
        for own, other in zip(
            model.target.state().values(), run.target.state().values(), strict=True
        ):
            assert torch.equal(own, other)


def test_a_file_is_measured_on_a_store_and_the_note_is_said(
    runs: Path, files: Path, small_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = files / "mask.safetensors", tmp_path / "out"
    assert echo_eval(file, "--device", "cpu") == 1
    assert "give --store" in capsys.readouterr().err
    options = ("--store", small_store, "--device", "cpu", "--out", out)
    assert echo_eval(file, *options, "--checkpoint", "last") == 1
    assert "omit --checkpoint last" in capsys.readouterr().err
    assert echo_eval(file, *options) == 0
    assert NOTE in capsys.readouterr().out
    measured = json.loads((out / "summary.json").read_text())
    trained = json.loads((runs / "mask" / "summary.json").read_text())
    assert measured["test"]["dice"]["mean"] == pytest.approx(
        trained["test"]["dice"]["mean"], abs=0.01
    )
    assert measured["training_area"] == trained["training_area"]
    assert measured["settings"]["loss"] == "dice"


def test_files_are_the_same_again_and_replace_only_their_kind(runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "mask.safetensors"
    path.write_bytes(b"somebody else's")
    with pytest.raises(OutputError, match="was not written by this command"):
        write_weights(runs / "mask", path)
    write_weights(runs / "mask", path, force=True)
    first = path.read_bytes()
    write_weights(runs / "mask", path)
    assert path.read_bytes() == first
    with pytest.raises(RunError, match=r"ends with \.safetensors"):
        write_weights(runs / "mask", tmp_path / "mask.pt")


def rewritten(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], object]) -> None:
    """Change facts and tensors of a sound file, and write it again."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    facts = json.loads(json.loads(content[8 : 8 + size])["__metadata__"][FORMAT])
    tensors = load_file(path)
    change(facts, tensors)
    save_file(tensors, path, {FORMAT: json.dumps(facts)})


def without(name: str) -> Callable[[Path], object]:
    return lambda path: rewritten(path, lambda facts, _: facts.pop(name))


def with_fact(name: str, value: object) -> Callable[[Path], object]:
    return lambda path: rewritten(path, lambda facts, _: facts.update({name: value}))


def in_its_place(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


def cut(size: int) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(path.read_bytes()[:size])


def infinite(path: Path) -> None:
    def change(_: object, tensors: dict[str, Any]) -> None:
        tensors["network.head.weight"][:] = np.inf

    rewritten(path, change)


def of_another_shape(path: Path) -> None:
    def change(_: object, tensors: dict[str, Any]) -> None:
        tensors["network.head.weight"] = tensors["network.head.weight"][:, :1].copy()

    rewritten(path, change)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "empty": cut(0),
    "header cut": cut(100),
    "tensors cut": lambda path: path.write_bytes(path.read_bytes()[:-3]),
    "random": lambda path: path.write_bytes(np.random.default_rng(0).bytes(4000)),
    "a header of 2**60 bytes": lambda path: path.write_bytes((1 << 60).to_bytes(8, "little")),
    "a pickle": lambda path: torch.save({"format": "echo-run/1"}, path),
    "no facts": lambda path: save_file({}, path),
    "facts that are no JSON": lambda path: save_file({}, path, {FORMAT: "{"}),
    "facts nested deeply": lambda path: save_file({}, path, {FORMAT: "[" * 100_000}),
    "a list for facts": lambda path: save_file({}, path, {FORMAT: "[]"}),
    "pipe": in_its_place(os.mkfifo),
    "device": in_its_place(lambda path: path.symlink_to("/dev/zero")),
    "dangling link": in_its_place(lambda path: path.symlink_to("nowhere")),
    "infinite weights": infinite,
    "weights of another shape": of_another_shape,
    **{f"no {name}": without(name) for name in (
        "note", "best", "measured", "settings", "architecture", "shape", "store",
    )},
    "settings that do not exist": with_fact("settings", {"target": "mask", "method": "x"}),
    "settings of another target": with_fact("settings", {"target": "landmarks", "method": "chords",
                                                         "identity": "angle"}),
    "an unknown network": with_fact(
        "architecture", {"network": "x", "width": 1, "out_channels": 1}
    ),
    "a huge network": with_fact(
        "architecture", {"network": "unet", "width": 1 << 30, "out_channels": 1}
    ),
    "a shape of text": with_fact("shape", ["a", "b"]),
    "an area of text": with_fact("measured", {"training_area": ["a", "b"]}),
    "a note that is a number": with_fact("note", 3),
    "a note that moves the cursor": with_fact("note", "\x1b[2J"),
    "an epoch that is a text": with_fact("best", {"epoch": "x"}),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_one_message_that_names_it(
    files: Path, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, video = tmp_path / "mask.safetensors", tmp_path / "clip.avi"
    path.write_bytes((files / "mask.safetensors").read_bytes())
    video.write_bytes(b"RIFF")
    DAMAGES[damage](path)
    with no_hang():
        assert (
            exit_code(predict_cli, path, video, "--out", tmp_path / "out", "--device", "cpu") == 1
        )
    said = capsys.readouterr().err
    assert "Traceback" not in said
    last = said.strip().splitlines()[-1]
    assert last.startswith("error: ") and "mask.safetensors" in last and len(last) < 600, last


def test_a_weight_that_exceeds_float16_is_refused(runs: Path, tmp_path: Path) -> None:
    run = shutil.copytree(runs / "mask", tmp_path / "run")
    state = checkpoint(run / "best.pt")
    state["network"]["head.weight"][:] = 1e5
    torch.save(state, run / "best.pt")
    with pytest.raises(RunError, match=r"exceed the range of float16: network\.head\.weight"):
        write_weights(run, tmp_path / "mask.safetensors")


def test_the_weights_of_this_software_are_small_and_named_by_their_target() -> None:
    files = [weights_path(Path(name)) for name in SHIPPED]
    assert sum(file.stat().st_size for file in files if file) <= 10e6
    for name in SHIPPED:
        model = load_model(name)
        assert model.note.endswith("have seen no real heart; for research use only")
        assert name == f"synthetic-{model.settings.selection.target}"
        assert model.shape == (112, 112)
        assert set(model.data_set.split()) >= {"FileList.csv", "VolumeTracings.csv"}
    assert load_model("synthetic-landmarks").choice.landmarks == LandmarkSet(
        method="chords", identity="anatomical", count=11
    )


def test_something_of_their_name_takes_precedence(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / SHIPPED[0]).symlink_to(runs / "mask")
    assert weights_path(Path(SHIPPED[0])) is None
    assert load_model(SHIPPED[0]).settings.losses.loss == "dice"
