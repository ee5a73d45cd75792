"""Pixels that are left out: those of a mask, and hot ones, which no telescope can have imaged."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product
from typing import Literal

import numpy as np

from cinn_clusters.errors import DataError
from cinn_clusters.xray.frame import find_centre
from cinn_clusters.xray.image import XrayMap
from cinn_clusters.xray.rate import on_grid

MaskMeaning = Literal["bad", "good"]
"""What pixels of a mask that are not 0 are."""
_CONTRAST = 30.0
"""Of a hot pixel over its surroundings: a point spread function blurs any source more."""
_MOST_HOT = 0.03
"""Largest share of pixels that are hot; where more stand out, the map is one of points."""
_LARGEST_HOLE = 0.02
"""Share of a map that a mask of a source on the brightest region may hide."""
_FEWEST_LIT = 20
"""Bright pixels in a line: photons leave none dark beside them."""
_WIDEST_GAP = 0.1
"""Of the side of a map."""
_BAND = 256


def masked_pixels(
    image: XrayMap, mask: XrayMap, meaning: MaskMeaning | None
) -> np.ndarray:
    """Return which pixels (H, W) of a map a mask leaves out, NaN in the mask among them.

    Args:
        image: Brightness.
        mask: Mask, on any grid of the same sky; beyond its field nothing is known to be bad, or
            to be good.
        meaning: What pixels that are not 0 are; None takes them as bad, where that makes sense.

    Raises:
        DataError: If the mask leaves out the brightest region or most of the map, and nobody said
            that it does.
    """
    if meaning == "good":
        is_bad: np.ndarray = on_grid(mask, image, order=0) == 0.0
        return is_bad
    is_masked = _bad_pixels(image, mask)
    if meaning is None:
        _demand_sense(image, mask, is_masked)
    return is_masked


@dataclass(frozen=True, eq=False)
class HotPixels:
    """Single pixels, and lines of them, far above their surroundings."""

    rows: np.ndarray  # (N,)
    columns: np.ndarray
    surroundings: np.ndarray  # median of the eight neighbours of each


def hot_pixels(values: np.ndarray) -> HotPixels:
    """Return the hot pixels of a brightness (H, W).

    At least six of the eight neighbours are 30 times fainter, and so is what is typical of the map.
    """
    faintest = _CONTRAST * _typical(values)
    parts = [np.empty((3, 0))]
    for first in range(0, len(values), _BAND):
        start = max(first - 1, 0)
        stop = first + _BAND
        row, column, surroundings = _hot_in(values[start : stop + 1], faintest)
        row += start
        is_inside = (row >= first) & (row < stop)
        hot_here = np.stack([row, column, surroundings])
        parts.append(hot_here[:, is_inside])
    hot = np.concatenate(parts, axis=1)
    most = max(_MOST_HOT * values.size, 1)
    if hot.shape[1] > most:
        hot = hot[:, :0]
    rows, columns = hot[:2].astype(int)
    return HotPixels(rows, columns, hot[2])


def dead_lines(values: np.ndarray) -> list[np.ndarray]:
    """Return which rows and which columns of a brightness (H, W) hold nothing between bright ones."""
    is_bright = values > 0.0
    in_rows = is_bright.sum(1)
    in_columns = is_bright.sum(0)
    return [_is_dead(in_rows), _is_dead(in_columns)]


def _is_dead(num_bright: np.ndarray) -> np.ndarray:
    """Return which lines are dark, from the number of bright pixels in each.

    A gap ends with lines of 20 bright pixels or more on each side, and is narrow.
    """
    num_lines = len(num_bright)
    is_dead = np.zeros(num_lines, dtype=bool)
    widest = _WIDEST_GAP * num_lines
    lit = np.flatnonzero(num_bright)
    for before, after in pairwise(lit):
        num_beside = min(num_bright[before], num_bright[after])
        is_narrow = after - before <= widest
        if is_narrow and num_beside >= _FEWEST_LIT:
            is_dead[before + 1 : after] = True
    return is_dead


def _typical(values: np.ndarray) -> float:
    """Return the median of what is positive, from a part of a large map."""
    longest = max(values.shape)
    step = 1 + longest // 1024
    sample = values[::step, ::step]
    positive = sample[sample > 0.0]
    if not positive.size:
        return np.inf
    return float(np.median(positive))


def _hot_in(
    values: np.ndarray, faintest: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, columns and surroundings of the hot pixels of a brightness (H, W)."""
    padded = np.pad(np.nan_to_num(values), 1)
    inner_rows = padded[1:-1]
    inner_columns = padded[:, 1:-1]
    middle = inner_rows[:, 1:-1]
    is_steep = _is_above(middle, inner_rows[:, :-2], inner_rows[:, 2:])
    is_steep |= _is_above(middle, inner_columns[:-2], inner_columns[2:])
    is_candidate = is_steep & (middle > faintest)
    row, column = np.nonzero(is_candidate)

    # The third brightest of the eight neighbours
    ranked = _ranked_neighbours(padded, row, column)
    is_hot = middle[row, column] > _CONTRAST * ranked[5]
    surroundings = ranked[3:5].mean(0)
    return row[is_hot], column[is_hot], surroundings[is_hot]


def _ranked_neighbours(
    padded: np.ndarray, row: np.ndarray, column: np.ndarray
) -> np.ndarray:
    """Return the eight neighbours of N pixels of a map in increasing order, (8, N)."""
    offsets = list(product(range(3), repeat=2))  # in pixels of the padded map
    offsets.remove((1, 1))
    around = [padded[row + y, column + x] for y, x in offsets]
    neighbours = np.reshape(around, (8, -1))
    ranked: np.ndarray = np.sort(neighbours, axis=0)
    return ranked


def _is_above(middle: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return which pixels are far above a neighbour, at least on a side."""
    fainter = np.minimum(before, after)
    is_above: np.ndarray = middle > _CONTRAST * fainter
    return is_above


def _bad_pixels(image: XrayMap, mask: XrayMap) -> np.ndarray:
    """Return which pixels are not 0 in a mask, or NaN; beyond its field none is."""
    is_bad = np.where(mask.values == 0.0, 0.0, 1.0)
    flags = XrayMap(mask.name, is_bad, mask.scale, mask.source, wcs=mask.wcs)
    is_masked: np.ndarray = on_grid(flags, image, order=0) != 0.0
    return is_masked


def _demand_sense(image: XrayMap, mask: XrayMap, is_masked: np.ndarray) -> None:
    """Ask what a mask means that leaves out the brightest region or most of a map."""
    row, column = find_centre(image.values)
    hides_peak = bool(is_masked[round(row), round(column)])
    is_observed = np.isfinite(image.values)
    share = is_masked[is_observed].mean()
    hides_much = share > _LARGEST_HOLE
    if share <= 0.5 and not (hides_peak and hides_much):
        return
    per_cent = 100.0 * share
    got = f"one that leaves out {per_cent:.0f} % of {image.source.name}"
    if hides_peak:
        got += " and its brightest region"
    expected = "a mask of the pixels to leave out (not 0)"
    hint = "pass --mask-means good if 1 marks good pixels, else --mask-means bad"
    raise DataError(mask.source, expected, got, "", hint)
