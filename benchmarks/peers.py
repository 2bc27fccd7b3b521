"""Compare this project with its peers in one run, on the same frames; prints one table.

    python benchmarks/peers.py
    python benchmarks/peers.py --only ours,nnunet-width-16 --seconds 60 --work /fast/disk

The peers are installed with pip at the versions of `benchmarks/contenders/*.txt`, in one
environment per file under `--environments`, about 4 GB together. pip's own settings decide which
build of torch that is; the CPU build is enough. Each phase of each contender is a process of its
own on one thread:

prepare   From files to what the loader reads, and once more for masks of another method. The files
          of MONAI and nnU-Net are PNG images and masks, whose writing is not counted; the others
          start from videos and tracings.
load      The first batch, counted from the start of the process, and passes over the training
          frames in batches of 16, without augmentation and with the contender's own.
train     As many passes as take `--seconds` of CPU time, with a schedule for that number of passes;
          none with 0.

All times are CPU seconds (user and system, with child processes). JSON with the same content, and
the Dice after each pass, is written to WORK/peers.json.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import cv2
from helpers import describe_machine

from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_prep.build.build import build
from echo_prep.settings import BuildSettings
from echo_prep.synth.archive import synthesize
from echo_prep.synth.settings import SynthSettings

FOLDER = Path(__file__).resolve().parent

METHODS = ("centroid", "chords")
"""Method of the first preparation, and the one that it is changed to and that is trained on."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Peer:
    """A contender: its title in the table, its module, and where it runs.

    `environment` is the name of a file of requirements; None is this environment. `prepared` is
    what its preparation writes, below the folder of the comparison. `like` is a contender whose
    preparation and loader it has.
    """

    title: str
    module: str
    environment: str | None = None
    variant: str = ""
    prepared: str | None = None
    like: str | None = None


PEERS = {
    "ours": Peer(title="this project", module="ours", prepared="ours.zarr"),
    "zarr": Peer(title="Dataset on our store", module="zarr_dataset", environment="pytorch"),
    "echonet": Peer(title="EchoNet's loader", module="echonet_loader", environment="pytorch"),
    "monai-persistent": Peer(
        title="MONAI PersistentDataset",
        module="monai_datasets",
        environment="monai",
        variant="persistent",
        prepared="monai-persistent",
    ),
    "monai-cache": Peer(
        title="MONAI CacheDataset", module="monai_datasets", environment="monai", variant="cache"
    ),
    "nnunet": Peer(
        title="nnU-Net, planned",
        module="nnunet",
        environment="nnunet",
        variant="planned",
        prepared="nnunet",
    ),
    "nnunet-width-16": Peer(
        title="nnU-Net, width 16",
        module="nnunet",
        environment="nnunet",
        variant="width-16",
        like="nnunet",
    ),
}


@click.command()
@click.option("--work", type=click.Path(path_type=Path), default=Path("cache/benchmark-peers"))
@click.option(
    "--environments", type=click.Path(path_type=Path), help="By default, a folder in --work."
)
@click.option("--videos", default=300, show_default=True, help="Synthetic videos of 64 frames.")
@click.option("--seconds", default=180.0, show_default=True, help="CPU time of each training.")
@click.option("--only", default=",".join(PEERS), show_default=True)
def main(work: Path, environments: Path | None, videos: int, seconds: float, only: str) -> None:
    """Compare this project with its peers."""
    work.mkdir(parents=True, exist_ok=True)
    synthesize(work / "data", SynthSettings(videos=videos, frames=64))
    frames = write_files(work)
    environments = environments or work / "environments"
    peers = {name: PEERS[name] for name in only.split(",")}
    results: dict[str, dict[str, Any]] = {name: {} for name in peers}
    # Training last: it takes most of the time, and the rest can be read meanwhile.
    for phase in (measure_loader, measure_training) if seconds else (measure_loader,):
        for name, peer in peers.items():
            results[name] |= phase(peer, work, environments, seconds)
            (work / "peers.json").write_text(json.dumps(results, indent=1))
            print(f"{phase.__name__} {name}: done", file=sys.stderr, flush=True)
    print(
        f"{describe_machine()}; one thread; {frames} frames of {videos} synthetic videos; "
        f"{seconds:.0f} CPU s of training each\n"
    )
    print_table(results)


# --- Files and environments ---------------------------------------------------------------------


def write_files(work: Path) -> int:
    """Write frames and masks of ``data`` as PNG, and the list of frames; return their number."""
    build(
        BuildSettings(
            data=work / "data", store=work / "files.zarr", method=METHODS, masks_only=True
        )
    )
    store = EchoStore(work / "files.zarr")
    arrays = {"images": store.read(schema.FRAMES)}
    arrays |= {method: store.read(schema.mask_path(method)) for method in METHODS}
    columns = [
        store.read(path)
        for path in (schema.STATUS, "index/video", "index/frame", "index/split", schema.CONTOUR)
    ]
    for kind in arrays:
        (work / "files" / kind).mkdir(parents=True, exist_ok=True)
    frames = []
    for row, (status, video, number, split, contour) in enumerate(zip(*columns, strict=True)):
        if status:
            continue
        frames.append(
            {
                "name": f"frame{row:05}",
                "video": str(video),
                "number": int(number),
                "split": schema.SPLITS[split],
                "contour": contour[~(contour != contour).any(axis=1)].tolist(),
            }
        )
        for kind, array in arrays.items():
            cv2.imwrite(str(work / "files" / kind / f"frame{row:05}.png"), array[row])
    (work / "frames.json").write_text(json.dumps(frames))
    return len(frames)


