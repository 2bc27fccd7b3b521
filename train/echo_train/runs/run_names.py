"""Names of runs, and for the results of several runs or videos, and their common folder.

Evaluation, prediction and reports use them.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from echo_common.outputs import output_name


def distinct_names(names: Iterable[str]) -> list[str]:
    """Make names unique, on every file system: a second ``a`` becomes ``a-2``, and so does ``A``.

    Examples
    --------
    >>> distinct_names(["mask", "mask", "landmarks-7"])
    ['mask', 'mask-2', 'landmarks-7']
    >>> distinct_names(["a", "A"])
    ['a', 'A-2']
    """
    distinct: list[str] = []
    taken: set[str] = set()
    for name in names:
        number, candidate = 1, name
        while _spelling(candidate) in taken:
            number += 1
            candidate = f"{name}-{number}"
        taken.add(_spelling(candidate))
        distinct.append(candidate)
    return distinct


def run_name(values: Mapping[str, Any]) -> str:
    """Name of a run from settings that it differs in, by option.

    Examples
    --------
    >>> run_name({"loss": "bce", "learning-rate": 0.001, "compile": False})
    'loss-bce-learning-rate-0.001-compile-false'
    """
    texts = {
        option: str(value).lower() if isinstance(value, bool) else str(value)
        for option, value in values.items()
    }
    return output_name("-".join(f"{option}-{text}" for option, text in texts.items()))


def _spelling(name: str) -> str:
    """Fold a name, so that names that differ in case or Unicode form alone are equal."""
    return unicodedata.normalize("NFC", name).casefold()


def common_folder(paths: Sequence[Path]) -> Path:
    """Folder that contains all paths; for a single path, the path itself.

    Examples
    --------
    >>> common_folder([Path("runs/mask"), Path("runs/sweep/seed-1")]).as_posix()
    'runs'
    """
    if not all(path.is_absolute() for path in paths):
        paths = [Path(os.path.relpath(path)) for path in paths]
    return Path(os.path.commonpath(paths))


def short_names(paths: Sequence[Path]) -> list[str]:
    """Names of paths relative to their common folder; a single path has its own name.

    Examples
    --------
    >>> short_names([Path("runs/mask"), Path("runs/eval-test/mask")])
    ['mask', 'eval-test/mask']
    """
    base = common_folder(paths).absolute()
    relative = [Path(os.path.relpath(path.absolute(), base)).as_posix() for path in paths]
    return [
        path.resolve().name if name == "." else name
        for path, name in zip(paths, relative, strict=True)
    ]
