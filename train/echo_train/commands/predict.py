"""The command `echo-predict`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import cv2

from echo_common.cli.command import describe_os_error, run_command
from echo_common.cli.progress import show
from echo_common.cli.settings import click_options
from echo_common.errors import DataError, EchoError
from echo_train.evaluation.trained_model import TrainedModel, load_model
from echo_train.prediction.segment import PredictSettings, save_prediction, segment
from echo_train.prediction.video import list_videos, read_clip, save_overlay
from echo_train.runs.run_names import distinct_names
from echo_train.runtime import device as devices


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="echo-lv-segmentation")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("videos", nargs=-1, required=True, type=click.Path(path_type=Path))
@click_options(PredictSettings)
def cli(run: Path, videos: tuple[Path, ...], **values: Any) -> None:
    """Segment the left ventricle in videos, or in all videos of a folder, with a run's model.

    Of each video there are NAME.npz with the masks, and the landmarks where the model has them,
    NAME.csv with the area of every frame, and NAME.avi with the contours drawn over the frames.
    """
    settings = PredictSettings(**values)
    # What OpenCV says of a file that it cannot open is said below, with what to do.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    device = devices.pick_device(settings.device)
    out = settings.out or run / "predict"
    with devices.explain_full_memory(device, "choose --device cpu, or fewer frames with --frames"):
        model = load_model(run, settings.checkpoint, device)
        out.mkdir(parents=True, exist_ok=True)
        paths, failures = find_videos(videos)
        named = list(zip(distinct_names(path.stem for path in paths), paths, strict=True))
        for name, path in show(named, len(named), "segmenting"):
            # A bad video does not keep the others from being segmented.
            try:
                line, faults = predict(model, path, out, name, settings)
            except EchoError as error:
                failures.append(str(error))
            except OSError as error:
                failures.append(f"{path}: {describe_os_error(error)}")
            else:
                click.echo(line)
                if faults:
                    more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
                    failures.append(f"{path}: {faults[0]}{more}")
    if failures:
        raise DataError(
            f"{len(failures)} of {len(videos)} videos could not be segmented completely: "
            + "; ".join(failures)
        )


def find_videos(arguments: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """List the videos that are meant, a folder's in its place, and what cannot be searched."""
    paths: list[Path] = []
    failures = []
    for path in arguments:
        try:
            paths += list_videos(path) if path.is_dir() else [path]
        except DataError as error:
            failures.append(str(error))
        except OSError as error:
            failures.append(describe_os_error(error))
    return paths, failures


def predict(
    model: TrainedModel, path: Path, out: Path, name: str, settings: PredictSettings
) -> tuple[str, tuple[str, ...]]:
    """Segment a video and write its results; returns a summary and the faults of its frames."""
    clip = read_clip(path, settings.frames)
    prediction = segment(model, clip.images)
    save_prediction(out, name, clip, prediction)
    if settings.overlay:
        save_overlay(out / f"{name}.avi", clip, prediction)
    areas = prediction.masks.sum(axis=(1, 2))
    empty = f", {(areas == 0).sum()} without a ventricle" if (areas == 0).any() else ""
    lost = f", {len(clip.faults)} faults" if clip.faults else ""
    line = (
        f"{path}: {len(areas)} frames{lost}, area {areas.min()} to {areas.max()} px{empty}; "
        f"{out / name}.npz"
    )
    return line, clip.faults


def main() -> None:
    """Run the command; the console script's entry point."""
    run_command(cli)
