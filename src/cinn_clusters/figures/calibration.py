"""Is the posterior calibrated: ranks, coverage and random points, each with its band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cinn_clusters.figures.style import (
    POSTERIOR,
    PRIOR,
    TRUTH,
    label,
    legend_above,
    panels,
    styled,
    target_panels,
)


@dataclass(frozen=True)
class Curve:
    """A curve with a band.

    Args:
        at: Where, (G,).
        found: What was found there, (G,).
        lower: Lower end of its band, (G,).
        upper: Upper end, (G,).
    """

    at: Sequence[float]
    found: Sequence[float]
    lower: Sequence[float]
    upper: Sequence[float]


@styled
def rank_curves(curves: Mapping[str, Curve]) -> Figure:
    """Draw the ECDF of the PIT of each target minus that of a uniform variable, in its simultaneous band.

    Args:
        curves: ECDF by target; bands are those of a uniform variable.

    Returns:
        A panel a target: a curve below zero at the left and above at the right is a posterior too
        wide.
    """
    figure, axes = target_panels(list(curves), (2.5, 2.0))
    for axis, (name, curve) in zip(axes, curves.items(), strict=True):
        _beside_uniform(axis, curve)
        axis.set(title=label(name), xlabel="PIT", ylabel="ECDF - uniform")
    legend_above(figure, axes[0])
    return figure


@styled
def coverage_curves(curves: Mapping[str, Curve]) -> Figure:
    """Draw how often central intervals hold the truth, level by level; bands are those of what was found.

    Args:
        curves: Coverage by target.

    Returns:
        A panel a target; below the diagonal the posterior is too narrow.
    """
    figure, axes = target_panels(list(curves), (2.3, 2.3))
    for axis, (name, curve) in zip(axes, curves.items(), strict=True):
        axis.plot([0, 1], [0, 1], color=PRIOR, ls="--", lw=0.8, label="calibrated")
        axis.fill_between(
            curve.at, curve.lower, curve.upper, color=POSTERIOR, alpha=0.25, lw=0, label="99 % band"
        )
        axis.plot(curve.at, curve.found, color=POSTERIOR, label="found")
        axis.set(
            title=label(name),
            xlabel="level of the interval",
            ylabel="truths inside",
            xlim=(0, 1),
            ylim=(0, 1),
        )
        axis.set_aspect("equal")
    legend_above(figure, axes[0])
    return figure


@styled
def tarp_curves(curves: Mapping[str, Curve]) -> Figure:
    """Draw tests of joint calibration with random points, one panel a kind of reference point.

    Args:
        curves: ECDF of the share of draws nearer to the point than the truth, by the name of the
            test.

    Returns:
        The figure.
    """
    figure, axes = panels(1, len(curves), (3.4, 2.6), sharey=True)
    for axis, (name, curve) in zip(axes[0], curves.items(), strict=True):
        _beside_uniform(axis, curve)
        axis.set(title=name, xlabel="share of draws nearer to the point than the truth")
    axes[0, 0].set_ylabel("ECDF - uniform")
    legend_above(figure, axes[0, 0])
    return figure


def _beside_uniform(axis: Axes, curve: Curve) -> None:
    at = np.asarray(curve.at)
    axis.fill_between(
        at,
        curve.lower - at,
        curve.upper - at,
        color=PRIOR,
        alpha=0.3,
        lw=0,
        label="99 % band of uniform",
    )
    axis.axhline(0, color=TRUTH, ls="--", lw=0.8, label="calibrated")
    axis.plot(at, curve.found - at, color=POSTERIOR, label="found")
    axis.set_xlim(0, 1)
