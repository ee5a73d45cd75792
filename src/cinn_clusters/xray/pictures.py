"""Grey levels of pictures, grey or coloured by a map that rises in brightness; other colours are
refused.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from cinn_clusters.errors import DataError

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
"""Of red, green and blue (ITU-R BT.709); rises monotonically along the colour maps below."""
COLOUR_MAPS = {
    "grey": "000000ffffff",
    "inferno": "0000040c0826240c4f420a685d126e781c6d932667ae305cc73e4cdd513aed6925f8850ffca50afac62df2e661fcffa4",
    "magma": "0000040b092420114b3b0f7057157e721f818c2981a8327dc43c75de4968f1605dfa7f5efe9f6dfebf84fddea0fcfdbf",
    "plasma": "0d08873305975002a26a00a88405a79c179eb12a90c33d80d35171e16462ed7953f68f44fca636fec029f9dc24f0f921",
    "viridis": "440154481a6c472f7d41448739568c31688e2a788e23888e1f988b22a88435b77954c5687ad151a5db36d2e21bfde725",
    "cividis": "00224e002e6c1e3a6f35456c47516c575d6d666970757575848279948e77a59c74b7a96ec8b866dbc75aeed649fee838",
    "hot": "0b0000370000640000900000bd0000ea0000ff1700ff4400ff7100ff9d00ffca00fff600ffff36ffff79ffffbcffffff",
    "afmhot": "000000220000440000660000880800aa2a00cc4d00ee6e00ff9011ffb233ffd455fff677ffff99ffffbbffffddffffff",
    "bone": "0000000f0f151e1e292d2d3e3c3b534a4a67595c79687188778597869aa695aeb5a4c2c3b9d2d2d1e1e1e8f0f0ffffff",
    "copper": "000000150d082a1b113f281954352269422a7e5033935d3ba86a44bd784cd28555e7925dfc9f65ffad6effba76ffc77f",
    "cubehelix": "000000160c1f1a213e163d4e175a492b6f3954792f877a3ab5795ed07e93d490c6caabe8c1caf3c8e4f0e0f5f0ffffff",
}
"""Colours at equal steps from faint to bright, as hexadecimal red, green and blue (from
matplotlib)."""
LEVELS = 15
"""Steps of a channel in which colours are compared."""
FARTHEST = 0.09
"""Mean distance from a colour map, of a channel's range; the real maps, JPEG among them, reach
0.05, Reds 0.15."""
FARTHEST_GREY = 0.03
"""The same from grey: washed-out colours lie near it."""


def read_picture(path: Path) -> np.ndarray:
    """Grey level of each pixel in [0, 1], rows from south to north.

    Raises:
        DataError: If colours follow no map that rises in brightness.
    """
    from PIL import Image

    with Image.open(path) as image:
        image.load()
        deep = image.mode.startswith(("I", "F"))
        values = np.asarray(image if deep else image.convert("RGB"), dtype=float)
    if deep:
        return np.asarray(values / max(values.max(), 1.0))[::-1]
    return grey_levels(values / 255.0)[::-1]


def grey_levels(colours: np.ndarray) -> np.ndarray:
    """Luminance of a picture that is grey or coloured by a map that rises in brightness.

    Args:
        colours: Red, green and blue in [0, 1], (H, W, 3).

    Returns:
        (H, W), in [0, 1].

    Raises:
        DataError: If the colours are others: their brightness would say nothing about the map.
    """
    nearest, distance = nearest_map(colours)
    if distance > (FARTHEST_GREY if nearest == "grey" else FARTHEST):
        known = ", ".join(name for name in COLOUR_MAPS if name != "grey")
        expected = f"a grey picture, or one in a colour map that rises in brightness ({known})"
        got = f"other colours ({distance:.2f} from '{nearest}', the nearest)"
        raise DataError("picture", expected, got, "", "save it in grey, or as FITS")
    return np.asarray(colours @ LUMINANCE)


def nearest_map(colours: np.ndarray) -> tuple[str, float]:
    """Name of the colour map nearest to the colours of a picture (H, W, 3), and their mean
    distance from it.
    """
    palette = _palette(np.clip(colours, 0.0, 1.0))
    distances = {name: _distance(*palette, name) for name in COLOUR_MAPS}
    nearest = min(distances, key=lambda name: distances[name])
    return nearest, distances[nearest]


def colour_map(name: str, num: int = 256) -> np.ndarray:
    """Colours of a map from faint to bright, (num, 3) in [0, 1]."""
    steps = np.frombuffer(bytes.fromhex(COLOUR_MAPS[name]), dtype=np.uint8).reshape(-1, 3) / 255.0
    at = np.linspace(0.0, len(steps) - 1.0, num)
    return np.stack([np.interp(at, np.arange(len(steps)), channel) for channel in steps.T], axis=1)


def _palette(colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colours that are there, roughly, (C, 3), and the number of pixels of each."""
    pixels = colours.reshape(-1, 3)
    rounded = np.round(pixels[np.isfinite(pixels).all(1)] * LEVELS).astype(int)
    codes, number = np.unique(rounded @ [(LEVELS + 1) ** 2, LEVELS + 1, 1], return_counts=True)
    return np.stack(np.unravel_index(codes, (LEVELS + 1,) * 3), axis=1) / LEVELS, number


def _distance(palette: np.ndarray, number: np.ndarray, name: str) -> float:
    """Mean distance of pixels, or of the colours that a thousandth of them has if that is more,
    from a colour map.
    """
    if not len(palette):
        return 0.0
    distance = np.asarray(cKDTree(colour_map(name)).query(palette)[0])
    is_common = number >= 1e-3 * number.sum()
    common = distance[is_common].mean() if is_common.any() else 0.0
    return float(max(common, np.average(distance, weights=number)))
