"""Figure 3: errors of the point estimate against the width of the posterior."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cinn_clusters.figures.inference import Inference
from cinn_clusters.figures.style import (
    POINTS,
    Colour,
    binned,
    legend_above,
    plain_log_axis,
    styled,
    target_panels,
    with_unit,
)

SHARES = (0.68, 0.95)
_RESOLVED = 1e-3
"""Smallest error that is drawn, a part of the largest deviation."""
_LINES = (("-", Colour.ESTIMATE), ("--", Colour.TRUTH))


@styled
def uncertainties(inference: Inference) -> Figure:
    """Draw the error of the point estimate against the standard deviation of the posterior.

    Each panel, logarithmic in both axes, holds the 68th and 95th percentile of the error in bins of
    the deviation, and what Gaussian posteriors around the truth would give (1 and 2 sigma).
    """
    deviation = inference.samples.std(axis=0, ddof=1)
    error = np.abs(inference.estimate - inference.truth)
    name = inference.estimate_name.removeprefix("posterior ")
    figure, axes = target_panels(len(inference.targets))
    for d, (axis, target) in enumerate(zip(axes, inference.targets, strict=True)):
        _draw_errors(axis, deviation[:, d], error[:, d])
        axis.set(
            title=target.label,
            xlabel=with_unit("posterior st. dev.", target),
            ylabel=with_unit(f"|error of {name}|", target),
        )
    legend_above(figure, axes[0])
    return figure


def _draw_errors(axis: Axes, deviation: np.ndarray, error: np.ndarray) -> None:
    smallest = max(_RESOLVED * float(deviation.max()), np.finfo(float).tiny)
    floor = max(float(np.quantile(error, 0.02)), smallest)
    visible = np.maximum(error, floor)
    axis.loglog(
        deviation,
        visible,
        **POINTS,
        color=Colour.POSTERIOR,
        label="cluster at a snapshot",
    )
    middle, percentiles = binned(deviation, error, SHARES)
    ends = np.quantile(deviation, [0, 1])
    for k, (style, colour) in enumerate(_LINES):
        sigma = f"{k + 1} sigma (Gaussian)"
        axis.plot(ends, (k + 1) * ends, color="0.3", ls=style, lw=0.8, label=sigma)
        share = f"{SHARES[k]:.0%} of errors"
        axis.plot(
            middle,
            percentiles[k],
            color=colour,
            ls=style,
            marker="o",
            ms=3,
            label=share,
        )
    axis.set_ylim(bottom=0.8 * floor)
    plain_log_axis(axis.xaxis)
    plain_log_axis(axis.yaxis)
