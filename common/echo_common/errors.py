"""What can go wrong, one class a remedy; every command turns these into one line.

Each error is both an `EchoError`, which the commands catch, and the builtin
that a caller of the library would expect. Messages say what is wrong, where,
and what to do about it.
"""

from __future__ import annotations


class EchoError(Exception):
    """Base of every error that is the user's to mend; never shown as a traceback."""


class DataError(EchoError, ValueError):
    """The data set (a CSV, a video, a trace) is not what its format says."""


class DataNotFoundError(EchoError, FileNotFoundError):
    """A file or folder of the data set is not where it was looked for."""


class SettingsError(EchoError, ValueError):
    """Two settings contradict each other, or one has no meaning here."""


class OutputError(EchoError, OSError):
    """A file or folder may not be written: it is an input, or somebody else's."""


class StoreError(EchoError, OSError):
    """The store cannot be written or read: permissions, a full disk, another schema."""


class StoreNotFoundError(StoreError, FileNotFoundError):
    """There is no store at the path."""


class StoreLockedError(StoreError):
    """Another process is building the store."""


class StoreDamagedError(StoreError):
    """The store is unfinished, or a chunk of it is missing or altered."""


class NotInStoreError(StoreError, LookupError):
    """The store is sound but lacks what was asked for."""


class RunError(EchoError, RuntimeError):
    """A training run cannot go on, or a run folder is not what it should be."""
