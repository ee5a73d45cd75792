"""What a telescope makes of an idealised map: blurred, vignetted, with a sky, counted photon by
photon.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter


@dataclass(frozen=True)
class Telescope:
    """An X-ray imager, of the order of XMM-Newton's.

    Args:
        exposure: Median exposure [ks]; pointings scatter about it by 0.3 dex.
        rate: Counts a pixel and ks of a surface brightness of one in maps of 128 px.
        background: Counts a pixel and ks, vignetted or not, in maps of 128 px.
        blur: Standard deviation of the point spread function, share of the side of the map.
        vignetting: Loss of effective area at the edge of the map.
        sources: Mean number of point sources.
    """

    exposure: float = 30.0
    rate: float = 2.0
    background: float = 0.004
    blur: float = 0.006
    vignetting: float = 0.35
    sources: float = 12.0


def observe(
    log_brightness: np.ndarray, rng: np.random.Generator, telescope: Telescope | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Observe one map.

    Args:
        log_brightness: log10 surface brightness, (H, H).
        rng: Source of randomness.
        telescope: The default one when absent.

    Returns:
        Counts and exposure [ks], vignetting and chip gaps included; both (H, H).
    """
    telescope = telescope or Telescope()
    size = len(log_brightness)
    pixel = (128.0 / size) ** 2  # area of a pixel beside that of 128 px
    exposure = _exposure_map(size, rng, telescope)
    sky = 10.0 ** log_brightness.astype(float) * telescope.rate * pixel + _point_sources(
        size, rng, telescope
    )
    seen = gaussian_filter(sky, telescope.blur * size, mode="nearest")
    expected = exposure * (seen + telescope.background * pixel)
    return rng.poisson(expected).astype(np.int32), exposure.astype(np.float32)


def _exposure_map(size: int, rng: np.random.Generator, telescope: Telescope) -> np.ndarray:
    """Exposure [ks] after vignetting, with two chip gaps across a field that is rolled at
    random.
    """
    centres = (np.arange(size) + 0.5) / size * 2.0 - 1.0
    x, y = np.meshgrid(centres, centres)
    exposure = (
        telescope.exposure
        * 10.0 ** rng.normal(0.0, 0.3)
        * (1.0 - telescope.vignetting * (x**2 + y**2) / 2.0)
    )
    roll = rng.uniform(0.0, np.pi)
    across = x * np.cos(roll) + y * np.sin(roll)
    gaps = (np.abs(across - rng.uniform(0.25, 0.5)) < 0.012) | (
        np.abs(across + rng.uniform(0.25, 0.5)) < 0.012
    )
    return np.where(gaps, 0.0, exposure)


def _point_sources(size: int, rng: np.random.Generator, telescope: Telescope) -> np.ndarray:
    """Active galaxies, counts a ks: N(>S) ~ S^-1.5 above a faintest one, anywhere in the field."""
    field = np.zeros((size, size))
    num = rng.poisson(telescope.sources)
    flux = 0.3 * rng.random(num) ** (-1.0 / 1.5)
    np.add.at(field, tuple(rng.integers(size, size=(2, num))), np.minimum(flux, 30.0))
    return field
