"""Figure 4 and the corner of one cluster: how targets go together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from cinn_clusters.figures.density import (
    credible_levels,
    physical_density,
    plane_density,
    support_of,
)
from cinn_clusters.figures.style import (
    COUNTS,
    MODE,
    POSTERIOR,
    TRUTH,
    label,
    panels,
    shown_limits,
    styled,
)

MASSES = (0.68, 0.95)
NUM_BINS = 50


@styled
def cross_correlations(
    samples: np.ndarray, truth: np.ndarray, mode: np.ndarray, targets: Sequence[str]
) -> Figure:
    """Draw every pair of targets as a staircase: all posterior draws, joint modes and truths of a set of clusters.

    Args:
        samples: Posterior draws, (S, N, D), D > 1.
        truth: (N, D).
        mode: Joint modes, (N, D).
        targets: Their D columns.

    Returns:
        D (D - 1) / 2 panels: counts of draws in colour, modes as diamonds, truths as crosses.
    """
    limits = shown_limits(np.concatenate([truth, mode]))
    draws = samples.reshape(-1, len(targets))
    figure, axes = _staircase(targets[:-1], targets[1:], limits[:-1], limits[1:])
    pairs = [(j, i) for i in range(1, len(targets)) for j in range(i)]
    maps = {
        (j, i): np.histogram2d(draws[:, j], draws[:, i], NUM_BINS, limits[[j, i]].tolist())
        for j, i in pairs
    }
    norm = LogNorm(1, max(counts.max() for counts, _, _ in maps.values()))
    for (j, i), (counts, x, y) in maps.items():
        axis = axes[i - 1, j]
        image = axis.pcolormesh(
            x, y, np.ma.masked_equal(counts.T, 0), norm=norm, cmap=COUNTS, rasterized=True
        )
        axis.plot(
            truth[:, j],
            truth[:, i],
            "x",
            ms=2.5,
            mew=0.7,
            color=TRUTH,
            alpha=0.8,
            label="truth",
            rasterized=True,
        )
        axis.plot(
            mode[:, j],
            mode[:, i],
            "D",
            ms=2,
            mew=0.3,
            mec="k",
            color=MODE,
            alpha=0.8,
            label="MAP",
            rasterized=True,
        )
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="upper right", bbox_to_anchor=(0.97, 0.94), markerscale=3, ncols=2
    )
    bar = figure.add_axes((0.62, 0.84, 0.34, 0.018))
    figure.colorbar(image, cax=bar, orientation="horizontal", label="posterior draws in a bin")
    return figure


@styled
def corner(
    samples: np.ndarray,
    targets: Sequence[str],
    *,
    truth: np.ndarray | None = None,
    mode: np.ndarray | None = None,
    age: float | None = None,
    title: str = "",
) -> Figure:
    """Draw the posterior of one cluster: marginals on the diagonal, pairs with 68 and 95 % regions below.

    Args:
        samples: Posterior draws, (S, D).
        targets: Their D columns.
        truth: Known history, (D,).
        mode: Joint mode, (D,).
        age: Cosmic age at the observation [Gyr]: the upper bound of a collision time.
        title: What to call the cluster.

    Returns:
        The figure.
    """
    known = [point for point in (truth, mode) if point is not None]
    limits = shown_limits(
        np.concatenate([samples[None], *(np.asarray(point)[None, None] for point in known)], 1)
    )
    figure, axes = _staircase(targets, targets, limits, limits)
    marks = [
        (point, colour, style, name)
        for point, colour, style, name in (
            (truth, TRUTH, "-", "truth"),
            (mode, MODE, "-.", "joint mode (MAP)"),
        )
        if point is not None
    ]
    for i in range(len(targets)):
        density = physical_density(samples[:, i], support_of(targets[i], age))
        axes[i, i].plot(*density, color=POSTERIOR, label="posterior")
        for point, colour, style, name in marks:
            axes[i, i].axvline(point[i], color=colour, ls=style, lw=1, label=name)
        top = max(density[1], default=1.0)
        axes[i, i].set(yticks=[], ylim=(0, 1.08 * top), ylabel="")
        for j in range(i):
            _pair(axes[i, j], samples[:, [j, i]], limits[[j, i]])
            for point, colour, _, name in marks:
                axes[i, j].plot(
                    point[j], point[i], "x" if name == "truth" else "D", color=colour, ms=5, mew=1.5
                )
    figure.suptitle(title)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="upper right", bbox_to_anchor=(0.97, 0.94))
    return figure


def _pair(axis: Axes, draws: np.ndarray, limits: np.ndarray) -> None:
    x, y, density = plane_density(draws, limits)
    levels = credible_levels(density, MASSES)
    if len(np.unique(levels)) == len(levels):
        axis.contourf(
            x, y, density, [*levels, density.max() * 1.01], colors=[POSTERIOR] * 2, alpha=0.3
        )
        axis.contour(x, y, density, levels, colors=[POSTERIOR] * 2, linewidths=0.8)
    axis.plot(*draws.T, ",", color=POSTERIOR, alpha=0.3, rasterized=True)


def _staircase(
    across: Sequence[str], down: Sequence[str], x_limits: np.ndarray, y_limits: np.ndarray
) -> tuple[Figure, Any]:
    """Panels on and below the diagonal, labelled along the outer edges."""
    figure, axes = panels(len(down), len(across), (1.5, 1.4), is_tight=True)
    for (i, j), axis in np.ndenumerate(axes):
        if j > i:
            axis.set_visible(False)
            continue
        axis.set(xlim=x_limits[j], ylim=y_limits[i])
        axis.locator_params(nbins=4)
        axis.tick_params(labelbottom=i == len(down) - 1, labelleft=j == 0)
        if i == len(down) - 1:
            axis.set_xlabel(label(across[j]))
        if j == 0:
            axis.set_ylabel(label(down[i]))
    figure.align_labels()
    return figure, axes
