"""Figure 5: importance of each observable for each target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure

from cinn_clusters.figures.style import panels, readable_on, styled

COLOURS = "PuOr_r"
"""Diverging and safe for colour-blind readers: orange raises the error, violet lowers it."""
NOT_SIGNIFICANT = "0.92"
"""Grey of values within two standard errors of zero: they are no effect."""
DECADES = 1.5
"""Logarithmic part of the scale on either side; smaller values fade to white."""
LEAST_TOP = 0.1
"""Least end of the scale, in units of the targets: a matrix without effects is pale."""


_PLAIN = 1e-6, 1e6
"""Sizes of numbers that are written without a power of ten."""


@dataclass(frozen=True, eq=False)
class SensitivityMatrix:
    """Increase of a score when observables are taken away.

    Args:
        values: Increase in catalogue units, (L, D); negative where taking it away helps.
        errors: Standard errors of the values, (L, D).
        scale: Unit of each target for the colours, (D,); numbers in the cells keep their units.
        observables: Labels of the rows: observables first, then groups of them.
        targets: Labels of the columns.
        num_singles: Number of rows that are single observables; a line divides them from groups.
    """

    values: np.ndarray
    errors: np.ndarray
    scale: np.ndarray
    observables: Sequence[str]
    targets: Sequence[str]
    num_singles: int = 0


def _short(value: float, form: str) -> str:
    """A number of a cell, in powers of ten where it is large or small."""
    if value == 0.0 or _PLAIN[0] <= abs(value) < _PLAIN[1]:
        return f"{value:{form}}"
    return f"{value:{form.replace('3f', '1e')}}"


@styled
def sensitivity_analysis(matrix: SensitivityMatrix, label: str) -> Figure:
    """Draw a sensitivity matrix as a heat map with the number in each cell.

    The colour scale with its label is symmetric and logarithmic; values within two standard errors
    of zero are grey.
    """
    values, errors = matrix.values, matrix.errors
    scaled = values / matrix.scale
    is_noise = np.abs(values) <= 2 * errors
    coloured = np.ma.masked_array(scaled, is_noise)

    largest = float(np.abs(scaled).max())
    top = max(largest, LEAST_TOP)
    linear_part = top / 10**DECADES
    norm = SymLogNorm(linthresh=linear_part, vmin=-top, vmax=top)
    colours = matplotlib.colormaps[COLOURS].with_extremes(bad=NOT_SIGNIFICANT)

    num_rows, num_columns = scaled.shape
    width, height = 1.25 * num_columns + 2.2, 0.42 * num_rows + 1.4
    figure, axes = panels(1, 1, (width, height))
    axis = axes[0, 0]
    image = axis.imshow(coloured, norm=norm, cmap=colours, aspect="auto")

    text_colours = readable_on(colours(norm(coloured)))
    for (i, j), value in np.ndenumerate(values):
        text = f"{_short(value, '+.3f')}\n± {_short(float(errors[i, j]), '.3f')}"
        colour = str(text_colours[i, j])
        axis.text(j, i, text, ha="center", va="center", fontsize=6.5, color=colour)

    axis.set_xticks(range(num_columns), matrix.targets)
    axis.set_yticks(range(num_rows), matrix.observables)
    axis.tick_params(length=0)
    if 0 < matrix.num_singles < num_rows:
        axis.axhline(matrix.num_singles - 0.5, color="black", lw=1.2)
    figure.colorbar(image, ax=axis, label=label.replace(", ", ",\n"))
    return figure
