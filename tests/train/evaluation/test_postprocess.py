"""Post-processing is chosen on the validation frames, kept in the run and applied."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from echo_common.errors import RunError, SettingsError
from echo_common.store.reader import EchoStore
from echo_train.commands.evaluate import cli as echo_eval
from echo_train.commands.predict import cli as echo_predict
from echo_train.evaluation.ensemble import average_models, describe_average
from echo_train.evaluation.postprocess import choose_postprocessing
from echo_train.evaluation.settings import ApplySettings
from echo_train.evaluation.trained_model import TrainedModel, load_model
from echo_train.runs.weights_file import write_weights
from echo_train.training.train import train
from support.commands import exit_code
from support.datasets import frame_pattern, write_video
from support.training import open_loader, tiny

Damage = Callable[[np.ndarray], None]


def with_piece(mask: np.ndarray) -> None:
    mask[:5, :5] = 1


def with_hole(mask: np.ndarray) -> None:
    y, x = (int(values.mean()) for values in np.nonzero(mask))
    mask[y, x] = 0


def with_both(mask: np.ndarray) -> None:
    with_piece(mask)
    with_hole(mask)


def in_two(mask: np.ndarray) -> None:
    rows = np.flatnonzero(mask.any(axis=1))
    mask[rows[len(rows) // 2]] = 0


def predict_damaged(
    monkeypatch: pytest.MonkeyPatch, store: Path, damage: Damage
) -> dict[str, np.ndarray]:
    """Let every mask model predict the true masks with a damage; returns masks by split."""
    opened = EchoStore(store)
    frames, masks = opened.read("frames"), opened.read("masks/chords")
    damaged = masks.copy()
    for mask in damaged:
        damage(mask)
    known = {frame.tobytes(): mask for frame, mask in zip(frames, damaged, strict=True)}

    def logits(self: TrainedModel, images: torch.Tensor, phases: Any = None) -> torch.Tensor:
        gray = (images[:, 0] * 255).round().byte().numpy()
        found = np.array([known[frame.tobytes()] for frame in gray])
        return torch.from_numpy(10 * found.astype(np.float32) - 5)[:, None]

    monkeypatch.setattr(TrainedModel, "logits", logits)
    split = opened.read("index/split")
    return {name: masks[split == code] for code, name in enumerate(("train", "val", "test"))}


def summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text())


def dice(predicted: float, true: np.ndarray, both: np.ndarray) -> float:
    return float((2 * both / (predicted + true)).mean())


def test_a_spurious_piece_is_removed_from_then_on(
    small_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    masks = predict_damaged(monkeypatch, small_store, with_piece)
    area = {name: some.sum((1, 2)) for name, some in masks.items()}
    without = {name: float((2 * some / (2 * some + 25)).mean()) for name, some in area.items()}
    run = train(tiny(small_store, tmp_path / "run", epochs=1))
    kept = summary(run)
    assert kept["postprocess"]["chosen"] == "pieces"
    assert kept["postprocess"]["val_dice"] == {
        "none": pytest.approx(without["val"]),
        "pieces": 1.0,
        "holes": pytest.approx(without["val"]),
        "both": 1.0,
    }
    assert kept["val"]["dice"]["mean"] == kept["test"]["dice"]["mean"] == 1
    note = "all pieces of a mask but the largest are removed"
    assert kept["notes"] == [f"{note} (validation Dice 1.0000, without {without['val']:.4f})"]
    for asked, expected in (("auto", 1.0), ("none", without["test"]), ("holes", without["test"])):
        out = tmp_path / asked
        arguments = ("--out", out, "--postprocess", asked, "--device", "cpu")
        assert exit_code(echo_eval, run, *arguments) == 0
        assert summary(out)["test"]["dice"]["mean"] == pytest.approx(expected)
        assert (note in capsys.readouterr().out) == (asked == "auto")
    assert summary(tmp_path / "auto")["notes"] == [f"{note} (--postprocess auto)"]


@pytest.mark.parametrize(
    ("damage", "chosen"),
    [(with_piece, "pieces"), (with_hole, "holes"), (with_both, "both"), (in_two, "none")],
)
def test_the_post_processing_with_the_highest_dice_is_chosen(
    runs: Path, small_store: Path, monkeypatch: pytest.MonkeyPatch, damage: Damage, chosen: str
) -> None:
    masks = predict_damaged(monkeypatch, small_store, damage)["val"]
    _, loader = open_loader(tiny(small_store))
    model, order = load_model(runs / "mask"), loader.frames.indices("VAL")
    changed, facts = choose_postprocessing(model, "auto", loader, order)
    assert changed.postprocess == facts["postprocess"]["chosen"] == chosen
    scores = facts["postprocess"]["val_dice"]
    if damage is not in_two:
        assert scores[chosen] == 1 > scores["none"]
        return
    assert "notes" not in facts
    whole, rest, upper, lower = [], [], [], []
    for mask in masks:
        cut = mask.copy()
        in_two(cut)
        row = np.flatnonzero(mask.any(axis=1))
        row = row[len(row) // 2]
        whole.append(mask.sum())
        rest.append(cut.sum())
        upper.append(mask[:row].sum())
        lower.append(mask[row + 1 :].sum())
    whole_area, left, larger = np.array(whole), np.array(rest), np.maximum(upper, lower)
    assert scores["none"] == pytest.approx((2 * left / (left + whole_area)).mean())
    assert scores["pieces"] == pytest.approx((2 * larger / (larger + whole_area)).mean())
    assert scores["holes"] == scores["none"]


def test_what_is_asked_for_is_not_chosen(runs: Path, small_store: Path) -> None:
    _, loader = open_loader(tiny(small_store))
    model, facts = choose_postprocessing(
        load_model(runs / "mask"), "holes", loader, loader.frames.indices("VAL")
    )
    assert (model.postprocess, facts["postprocess"]["chosen"]) == ("holes", "holes")
    landmarks = load_model(runs / "landmarks", postprocess="pieces")
    assert landmarks.postprocess == "none"
    assert choose_postprocessing(landmarks, "auto", loader, np.arange(1)) == (landmarks, {})
    with pytest.raises(SettingsError, match="--postprocess pieces is for --target mask"):
        tiny(small_store, target="landmarks", postprocess="pieces").check()


def test_a_run_without_a_choice_is_not_post_processed(runs: Path, tmp_path: Path) -> None:
    run = shutil.copytree(runs / "mask", tmp_path / "mask")
    path = run / "summary.json"
    kept = json.loads(path.read_text())
    for wrong in ("x", ["pieces"], None):
        path.write_text(json.dumps(kept | {"postprocess": {"chosen": wrong}}))
        with pytest.raises(RunError, match=r"summary\.json.*postprocess\.chosen"):
            load_model(run)
    path.write_text("{")
    with pytest.raises(RunError, match="give --postprocess none"):
        load_model(run)
    assert load_model(run, postprocess="pieces").postprocess == "pieces"
    del kept["postprocess"]
    path.write_text(json.dumps(kept))
    assert load_model(run).postprocess == "none"
    path.unlink()
    assert load_model(run).postprocess == "none"


def test_a_weights_file_keeps_the_choice(runs: Path, tmp_path: Path) -> None:
    run = shutil.copytree(runs / "mask", tmp_path / "mask")
    kept = summary(run) | {"postprocess": {"chosen": "both", "val_dice": {}}}
    (run / "summary.json").write_text(json.dumps(kept))
    path = tmp_path / "mask.safetensors"
    write_weights(run, path)
    assert load_model(path).postprocess == "both"
    assert load_model(path, postprocess="none").postprocess == "none"


def test_models_that_chose_differently_are_not_post_processed(runs: Path) -> None:
    models = [load_model(runs / "mask", postprocess=name) for name in ("pieces", "both", "both")]
    assert average_models(models).postprocess == "none"
    assert average_models(models[1:]).postprocess == "both"
    *_, note = describe_average(models, ApplySettings())
    assert note.startswith("the runs chose different post-processing (both, pieces), so none")


def test_predictions_of_clips_are_post_processed(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = torch.full((1, 1, 112, 112), -5.0)
    found[..., 30:70, 40:70] = found[..., :5, :5] = 5
    monkeypatch.setattr(
        TrainedModel, "logits", lambda self, images, phases: found.expand(len(images), -1, -1, -1)
    )
    clip = tmp_path / "clip.avi"
    write_video(clip, [frame_pattern(1, frame) for frame in range(3)], fps=25.0)
    for asked, area in (("none", 1225), ("pieces", 1200)):
        out = tmp_path / asked
        arguments = ("--postprocess", asked, "--out", out, "--no-overlay", "--device", "cpu")
        assert exit_code(echo_predict, runs / "mask", clip, *arguments) == 0
        assert np.load(out / "clip.npz")["masks"].sum((1, 2)).tolist() == [area] * 3
        said = capsys.readouterr().out
        assert ("note: all pieces of a mask but the largest are removed" in said) == (area == 1200)
