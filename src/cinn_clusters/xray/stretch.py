"""Stretches that show five decades at once."""

from __future__ import annotations

import numpy as np

from cinn_clusters.errors import DataError


def log_brightness(values: np.ndarray, *, decades: float = 5.0, least: float = 0.0) -> np.ndarray:
    """log10 of a brightness (H, W), no lower than ``decades`` below its brightest or than ``least``; NaN stays.

    Raises:
        DataError: If nothing is bright.
    """
    top = np.nanmax(values)
    if not top > 0.0:
        raise DataError("map", "a positive brightness somewhere", f"at most {top:g}")
    return np.asarray(np.log10(np.maximum(values, max(top * 10.0**-decades, least))))


def asinh_stretch(values: np.ndarray, *, softening: float = 0.01) -> np.ndarray:
    """Brightness (H, W) in [0, 1]: linear where faint, logarithmic where bright (Lupton+99, astro-ph/9903081).

    Args:
        values: Brightness.
        softening: Share of the brightest pixel at which it turns.

    Raises:
        DataError: If nothing is bright.
    """
    top = np.nanmax(values)
    if not top > 0.0:
        raise DataError("map", "a positive brightness somewhere", f"at most {top:g}")
    return np.asarray(
        np.arcsinh(np.maximum(values, 0.0) / (softening * top)) / np.arcsinh(1.0 / softening)
    )
