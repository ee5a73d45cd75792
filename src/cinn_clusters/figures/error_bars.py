"""Figure 3: errors of the point estimate against the width of the posterior."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cinn_clusters.figures.inference import Inference
from cinn_clusters.figures.style import (
    NUM_POINTS,
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
    the deviation, and what Gaussian posteriors around the truth would give (1 and 2 sigma). Of many
    objects 1000 are points; lines are of all.
    """
    deviation, error = _deviations_and_errors(inference)
    some_deviation, some_error = _deviations_and_errors(inference.thinned(NUM_POINTS))
    name = inference.estimate_name.removeprefix("posterior ")
    figure, axes = target_panels(len(inference.targets))
    for d, (axis, target) in enumerate(zip(axes, inference.targets, strict=True)):
        floor = _smallest_error(deviation[:, d], error[:, d])
        _draw_points(axis, some_deviation[:, d], some_error[:, d], floor)
        _draw_percentiles(axis, deviation[:, d], error[:, d])
        axis.set_ylim(bottom=0.8 * floor)
        plain_log_axis(axis.xaxis)
        plain_log_axis(axis.yaxis)
        axis.set(
            title=target.label,
            xlabel=with_unit("posterior st. dev.", target),
            ylabel=with_unit(f"|error of {name}|", target),
        )
    legend_above(figure, axes[0])
    return figure


def _deviations_and_errors(inference: Inference) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviation of each posterior and error of its point estimate, (N, D) each."""
    deviation = inference.samples.std(axis=0, ddof=1)
    error = np.abs(inference.estimate - inference.truth)
    return deviation, error


def _smallest_error(deviation: np.ndarray, error: np.ndarray) -> float:
    """Where smaller errors (N,) are drawn, on the logarithmic axis."""
    smallest = max(_RESOLVED * float(deviation.max()), np.finfo(float).tiny)
    return max(float(np.quantile(error, 0.02)), smallest)


def _draw_points(
    axis: Axes, deviation: np.ndarray, error: np.ndarray, floor: float
) -> None:
    visible = np.maximum(error, floor)
    axis.loglog(
        deviation,
        visible,
        **POINTS,
        color=Colour.POSTERIOR,
        label="cluster at a snapshot",
    )


def _draw_percentiles(axis: Axes, deviation: np.ndarray, error: np.ndarray) -> None:
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
