"""Figure 5: which observable tells of which target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure

from cinn_clusters import schema
from cinn_clusters.figures.style import label, panels, styled

COLOURS = "PuOr_r"
"""Diverging, told apart by colour-blind readers: orange raises the error, violet lowers it."""
DECADES = 1.5
"""Logarithmic part of the scale on either side; what is smaller fades to white, so that noise is
not loud."""
LEAST = 0.1
"""Where the scale ends at least, in units of the targets: a matrix of nothing is pale."""


@styled
def sensitivity_analysis(
    matrix: np.ndarray,
    observables: Sequence[str],
    targets: Sequence[str],
    *,
    errors: np.ndarray | None = None,
    what: str = "increase of MAE when shuffled, in standard deviations of the target",
    scale: np.ndarray | None = None,
) -> Figure:
    """Draw how much a score worsens when an observable is taken away.

    Args:
        matrix: Increase of the score, (L, D); negative where taking it away helps.
        observables: Names of the rows, columns of the schema or groups of them.
        targets: Names of the columns.
        errors: Standard errors, (L, D).
        what: Label of the colour scale.
        scale: Unit of each target, (D,), so that colours compare; numbers in the cells keep
            catalogue units.

    Returns:
        A heat-map with a symmetric logarithmic scale, the number in each cell.
    """
    shown = matrix if scale is None else matrix / scale
    top = max(float(np.abs(shown).max()), LEAST)
    norm = SymLogNorm(linthresh=top / 10**DECADES, vmin=-top, vmax=top)
    height = 0.42 * len(observables) + 1.4
    figure, axes = panels(1, 1, (1.25 * len(targets) + 2.2, height))
    axis = axes[0, 0]
    image = axis.imshow(shown, norm=norm, cmap=COLOURS, aspect="auto")
    for (i, j), value in np.ndenumerate(matrix):
        told = f"{value:+.3f}" if errors is None else f"{value:+.3f}\n± {errors[i, j]:.3f}"
        is_dark = abs(norm(shown[i, j]) - 0.5) > 0.35
        axis.text(
            j,
            i,
            told,
            ha="center",
            va="center",
            fontsize=6.5,
            color="white" if is_dark else "black",
        )
    axis.set_xticks(range(len(targets)), [label(name) for name in targets])
    axis.set_yticks(range(len(observables)), [schema.column(name).label for name in observables])
    axis.tick_params(length=0)
    for i in range(1, len(observables)):
        if (observables[i] in schema.GROUPS) != (observables[i - 1] in schema.GROUPS):
            axis.axhline(i - 0.5, color="black", lw=1.2)
    figure.colorbar(
        image, ax=axis, label=what.replace(", ", ",\n") if len(observables) < 6 else what
    )
    return figure
