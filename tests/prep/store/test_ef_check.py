from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from echo_common.store.reader import EchoStore
from echo_prep.cli import cli
from echo_prep.store import ef_check
from echo_prep.store.ef_check import compare_ef, describe_ef
from support.datasets import small_videos

LISTED = 55.5
"""What `write_small_dataset` lists for every video."""


def half_ellipsoids() -> dict[str, float]:
    """Ejection fractions of the videos, whose traces are half-ellipses: volumes go as width² L."""
    found = {}
    for video in small_videos(12):
        sizes = []
        for rows in video.traces.values():
            length = np.linalg.norm(rows[0, 2:] - rows[0, :2])
            width = np.linalg.norm(rows[1:, 2:] - rows[1:, :2], axis=1).max()
            sizes.append(length * width**2)
        found[video.name] = 100 * (1 - min(sizes) / max(sizes))
    return found


def test_ejection_fractions_of_the_tracings_are_compared_with_the_list(
    small_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ef_check, "LIMIT", 28.0)
    expected = half_ellipsoids()
    found = compare_ef(small_store)
    differences = np.array(list(expected.values())) - LISTED
    assert found["n"] == 12
    assert found["bias"] == pytest.approx(differences.mean(), abs=0.01)
    assert found["mae"] == pytest.approx(np.abs(differences).mean(), abs=0.01)
    differ = {row["video"]: row for row in found["differ"]}
    assert differ.keys() == {name for name, ef in expected.items() if abs(ef - LISTED) > 28}
    assert 0 < len(differ) < 12
    sizes = [abs(row["traced"] - row["listed"]) for row in found["differ"]]
    assert sizes == sorted(sizes, reverse=True)
    for video in small_videos(12):
        if video.name in differ:
            row = differ[video.name]
            assert row["traced"] == pytest.approx(expected[video.name], abs=0.01)
            assert {row["ed_frame"], row["es_frame"]} == set(video.traces)


def test_the_command_prints_text_or_json(small_store: Path) -> None:
    done = CliRunner().invoke(cli, ["info", str(small_store), "--check-ef"])
    assert done.exit_code == 0
    found = compare_ef(small_store)
    assert done.output.splitlines()[0].endswith(f"{len(found['differ'])} differ by more than 10")
    assert [line.split()[0] for line in done.output.splitlines()[3:]] == [
        row["video"] for row in found["differ"]
    ]
    done = CliRunner().invoke(cli, ["info", str(small_store), "--check-ef", "--json"])
    assert json.loads(done.output) == found


def test_without_a_list_there_is_nothing_to_compare(
    small_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = EchoStore.read

    def read(store: EchoStore, path: str) -> np.ndarray:
        values = real(store, path)
        return np.full_like(values, np.nan) if path == "index/ef" else values

    monkeypatch.setattr(EchoStore, "read", read)
    found = compare_ef(small_store)
    assert (found["n"], found["mae"], found["differ"]) == (0, None, [])
    assert "no video has both" in describe_ef(found)[0]
