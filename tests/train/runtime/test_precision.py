"""Precision: what each device computes in, and the numbers that come out."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from echo_common.cli.settings import from_table, from_toml
from echo_common.errors import RunError, SettingsError
from echo_train.evaluation.trained_model import load_model
from echo_train.experiments.settings import SweepSettings
from echo_train.runtime import precision as precisions
from echo_train.runtime.device import describe_use
from echo_train.runtime.precision import choose_precision, forward
from echo_train.training.settings import TrainSettings
from echo_train.training.train import train
from support.training import checkpoint, tiny

CPU, GPU = torch.device("cpu"), torch.device("cuda:1")
GOLDEN = Path(__file__).parents[2] / "golden" / "runs-0.1.0"


@pytest.fixture
def has_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU with bfloat16 in hardware, whatever this one has."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)


@pytest.fixture
def lacks_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)


@pytest.mark.parametrize(
    ("capability", "auto"),
    # V100, T4, A100, RTX 4090 and H100: torch.cuda.is_bf16_supported() is true for all of them,
    # since it counts emulation.
    [((7, 0), "fp32"), ((7, 5), "fp32"), ((8, 0), "bf16"), ((8, 9), "bf16"), ((9, 0), "bf16")],
)
def test_a_gpu_computes_in_bfloat16_from_compute_capability_8_on(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], auto: str
) -> None:
    asked = []

    def answer(device: torch.device) -> tuple[int, int]:
        asked.append(device)
        return capability

    monkeypatch.setattr(torch.cuda, "get_device_capability", answer)
    assert choose_precision("auto", GPU) == auto
    assert choose_precision("fp32", GPU) == "fp32"
    # The device that is used is asked, and not the first.
    assert set(asked) == {GPU}
    for name in ("bf16", "tf32"):
        if auto == "bf16":
            assert choose_precision(name, GPU) == name
        else:
            with pytest.raises(SettingsError, match=f"--precision {name} does not apply"):
                choose_precision(name, GPU)


def test_a_cpu_computes_in_bfloat16_if_it_has_it_in_hardware(has_bf16: None) -> None:
    assert choose_precision("auto", CPU) == "bf16"
    with pytest.raises(SettingsError, match="cpu does not compute in TF32"):
        choose_precision("tf32", CPU)


def test_a_cpu_without_bfloat16_computes_in_float32(lacks_bf16: None) -> None:
    assert choose_precision("auto", CPU) == "fp32"
    with pytest.raises(SettingsError, match="cpu does not compute in bfloat16"):
        choose_precision("bf16", CPU)


def test_mps_computes_in_float32() -> None:
    assert choose_precision("auto", torch.device("mps")) == "fp32"


def test_bfloat16_rounds_the_products_and_not_the_result() -> None:
    layer = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(layer.weight, 1.0)
    images = torch.tensor([1 + 2**-8 + 2**-10]).reshape(1, 1, 1, 1)
    exact, rounded = (forward(layer, images, CPU, name) for name in ("fp32", "bf16"))
    assert exact.item() == images.item()
    # Eight significant bits: steps of 2**-7 above 1.
    assert rounded.item() == 1 + 2**-7
    assert rounded.dtype is torch.float32


@pytest.mark.parametrize("name", ["bf16", "tf32", "fp32"])
def test_only_tf32_rounds_float32_on_a_gpu(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    flags = SimpleNamespace(allow_tf32=None), SimpleNamespace(allow_tf32=None)
    monkeypatch.setattr(torch.backends, "cudnn", flags[0])
    monkeypatch.setattr(torch.backends.cuda, "matmul", flags[1])
    monkeypatch.setattr(torch, "autocast", lambda *arguments: torch.inference_mode(False))
    forward(nn.Identity(), torch.zeros(1, 1, 1, 1), GPU, name)
    assert [module.allow_tf32 for module in flags] == [name == "tf32"] * 2


def test_a_run_names_its_precision() -> None:
    assert describe_use(CPU, False, "bf16").endswith("; bfloat16, not compiled")
    assert describe_use(CPU, True, "tf32").endswith("; TF32, compiled")


def test_a_run_in_bfloat16_is_measured_in_it(
    small_store: Path, tmp_path: Path, has_bf16: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dice(folder: Path) -> list[float]:
        return [row["val_loss"] for row in checkpoint(folder / "last.pt")["history"]]

    half = train(tiny(small_store, tmp_path / "half", precision="auto"))
    full = train(tiny(small_store, tmp_path / "full", precision="fp32"))
    assert dice(half) == pytest.approx(dice(full), rel=0.02) and dice(half) != dice(full)
    assert load_model(half).precision == "bf16"
    assert load_model(full).precision == "fp32"
    # A run is measured on a machine of another kind too.
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert load_model(half).precision == "fp32"
    with pytest.raises(RunError, match="precision was auto and is bf16"):
        monkeypatch.setattr(precisions, "supports", lambda name, device: True)
        train(tiny(small_store, half, precision="bf16", resume=True))


@pytest.mark.parametrize(("flag", "name"), [(True, "auto"), (False, "fp32")])
def test_the_flag_of_older_runs_is_read(flag: bool, name: str) -> None:
    assert from_table(TrainSettings, {"bf16": flag}, "config.toml").hardware.precision == name


def test_older_runs_are_read_whole() -> None:
    table = tomllib.loads((GOLDEN / "mask" / "config.toml").read_text())
    assert table["bf16"] is True
    settings = from_toml(SweepSettings, GOLDEN / "mask" / "config.toml")
    assert settings.hardware.precision == "auto"


def test_a_run_of_an_older_version_is_resumed(
    small_store: Path, tmp_path: Path, lacks_bf16: None
) -> None:
    changes: dict[str, Any] = {"precision": "auto", "schedule": "constant"}
    folder = train(tiny(small_store, tmp_path / "run", epochs=1, **changes))
    config = folder / "config.toml"
    config.write_text(config.read_text().replace('precision = "auto"', "bf16 = true"))
    # Older versions kept no record of the files that they wrote.
    shutil.rmtree(folder / ".echo")
    train(tiny(small_store, folder, epochs=2, resume=True, **changes))
    assert len(checkpoint(folder / "last.pt")["history"]) == 2
