"""Writes the state of a run in a thread, while the next epoch trains.

`echo_train.training.train` opens it; `echo_train.training.resume` offers the state.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Self

from echo_common.output_folder import OutputFolder
from echo_train.runs.run_folder import BEST, CURVES, LAST, METRICS

INTERVAL = 30.0
"""Seconds between the starts of two writes; with 0, an offer waits until it is written."""

ORDER = (BEST, LAST, METRICS, CURVES)
"""A run that is killed between two files resumes from the previous last state, and computes the
same best weights again. The metrics are never ahead of the state."""


class BackgroundWriter:
    """Writes the latest offered files, at most every `INTERVAL` seconds and at the end.

    Use it as a context, which waits for the last write, also after an error or Ctrl-C.

    Parameters
    ----------
    output : OutputFolder
        Nothing else may write to it within the context.

    Raises
    ------
    Exception
        What a write raised: from the next offer, or else at the end of the context.
    """

    def __init__(self, output: OutputFolder) -> None:
        self._output = output
        self._changed = threading.Condition()
        self._pending: dict[str, Callable[[], bytes]] = {}
        self._is_writing = False
        self._is_closing = False
        self._error: BaseException | None = None
        # A second Ctrl-C ends the process without waiting for a disk that does not answer.
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        with self._changed:
            if kind is not None:
                # Ctrl-C waits for the state, and not for a picture that is half a minute newer.
                self._pending.pop(CURVES, None)
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join()
        self._raise_error()

    def offer(self, files: Mapping[str, Callable[[], bytes]]) -> None:
        """Replace the files that are to be written next.

        Parameters
        ----------
        files : mapping of str to callable
            By names of `ORDER`, functions that return the content; called in the thread. A file
            that is not among them stays to be written from an earlier offer.
        """
        self._raise_error()
        with self._changed:
            self._pending.update(files)
            self._changed.notify_all()
            if not INTERVAL:
                self._changed.wait_for(lambda: not (self._pending or self._is_writing))
        self._raise_error()

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self) -> None:
        started = -math.inf
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._is_closing)
                rest = started + INTERVAL - time.monotonic()
                self._changed.wait_for(lambda: self._is_closing, timeout=max(rest, 0))
                files, self._pending = self._pending, {}
                self._is_writing = True
            started = time.monotonic()
            try:
                for name in sorted(files, key=ORDER.index):
                    self._output.write_bytes(name, files[name]())
            except BaseException as error:
                self._error = error
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
                if self._error is not None or (self._is_closing and not self._pending):
                    self._pending = {}
                    return
