"""Write a synthetic data set: the folder, its videos, and finally its two CSV files.

The first file in the folder identifies it as synthetic, and the CSV files are
written last. So an interrupted run is never mistaken for a data set, and the
same command completes it.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from echo_common import atomic
from echo_common.cli import progress
from echo_common.cli.command import describe_os_error
from echo_common.errors import DataError, EchoError, OutputError
from echo_common.lock import exclusive
from echo_common.regular_file import read_regular
from echo_prep.layouts.echonet_dynamic import FILE_LIST, TRACINGS, VIDEOS
from echo_prep.synth import quirks
from echo_prep.synth.csv_files import write_csv_files
from echo_prep.synth.looks import LOOKS
from echo_prep.synth.settings import SynthSettings
from echo_prep.synth.videos import Record, make_video
from echo_prep.workers import local_backend

SETTINGS_FILE = "synth.json"
"""Identifies a folder as synthetic, and holds the settings that it was made with."""

FORMAT = "echo-synth/1"

DEFAULT_LOOK = "echonet"
"""The look of folders whose settings do not name one, as before there were others."""

_LOCK = "synth.lock"
"""In the folder: the lock of the process that makes the data set."""


def synthesize(
    root: Path, settings: SynthSettings, show: progress.Progress[Record] = progress.silent
) -> bool:
    """Make a synthetic data set.

    Parameters
    ----------
    root : Path
        A folder that is new, empty, or left by an earlier call with the same settings.
    settings : SynthSettings
    show : callable
        Reports progress; see `echo_common.cli.progress`.

    Returns
    -------
    written : bool
        False if the folder already holds exactly this data set.

    Raises
    ------
    DataError
        If the folder holds something else, or the files cannot be written.
    """
    try:
        if _is_complete(root, settings):
            return False
        root.mkdir(parents=True, exist_ok=True)
        with exclusive(root / _LOCK, lambda holder: _locked(root, holder)):
            # Again, since another process may have finished in the meantime.
            written = not _is_complete(root, settings)
            if written:
                _write(root, settings, show)
            # A process that waits with the old file finds the data set complete, too.
            with contextlib.suppress(OSError):
                (root / _LOCK).unlink()
    except TerminatedWorkerError as error:
        raise DataError(
            "a worker process was killed, probably for lack of memory; run the same command "
            "again with fewer --jobs"
        ) from error
    except OSError as error:
        if isinstance(error, EchoError):
            raise
        raise DataError(f"{root} cannot be written: {describe_os_error(error)}") from error
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(
            f"{root} is incomplete; run the same command again to complete it, or remove it"
        ) from interrupt
    return written


def _locked(root: Path, holder: str) -> OutputError:
    return OutputError(
        f"{holder} makes a data set in {root}; wait until it has finished, or give another folder"
    )


def _write(root: Path, settings: SynthSettings, show: progress.Progress[Record]) -> None:
    folder = root / VIDEOS
    for path in (folder, root / SETTINGS_FILE, root / FILE_LIST, root / TRACINGS):
        if path.is_symlink():
            raise OutputError(f"{path} is a link, which is not written through; remove it")
    # First of all, so that the same command recognises a folder that a full disk left incomplete.
    content = {"format": FORMAT, **settings.content()}
    if settings.look == DEFAULT_LOOK:
        del content["look"]
    atomic.write_text(root / SETTINGS_FILE, json.dumps(content, indent=1) + "\n")
    folder.mkdir(exist_ok=True)
    records = _write_videos(folder, settings, show)
    if settings.quirks:
        applied = quirks.make_quirks(folder, settings.seed, settings.frames, LOOKS[settings.look])
        quirks.write_list(root, applied)
        records += [record for quirk in applied for record in quirk.records]
    write_csv_files(root, records)


def _write_videos(
    folder: Path, settings: SynthSettings, show: progress.Progress[Record]
) -> list[Record]:
    workers = min(settings.workers(), settings.videos)
    records = Parallel(workers, backend=local_backend(workers), return_as="generator")(
        delayed(make_video)(folder, settings.seed, number, settings.frames, LOOKS[settings.look])
        for number in range(settings.videos)
    )
    return list(show(records, settings.videos, "making videos"))


def _is_complete(root: Path, settings: SynthSettings) -> bool:
    """Whether the folder holds this data set in full; an error if it holds anything else."""
    if not root.exists():
        return False
    if not root.is_dir():
        raise DataError(f"{root} is a file; give a folder for the synthetic data set")
    if all(entry.name == _LOCK for entry in root.iterdir()):
        return False
    try:
        saved = json.loads(read_regular(root / SETTINGS_FILE))
        is_synthetic = saved.get("format") == FORMAT
    except (OSError, ValueError, AttributeError, RecursionError):
        is_synthetic = False
    if not is_synthetic:
        raise DataError(
            f"{root} is not empty, and echo-prep synth did not write its content; give an empty "
            "or new folder"
        )
    saved = {"look": DEFAULT_LOOK, **saved}
    differing = ", ".join(
        f"{name} {saved.get(name)}"
        for name, value in settings.content().items()
        if saved.get(name) != value
    )
    if differing:
        raise DataError(
            f"{root} holds a synthetic data set made with other settings ({differing}); give "
            "another folder, or remove this one"
        )
    return (root / FILE_LIST).is_file()
