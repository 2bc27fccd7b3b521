"""Write the weights of finished runs into the package, and measure them on every look.

    python benchmarks/weights.py RUN… [--folder DIR] [--into train/echo_train/weights]

`make weights` calls it. The name of a file is `synthetic-` and the target of its run. Prints the
table of docs/weights.md: on all frames of each look of `echo-prep synth`, the mean Dice, by how
much areas are too large at end-systole, and error and bias of the ejection fraction in percentage
points at the traced frames.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
from helpers import describe_machine
from transfer import call, make_store, print_cells, results

from echo_prep.synth.looks import LOOKS
from echo_train.evaluation.trained_model import load_model
from echo_train.runs.weights_file import SUFFIX, write_weights

NOTE = "trained on phantoms alone, these weights have seen no real heart; for research use only"


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--into", type=click.Path(path_type=Path), default=Path("train/echo_train/weights"))
@click.option("--videos", default=150, show_default=True, help="Of each look.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("transfer-benchmark"))
def main(runs: tuple[Path, ...], into: Path, videos: int, folder: Path) -> None:
    """Write a file for each run, and print one row for each file and look."""
    print(f"{describe_machine()}; {videos} videos of each look, seed 7\n")
    print_cells("weights", "look", "Dice", "ES area", "EF error", "EF bias")
    for run in runs:
        target = load_model(run).settings.selection.target
        path = into / f"synthetic-{target}{SUFFIX}"
        write_weights(run, path, NOTE)
        for look in LOOKS:
            out = run / f"on-{look}"
            store = make_store(folder, look, videos, 7, "--landmarks", 11)
            call("echo-eval", path, "--store", store, "--split", "all", "--out", out)
            dice, bias = results(out)
            ef = json.loads((out / "summary.json").read_text(encoding="utf-8"))["all"]["ef"]
            print_cells(
                path.stem, look, f"{dice:.3f}", f"{bias:+.1f} %", f"{ef['mae']:.1f}",
                f"{ef['bias']:+.1f}",
            )  # fmt: skip


if __name__ == "__main__":
    main()
