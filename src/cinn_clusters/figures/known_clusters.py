"""Posteriors of well-known clusters beside published estimates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cinn_clusters.figures.density import physical_density
from cinn_clusters.figures.style import Colour, Limits, legend_above, panels, styled

PublishedEstimate = tuple[float, float, float] | None
"""Value, lower and upper end; None where nothing is published."""


@styled
def known_clusters(
    samples: Sequence[np.ndarray],
    estimates: Sequence[Sequence[PublishedEstimate]],
    labels: Sequence[str],
    names: Sequence[str],
    supports: Sequence[Limits],
    verified: Sequence[bool],
) -> Figure:
    """Draw marginal posteriors, a row for each cluster, a column for each quantity.

    Args:
        samples: Posterior samples of each quantity, (S, N) each.
        estimates: Published estimates of N clusters, one for each quantity.
        labels: Axis labels of the quantities.
        names: Names of the N clusters.
        supports: Limits of each quantity.
        verified: Whether the estimates of a cluster were checked against their publication; they
            are dashed where not, and the name says so.
    """
    figure, axes = panels(len(names), len(samples), (2.3, 1.15), sharex="col")
    quantities = zip(samples, zip(*estimates, strict=True), supports, strict=True)
    for column, (values, published, support) in enumerate(quantities):
        right = _right_limit(values, published)
        for row, axis in enumerate(axes[:, column]):
            _draw_posterior(axis, values[:, row], support)
            _draw_estimate(axis, published[row], verified[row])
            axis.set(ylim=(0, None), yticks=[])
        axes[0, column].set_xlim(right=right)
    for axis, label in zip(axes[-1], labels, strict=True):
        axis.set_xlabel(label)

    for axis, name, is_verified in zip(axes[:, 0], names, verified, strict=True):
        text = name.replace(" (", "\n(")
        if not is_verified:
            text += "\n(estimates not verified)"
        axis.set_ylabel(text, rotation=0, ha="right", va="center")
    legend_above(figure, axes[0, 0])
    return figure


def _right_limit(samples: np.ndarray, published: Sequence[PublishedEstimate]) -> float:
    ends = [estimate[2] * 1.05 for estimate in published if estimate is not None]
    tails = np.quantile(samples, 0.99, axis=0)
    return float(max(*tails, *ends))


def _draw_posterior(axis: Axes, samples: np.ndarray, support: Limits) -> None:
    grid, density = physical_density(samples, support)
    axis.fill_between(
        grid, density, color=Colour.POSTERIOR, alpha=0.3, lw=0, label="this model"
    )
    axis.plot(grid, density, color=Colour.POSTERIOR)


def _draw_estimate(axis: Axes, estimate: PublishedEstimate, is_verified: bool) -> None:
    if estimate is None:
        return
    value, lower, upper = estimate
    style = {True: "-", False: "--"}[is_verified]
    axis.axvspan(lower, upper, color=Colour.TRUTH, alpha=0.2, lw=0)
    axis.axvline(value, color=Colour.TRUTH, ls=style, label="published estimate")
