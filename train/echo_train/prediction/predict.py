"""Segment video files and write the results; `echo-predict` calls `predict_videos`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2

from echo_common.cli.command import describe_os_error
from echo_common.cli.progress import Progress, silent
from echo_common.errors import DataError, EchoError
from echo_train.evaluation.trained_model import TrainedModel, load_model
from echo_train.prediction.segment import save_prediction, segment
from echo_train.prediction.settings import PredictSettings
from echo_train.prediction.video import list_videos, read_clip, save_overlay
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
    out = settings.out or run / "predict"
    with explain_full_memory(device, lambda: "choose --device cpu, or fewer frames with --frames"):
        model = load_model(run, settings.checkpoint, device)
        out.mkdir(parents=True, exist_ok=True)
        paths, failures = _find_videos(videos)
        named = list(zip(distinct_names(path.stem for path in paths), paths, strict=True))
        for name, path in progress(named, len(named), "segmenting"):
            # A bad video does not keep the others from being segmented.
            try:
                line, faults = _predict(model, path, out, name, settings)
            except EchoError as error:
                failures.append(str(error))
            except OSError as error:
                failures.append(f"{path}: {describe_os_error(error)}")
            else:
                say(line)
                if faults:
                    more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
                    failures.append(f"{path}: {faults[0]}{more}")
    if failures:
        raise DataError(
            f"{len(failures)} of {len(videos)} videos could not be segmented completely: "
            + "; ".join(failures)
        )


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
    model: TrainedModel, path: Path, out: Path, name: str, settings: PredictSettings
) -> tuple[str, tuple[str, ...]]:
    """Segment a video and write its results; returns a summary and the faults of its frames."""
    clip = read_clip(path, settings.frames)
    prediction = segment(model, clip.images)
    save_prediction(out, name, clip, prediction)
    if settings.overlay:
        save_overlay(out / f"{name}.avi", clip, prediction)
    areas = prediction.masks.sum(axis=(1, 2))
    missed = int(prediction.missed().sum())
    empty = f", {missed} missed (no ventricle found)" if missed else ""
    lost = f", {len(clip.faults)} faults" if clip.faults else ""
    line = (
        f"{path}: {len(areas)} frames{lost}, area {areas.min()} to {areas.max()} px{empty}; "
        f"{out / name}.npz"
    )
    return line, clip.faults
