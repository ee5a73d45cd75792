"""Brightness of pictures: the position of each colour on the colour map that a picture is in.

A colour map is a curve through red, green and blue. The level of a pixel is the position t in
[0, 1] of the nearest point on it, which undoes the map whether it rises in luminance or not.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from cinn_clusters.errors import DataError

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
"""Of red, green and blue (ITU-R BT.709): the level of greys."""
COLOUR_MAPS: dict[str, str] = tomllib.loads(
    Path(__file__).with_name("colour_maps.toml").read_text(encoding="utf-8")
)
"""Colours at equal steps from faint to bright, as hexadecimal red, green and blue."""
_LEVELS = 15
"""Steps of a channel in which colours are compared."""
_DEPTH = 1023
"""Steps of a channel in which colours are inverted."""
_NUM_POSITIONS = 2048
MAX_DISTANCE = 0.09
"""Largest mean distance from a colour map, of a channel's range: pictures in one, JPEG among
them, reach 0.05; the map Reds is 0.15 away."""
_LIMITS = dict.fromkeys(COLOUR_MAPS, MAX_DISTANCE) | {"grey": 0.03}
"""Washed-out colours lie near grey."""


@dataclass(frozen=True, eq=False)
class Levels:
    """Brightness of a picture between the ends of its colour map.

    Args:
        values: Position on the map, (H, W) in [0, 1]; NaN where there is no colour.
        colour_map: Its name.
        is_reversed: Whether the faint end was painted bright.
    """

    values: np.ndarray
    colour_map: str
    is_reversed: bool = False

    def note(self) -> str:
        """Say that a reversed map was undone, or nothing."""
        if not self.is_reversed:
            return ""
        return f"faint sky is bright: read in the reversed map '{self.colour_map}_r'"


def read_levels(colours: np.ndarray) -> Levels:
    """Return the brightness of red, green and blue (H, W, 3) in [0, 1].

    Raises:
        DataError: If the colours follow no map.
    """
    values, name = _inverted(colours)
    if is_dark_on_bright(values):
        return Levels(1.0 - values, name, True)
    return Levels(values, name)


def grey_levels(colours: np.ndarray) -> np.ndarray:
    """Return the position (H, W) on its colour map of a picture (H, W, 3) in [0, 1].

    Raises:
        DataError: If the colours follow no map, so that they say nothing about the brightness.
    """
    return _inverted(colours)[0]


def is_dark_on_bright(levels: np.ndarray) -> bool:
    """Return whether the sky at the edges of a picture (H, W) is bright, and its object dark."""
    height, width = levels.shape
    margin = max(1, min(height, width) // 20)
    edges = levels.copy()
    edges[margin:-margin, margin:-margin] = np.nan
    finite, edge = levels[np.isfinite(levels)], edges[np.isfinite(edges)]
    if not edge.size:
        return False
    sky = np.median(edge)
    darkest, brightest = np.percentile(finite, (0.5, 99.5))
    return bool(sky > 0.5 and sky - darkest > 2.0 * (brightest - sky))


def nearest_map(colours: np.ndarray) -> tuple[str, float]:
    """Return the colour map nearest to a picture (H, W, 3), and the mean distance from it."""
    palette, counts = _palette(np.clip(colours, 0.0, 1.0))
    distances = {name: _distance(palette, counts, name) for name in COLOUR_MAPS}
    nearest = min(distances, key=lambda name: distances[name])
    return nearest, distances[nearest]


def colour_map(name: str, num: int = 256) -> np.ndarray:
    """Return the colours of a map from faint to bright, (num, 3) in [0, 1]."""
    stored = np.frombuffer(bytes.fromhex(COLOUR_MAPS[name]), dtype=np.uint8)
    colours = stored.reshape(-1, 3) / 255.0

    # Between the stored steps colours are interpolated.
    last = len(colours) - 1
    steps = np.arange(last + 1)
    positions = np.linspace(0.0, last, num)
    channels = [np.interp(positions, steps, channel) for channel in colours.T]
    return np.stack(channels, axis=1)


def _inverted(colours: np.ndarray) -> tuple[np.ndarray, str]:
    """Return positions (H, W) of colours, and the name of the map.

    Raises:
        DataError: If the colours follow no map.
    """
    nearest, distance = nearest_map(colours)
    if distance > _LIMITS[nearest]:
        names = ", ".join(name for name in COLOUR_MAPS if name != "grey")
        expected = f"a grey picture, or one in a known colour map ({names})"
        got = f"other colours ({distance:.2f} from '{nearest}', the nearest)"
        raise DataError("picture", expected, got, "", "save it in grey, or as FITS")
    if nearest == "grey":
        luminance: np.ndarray = colours @ LUMINANCE
        return luminance, nearest
    return _positions(colours, nearest), nearest


def _positions(colours: np.ndarray, name: str) -> np.ndarray:
    """Return the position in [0, 1] of the point of a map nearest to each colour (H, W, 3)."""
    has_colour = np.isfinite(colours).all(2)
    palette, numbers = np.unique(
        _codes(colours[has_colour], _DEPTH), return_inverse=True
    )
    distinct = _decoded(palette, _DEPTH)
    _, nearest = _tree(name, _NUM_POSITIONS).query(distinct)
    levels: np.ndarray = np.asarray(nearest) / (_NUM_POSITIONS - 1.0)
    values = np.full(has_colour.shape, np.nan)
    values[has_colour] = levels[numbers]
    return values


@lru_cache(maxsize=64)
def _tree(name: str, num: int) -> cKDTree:
    return cKDTree(colour_map(name, num))


def _codes(colours: np.ndarray, depth: int) -> np.ndarray:
    """Return one whole number a colour (N, 3): sorting numbers is faster than sorting rows."""
    levels = np.rint(np.clip(colours, 0.0, 1.0) * depth).astype(np.int64)
    codes: np.ndarray = np.ravel_multi_index(tuple(levels.T), (depth + 1,) * 3)
    return codes


def _decoded(codes: np.ndarray, depth: int) -> np.ndarray:
    """Return the colours (N, 3) of whole numbers."""
    channels = np.unravel_index(codes, (depth + 1,) * 3)
    colours: np.ndarray = np.stack(channels, axis=1) / depth
    return colours


def _palette(colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the colours of a picture, rounded, (C, 3), and the number of pixels of each."""
    pixels = colours.reshape(-1, 3)
    finite = pixels[np.isfinite(pixels).all(1)]
    codes, counts = np.unique(_codes(finite, _LEVELS), return_counts=True)
    return _decoded(codes, _LEVELS), counts


def _distance(palette: np.ndarray, counts: np.ndarray, name: str) -> float:
    """Return the mean distance from a colour map of all pixels, or of the common colours if larger.

    Common colours are those of more than a thousandth of the pixels.
    """
    if not len(palette):
        return 0.0
    distance = np.asarray(_tree(name, 256).query(palette)[0])
    mean = float(np.average(distance, weights=counts))

    is_common = counts >= 1e-3 * counts.sum()
    if not is_common.any():
        return mean
    mean_of_common = float(distance[is_common].mean())
    return max(mean, mean_of_common)
