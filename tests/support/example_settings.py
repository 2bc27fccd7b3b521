"""Settings of every kind, and settings composed of components."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from echo_common.cli.settings import FormerFlag, component, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example:
    """One setting of every kind."""

    store: Path = setting(Path("cache/a.zarr"), "A path.")
    run: Path | None = setting(None, "A path that may be left open.")
    method: tuple[str, ...] = setting(("chords",), "Some names.", choices=("chords", "hull"))
    landmarks: tuple[int, ...] = setting((7,), "Some numbers.", minimum=3, maximum=42)
    lr: float = setting(0.5, "A number.", minimum=0)
    jobs: int = setting(0, "A whole number.", minimum=0)
    strict: bool = setting(False, "A switch.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """Settings of a component inside a component."""

    sides: int = setting(3, "A number.", minimum=3)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawing:
    """Settings of a component."""

    color: str = setting("red", "A name.")
    shape: Shape = component(Shape)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Composed:
    """Settings of two components and of its own."""

    drawing: Drawing = component(Drawing)
    example: Example = component(Example)
    copies: int = setting(1, "A number.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Renamed:
    """A setting that replaced the flag ``--fast``."""

    speed: str = setting(
        "any", "A name.", choices=("any", "full", "slow"), former=FormerFlag("fast", "full", "slow")
    )
