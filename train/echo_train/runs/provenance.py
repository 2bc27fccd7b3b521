"""Where a run comes from: date, versions, device, commit and store."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from echo_common.outputs import SOFTWARE


def provenance(
    now: datetime, device: str, stages: Mapping[str, str], attributes: Mapping[str, Any]
) -> dict[str, Any]:
    """Collect what a run depends on, as summary.json holds it.

    Parameters
    ----------
    device : str
        Its name.
    stages : mapping of str to str
        Key of each array of the store that the run reads.
    attributes : mapping
        Of the store.
    """
    facts: dict[str, Any] = {
        "date": now.astimezone().isoformat(timespec="seconds"),
        "versions": {
            SOFTWARE: importlib.metadata.version(SOFTWARE),
            "python": platform.python_version(),
            "torch": importlib.metadata.version("torch"),
        },
        "device": device,
        "stages": dict(stages),
        "fingerprint": dict(attributes.get("fingerprint") or {}),
    }
    commit = git_commit()
    return facts | ({"commit": commit} if commit else {})


def git_commit() -> str | None:
    """Commit of the Git repository around the current folder; None without one."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--verify", "--quiet", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None


def as_comments(facts: Mapping[str, Any], title: str = "") -> str:
    r"""Format facts as comments at the head of config.toml.

    Examples
    --------
    >>> print(as_comments({"date": "2026-01-31", "versions": {"torch": "2.6.0"}}), end="")
    # date: 2026-01-31
    # versions torch: 2.6.0
    """
    lines = ""
    for key, value in facts.items():
        if isinstance(value, Mapping):
            lines += as_comments(value, f"{title}{key} ")
        else:
            # A text from a store stays in its comment.
            line = " ".join(f"{title}{key}: {value}".split())
            lines += f"# {line.encode('unicode_escape').decode()}\n"
    return lines
