"""Stretches that show five decades of brightness at once."""

from __future__ import annotations

import numpy as np

from cinn_clusters.errors import DataError


def log_brightness(
    values: np.ndarray, *, decades: float = 5.0, least: float = 0.0
) -> np.ndarray:
    """Return log10 of a brightness (H, W), at least ``least`` and ``decades`` below the brightest.

    NaN stays NaN.

    Raises:
        DataError: If nothing is bright.
    """
    faintest = _brightest(values) * 10.0**-decades
    floor = max(faintest, least)
    clipped = np.maximum(values, floor)
    log_values: np.ndarray = np.log10(clipped)
    return log_values


def asinh_stretch(values: np.ndarray, *, softening: float = 0.01) -> np.ndarray:
    """Return a brightness (H, W) in [0, 1], linear where faint and logarithmic where bright.

    ``softening`` is the share of the brightest pixel at which it turns (Lupton+99,
    astro-ph/9903081).

    Raises:
        DataError: If nothing is bright.
    """
    from astropy.visualization import AsinhStretch

    stretch = AsinhStretch(softening)
    stretched: np.ndarray = stretch(values / _brightest(values))
    return stretched


def _brightest(values: np.ndarray) -> float:
    top = np.nanmax(values)
    if not top > 0.0:
        raise DataError("map", "a positive brightness somewhere", f"at most {top:g}")
    return float(top)
