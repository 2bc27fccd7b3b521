"""report.html: runs side by side on one page that holds its own pictures."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

SPLIT_NAMES = {"test": "Test", "val": "Validation", "all": "All frames", "train": "Training"}

FIGURES = {
    "dice": ("Dice", 4),
    "iou": ("IoU", 4),
    "pixel_accuracy": ("pixel accuracy", 4),
    "hd95": ("HD95, px", 2),
    "surface_distance": ("mean surface distance, px", 2),
    "area_error": ("area error, px", 0),
    "area_bias": ("area, predicted less true, px", 0),
    "mean_radial_error": ("mean radial error, px", 2),
    "success_1px": ("landmarks within 1 px", 3),
    "success_2px": ("landmarks within 2 px", 3),
    "success_3px": ("landmarks within 3 px", 3),
    "success_4px": ("landmarks within 4 px", 3),
    "shape.second_piece": ("share with a second piece", 3),
    "shape.hole": ("share with a hole", 3),
    "shape.self_crossing": ("share that crosses itself", 3),
    "shape.area_outside": ("share of an area unseen in training", 3),
    "shape.implausible": ("share with any of these", 3),
}
"""What a figure of summary.json is called, and its digits."""

_NOTE = (
    '<p class="note">Means over frames, with 95 % bootstrap intervals over videos; end-diastole '
    "and end-systole below.</p>"
)

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 100rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: left; white-space: nowrap; }
th { border-bottom: 2px solid; } td { border-bottom: 1px solid #8884; }
td small { opacity: .75; }
img { max-width: 100%; height: auto; background: white; border-radius: 4px; }
p.note { opacity: .8; max-width: 48rem; }
"""


def build_page(
    names: Sequence[str],
    summaries: Sequence[Mapping[str, Any]],
    rows: Sequence[Sequence[str]],
    differences: Sequence[str],
    curves: bytes | None,
    pictures: Sequence[Sequence[Path]],
) -> str:
    """Lay runs out as one HTML page.

    Parameters
    ----------
    names : sequence of str
        Of the runs.
    summaries : sequence of mapping
        Their summary.json.
    rows : sequence of sequence of str
        The table of figures, its header first.
    differences : sequence of str
        Sentences that compare runs on the same frames.
    curves : bytes or None
        A PNG of all runs' curves.
    pictures : sequence of sequence of Path
        Each run's own PNGs.

    Returns
    -------
    page : str
        HTML that refers to nothing outside itself.
    """
    parts = ["<h1>Left-ventricle segmentation: runs</h1>", _table(rows)]
    if differences:
        parts += ["<h2>On the same frames</h2>", *(f"<p>{escape(one)}</p>" for one in differences)]
    if curves is not None:
        parts += ["<h2>Training</h2>", _image(curves, "Validation loss and Dice of each epoch")]
    for split, word in SPLIT_NAMES.items():
        if any(split in summary for summary in summaries):
            parts += [f"<h2>{word}</h2>", _NOTE, _figures(names, summaries, split)]
    parts += ["<h2>Settings</h2>", *_settings(names, summaries)]
    for name, paths in zip(names, pictures, strict=True):
        parts.append(f"<h2>{escape(name)}</h2>")
        parts += [f"<p>{_image(path.read_bytes(), path.stem)}</p>" for path in paths]
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Runs: {escape(', '.join(names))}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def settings_that_differ(
    summaries: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Part the settings of runs into those that differ and those that all share.

    Parameters
    ----------
    summaries : sequence of mapping

    Returns
    -------
    different : dict of str to list of str
        One value a run, as text; ``-`` where a run leaves it open.
    shared : dict of str to str
    """
    tables = [summary["settings"] for summary in summaries]
    different, shared = {}, {}
    for key in sorted({key for table in tables for key in table}):
        values = [_plain(table.get(key)) for table in tables]
        if len(set(values)) > 1:
            different[key] = values
        else:
            shared[key] = values[0]
    return different, shared


def _figures(names: Sequence[str], summaries: Sequence[Mapping[str, Any]], split: str) -> str:
    measured = [summary.get(split) for summary in summaries]
    rows = [["", *(escape(name) for name in names)]]
    for figure, (word, digits) in FIGURES.items():
        found = [_find(one, figure) for one in measured]
        if any(one is not None for one in found):
            rows.append([word, *(_cell(one, digits) for one in found)])
        if figure == "dice":
            pooled = [_pooled(one) for one in found]
            rows.append(["pooled Dice", *(_cell(one, digits) for one in pooled)])
    for count, word in (
        ("missed_frames", "missed frames"),
        ("missed_landmarks", "missed landmarks"),
    ):
        values = [(one or {}).get(count) for one in measured]
        if any(value is not None for value in values):
            rows.append([word, *("-" if value is None else str(value) for value in values)])
    return _html_table(rows)


def _find(figures: Mapping[str, Any] | None, name: str) -> Mapping[str, Any] | None:
    value: Any = figures
    for key in name.split("."):
        value = value.get(key) if value else None
    return value


def _pooled(dice: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    return dice and {"mean": dice["pooled"], "ci95": dice["pooled_ci95"], "ed": None, "es": None}


def _cell(figure: Mapping[str, Any] | None, digits: int) -> str:
    if figure is None or figure["mean"] is None:
        return "-"
    text = f"{figure['mean']:.{digits}f}"
    if None not in figure["ci95"]:
        text += " <small>({:.{d}f} to {:.{d}f})</small>".format(*figure["ci95"], d=digits)
    phases = [
        f"{word} {figure[key]:.{digits}f}"
        for key, word in (("ed", "ED"), ("es", "ES"))
        if figure[key] is not None
    ]
    return text + (f"<br><small>{', '.join(phases)}</small>" if phases else "")


def _settings(names: Sequence[str], summaries: Sequence[Mapping[str, Any]]) -> list[str]:
    different, shared = settings_that_differ(summaries)
    parts = []
    if different:
        rows = [["", *map(escape, names)]]
        rows += [[escape(key), *map(escape, values)] for key, values in different.items()]
        parts.append(_html_table(rows))
    elif len(names) > 1:
        parts.append("<p>All of them are the same.</p>")
    rows = [["setting", "value"], *([escape(key), escape(one)] for key, one in shared.items())]
    word = "Settings that all runs share" if len(names) > 1 else "All settings"
    return [*parts, f"<details><summary>{word}</summary>{_html_table(rows)}</details>"]


def _table(rows: Sequence[Sequence[str]]) -> str:
    return _html_table([[escape(cell) for cell in row] for row in rows])


def _html_table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    lines = ["<tr>" + "".join(f"<th>{cell}</th>" for cell in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in body]
    return '<div class="wide"><table>\n' + "\n".join(lines) + "\n</table></div>"


def _image(content: bytes, word: str) -> str:
    data = base64.b64encode(content).decode()
    return f'<img alt="{escape(word)}" src="data:image/png;base64,{data}">'


def _plain(value: Any) -> str:
    return "-" if value is None else str(value)
