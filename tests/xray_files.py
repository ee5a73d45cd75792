"""Made-up maps and headers."""

from __future__ import annotations

import numpy as np
from astropy.io import fits


def blob(
    size: int = 48, at: tuple[float, float] = (24.0, 24.0), width: float = 5.0
) -> np.ndarray:
    """A Gaussian, (size, size)."""
    y, x = np.indices((size, size))
    return np.asarray(np.exp(-0.5 * ((y - at[0]) ** 2 + (x - at[1]) ** 2) / width**2))


def header(scale: float = 1e-3) -> fits.Header:
    """Coordinates with square pixels of so many degrees."""
    return fits.Header(
        {
            "CTYPE1": "RA---TAN",
            "CTYPE2": "DEC--TAN",
            "CRVAL1": 150.0,
            "CRVAL2": -11.0,
            "CRPIX1": 24.5,
            "CRPIX2": 24.5,
            "CDELT1": -scale,
            "CDELT2": scale,
        }
    )
