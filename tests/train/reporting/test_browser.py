"""report.html in Chromium: it fits the window, sorts, filters, and stays on its page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echo_train.commands.report import cli
from echo_train.reporting.html_page import PICTURE_BYTES
from echo_train.reporting.plots import Panel, overlay_png
from support.commands import exit_code
from support.reports import scores_of, write_run

pytestmark = pytest.mark.browser

SIZES = [(390, "light"), (1280, "dark"), (1920, "light")]
"""Widths of a window in pixels, with a colour scheme."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifty runs with a picture each."""
    folder = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(0)
    masks = np.zeros((112, 112), np.uint8)
    masks[30:70, 40:80] = 1
    panels = [
        Panel(image=rng.integers(0, 255, (112, 112), np.uint8), true=masks, predicted=masks.T)
        for _ in range(12)
    ]
    picture = overlay_png(panels, "test frames")
    assert len(picture) * 50 > 2 * PICTURE_BYTES
    scores = scores_of(0, videos=5)
    for number in range(50):
        target = "landmarks" if number % 10 == 9 else "mask"
        run = write_run(
            folder / f"width={8 << number % 3},seed={number}",
            0.8 + (number * 7 % 50) / 500,
            {frame: score + number / 1000 for frame, score in scores.items()},
            target=target,
            width=8 << number % 3,
            seed=number,
        )
        (run / "overlay.png").write_bytes(picture)
    assert exit_code(cli, folder, "--sort", "test.dice") == 0
    return folder / "report.html"


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}-{size[1]}")
def page(request: pytest.FixtureRequest, browser: Any, report: Path) -> Iterator[Any]:
    width, scheme = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    context.set_default_timeout(120_000)
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: faults.append(request.url[:80]))
    page.goto(report.as_uri())
    # The page itself is the only request, and pictures are in it.
    outside = [fault for fault in faults if not fault.startswith("data:")]
    assert outside == [report.as_uri()[:80]]
    faults.clear()
    yield page
    assert [fault for fault in faults if not fault.startswith("data:")] == []
    context.close()


def shown(page: Any, column: str) -> list[str]:
    """Text of a column in the rows that are visible, from top to bottom."""
    index = page.locator("#runs thead th").evaluate_all(
        "(heads, key) => heads.findIndex((head) => head.dataset.key === key)", column
    )
    return page.locator("#runs tbody tr:visible").evaluate_all(
        "(rows, index) => rows.map((row) => row.cells[index].dataset.text "
        "?? row.cells[index].textContent.trim())",
        index,
    )


def test_the_page_of_fifty_runs_is_small_and_fits(page: Any, report: Path) -> None:
    assert report.stat().st_size <= 3_000_000
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert len(shown(page, "run")) == 50
    assert page.locator(".picture img").evaluate_all(
        "(images) => images.every((image) => image.complete && image.naturalWidth > 0)"
    )
    colours = page.evaluate(
        "['color', 'backgroundColor'].map((name) => getComputedStyle(document.body)[name])"
    )
    light = page.evaluate("matchMedia('(prefers-color-scheme: light)').matches")
    text, ground = (int(colour.split("(")[1].split(",")[0]) for colour in colours)
    assert (ground > text) == light


def test_header_and_names_stay_in_view(page: Any) -> None:
    page.evaluate("document.querySelector('.wide').scrollTo(150, 400)")
    frame, head, name = (
        page.evaluate(
            f"(({{x, y}}) => [x, y])(document.querySelector('{what}').getBoundingClientRect())"
        )
        for what in (".wide", "#runs thead th:nth-child(3)", "#runs tbody tr:nth-child(20) th")
    )
    assert head[1] - frame[1] <= 2
    assert name[0] - frame[0] <= 2


def test_a_click_on_a_header_sorts(page: Any) -> None:
    dice = [float(text) for text in shown(page, "test.dice")]
    assert dice == sorted(dice, reverse=True)
    page.click("#runs th[data-key='test.dice'] button")
    assert [float(text) for text in shown(page, "test.dice")] == sorted(dice)
    assert page.get_attribute("#runs th[data-key='test.dice']", "aria-sort") == "ascending"
    page.click("#runs th[data-key='test.dice'] button")
    assert [float(text) for text in shown(page, "test.dice")] == dice
    page.click("#runs th[data-key='seed'] button")
    assert shown(page, "seed") == [str(number) for number in range(50)]
    # The baseline has no difference, and is last in either order.
    for _ in range(2):
        page.click("#runs th[data-key='difference'] button")
        assert shown(page, "difference")[-1] == "-"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("width=16", {n for n in range(50) if n % 3 == 1}),
        ("width!=16 seed>=40", {n for n in range(40, 50) if n % 3 != 1}),
        ("target=land*", {9, 19, 29, 39, 49}),
        ("dice>0.895", {n for n in range(50) if 0.8 + n * 7 % 50 / 500 > 0.895}),
        ("seed=3,4", {3, 4}),
        ("seed=17 nowhere", set()),
    ],
)
def test_typing_filters_rows_curves_and_pictures(page: Any, text: str, expected: set[int]) -> None:
    page.fill("#filter", text)
    assert {int(seed) for seed in shown(page, "seed")} == expected
    assert page.inner_text("#shown") == f"{len(expected)} of 50"
    assert page.locator("section.run:visible").count() == len(expected)
    assert page.locator("figure:first-child .curve:not([hidden])").count() == len(expected)


def test_an_unknown_column_is_said(page: Any) -> None:
    page.fill("#filter", "widht=8")
    assert page.inner_text("#shown").startswith("no column widht; there are run, test.dice")
    assert len(shown(page, "run")) == 50


def test_mask_and_landmark_losses_have_their_own_axes(page: Any) -> None:
    curves = page.locator("figure").evaluate_all(
        "(plots) => plots.map((plot) => [plot.querySelector('figcaption').textContent, "
        "plot.querySelectorAll('.curve').length])"
    )
    assert curves == [
        ["Validation Dice", 50],
        ["Validation loss, mask", 45],
        ["Validation loss, landmarks", 5],
    ]


def test_the_keyboard_reaches_sorting_filter_and_pictures(page: Any) -> None:
    page.focus("#filter")
    page.keyboard.type("seed=7")
    for _ in range(2):
        page.keyboard.press("Tab")
    # The table scrolls by keyboard, and then come its headers.
    page.keyboard.press("Enter")
    assert page.get_attribute("#runs th[data-key='run']", "aria-sort") == "ascending"
    picture = page.locator(".picture:visible")
    picture.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.querySelector('dialog').open")
    assert page.locator("dialog img").evaluate("(image) => image.clientWidth") > picture.evaluate(
        "(image) => image.clientWidth"
    )
    assert page.get_attribute("dialog a", "href") == "width%3D16%2Cseed%3D7/overlay.png"
    page.keyboard.press("Escape")
    assert not page.evaluate("document.querySelector('dialog').open")


def test_in_print_the_whole_table_is_visible(page: Any) -> None:
    page.emulate_media(media="print")
    box, table = (
        page.locator(what).evaluate("(it) => [it.scrollHeight, it.clientHeight]")
        for what in (".wide >> nth=0", "#runs")
    )
    assert box[0] == box[1] >= table[0]
    assert not page.locator("#filter").is_visible()
