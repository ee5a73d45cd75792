"""Pictures of an embedding: points, maps and means on a plane, and the neighbours of a map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cinn_clusters.figures.style import label, panels, styled

MAP_COLOURS, VALUE_COLOURS = "inferno", "viridis"


@styled
def scatter_plane(plane: np.ndarray, values: np.ndarray, name: str, axes: Sequence[str]) -> Figure:
    """Points of an embedding, coloured by one quantity.

    Args:
        plane: Two coordinates a map, (N, 2).
        values: Quantity, (N,).
        name: Of the quantity, a column of the schema or a text.
        axes: Labels of the coordinates.
    """
    figure, grid = panels(1, 1, (5.0, 4.2))
    axis = grid[0, 0]
    low, high = np.percentile(values, [2, 98])
    points = axis.scatter(
        plane[:, 0],
        plane[:, 1],
        c=values,
        s=5,
        vmin=low,
        vmax=high,
        cmap=VALUE_COLOURS,
        rasterized=True,
    )
    figure.colorbar(points, ax=axis, label=label(name), extend="both")
    axis.set(xlabel=axes[0], ylabel=axes[1])
    return figure


@styled
def hexagons(
    plane: np.ndarray, values: np.ndarray, names: Sequence[str], axes: Sequence[str]
) -> Figure:
    """Median of quantities in hexagons over the plane, a panel each.

    Args:
        plane: Two coordinates a map, (N, 2).
        values: Quantities, (N, C).
        names: Of the quantities.
        axes: Labels of the coordinates.
    """
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    figure, grid = panels(rows, columns, (3.4, 2.9))
    for number, axis in enumerate(grid.flat):
        if number >= len(names):
            axis.set_axis_off()
            continue
        shown = values[:, number]
        low, high = np.percentile(shown, [5, 95])
        drawn = axis.hexbin(
            plane[:, 0],
            plane[:, 1],
            C=shown,
            reduce_C_function=np.median,
            gridsize=18,
            mincnt=2,
            vmin=low,
            vmax=high,
            cmap=VALUE_COLOURS,
            linewidths=0.2,
        )
        figure.colorbar(drawn, ax=axis, label=label(names[number]))
        axis.set(xlabel=axes[0], ylabel=axes[1])
    return figure


@styled
def map_gallery(
    plane: np.ndarray, maps: np.ndarray, axes: Sequence[str], *, side: int = 14
) -> Figure:
    """Maps where they stand on the plane: in each cell the one nearest to its middle.

    Args:
        plane: Two coordinates a map, (N, 2).
        maps: In [0, 1], (N, H, H).
        axes: Labels of the coordinates.
        side: Cells a side.
    """
    low, high = np.percentile(plane, 0.5, axis=0), np.percentile(plane, 99.5, axis=0)
    cell = (plane - low) / (high - low) * side
    size = maps.shape[-1]
    canvas = np.full((side * size, side * size), np.nan)
    for i in range(side):
        for j in range(side):
            distance = np.abs(cell - [j + 0.5, i + 0.5]).max(1)
            nearest = int(distance.argmin())
            if distance[nearest] <= 0.5:
                canvas[i * size : (i + 1) * size, j * size : (j + 1) * size] = maps[nearest]
    figure, grid = panels(1, 1, (7.0, 7.0))
    axis = grid[0, 0]
    extent = (low[0], high[0], low[1], high[1])
    axis.imshow(
        canvas, origin="lower", extent=extent, aspect="auto", cmap=MAP_COLOURS, vmin=0.0, vmax=1.0
    )
    axis.set(xlabel=axes[0], ylabel=axes[1])
    return figure


@styled
def neighbours(queries: np.ndarray, found: np.ndarray, titles: Sequence[Sequence[str]]) -> Figure:
    """Maps and those most like them: a row for each query, the query first.

    Args:
        queries: In [0, 1], (Q, H, H).
        found: Q rows of neighbours, nearest first, (Q, K, H, H).
        titles: A text for each picture of each row, query first.
    """
    num, most = found.shape[:2]
    figure, grid = panels(num, most + 1, (1.35, 1.5))
    for i in range(num):
        for j, shown in enumerate([queries[i], *found[i]]):
            axis = grid[i, j]
            axis.imshow(shown, origin="lower", cmap=MAP_COLOURS, vmin=0.0, vmax=1.0)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_title(titles[i][j], fontsize=6)
            if j == 0:
                for spine in axis.spines.values():
                    spine.set(visible=True, color="#0072B2", linewidth=2.0)
    return figure
