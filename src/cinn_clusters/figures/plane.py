"""Pictures of an embedding: points, maps and medians on a plane, and the neighbours of a map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cinn_clusters.figures.style import Colour, panels, styled

MAP_COLOURS, VALUE_COLOURS = "inferno", "viridis"


@styled
def scatter_plane(
    plane: np.ndarray, values: np.ndarray, label: str, axes: Sequence[str]
) -> Figure:
    """Draw points of an embedding (N, 2), coloured by one quantity (N,).

    ``label`` is that of the quantity, ``axes`` are those of the coordinates.
    """
    figure, grid = panels(1, 1, (5.0, 4.2))
    axis = grid[0, 0]
    low, high = np.percentile(values, [2, 98])
    points = axis.scatter(
        *plane.T,
        c=values,
        s=5,
        vmin=low,
        vmax=high,
        cmap=VALUE_COLOURS,
        rasterized=True,
    )
    figure.colorbar(points, ax=axis, label=label, extend="both")
    axis.set(xlabel=axes[0], ylabel=axes[1])
    return figure


@styled
def hexagons(
    plane: np.ndarray, values: np.ndarray, labels: Sequence[str], axes: Sequence[str]
) -> Figure:
    """Draw the median of quantities (N, C) in hexagons over the plane (N, 2), a panel each.

    ``labels`` are those of the quantities, ``axes`` are those of the coordinates.
    """
    columns = min(len(labels), 3)
    figure, grid = panels(-(-len(labels) // columns), columns, (3.4, 2.9))
    for spare in grid.flat[len(labels) :]:
        spare.set_axis_off()
    for axis, quantity, label in zip(grid.flat, values.T, labels, strict=False):
        low, high = np.percentile(quantity, [5, 95])
        image = axis.hexbin(
            *plane.T,
            C=quantity,
            reduce_C_function=np.median,
            gridsize=18,
            mincnt=2,
            vmin=low,
            vmax=high,
            cmap=VALUE_COLOURS,
            linewidths=0.2,
        )
        figure.colorbar(image, ax=axis, label=label)
        axis.set(xlabel=axes[0], ylabel=axes[1])
    return figure


@styled
def map_gallery(
    plane: np.ndarray, maps: np.ndarray, axes: Sequence[str], *, num_cells: int = 14
) -> Figure:
    """Draw maps in [0, 1] (N, H, H) on the plane (N, 2): in each cell the one nearest its middle.

    ``axes`` are the labels of the coordinates; there are ``num_cells`` cells along each.
    """
    low, high = np.percentile(plane, [0.5, 99.5], axis=0)
    cell = (plane - low) / (high - low) * num_cells  # (N, 2), in cells
    size = maps.shape[-1]
    canvas = np.full((num_cells, size, num_cells, size), np.nan)
    for i, j in np.ndindex(num_cells, num_cells):
        distance = np.abs(cell - [j + 0.5, i + 0.5]).max(axis=1)
        nearest = int(distance.argmin())
        if distance[nearest] <= 0.5:
            canvas[i, :, j] = maps[nearest]
    figure, grid = panels(1, 1, (7.0, 7.0))
    axis = grid[0, 0]
    axis.imshow(
        canvas.reshape(num_cells * size, num_cells * size),
        origin="lower",
        extent=(low[0], high[0], low[1], high[1]),
        aspect="auto",
        cmap=MAP_COLOURS,
        vmin=0.0,
        vmax=1.0,
    )
    axis.set(xlabel=axes[0], ylabel=axes[1])
    return figure


@styled
def neighbours(
    queries: np.ndarray, nearest: np.ndarray, titles: Sequence[Sequence[str]]
) -> Figure:
    """Draw maps and those most like them: a row for each query, the query first.

    Args:
        queries: Maps in [0, 1], (Q, H, H).
        nearest: K neighbours of each query, nearest first, (Q, K, H, H).
        titles: A text for each picture of each row, query first.
    """
    pictures = np.concatenate([queries[:, None], nearest], axis=1)  # (Q, 1 + K, H, H)
    num_rows, num_columns = pictures.shape[:2]
    figure, grid = panels(num_rows, num_columns, (1.35, 1.5))
    for (i, j), axis in np.ndenumerate(grid):
        axis.imshow(
            pictures[i, j], origin="lower", cmap=MAP_COLOURS, vmin=0.0, vmax=1.0
        )
        axis.set(xticks=[], yticks=[])
        axis.set_title(titles[i][j], fontsize=6)
    for axis in grid[:, 0]:
        for spine in axis.spines.values():
            spine.set(visible=True, color=Colour.POSTERIOR, linewidth=2.0)
    return figure
