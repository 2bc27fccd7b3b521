"""Settings of how an archive is read."""

from __future__ import annotations

import dataclasses

from echo_common.cli.settings import setting

LAYOUT_NAMES = ("auto", "echonet-dynamic", "echonet-pediatric", "camus", "folder")
"""Formats of archives; ``auto`` recognises them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayoutSettings:
    """The format of an archive, and what of it is used; what is unset is as in the store."""

    layout: str = setting(
        LAYOUT_NAMES[0], "Format of the data set; auto recognises it.", choices=LAYOUT_NAMES
    )
    view: tuple[str, ...] | None = setting(
        None, "Only these views, such as A4C or 4CH; several with commas. Default: all."
    )
    label: int | None = setting(
        None,
        "Value of the ventricle in masks, or category of its polygons; default: 1 in camus, else "
        "the only one.",
        minimum=0,
    )
    val_fold: int | None = setting(
        None, "Fold for validation, of an archive in folds; default: 8.", minimum=0
    )
    test_fold: int | None = setting(
        None, "Fold for testing, of an archive in folds; default: 9.", minimum=0
    )
