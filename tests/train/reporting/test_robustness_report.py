"""The comparison under corruptions: its picture, its text and its CSV contain every value."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from matplotlib.figure import Figure

from echo_train.reporting.robustness_report import (
    CLEAN,
    RobustnessRow,
    describe_robustness,
    robustness_csv,
    robustness_png,
)
from echo_train.transforms.corruptions import CORRUPTIONS, grades


def robustness_rows(dice: float) -> list[RobustnessRow]:
    return [
        RobustnessRow(
            corruption=name,
            severity=severity,
            dice=dice - 0.01 * step,
            low=dice - 0.01 * step - 0.02,
            high=dice - 0.01 * step + 0.02,
            pooled=dice,
            ed=dice,
            es=None,
            hd95=3.0,
            implausible=0.0,
            missed_frames=0,
            mean_radial_error=None,
        )
        for step, (name, severity) in enumerate([CLEAN, *grades()])
    ]


def test_every_curve_starts_at_the_clean_frames(drawn: list[Figure]) -> None:
    measured = {"mask": robustness_rows(0.9), "landmarks": robustness_rows(0.8)}
    assert robustness_png(measured).startswith(b"\x89PNG")
    axes = drawn[0].axes
    assert [panel.get_title() for panel in axes] == list(CORRUPTIONS)
    for panel in axes:
        corruption = CORRUPTIONS[panel.get_title()]
        severities = sorted([corruption.clean, *corruption.severities])
        for rows, line in zip(measured.values(), panel.get_lines(), strict=True):
            dice = {(row.corruption, row.severity): row.dice for row in rows}
            expected = [
                dice[CLEAN] if severity == corruption.clean else dice[panel.get_title(), severity]
                for severity in severities
            ]
            np.testing.assert_allclose(line.get_xdata(), severities)
            np.testing.assert_allclose(line.get_ydata(), expected)
    (legend,) = drawn[0].legends
    assert [text.get_text() for text in legend.get_texts()] == ["mask", "landmarks"]


def test_the_text_has_a_table_for_each_corruption() -> None:
    measured = {"mask": robustness_rows(0.9), "landmarks": robustness_rows(0.8)}
    blocks = describe_robustness(measured).split("\n\n")
    assert len(blocks) == len(CORRUPTIONS)
    for block, (name, corruption) in zip(blocks, CORRUPTIONS.items(), strict=True):
        head, _, *lines = block.splitlines()
        assert head.startswith(f"{name} ({corruption.unit})")
        severities = [float(cell) for cell in head.split()[-len(corruption.severities) :]]
        assert severities == list(corruption.severities)
        dice = [line.split()[2:] for line in lines if line.split()[1] == "Dice"]
        expected = [
            [f"{row.dice:.3f}" for row in rows if row.corruption in ("clean", name)]
            for rows in measured.values()
        ]
        assert dice == expected


def test_missing_values_are_empty_in_the_csv() -> None:
    lines = list(csv.DictReader(io.StringIO(robustness_csv({"mask": robustness_rows(0.9)}))))
    assert len(lines) == 1 + len(grades())
    assert (lines[0]["run"], lines[0]["corruption"], lines[0]["es"]) == ("mask", "clean", "")
    assert float(lines[3]["dice"]) == pytest.approx(0.87)
