"""Figures 2: posterior samples and point estimates of all clusters against the ground truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from cinn_clusters.figures.inference import TRUTH_LABEL, Inference
from cinn_clusters.figures.style import (
    COUNTS,
    NUM_POINTS,
    POINTS,
    Colour,
    axis_limits,
    binned,
    legend_above,
    panels,
    styled,
    target_panels,
    with_unit,
)

_NUM_BINS = 24


@styled
def prediction_heat_maps(inference: Inference) -> Figure:
    """Draw counts of posterior samples in bins of ground truth and sample, a panel a target.

    All panels share one logarithmic colour scale; the median of the samples is solid, their 10 and
    90 % quantiles are dashed.
    """
    samples, truth = inference.samples, inference.truth
    limits = axis_limits(truth)
    figure, axes = target_panels(len(inference.targets))
    histograms = []
    for d, bounds in enumerate(limits):
        repeated = np.broadcast_to(truth[:, d], samples.shape[:2])  # (S, N)
        values = samples[:, :, d]
        square = (bounds, bounds)
        histogram = np.histogram2d(repeated.ravel(), values.ravel(), _NUM_BINS, square)
        histograms.append(histogram)
    largest = max(counts.max() for counts, _, _ in histograms)
    norm = LogNorm(1, largest)

    for d, (axis, (counts, x, y)) in enumerate(zip(axes, histograms, strict=True)):
        occupied = np.ma.masked_equal(counts.T, 0)
        image = axis.pcolormesh(x, y, occupied, norm=norm, cmap=COUNTS, rasterized=True)
        middle, quantiles = _quantiles_by_truth(samples[:, :, d], truth[:, d])
        low, median, high = quantiles
        axis.plot(middle, median, color=Colour.TRUTH, label="median")
        dashed: Any = {"color": Colour.TRUTH, "ls": "--"}
        axis.plot(middle, low, **dashed, label="10 %, 90 %")
        axis.plot(middle, high, **dashed)
        _draw_diagonal(axis, limits[d], f"sample = {TRUTH_LABEL}")
        label = inference.labels[d]
        axis.set(xlabel=f"{TRUTH_LABEL} {label}", ylabel=f"samples {label}")
    figure.colorbar(
        image, ax=list(axes), label="posterior samples in a bin", shrink=0.7
    )
    legend_above(figure, axes[0])
    return figure


def _draw_diagonal(axis: Axes, limits: np.ndarray, label: str) -> None:
    """Draw the line of equal values in a square panel."""
    low, _ = limits
    axis.axline((low, low), slope=1, color="0.3", lw=0.8, ls=":", label=label)
    axis.set(xlim=limits, ylim=limits)


def _quantiles_by_truth(
    samples: np.ndarray, truth: np.ndarray, num_bins: int = 12
) -> tuple[np.ndarray, np.ndarray]:
    """Median truth of each bin (B,), and 10, 50 and 90 % of all samples of its rows (3, B)."""
    num_bins = min(num_bins, len(truth) // 10)
    order = np.argsort(truth, kind="stable")
    bins = np.array_split(order, max(1, num_bins))
    middle = [np.median(truth[rows]) for rows in bins]
    levels = [0.1, 0.5, 0.9]
    quantiles = [np.quantile(samples[:, rows], levels) for rows in bins]
    return np.array(middle), np.stack(quantiles, -1)


@styled
def truth_against_estimate(inference: Inference) -> Figure:
    """Draw the point estimate against the ground truth and its error below, two panels a target.

    The error has a symmetric logarithmic scale; lines are the median and 16 to 84 % in bins of
    truth. Of many objects 1000 are points; lines are of all.
    """
    truth, estimate, name = inference.truth, inference.estimate, inference.estimate_name
    num_targets = len(inference.targets)
    num_columns = min(3, num_targets)
    num_lines = -(-num_targets // num_columns)  # rounded up
    figure, grid = panels(2 * num_lines, num_columns, (2.7, 1.9))
    upper_axes, lower_axes = grid[::2].ravel(), grid[1::2].ravel()
    limits = axis_limits(np.concatenate([truth, estimate]))
    marked = inference.thinned(NUM_POINTS)
    for d, target in enumerate(inference.targets):
        upper, lower = upper_axes[d], lower_axes[d]
        x, y = truth[:, d], estimate[:, d]
        error = y - x
        points = marked.truth[:, d], marked.estimate[:, d]
        _draw_points(upper, lower, *points)
        _draw_bands(upper, x, y)
        _draw_bands(lower, x, error)

        _draw_diagonal(upper, limits[d], "no error")
        lower.axhline(0, color="0.3", lw=0.8, ls=":")
        _scale_errors(lower, error)
        upper.set_ylabel(f"{name}\n{target.label}")
        lower.set(xlim=limits[d], xlabel=f"{TRUTH_LABEL} {target.label}")
        lower.set_ylabel(with_unit("error", target))
    for spare in (*upper_axes[num_targets:], *lower_axes[num_targets:]):
        spare.remove()
    figure.align_ylabels()
    legend_above(figure, upper_axes[0])
    return figure


def _draw_points(upper: Axes, lower: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Draw estimates y (N,) of truths x (N,), and their errors."""
    look = {**POINTS, "color": Colour.POSTERIOR, "label": "cluster at a snapshot"}
    upper.plot(x, y, **look)
    lower.plot(x, y - x, **look)


def _draw_bands(axis: Axes, x: np.ndarray, y: np.ndarray) -> None:
    middle, (low, median, high) = binned(x, y, [0.16, 0.5, 0.84])
    axis.fill_between(
        middle, low, high, color=Colour.ESTIMATE, alpha=0.35, lw=0, label="16 to 84 %"
    )
    axis.plot(middle, median, color=Colour.TRUTH, label="median of a bin")


def _scale_errors(axis: Axes, error: np.ndarray) -> None:
    """Scale linearly below the decade of a typical error, logarithmically beyond."""
    size = np.abs(error)
    typical, largest = np.median(size), size.max()
    lowest = np.floor(np.log10(typical or 1.0))
    highest = np.ceil(np.log10(largest or 1.0))
    highest = max(lowest + 1, highest)  # one decade at least
    axis.set_yscale("symlog", linthresh=10**lowest, linscale=0.7)

    exponents = np.arange(lowest, highest + 1)
    decades = 10.0**exponents
    ticks = [*-decades[::-1], 0.0, *decades]
    labels = [f"{tick:g}" for tick in ticks]
    axis.set_yticks(ticks, labels)
    axis.yaxis.set_minor_locator(NullLocator())
    top = decades[-1]
    axis.set_ylim(-top, top)
