"""Errors that the user can solve; every command shows them as one line.

Each class is an `EchoError`, which the commands catch, and the builtin that a
caller of the library would expect. A message says what is wrong, where, and
what to do about it.
"""

from __future__ import annotations


class EchoError(Exception):
    """Base of all errors that the user can solve; never shown as a traceback."""


class DataError(EchoError, ValueError):
    """The data set (a CSV file, a video, a trace) does not follow its format."""


class DataNotFoundError(EchoError, FileNotFoundError):
    """A file or folder of the data set does not exist."""


class SettingsError(EchoError, ValueError):
    """Two settings contradict each other, or one does not apply."""


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
    """The store is sound but lacks what was requested."""


class RunError(EchoError, RuntimeError):
    """A training run cannot continue, or a run folder is invalid."""
