"""A telescope: an idealised map is blurred, vignetted, and counted photon by photon over a sky."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from cinn_clusters.mock.gas import make_plane


@dataclass(frozen=True)
class Telescope:
    """An X-ray imager, of the order of XMM-Newton's; rates are those of maps of 128 px."""

    exposure: float = 30.0  # median [ks]; pointings scatter about it by 0.3 dex
    rate: float = 2.0  # counts a pixel and ks of a surface brightness of one
    background: float = 0.004  # counts a pixel and ks, vignetted or not
    blur: float = 0.006  # standard deviation of the PSF, share of the side of the map
    vignetting: float = 0.35  # loss of effective area at the edge of the map
    sources: float = 12.0  # mean number of point sources


def observe_map(
    log_brightness: np.ndarray,
    rng: np.random.Generator,
    telescope: Telescope | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Observe a map of log10 surface brightness (H, H).

    Returns counts and exposure [ks], vignetting and chip gaps included; both (H, H).
    """
    telescope = telescope or Telescope()
    size = len(log_brightness)
    pixel = (128.0 / size) ** 2  # area of a pixel relative to that in maps of 128 px
    exposure = _exposure_map(size, rng, telescope)
    cluster = 10.0 ** log_brightness.astype(float) * telescope.rate * pixel
    sky = cluster + _point_sources(size, rng, telescope)
    blurred = gaussian_filter(sky, telescope.blur * size, mode="nearest")
    expected = exposure * (blurred + telescope.background * pixel)
    return rng.poisson(expected).astype(np.int32), exposure.astype(np.float32)


def _exposure_map(
    size: int, rng: np.random.Generator, telescope: Telescope
) -> np.ndarray:
    """Draw the exposure [ks] after vignetting, with two chip gaps in a field rolled at random."""
    plane = make_plane(size, 1.0)
    pointing = telescope.exposure * 10.0 ** rng.normal(0.0, 0.3)
    exposure = pointing * (1.0 - telescope.vignetting * (plane.x**2 + plane.y**2) / 2.0)
    roll = rng.uniform(0.0, np.pi)
    across = plane.x * np.cos(roll) + plane.y * np.sin(roll)
    first, second = rng.uniform(0.25, 0.5), rng.uniform(0.25, 0.5)
    is_gap = (np.abs(across - first) < 0.012) | (np.abs(across + second) < 0.012)
    return np.where(is_gap, 0.0, exposure)


def _point_sources(
    size: int, rng: np.random.Generator, telescope: Telescope
) -> np.ndarray:
    """Draw active galaxies [counts a ks] anywhere: N(>S) ~ S^-1.5 above a faintest one."""
    field = np.zeros((size, size))
    num = rng.poisson(telescope.sources)
    flux = 0.3 * rng.random(num) ** (-1.0 / 1.5)
    rows, columns = rng.integers(size, size=(2, num))
    np.add.at(field, (rows, columns), np.minimum(flux, 30.0))
    return field
