"""Segment video files and write the results; `echo-predict` calls `predict_videos`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from echo_common.cli.command import describe_memory_error, describe_os_error
from echo_common.cli.progress import Progress, silent
from echo_common.errors import DataError, EchoError
from echo_common.output_folder import OutputFolder
from echo_common.outputs import output_name
from echo_train.evaluation.trained_model import TrainedModel, load_model
from echo_train.prediction.clip import Clip, list_videos
from echo_train.prediction.overlay import draw, save_overlay
from echo_train.prediction.results import frame_table, save_arrays
from echo_train.prediction.segment import Segmentation, segment_clip
from echo_train.prediction.settings import PredictSettings
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
        folders = len(failures)
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
                        output.claim(f"{name}.mp4")
                    claimed.append((name, path))
            for name, path in progress(claimed, len(claimed), "segmenting"):
                with _collect(failures, path):
                    line, faults = _predict(model, path, output, name, settings)
                    say(line)
                    if faults:
                        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
                        failures.append(f"{path}: {faults[0]}{more}")
    if failures:
        count = f"{len(failures)} of {len(paths) + folders}"
        separator = " " if len(failures) == 1 else "\n"
        raise DataError(
            separator.join([f"{count} clips could not be segmented completely:", *failures])
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
    """Segment a clip and write its results; returns a summary and the faults of its frames."""
    clip = Clip(path, settings.frames)
    found = segment_clip(model, clip)
    with output.writer(f"{name}.npz") as file:
        save_arrays(file, found)
    output.write_text(f"{name}.csv", frame_table(found))
    if settings.overlay:
        with output.writer(f"{name}.mp4") as file:
            save_overlay(file, _overlay_frames(clip, found))
    reasons, counts = np.unique(found.reasons[found.reasons != ""], return_counts=True)
    missed = "".join(
        f", {count} missed ({reason})" for reason, count in zip(reasons, counts, strict=True)
    )
    lost = f", {len(clip.faults)} faults" if clip.faults else ""
    line = (
        f"{path}: {len(found.areas)} frames{lost}, area {found.areas.min()} to "
        f"{found.areas.max()} px{missed}; {output.folder / name}.npz"
    )
    return line, clip.faults


def _overlay_frames(clip: Clip, found: Segmentation) -> Iterator[tuple[float, np.ndarray]]:
    """Read the frames again, and draw what was found over them."""
    frame = 0
    for chunk in clip.chunks():
        for seconds, image in zip(chunk.seconds, chunk.images, strict=True):
            points = None if found.points is None else found.points[frame]
            yield seconds, draw(image, found.masks[frame], points)
            frame += 1
