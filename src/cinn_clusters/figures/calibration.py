"""Calibration: PIT, coverage of intervals and TARP, each with its band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cinn_clusters.figures.style import (
    Colour,
    legend_above,
    panels,
    readable_on,
    styled,
    target_panels,
)


@dataclass(frozen=True)
class Curve:
    """A curve with a band over levels in [0, 1], (G,) each."""

    level: Sequence[float]
    value: Sequence[float]
    lower: Sequence[float]
    upper: Sequence[float]


@styled
def rank_curves(curves: Mapping[str, Curve]) -> Figure:
    """Draw the ECDF of the PIT minus that of a uniform variable, a panel for each target label.

    Bands are the simultaneous ones of a uniform variable. A curve below zero at the left and above
    at the right means that the posterior is too wide.
    """
    figure, axes = target_panels(len(curves), (2.5, 2.0))
    for axis, (label, curve) in zip(axes, curves.items(), strict=True):
        _draw_difference(axis, curve)
        axis.set(title=label, xlabel="PIT", ylabel="ECDF - uniform")
    legend_above(figure, axes[0])
    return figure


@styled
def coverage_curves(curves: Mapping[str, Curve]) -> Figure:
    """Draw empirical against nominal coverage of central intervals, a panel for each target label.

    Bands are those of the empirical coverage; below the diagonal the posterior is too narrow.
    """
    figure, axes = target_panels(len(curves), (2.3, 2.3))
    for axis, (label, curve) in zip(axes, curves.items(), strict=True):
        axis.plot(
            [0, 1], [0, 1], color=Colour.PRIOR, ls="--", lw=0.8, label="calibrated"
        )
        axis.fill_between(
            curve.level,
            curve.lower,
            curve.upper,
            color=Colour.POSTERIOR,
            alpha=0.25,
            lw=0,
            label="99 % band",
        )
        axis.plot(curve.level, curve.value, color=Colour.POSTERIOR, label="posterior")
        axis.set(title=label, xlabel="nominal coverage", ylabel="empirical coverage")
        axis.set(xlim=(0, 1), ylim=(0, 1))
        axis.set_aspect("equal")
    legend_above(figure, axes[0])
    return figure


@styled
def tarp_curves(curves: Mapping[str, Curve]) -> Figure:
    """Draw the ECDF of TARP fractions minus that of a uniform variable, a panel for each test."""
    figure, axes = panels(1, len(curves), (3.4, 2.6), sharey=True)
    for axis, (name, curve) in zip(axes[0], curves.items(), strict=True):
        _draw_difference(axis, curve)
        axis.set(title=name, xlabel="share of samples nearer than the truth")
    axes[0, 0].set_ylabel("ECDF - uniform")
    legend_above(figure, axes[0, 0])
    return figure


@dataclass(frozen=True, eq=False)
class ConditionalMatrix:
    """The largest t of D targets against L observables, for what may depend on them.

    Args:
        t: Signed t of the largest |t|, (D, L), by kind: *width*, *bias*.
        critical: |t| that one of all exceeds by chance as rarely as the level says.
        targets: Labels of the rows.
        observables: Labels of the columns.
    """

    t: Mapping[str, np.ndarray]
    critical: float
    targets: Sequence[str]
    observables: Sequence[str]


@styled
def conditional_calibration(matrix: ConditionalMatrix) -> Figure:
    """Draw what of the calibration depends on the observables, a panel for width and for bias.

    The colours saturate at the critical value; beyond it the number is bold.
    """
    num_rows, num_columns = len(matrix.targets), len(matrix.observables)
    height = 0.34 * num_rows + 1.6
    size = 0.5 * num_columns + 1.2, height
    figure, axes = panels(1, len(matrix.t), size, sharey=True)
    for axis, (kind, t) in zip(axes[0], matrix.t.items(), strict=True):
        top = matrix.critical
        image = axis.imshow(t, vmin=-top, vmax=top, cmap="PuOr_r", aspect="auto")
        text_colours = readable_on(image.to_rgba(t))
        for (i, j), value in np.ndenumerate(t):
            cell = axis.text(j, i, f"{value:+.1f}", ha="center", va="center", size=6.5)
            cell.set_color(str(text_colours[i, j]))
            if abs(value) > top:
                cell.set_weight("bold")
        axis.set_xticks(range(num_columns), matrix.observables, rotation=45, ha="right")
        axis.set_yticks(range(num_rows), matrix.targets)
        axis.tick_params(length=0)
        axis.set_title(f"{kind}: largest t (critical {top:.1f})")
    return figure


def _draw_difference(axis: Axes, curve: Curve) -> None:
    level = np.asarray(curve.level)
    axis.fill_between(
        level,
        curve.lower - level,
        curve.upper - level,
        color=Colour.PRIOR,
        alpha=0.3,
        lw=0,
        label="99 % band of uniform",
    )
    axis.axhline(0, color=Colour.TRUTH, ls="--", lw=0.8, label="calibrated")
    axis.plot(level, curve.value - level, color=Colour.POSTERIOR, label="posterior")
    axis.set_xlim(0, 1)
