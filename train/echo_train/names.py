"""Names for the results of several runs or videos."""

from __future__ import annotations

from collections.abc import Iterable


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
