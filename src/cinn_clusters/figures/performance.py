"""Figures 2: what is said of all clusters against what is true of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from cinn_clusters.figures.style import (
    COUNTS,
    MODE,
    POSTERIOR,
    TRUTH,
    binned,
    label,
    legend_above,
    panels,
    shown_limits,
    styled,
    target_panels,
)

NUM_BINS = 24


@styled
def prediction_heat_maps(samples: np.ndarray, truth: np.ndarray, targets: Sequence[str]) -> Figure:
    """Draw how truths map to posterior draws: counts of draws in bins of truth and draw.

    Args:
        samples: Posterior draws, (S, N, D).
        truth: (N, D).
        targets: Their D columns.

    Returns:
        A panel a target, one logarithmic colour scale; median of the draws solid, 10 and 90 %
        dashed.
    """
    limits = shown_limits(truth)
    figure, axes = target_panels(targets)
    maps = []
    for d, lim in enumerate(limits):
        repeated = np.broadcast_to(truth[:, d], samples.shape[:2]).ravel()
        maps.append(np.histogram2d(repeated, samples[:, :, d].ravel(), NUM_BINS, (lim, lim)))
    norm = LogNorm(1, max(counts.max() for counts, _, _ in maps))
    for d, (axis, (counts, x, y)) in enumerate(zip(axes, maps, strict=True)):
        image = axis.pcolormesh(
            x, y, np.ma.masked_equal(counts.T, 0), norm=norm, cmap=COUNTS, rasterized=True
        )
        middle, quantiles = _draws_by_truth(samples[:, :, d], truth[:, d])
        axis.plot(middle, quantiles[1], color=TRUTH, label="median")
        axis.plot(middle, quantiles[[0, 2]].T, color=TRUTH, ls="--", label=["10 %, 90 %", None])
        axis.axline(
            (limits[d, 0],) * 2, slope=1, color="0.3", lw=0.8, ls=":", label="posterior = truth"
        )
        name = label(targets[d])
        axis.set(xlabel=f"truth {name}", ylabel=f"posterior {name}", xlim=limits[d], ylim=limits[d])
    figure.colorbar(image, ax=list(axes), label="posterior draws in a bin", shrink=0.7)
    legend_above(figure, axes[0])
    return figure


def _draws_by_truth(
    draws: np.ndarray, truth: np.ndarray, num_bins: int = 12
) -> tuple[np.ndarray, np.ndarray]:
    """Median truth of each bin of truth (B,), and 10, 50 and 90 % of all draws of its rows (3,
    B).
    """
    parts = np.array_split(
        np.argsort(truth, kind="stable"), max(1, min(num_bins, len(truth) // 10))
    )
    quantiles = [np.quantile(draws[:, part], [0.1, 0.5, 0.9]) for part in parts]
    return np.array([np.median(truth[part]) for part in parts]), np.stack(quantiles, -1)


@styled
def truth_against_mode(truth: np.ndarray, mode: np.ndarray, targets: Sequence[str]) -> Figure:
    """Draw the joint mode against the truth, and its error against the truth below.

    Args:
        truth: (N, D).
        mode: Joint modes, (N, D).
        targets: Their D columns.

    Returns:
        Two panels a target: the lower one has a symmetric logarithmic scale. Median and 16/84 % in
        bins of truth.
    """
    figure, axes = panels(2, len(targets), (2.1, 2.1), sharex="col")
    limits = shown_limits(np.concatenate([truth, mode]))
    for d, name in enumerate(targets):
        upper, lower = axes[:, d]
        error = mode[:, d] - truth[:, d]
        for axis, values in ((upper, mode[:, d]), (lower, error)):
            axis.plot(
                truth[:, d],
                values,
                ".",
                ms=3,
                mew=0,
                alpha=0.4,
                color=POSTERIOR,
                rasterized=True,
                label="cluster at a snapshot",
            )
            _bands(axis, truth[:, d], values)
        upper.axline((limits[d, 0],) * 2, slope=1, color="0.3", lw=0.8, ls=":", label="no error")
        lower.axhline(0, color="0.3", lw=0.8, ls=":")
        upper.set(xlim=limits[d], ylim=limits[d], title=label(name))
        _symlog(lower, error)
        lower.set(xlabel="truth")
    axes[0, 0].set_ylabel("MAP")
    axes[1, 0].set_ylabel("MAP - truth")
    legend_above(figure, axes[0, 0])
    return figure


def _bands(axis: Axes, x: np.ndarray, y: np.ndarray) -> None:
    middle, (low, median, high) = binned(x, y, [0.16, 0.5, 0.84])
    axis.fill_between(middle, low, high, color=MODE, alpha=0.35, lw=0, label="16 to 84 %")
    axis.plot(middle, median, color=TRUTH, label="median")


def _symlog(axis: Axes, error: np.ndarray) -> None:
    """Linear below the decade of a typical error, logarithmic beyond, a tick a decade."""
    lowest = np.floor(np.log10(np.median(np.abs(error)) or 1.0))
    highest = max(lowest + 1, np.ceil(np.log10(np.abs(error).max() or 1.0)))
    axis.set_yscale("symlog", linthresh=10**lowest, linscale=0.7)
    decades = 10.0 ** np.arange(lowest, highest + 1)
    ticks = [*-decades[::-1], 0.0, *decades]
    axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.yaxis.set_minor_locator(NullLocator())
    axis.set_ylim(-decades[-1], decades[-1])
