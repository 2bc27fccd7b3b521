"""report.html: several runs on one page that needs no other file.

Its table is sorted and filtered in the page, by report.js. Pictures are embedded; their size is
limited, so that the page of fifty runs stays below 3 MB.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import os
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np

from echo_common.outputs import SOFTWARE
from echo_common.regular_file import read_regular
from echo_train.reporting import curve_plots
from echo_train.reporting.curve_plots import draw_plot
from echo_train.reporting.page_tables import main_table, metric_tables
from echo_train.reporting.paired_difference import Difference
from echo_train.reporting.run_rows import Row, compare_settings
from echo_train.reporting.run_table import find_pictures, notes_of
from echo_train.runs.run_folder import METRICS, read_metrics

MARK = f'<meta name="generator" content="{SOFTWARE}">'.encode()
"""In every page, so that only an older page is replaced by a new one."""

TEMPLATE = "report.html.j2"
SCRIPT = "report.js"
"""In this package."""

PICTURE_BYTES = 1_900_000
"""Of all embedded pictures together, before they are encoded as text."""

_BYTES_PER_PIXEL = 0.06
"""Of a picture as WebP, about; from it the size is guessed that fits into a number of bytes."""

SMALLEST = 320
"""Width in pixels below which no picture is reduced."""


def report_page(
    rows: Sequence[Row],
    differences: Sequence[Difference | None],
    baseline: Row | None = None,
    folder: Path = Path(),
) -> bytes:
    """Make report.html: table, curves, all metrics, settings and pictures of runs.

    Parameters
    ----------
    differences : sequence of Difference or None
        Of each row from the baseline.
    folder : Path
        Where the page will be; links to pictures are relative to it.

    Raises
    ------
    RunError
        If a file of a run cannot be read.
    """
    script = importlib.resources.files(__package__).joinpath(SCRIPT).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    _, shared = compare_settings(rows)
    page = _template().render(
        generator=SOFTWARE,
        script=script,
        script_digest=digest,
        names=[row.name for row in rows],
        colours=[f"hsl({137.5 * number % 360:.0f} 65% 48%)" for number in range(len(rows))],
        main=main_table(rows, differences),
        baseline=rows.index(baseline) if baseline in rows and any(differences) else None,
        compared=sum(each is not None for each in differences),
        plots=_plots(rows),
        size=curve_plots,
        metrics=metric_tables(rows),
        shared=list(shared.items()),
        notes=notes_of(rows),
        pictures=_pictures(rows, folder),
    )
    # A path that is no UTF-8 is escaped.
    return page.encode("utf-8", "backslashreplace")


def _template() -> jinja2.Template:
    # The suffix of the template is not one that Jinja escapes by default.
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("echo_train.reporting", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE)


def _plots(rows: Sequence[Row]) -> list[curve_plots.Plot]:
    """Validation Dice of all runs, and their losses: those of masks and of landmarks apart."""
    histories = [
        (number, row.name, str(summary.get("target", "mask")), read_metrics(folder))
        for number, row in enumerate(rows)
        for folder, summary in zip(row.folders, row.summaries, strict=True)
        if os.path.lexists(folder / METRICS)
    ]
    targets = sorted({target for _, _, target, _ in histories}, reverse=True)
    chosen = [("Validation Dice", "val_dice", targets)]
    for target in targets:
        title = "Validation loss" + (f", {target}" if len(targets) > 1 else "")
        chosen.append((title, "val_loss", [target]))
    plots = [
        draw_plot(
            title, [(n, name, history) for n, name, t, history in histories if t in among], metric
        )
        for title, metric, among in chosen
    ]
    return [plot for plot in plots if plot is not None]


def _pictures(rows: Sequence[Row], folder: Path) -> list[dict[str, Any]]:
    """The pictures of all runs: what to embed, and where the file is."""
    found = [
        (number, run, path)
        for number, row in enumerate(rows)
        for run in row.folders
        for path in find_pictures(run)
    ]
    budget = PICTURE_BYTES // max(1, len(found))
    pictures = []
    for number, run, path in found:
        source = embed_picture(read_regular(path), budget)
        link = urllib.parse.quote(
            os.path.relpath(path.absolute(), folder.absolute()).encode("utf-8", "surrogateescape")
        )
        title = path.stem if len(rows[number].folders) == 1 else f"{path.stem} of {run.name}"
        if source:
            pictures.append({"row": number, "title": title, "source": source, "link": link})
    return pictures


def embed_picture(content: bytes, budget: int) -> str:
    """Encode a picture as a data URL: unchanged, or as a smaller WebP that fits a size.

    Empty if the content is no picture.

    Parameters
    ----------
    content : bytes
        A PNG.
    budget : int
        Bytes that it may take, unless the smallest size takes more.
    """
    if len(content) <= budget:
        return _data_url("png", content)
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        return ""
    height, width = image.shape[:2]
    scale = min(1.0, (budget / (_BYTES_PER_PIXEL * height * width)) ** 0.5)
    while True:
        size = (max(1, round(scale * width)), max(1, round(scale * height)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        content = cv2.imencode(".webp", small, [cv2.IMWRITE_WEBP_QUALITY, 70])[1].tobytes()
        if len(content) <= budget or size[0] <= SMALLEST:
            return _data_url("webp", content)
        scale *= 0.85


def _data_url(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
