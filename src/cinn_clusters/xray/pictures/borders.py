"""What surrounds the map in a picture: an even border is cut off, a figure with axes is refused."""

from __future__ import annotations

import numpy as np

from cinn_clusters.errors import DataError

_ALIKE = 0.06
"""Largest difference of a channel from the colour of the border, JPEG artefacts included."""
_UNLIKE = 0.12
"""Least difference of what lies in a border, and of the map at its straight edge."""
_EDGE_SHARE = 0.3
"""Share of a picture's side that a straight edge takes up at least."""
_EVEN_SHARE = 0.9
"""Share of each side of a picture that is border; a label may touch it."""
_STEP = 3
"""Pixels within which the border turns into the map."""

_FARTHER = 4 * _STEP
"""Pixels behind an edge at which its width is measured again."""

Box = tuple[slice, slice]


def map_box(colours: np.ndarray) -> Box:
    """Return the rows and columns of a picture (H, W, C) in [0, 1] that hold the map.

    Channels may be red, green and blue, or an opacity. A border is an even colour at all four
    sides that ends at straight edges; sky that fades into it has none.

    Raises:
        DataError: If something stands in the border: axes, ticks, text, a colour bar.
    """
    everything = (slice(None), slice(None))
    colour = colours[0, 0]
    difference = np.abs(colours - colour).max(2)
    if not _has_even_rim(difference):
        return everything
    rows = _edges(difference)
    columns = _edges(difference.T)
    if rows is None or columns is None:
        return everything

    outside = difference > _UNLIKE
    outside[rows, columns] = False
    most = max(4.0, 1e-4 * outside.size)
    if outside.sum() > most:
        expected = "a picture of the map alone"
        got = "a map in a border that holds more: a figure with axes or text?"
        hint = "crop it to the map, or save the array as FITS"
        raise DataError("picture", expected, got, "", hint)
    return rows, columns


def opaque_box(is_opaque: np.ndarray) -> Box:
    """Return the rows and columns between which a picture (H, W) has opaque pixels."""
    rows = np.flatnonzero(is_opaque.any(1))
    columns = np.flatnonzero(is_opaque.any(0))
    if not rows.size:
        return slice(None), slice(None)
    return _range_of(rows), _range_of(columns)


def _range_of(numbers: np.ndarray) -> slice:
    first, last = int(numbers[0]), int(numbers[-1])
    return slice(first, last + 1)


def _has_even_rim(difference: np.ndarray) -> bool:
    rows = [difference[0], difference[-1]]
    columns = [difference[:, 0], difference[:, -1]]
    shares = [np.mean(side <= _ALIKE) for side in (*rows, *columns)]
    return bool(min(shares) > _EVEN_SHARE)


def _edges(difference: np.ndarray) -> slice | None:
    """Return the rows between the first and the last straight edge, or None without two."""
    is_border = difference <= _ALIKE
    is_inside = difference > _UNLIKE
    starts = _turns(is_border, is_inside)
    stops = _turns(is_border[::-1], is_inside[::-1])
    if not starts.size or not stops.size:
        return None

    first = int(starts[0])
    first += _rim(is_border[first:])
    last = len(difference) - int(stops[0])
    backwards = is_border[last - 1 :: -1]
    last -= _rim(backwards)
    if last - first < _STEP:
        return None
    return slice(first, last)


def _rim(is_border: np.ndarray) -> int:
    """Return how many of the first rows are of the border still."""
    first_rows = is_border[:_STEP]
    is_even = first_rows.mean(1) > 1.0 - _EDGE_SHARE
    if is_even.all():
        return 0
    return int(np.argmin(is_even))


def _turns(is_border: np.ndarray, is_inside: np.ndarray) -> np.ndarray:
    """Return the rows at which a large share of the columns turns from border into map.

    The edge of a disc is none: farther down it is much wider.
    """
    last = len(is_border) - 1
    later = is_inside.copy()
    for step in range(1, _STEP):
        later[:-step] |= is_inside[step:]
    is_turn = is_border[:-1] & later[1:]
    turned = is_turn.mean(1)

    # The width farther down
    rows = np.arange(last) + 1
    farther = np.minimum(rows + _FARTHER, last)
    width = is_inside.mean(1)[farther]
    is_edge = (turned >= _EDGE_SHARE) & (turned >= 0.8 * width)
    edges: np.ndarray = rows[is_edge]
    return edges
