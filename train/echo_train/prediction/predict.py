"""Segment video files and write the results; `echo-predict` calls `predict_videos`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2

from echo_common.cli.command import describe_memory_error, describe_os_error
from echo_common.cli.progress import Progress, silent
from echo_common.errors import DataError, EchoError
from echo_common.output_folder import OutputFolder
from echo_common.outputs import output_name
from echo_train.evaluation.trained_model import TrainedModel, load_model
from echo_train.prediction.segment import save_prediction, segment
from echo_train.prediction.settings import PredictSettings
from echo_train.prediction.video import list_videos, read_clip, save_overlay
from echo_train.runs.run_folder import run_inputs
from echo_train.runs.run_names import distinct_names
from echo_train.runtime import device as devices
from echo_train.runtime.memory import explain_full_memory


def predict_videos(
    run: Path,
    videos: Sequence[Path],
    settings: PredictSettings,
    say: Callable[[str], None] = lambda line: None,
    progress: Progress[Any] = silent,
) -> None:
    """Segment videos with the model of a run, and write the results of each.

    Parameters
    ----------
    run : Path
    videos : sequence of Path
        Video files, and folders of them.
    settings : PredictSettings
    say : callable
        Takes a line about each video.
    progress : Progress
        Wraps the videos.

    Raises
    ------
    RunError
        If the folder contains no run, or its checkpoint cannot be read.
    DataError
        If some videos could not be segmented completely, after all others.
    """
    # The messages below replace OpenCV's own about a file that it cannot open.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    device = devices.pick_device(settings.device, say=say)
    with explain_full_memory(device, lambda: "choose --device cpu, or fewer frames with --frames"):
        model = load_model(run, settings.checkpoint, device)
        paths, failures = _find_videos(videos)
        names = distinct_names(output_name(path.stem) for path in paths)
        with OutputFolder(
            settings.out or run / "predict",
            inputs=[*paths, *run_inputs(run)],
            force=settings.force,
        ) as output:
            # A bad video, or one whose results cannot be written, does not stop the others.
            claimed = []
            for name, path in zip(names, paths, strict=True):
                with _collect(failures, path):
                    output.claim(f"{name}.npz", f"{name}.csv")
                    if settings.overlay:
                        output.claim(f"{name}.avi")
                    claimed.append((name, path))
            for name, path in progress(claimed, len(claimed), "segmenting"):
                with _collect(failures, path):
                    line, faults = _predict(model, path, output, name, settings)
                    say(line)
                    if faults:
                        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
                        failures.append(f"{path}: {faults[0]}{more}")
    if failures:
        raise DataError(
            f"{len(failures)} of {len(videos)} videos could not be segmented completely: "
            + "; ".join(failures)
        )


@contextlib.contextmanager
def _collect(failures: list[str], path: Path) -> Iterator[None]:
    """Add the error of a video to the list instead of raising it."""
    try:
        yield
    except EchoError as error:
        text = str(error)
        failures.append(text if str(path) in text else f"{path}: {text}")
    except OSError as error:
        failures.append(f"{path}: {describe_os_error(error)}")
    except MemoryError as error:
        failures.append(f"{path}: {describe_memory_error(error)}")


def _find_videos(arguments: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Replace folders by the videos in them; returns the videos, and errors of folders."""
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


def _predict(
    model: TrainedModel, path: Path, output: OutputFolder, name: str, settings: PredictSettings
) -> tuple[str, tuple[str, ...]]:
    """Segment a video and write its results; returns a summary and the faults of its frames."""
    clip = read_clip(path, settings.frames)
    prediction = segment(model, clip.images)
    save_prediction(output, name, clip, prediction)
    if settings.overlay:
        with output.writer(f"{name}.avi") as overlay:
            save_overlay(overlay, clip, prediction)
    areas = prediction.masks.sum(axis=(1, 2))
    missed = int(prediction.missed().sum())
    empty = f", {missed} missed (no ventricle found)" if missed else ""
    lost = f", {len(clip.faults)} faults" if clip.faults else ""
    line = (
        f"{path}: {len(areas)} frames{lost}, area {areas.min()} to {areas.max()} px{empty}; "
        f"{output.folder / name}.npz"
    )
    return line, clip.faults
