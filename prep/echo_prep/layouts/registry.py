"""The table of layouts, and the choice of one for an archive."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from echo_common.errors import DataError, SettingsError
from echo_prep.dataset.frame_source import FrameSource
from echo_prep.dataset.types import Dataset
from echo_prep.layouts.camus import Camus
from echo_prep.layouts.echonet_dynamic import EchoNetDynamic
from echo_prep.layouts.echonet_pediatric import EchoNetPediatric
from echo_prep.layouts.folder import Folder
from echo_prep.layouts.layout import Layout
from echo_prep.layouts.settings import LayoutSettings

LAYOUTS: dict[str, Layout] = {
    layout.name: layout for layout in (EchoNetPediatric(), Camus(), Folder(), EchoNetDynamic())
}
"""Every layout by its name; ``auto`` takes the first that recognises the archive."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Archive:
    """A folder with a data set, and the layout that reads it.

    Attributes
    ----------
    options : mapping
        Values of the layout's options.
    links : Path or None
        A folder outside that links in the archive may lead to.
    """

    root: Path
    layout: Layout
    options: Mapping[str, Any]
    links: Path | None = None

    @property
    def record(self) -> dict[str, Any] | None:
        """What a store keeps of the layout; None for EchoNet-Dynamic, as in older stores."""
        if isinstance(self.layout, EchoNetDynamic):
            return None
        return {"name": self.layout.name, **self.options}

    def read(self) -> Dataset:
        """Read the annotations; see `Layout.read`."""
        return self.layout.read(self.root, self.options)

    def source(self) -> FrameSource:
        """The frames; see `Layout.source`."""
        return self.layout.source(self.root, self.options, self.links)

    def inputs(self) -> list[Path]:
        """Files and folders that no output may replace."""
        return self.layout.inputs(self.root)

    def fingerprint(self) -> dict[str, str]:
        """SHA-256 of the annotations; see `Layout.fingerprint`."""
        return self.layout.fingerprint(self.root)


def open_archive(
    root: Path, settings: LayoutSettings, links: Path | None, stored: Mapping[str, Any] | None
) -> Archive:
    """Choose the layout of an archive, and the values of its options.

    Parameters
    ----------
    settings : LayoutSettings
        Options that are not set are those of the store, or else the layout's defaults.
    stored : mapping or None
        `Archive.record` of the store that is built, if it exists.

    Raises
    ------
    SettingsError
        If an option does not apply to the layout.
    DataError
        If no layout recognises the archive.
    """
    layout = _layout(root, settings.layout)
    known = stored if stored is not None and stored.get("name") == layout.name else {}
    options = {}
    for name in [field.name for field in dataclasses.fields(settings) if field.name != "layout"]:
        given = getattr(settings, name)
        if name in layout.options:
            chosen = known.get(name, layout.options[name]) if given is None else given
            options[name] = list(chosen) if isinstance(chosen, tuple) else chosen
        elif given is not None:
            raise SettingsError(
                f"--{name.replace('_', '-')} does not apply to {root}, whose layout is "
                f"{layout.name}"
            )
    return Archive(root=root, layout=layout, options=options, links=links)


def _layout(root: Path, name: str) -> Layout:
    if name != "auto":
        if name not in LAYOUTS:
            raise SettingsError(f"no layout {name!r}; choose one of {', '.join(LAYOUTS)}")
        return LAYOUTS[name]
    for layout in LAYOUTS.values():
        if layout.recognises(root):
            return layout
    if not root.is_dir():
        # Its error says what a data set is, and how to make an example.
        return LAYOUTS[EchoNetDynamic.name]
    raise DataError(
        f"the layout of {root} is not recognised: it is none of {', '.join(LAYOUTS)}; see "
        "docs/archives.md"
    )
