"""Grey levels of pictures that are grey or in a colour map that rises in luminance."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from cinn_clusters.errors import DataError

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
"""Of red, green and blue (ITU-R BT.709); rises monotonically along the colour maps."""
COLOUR_MAPS: dict[str, str] = tomllib.loads(
    Path(__file__).with_name("colour_maps.toml").read_text(encoding="utf-8")
)
"""Colours at equal steps from faint to bright, as hexadecimal red, green and blue."""
_LEVELS = 15
"""Steps of a channel in which colours are compared."""
MAX_DISTANCE = 0.09
"""Largest mean distance from a colour map, of a channel's range: pictures in one, JPEG among
them, reach 0.05; the map Reds is 0.15 away."""
_LIMITS = dict.fromkeys(COLOUR_MAPS, MAX_DISTANCE) | {"grey": 0.03}
"""Washed-out colours lie near grey."""


def read_picture(path: Path) -> np.ndarray:
    """Read the grey level of each pixel in [0, 1], rows from south to north.

    Raises:
        DataError: If the colours follow no map that rises in luminance.
    """
    from PIL import Image

    with Image.open(path) as image:
        image.load()
        if image.mode.startswith(("I", "F")):  # more than 8 bits of grey
            deep = np.asarray(image, dtype=float)
            white = max(deep.max(), 1.0)
            grey: np.ndarray = deep / white
            return grey[::-1]
        colours = np.asarray(image.convert("RGB"), dtype=float)
    return grey_levels(colours / 255.0)[::-1]


def grey_levels(colours: np.ndarray) -> np.ndarray:
    """Return the luminance (H, W) in [0, 1] of red, green and blue (H, W, 3) in [0, 1].

    Raises:
        DataError: If the colours follow no map that rises in luminance, so that their luminance
            would say nothing about the brightness.
    """
    nearest, distance = nearest_map(colours)
    if distance > _LIMITS[nearest]:
        names = ", ".join(name for name in COLOUR_MAPS if name != "grey")
        expected = (
            f"a grey picture, or one in a colour map that rises in brightness ({names})"
        )
        got = f"other colours ({distance:.2f} from '{nearest}', the nearest)"
        raise DataError("picture", expected, got, "", "save it in grey, or as FITS")
    luminance: np.ndarray = colours @ LUMINANCE
    return luminance


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


def _palette(colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the colours of a picture, rounded, (C, 3), and the number of pixels of each."""
    pixels = colours.reshape(-1, 3)
    finite = pixels[np.isfinite(pixels).all(1)]
    levels = np.round(finite * _LEVELS).astype(int)

    # One whole number a colour: sorting numbers is faster than sorting rows.
    cube = (_LEVELS + 1,) * 3
    all_codes = np.ravel_multi_index(tuple(levels.T), cube)
    codes, counts = np.unique(all_codes, return_counts=True)
    channels = np.unravel_index(codes, cube)
    palette = np.stack(channels, axis=1)
    return palette / _LEVELS, counts


def _distance(palette: np.ndarray, counts: np.ndarray, name: str) -> float:
    """Return the mean distance from a colour map of all pixels, or of the common colours if larger.

    Common colours are those of more than a thousandth of the pixels.
    """
    if not len(palette):
        return 0.0
    tree = cKDTree(colour_map(name))
    distance = np.asarray(tree.query(palette)[0])
    mean = float(np.average(distance, weights=counts))

    is_common = counts >= 1e-3 * counts.sum()
    if not is_common.any():
        return mean
    mean_of_common = float(distance[is_common].mean())
    return max(mean, mean_of_common)
