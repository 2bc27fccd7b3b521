"""Names for the results of several runs or videos, and where they go."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path


def distinct_names(names: Iterable[str]) -> list[str]:
    """Tell equal names apart: of two that are ``a``, the second becomes ``a-2``.

    Examples
    --------
    >>> distinct_names(["mask", "mask", "landmarks-7"])
    ['mask', 'mask-2', 'landmarks-7']
    """
    found: list[str] = []
    for name in names:
        number, told = 1, name
        while told in found:
            number += 1
            told = f"{name}-{number}"
        found.append(told)
    return found


def common_folder(paths: Sequence[Path]) -> Path:
    """The folder that holds all of some paths; one path is its own.

    Examples
    --------
    >>> common_folder([Path("runs/mask"), Path("runs/sweep/seed-1")]).as_posix()
    'runs'
    """
    if not all(path.is_absolute() for path in paths):
        paths = [Path(os.path.relpath(path)) for path in paths]
    return Path(os.path.commonpath(paths))


def short_names(paths: Sequence[Path]) -> list[str]:
    """Name paths as they stand in the folder that holds all of them; one alone by its own name.

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
