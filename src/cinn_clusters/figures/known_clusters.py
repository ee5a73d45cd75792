"""Posteriors of well-known clusters beside published estimates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cinn_clusters.figures.density import physical_density
from cinn_clusters.figures.style import POSTERIOR, TRUTH, legend_above, panels, styled

Estimate = tuple[float, float, float] | None
"""Value, lower and upper end of a published estimate."""


@styled
def named_clusters(
    samples: Sequence[np.ndarray],
    estimates: Sequence[Sequence[Estimate]],
    labels: Sequence[str],
    names: Sequence[str],
    supports: Sequence[tuple[float, float]],
    verified: Sequence[bool],
) -> Figure:
    """Draw marginal posteriors, a row a cluster, a column a quantity.

    Args:
        samples: Draws of each quantity, (S, N) each.
        estimates: Published ones, N rows of one a quantity.
        labels: Axis labels, one a quantity.
        names: Of the clusters, N.
        supports: Limits of each quantity.
        verified: Whether the estimates were checked against their publication, N; dashed and named
            where not.

    Returns:
        The figure.
    """
    figure, axes = panels(len(names), len(samples), (2.3, 1.15), sharex="col")
    for (row, column), axis in np.ndenumerate(axes):
        draws = samples[column][:, row]
        where, density = physical_density(draws, supports[column])
        axis.fill_between(where, density, color=POSTERIOR, alpha=0.3, lw=0, label="this model")
        axis.plot(where, density, color=POSTERIOR)
        if (estimate := estimates[row][column]) is not None:
            axis.axvspan(estimate[1], estimate[2], color=TRUTH, alpha=0.2, lw=0)
            axis.axvline(
                estimate[0],
                color=TRUTH,
                ls="-" if verified[row] else "--",
                label="published estimate",
            )
        told = [one[column] for one in estimates]
        reach = max(
            [np.quantile(draws, 0.99), *(known[2] * 1.05 for known in told if known is not None)]
        )
        axis.set(ylim=(0, None), yticks=[])
        axis.set_xlim(right=max(reach, axis.get_xlim()[1]) if row else reach)
        if row == len(names) - 1:
            axis.set_xlabel(labels[column])
    for row, name in enumerate(names):
        note = "" if verified[row] else "\n(estimates not verified)"
        axes[row, 0].set_ylabel(
            name.replace(" (", "\n(") + note, rotation=0, ha="right", va="center"
        )
    legend_above(figure, axes[0, 0])
    return figure