def install(environments: Path, name: str | None) -> Path:
    """Make an environment unless it is complete, and return its Python."""
    if name is None:
        return Path(sys.executable)
    folder = environments / name
    requirements = FOLDER / "contenders" / f"{name}.txt"
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    if not stamp.exists() or stamp.read_text() != requirements.read_text():
        venv.create(folder, clear=True, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(requirements)]
        subprocess.run(pip, check=True, stdout=sys.stderr)
        stamp.write_text(requirements.read_text())
    return python


# --- Measurements -------------------------------------------------------------------------------


def run_phase(
    peer: Peer, phase: str, work: Path, environments: Path, *options: str
) -> dict[str, Any]:
    """Run a phase in a process of its own; add its CPU seconds and its peak memory in MiB."""
    out, log = work / "phase.json", work / f"{peer.module}{peer.variant}-{phase}.log"
    out.unlink(missing_ok=True)
    command = [str(install(environments, peer.environment)), "-m", f"contenders.{peer.module}"]
    command += [phase, "--work", str(work.resolve()), "--out", str(out.resolve())]
    command += ["--variant", peer.variant, *options]
    paths = [FOLDER, FOLDER.parent / "train"]
    variables = {"PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1"}
    with log.open("w") as file:
        process = subprocess.Popen(command, env=os.environ | variables, stdout=file, stderr=file)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{log.read_text()[-2000:]}")
    # In bytes on macOS, otherwise in KiB.
    memory = usage.ru_maxrss / (1 << (20 if sys.platform == "darwin" else 10))
    measured = {"cpu": usage.ru_utime + usage.ru_stime, "memory": memory}
    return json.loads(out.read_text()) | measured


def measure_loader(peer: Peer, work: Path, environments: Path, seconds: float) -> dict[str, Any]:
    """Measure preparation, a change of method, and loading."""
    result: dict[str, Any] = {}
    if peer.prepared:
        for path in [work / peer.prepared, *work.glob(f"{peer.prepared}.*")]:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        for phase, method in zip(("prepare", "change"), METHODS, strict=True):
            options = ["--method", method]
            result[phase] = run_phase(peer, "prepare", work, environments, *options)
            result.setdefault("disk", disk(work / peer.prepared))
    if not peer.like:
        result["load"] = run_phase(peer, "load", work, environments)
    return result


def measure_training(peer: Peer, work: Path, environments: Path, seconds: float) -> dict[str, Any]:
    """Train for a number of CPU seconds."""
    options = ["--seconds", str(seconds)]
    return {"train": run_phase(peer, "train", work, environments, *options)}


def disk(folder: Path) -> float:
    """MiB that the files of a folder take on disk."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return sum(file.stat().st_blocks * 512 for file in files) / (1 << 20)


# --- Table --------------------------------------------------------------------------------------


def print_table(results: dict[str, dict[str, Any]]) -> None:
    """Print the results as Markdown, one contender a column."""
    rows: list[Sequence[str]] = [["", *(PEERS[name].title for name in results)]]
    rows.append(["---"] * (len(results) + 1))
    measures = {
        "prepare, s": lambda r: f"{r['prepare']['cpu']:.1f}",
        "prepare, another method, s": lambda r: f"{r['change']['cpu']:.1f}",
        "disk, MiB": lambda r: f"{r['disk']:.1f}",
        "first batch, s": lambda r: f"{r['load']['first_batch']:.1f}",
        "frames/s, not augmented": lambda r: f"{r['load']['plain']:,.0f}",
        "frames/s, augmented": lambda r: f"{r['load']['augmented']:,.0f}",
        "memory of the loader, MiB": lambda r: f"{r['load']['memory']:,.0f}",
        "memory of training, MiB": lambda r: f"{r['train']['memory']:,.0f}",
        "one pass of training and validation, s": lambda r: (
            f"{r['train']['epochs'][-1]['cpu'] / len(r['train']['epochs']):.1f}"
        ),
        "passes": lambda r: str(len(r["train"]["epochs"])),
        "CPU time of training, s": lambda r: f"{r['train']['epochs'][-1]['cpu']:.0f}",
        "validation Dice": lambda r: f"{r['train']['epochs'][-1]['val']:.4f}",
        "**test Dice**": lambda r: f"{r['train']['epochs'][-1]['test']:.4f}",
    }
    for label, show in measures.items():
        row = [label]
        for name, result in results.items():
            complete = results.get(PEERS[name].like or "", {}) | result
            try:
                row.append(show(complete))
            except KeyError:
                row.append("")
        if any(row[1:]):
            rows.append(row)
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
