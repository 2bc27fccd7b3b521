"""Writing a synthetic data set: the folder, the videos, and the two CSV files last.

A folder is marked as synthetic before anything else is written into it, and
has its CSV files only when it is complete: a run that was killed is not taken
for a data set, and running it again finishes it.
"""

from __future__ import annotations

import json
from pathlib import Path

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from echo_common import atomic
from echo_common.cli import progress
from echo_common.cli.command import describe_os_error
from echo_common.errors import DataError, EchoError
from echo_prep.dataset.echonet_dynamic import FILE_LIST, VIDEOS
from echo_prep.synth import quirks
from echo_prep.synth.csv_files import write_tables
from echo_prep.synth.settings import SynthSettings
from echo_prep.synth.videos import Record, make_video

MARK = "synth.json"
"""The file that says what made a folder."""

FORMAT = "echo-synth/1"


def synthesize(
    root: Path, settings: SynthSettings, show: progress.Progress[Record] = progress.silent
) -> bool:
    """Make a synthetic data set.

    Parameters
    ----------
    root : Path
        A folder that is empty or not there yet, or one that this function began with the same
        settings.
    settings : SynthSettings
    show : callable
        Reports progress; see `echo_common.cli.progress`.

    Returns
    -------
    made : bool
        False where the folder holds this very data set already.

    Raises
    ------
    DataError
        If the folder holds something else, or the files cannot be written.
    """
    if _is_complete(root, settings):
        return False
    try:
        _fill(root, settings, show)
    except TerminatedWorkerError as error:
        raise DataError(
            "a worker process was killed, most often for want of memory; run the same command "
            "again, with fewer --jobs"
        ) from error
    except OSError as error:
        if isinstance(error, EchoError):
            raise
        raise DataError(f"{root} cannot be written: {describe_os_error(error)}") from error
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(
            f"{root} is not complete; run the same command again, or remove it"
        ) from stop
    return True


def _fill(root: Path, settings: SynthSettings, show: progress.Progress[Record]) -> None:
    videos = root / VIDEOS
    videos.mkdir(parents=True, exist_ok=True)
    content = {"format": FORMAT, **settings.content()}
    atomic.write_text(root / MARK, json.dumps(content, indent=1) + "\n")
    records = _make_all(videos, settings, show)
    if settings.quirks:
        odd = quirks.make_quirks(videos, settings.seed, settings.frames)
        quirks.write_list(root, odd)
        records += [record for one in odd for record in one.records]
    write_tables(root, records)


def _make_all(
    videos: Path, settings: SynthSettings, show: progress.Progress[Record]
) -> list[Record]:
    workers = min(settings.workers(), settings.videos)
    parallel = Parallel(n_jobs=workers, return_as="generator")
    done = parallel(
        delayed(make_video)(videos, settings.seed, number, settings.frames)
        for number in range(settings.videos)
    )
    return list(show(done, settings.videos, "making videos"))


def _is_complete(root: Path, settings: SynthSettings) -> bool:
    """Whether the folder holds this data set; an error where it holds another thing."""
    if not root.exists():
        return False
    if not root.is_dir():
        raise DataError(f"{root} is a file; give a folder for the synthetic data set")
    if not any(root.iterdir()):
        return False
    try:
        found = json.loads((root / MARK).read_text(encoding="utf-8"))
        held = {name: found.get(name) for name in settings.content()}
        ours = found.get("format") == FORMAT
    except (OSError, ValueError, AttributeError):
        ours = False
    if not ours:
        raise DataError(
            f"{root} is not empty, and what it holds was not made by echo-prep synth; give an "
            "empty or a new folder"
        )
    if held != settings.content():
        differing = ", ".join(
            f"{name} {held[name]}"
            for name, value in settings.content().items()
            if held[name] != value
        )
        raise DataError(
            f"{root} holds a synthetic data set made with other settings ({differing}); give "
            "another folder, or remove this one"
        )
    return (root / FILE_LIST).is_file()
