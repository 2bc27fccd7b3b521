"""Segment and measure clips, and write the results; `echo-predict` calls `predict_clips`."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from echo_common.cli.command import describe_memory_error, describe_os_error
from echo_common.cli.progress import Progress, silent
from echo_common.errors import DataError, EchoError, RunError, SettingsError
from echo_common.output_folder import OutputFolder
from echo_common.outputs import output_name
from echo_train.evaluation.ensemble import average_models, describe_average
from echo_train.evaluation.trained_model import TrainedModel, load_model
from echo_train.prediction.clip import Clip, list_videos
from echo_train.prediction.measurement import Measurement, segment_and_measure
from echo_train.prediction.results import (
    MEASURES,
    ClipResult,
    claim_results,
    measures_table,
    write_results,
)
from echo_train.prediction.sector import Sector, find_sector
from echo_train.prediction.settings import PredictSettings
from echo_train.runs.run_folder import CONFIG
from echo_train.runs.run_names import distinct_names
from echo_train.runs.weights_file import SHIPPED, is_model, model_inputs, results_folder
from echo_train.runtime import device as devices
from echo_train.runtime.memory import explain_full_memory


def predict_clips(
    arguments: Sequence[Path],
    settings: PredictSettings,
    say: Callable[[str], None] = lambda line: None,
    progress: Progress[Any] = silent,
) -> None:
    """Segment and measure clips with the models of runs, and write the results of each.

    Parameters
    ----------
    arguments : sequence of Path
        Run folders, which contain config.toml, and weights files, or names of
        `echo_train.runs.weights_file.SHIPPED`; video files, and folders of them. Several models are
        averaged. Without a model, the first of `SHIPPED` predicts.
    say : callable
        Takes a line about each clip.
    progress : Progress
        Wraps the clips.

    Raises
    ------
    RunError
        If a checkpoint cannot be read, or an argument is neither a model nor a clip.
    SettingsError
        If there is no clip, or the models cannot be averaged.
    DataError
        If some clips could not be segmented completely, after all others.
    """
    # The messages below replace OpenCV's own about a file that it cannot open.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    runs = [path for path in arguments if is_model(path)]
    sources = [path for path in arguments if path not in runs]
    if not sources:
        raise SettingsError("there is no clip among the arguments; give video files or folders")
    is_default = not runs
    if is_default:
        _check_clips(sources)
        runs = [Path(SHIPPED[0])]
    if settings.masks == "nifti" and importlib.util.find_spec("nibabel") is None:
        raise SettingsError(
            "--masks nifti needs nibabel; install it with: "
            "pip install 'echo-lv-segmentation[nifti]'"
        )
    device = devices.pick_device(settings.device, say=say)
    with explain_full_memory(device, lambda: "choose --device cpu, or a smaller --crop"):
        models = [
            load_model(run, settings.checkpoint, device, settings.postprocess) for run in runs
        ]
        model = average_models(models, settings.tta, settings.tta_mirror)
        for number, line in enumerate(describe_average(models, settings)):
            say(f"{'no run is given, using' if is_default and number == 0 else 'note:'} {line}")
        note = "; ".join(f"{model.folder}: {model.note}" for model in models if model.note)
        paths, failures = _find_videos(sources)
        total = len(paths) + len(failures)
        # No clip is named as the table of all clips.
        stems = [output_name(path.stem) for path in paths]
        _, *names = distinct_names([Path(MEASURES).stem, *stems])
        inputs = [*paths, *(file for run in runs for file in model_inputs(run))]
        out = settings.out or results_folder(runs[0]) / "predict"
        with OutputFolder(out, inputs=inputs, force=settings.force) as output:
            output.claim(MEASURES)
            rows: dict[str, tuple[Measurement, np.ndarray]] = {}
            try:
                for name, path in progress(
                    list(zip(names, paths, strict=True)), len(paths), "segmenting"
                ):
                    # A bad clip, or one whose results cannot be written, does not stop the others.
                    rows[name] = _failed("it was interrupted")
                    with _collect(failures, path) as reasons:
                        claim_results(output, name, settings)
                        result = _predict(model, path, name, settings, note)
                        write_results(output, result, settings)
                        rows[name] = result.measured, result.found.numbers
                        say(result.line(output.folder))
                        if faults := result.clip.faults:
                            more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
                            failures.append(f"{path}: {faults[0]}{more}")
                    if reasons:
                        rows[name] = _failed(reasons[0])
            finally:
                output.write_text(MEASURES, measures_table(rows, note))
    if failures:
        separator = " " if len(failures) == 1 else "\n"
        head = f"{len(failures)} of {total} clips could not be segmented completely:"
        raise DataError(separator.join([head, *failures]))


@contextlib.contextmanager
def _collect(failures: list[str], path: Path) -> Iterator[list[str]]:
    """Add the error of a clip to the list instead of raising it; yields a list for its reason."""
    reasons: list[str] = []
    try:
        yield reasons
        return
    except EchoError as error:
        text = str(error)
    except OSError as error:
        text = describe_os_error(error)
    except MemoryError as error:
        text = describe_memory_error(error)
    reasons.append(text.removeprefix(f"{path}: "))
    failures.append(text if str(path) in text else f"{path}: {text}")


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


def _check_clips(sources: Sequence[Path]) -> None:
    """Raise a `RunError` if an argument is neither a clip nor a folder of clips.

    It may be meant as a run, in whose place no other model predicts.
    """
    for path in sources:
        try:
            found = list_videos(path) if path.is_dir() else path.exists()
        except DataError:
            found = False
        if not found:
            raise RunError(
                f"{path} contains no run and no clip; give a run folder, which has {CONFIG}, "
                f"{' or '.join(SHIPPED)}, or clips alone"
            )


def _predict(
    model: TrainedModel, path: Path, name: str, settings: PredictSettings, note: str
) -> ClipResult:
    clip = Clip(path, settings.frames)
    sector = _sector(clip, settings)
    found, measured = segment_and_measure(model, clip, sector, settings.confidence)
    return ClipResult(
        name=name, clip=clip, sector=sector, found=found, measured=measured, note=note
    )


def _sector(clip: Clip, settings: PredictSettings) -> Sector | None:
    if settings.crop is None:
        return find_sector(next(clip.chunks()).images, clip.region)
    x, y, width, height = settings.crop
    if min(width, height) < 1 or x + width > clip.shape[1] or y + height > clip.shape[0]:
        raise SettingsError(
            f"--crop {x},{y},{width},{height} is not inside the frames, which have "
            f"{clip.shape[1]}x{clip.shape[0]} pixels"
        )
    return Sector.of_box(settings.crop)


def _failed(reason: str) -> tuple[Measurement, np.ndarray]:
    return Measurement(status="failed", reason=reason), np.empty(0, np.int64)
