"""Picture of predicted against traced ejection fractions: scatter and Bland-Altman plot."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from echo_common.measures.agreement import EF_LIMITS, agreement
from echo_train.reporting.plots import VALIDATION, encode_png


def agreement_png(predicted: np.ndarray, traced: np.ndarray, title: str) -> bytes:
    """Plot ejection fractions in per cent, (video,) float each; NaN where nothing was predicted.

    The limits of 40 and 50 per cent divide the scatter plot; a video in one of the white fields on
    the diagonal has the same class by prediction and by tracing.
    """
    found = agreement(predicted, traced)
    figure = Figure(figsize=(9, 4.4), layout="constrained")
    figure.suptitle(f"{title}: ejection fraction of {found.n} videos", fontsize=11)
    scatter, difference = figure.subplots(1, 2)
    known = np.concatenate([predicted, traced])[~np.isnan(np.concatenate([predicted, traced]))]
    low = min(0.0, float(known.min(initial=0)) - 5)
    ends = (low, max(100.0, float(known.max(initial=0)) + 5))
    fields = [ends[0], *EF_LIMITS, ends[1]]
    for row in range(3):
        for column in range(3):
            if row != column:
                scatter.fill_between(
                    fields[column : column + 2], *fields[row : row + 2], color="0.94", lw=0
                )
    scatter.plot(ends, ends, color="0.5", linewidth=1)
    scatter.plot(traced, predicted, ".", color=VALIDATION, alpha=0.7)
    scatter.set(xlim=ends, ylim=ends, xlabel="traced, %", ylabel="predicted, %", aspect="equal")
    scatter.set_xticks([0, *EF_LIMITS, 100])
    scatter.set_yticks([0, *EF_LIMITS, 100])
    scatter.set_title(f"MAE {found.mae:.1f}, r {found.r:.2f}", fontsize=10)
    mean = (predicted + traced) / 2
    difference.plot(mean, predicted - traced, ".", color=VALIDATION, alpha=0.7)
    difference.axhline(0, color="0.5", linewidth=1)
    for level, style in ((found.bias, "-"), (found.limits[0], "--"), (found.limits[1], "--")):
        difference.axhline(level, color="#ff5a36", linestyle=style, linewidth=1)
    difference.set(xlabel="mean of both, %", ylabel="predicted - traced, points")
    difference.set_title(
        f"bias {found.bias:+.1f}, limits of agreement {found.limits[0]:+.1f} to "
        f"{found.limits[1]:+.1f}",
        fontsize=10,
    )
    return encode_png(figure)
