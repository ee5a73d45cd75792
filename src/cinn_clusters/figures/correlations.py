"""Figure 4 and the corner of one cluster: correlations between targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
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
from cinn_clusters.figures.inference import TRUTH_LABEL, Inference
from cinn_clusters.figures.style import COUNTS, Colour, axis_limits, panels, styled
from cinn_clusters.schema import Column

MASSES = (0.68, 0.95)
NUM_MARKED = 100
"""Objects whose estimate and truth are marked, at most."""
_NUM_BINS = 50
_TRUTH: Any = {"color": Colour.TRUTH, "marker": "x", "ls": ""}
_ESTIMATE: Any = {"color": Colour.ESTIMATE, "marker": "D", "ls": ""}


@styled
def cross_correlations(inference: Inference) -> Figure:
    """Draw every pair of D > 1 targets as a staircase of D (D - 1) / 2 panels.

    Each panel holds the posterior samples of all objects as counts in colour, their point estimates
    as diamonds and their ground truth as crosses, those of 100 objects at most.
    """
    truth, estimate, labels = inference.truth, inference.estimate, inference.labels
    limits = axis_limits(np.concatenate([truth, estimate]))
    samples = inference.samples.reshape(-1, len(labels))
    figure, axes = _staircase(labels[:-1], labels[1:], limits[:-1], limits[1:])
    histograms = {}
    for j, i in combinations(range(len(labels)), 2):
        x, y = samples[:, j], samples[:, i]
        bounds = limits[[j, i]].tolist()
        histograms[j, i] = np.histogram2d(x, y, _NUM_BINS, bounds)
    largest = max(counts.max() for counts, _, _ in histograms.values())
    norm = LogNorm(1, largest)

    name = inference.estimate_name
    marked = inference.thinned(NUM_MARKED)
    for (j, i), (counts, x, y) in histograms.items():
        axis, occupied = axes[i - 1, j], np.ma.masked_equal(counts.T, 0)
        image = axis.pcolormesh(x, y, occupied, norm=norm, cmap=COUNTS, rasterized=True)
        look: Any = {"rasterized": True}
        axis.plot(
            *marked.truth[:, [j, i]].T,
            **_TRUTH,
            **look,
            ms=3.5,
            mew=0.9,
            label=TRUTH_LABEL,
        )
        axis.plot(
            *marked.estimate[:, [j, i]].T,
            **_ESTIMATE,
            **look,
            ms=2,
            mew=0.3,
            mec="k",
            label=name,
        )

    handles, names = axes[0, 0].get_legend_handles_labels()
    corner = (0.97, 0.94)
    figure.legend(
        handles, names, loc="upper right", bbox_to_anchor=corner, markerscale=3, ncols=2
    )
    bar = figure.add_axes((0.62, 0.84, 0.34, 0.018))
    label = "posterior samples in a bin"
    figure.colorbar(image, cax=bar, orientation="horizontal", label=label)
    return figure


@styled
def corner(
    samples: np.ndarray,
    targets: Sequence[Column],
    *,
    points: Mapping[str, np.ndarray] | None = None,
    age: float | None = None,
    title: str = "",
) -> Figure:
    """Draw the posterior of one cluster: marginals on the diagonal, pairs of targets below.

    Args:
        samples: Posterior samples, (S, D).
        targets: Columns of theta, D of them.
        points: Ground truth (under the label ``ground truth``) and point estimates to mark, (D,)
            each, by their name in the legend.
        age: Cosmic age at the observation [Gyr]: the upper bound of a collision time.
        title: Name of the cluster.
    """
    points = points or {}
    labels = [target.label for target in targets]
    limits = axis_limits(np.vstack([samples, *points.values()]))
    figure, axes = _staircase(labels, labels, limits, limits)
    for i, target in enumerate(targets):
        grid, density = physical_density(samples[:, i], support_of(target, age))
        axis = axes[i, i]
        axis.plot(grid, density, color=Colour.POSTERIOR, label="posterior")
        for name, point in points.items():
            style = _look(name) | {"marker": "", "ls": "-."}
            axis.axvline(point[i], **style, lw=1, label=name)
        top = 1.08 * max(density, default=1.0)
        axis.set(yticks=[], ylim=(0, top), ylabel="")
    for axis, pair in _lower_triangle(axes):
        _draw_pair(axis, samples[:, pair], limits[pair])
        for name, point in points.items():
            axis.plot(*point[pair], **_look(name), ms=5, mew=1.5)
    figure.suptitle(title)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="upper right", bbox_to_anchor=(0.97, 0.94))
    return figure


def _look(name: str) -> Any:
    return {TRUTH_LABEL: _TRUTH}.get(name, _ESTIMATE)


def _lower_triangle(axes: Any) -> Iterator[tuple[Axes, list[int]]]:
    """Yield the panels below the diagonal with their targets across and down."""
    for j, i in combinations(range(len(axes)), 2):
        yield axes[i, j], [j, i]


def _draw_pair(axis: Axes, samples: np.ndarray, limits: np.ndarray) -> None:
    """Draw samples (S, 2) of two targets with their 68 and 95 % regions."""
    x, y, density = plane_density(samples, limits)
    levels = credible_levels(density, MASSES)
    if len(np.unique(levels)) == len(levels):
        fills = [(Colour.POSTERIOR, 0.2), (Colour.POSTERIOR, 0.5)]
        top = density.max() * 1.01
        axis.contourf(x, y, density, [*levels, top], colors=fills)
        axis.contour(x, y, density, levels, colors=Colour.POSTERIOR, linewidths=0.8)
    axis.plot(*samples.T, ",", color=Colour.POSTERIOR, alpha=0.3, rasterized=True)


def _staircase(
    across: Sequence[str],
    down: Sequence[str],
    x_limits: np.ndarray,
    y_limits: np.ndarray,
) -> tuple[Figure, Any]:
    """Panels on and below the diagonal, labelled along the outer edges."""
    num_rows, num_columns = len(down), len(across)
    figure, axes = panels(num_rows, num_columns, (1.5, 1.4))
    figure.set_layout_engine(None)  # panels touch, to share their labels
    figure.subplots_adjust(0.1, 0.08, 0.98, 0.95, wspace=0.08, hspace=0.08)
    for (i, j), axis in np.ndenumerate(axes):
        axis.set_visible(j <= i)
        axis.set(xlim=x_limits[j], ylim=y_limits[i])
        axis.locator_params(nbins=4)
        is_lowest, is_first = i == num_rows - 1, j == 0
        axis.tick_params(labelbottom=is_lowest, labelleft=is_first)

    for axis, label in zip(axes[-1], across, strict=True):
        axis.set_xlabel(label)
    for axis, label in zip(axes[:, 0], down, strict=True):
        axis.set_ylabel(label)
    figure.align_labels()
    return figure, axes
