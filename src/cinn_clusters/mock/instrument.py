"""A telescope: an idealised map is blurred, vignetted, and counted photon by photon over a sky."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from cinn_clusters.mock.gas import make_plane

_HALF_GAP = 0.012
"""Half the width of a chip gap, of half the side of the map."""
_FAINTEST, _BRIGHTEST = 0.3, 30.0
"""Point sources [counts a ks]."""


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

    # Rates on the sky [counts a pixel and ks]
    brightness = 10.0 ** log_brightness.astype(float)
    cluster = brightness * telescope.rate * pixel
    sky = cluster + _point_sources(size, rng, telescope)
    background = telescope.background * pixel

    # The mirrors blur the sky, not the background of the detector.
    psf_width = telescope.blur * size
    blurred = gaussian_filter(sky, psf_width, mode="nearest")
    expected = exposure * (blurred + background)
    counts = rng.poisson(expected)
    return counts.astype(np.int32), exposure.astype(np.float32)


def _exposure_map(
    size: int, rng: np.random.Generator, telescope: Telescope
) -> np.ndarray:
    """Draw the exposure [ks] after vignetting, with two chip gaps in a field rolled at random."""
    plane = make_plane(size, 1.0)
    pointing = telescope.exposure * 10.0 ** rng.normal(0.0, 0.3)

    # The effective area falls with the squared angle off the axis.
    squared_angle = plane.x**2 + plane.y**2
    loss = telescope.vignetting * squared_angle / 2.0
    exposure = pointing * (1.0 - loss)

    # Gaps between chips: parallel lines on both sides of the axis
    roll = rng.uniform(0.0, np.pi)
    direction = np.array([np.cos(roll), np.sin(roll)])
    across, _ = plane.along(np.zeros(2), direction)
    first = rng.uniform(0.25, 0.5)
    second = rng.uniform(0.25, 0.5)
    is_first_gap = np.abs(across - first) < _HALF_GAP
    is_second_gap = np.abs(across + second) < _HALF_GAP
    return np.where(is_first_gap | is_second_gap, 0.0, exposure)


def _point_sources(
    size: int, rng: np.random.Generator, telescope: Telescope
) -> np.ndarray:
    """Draw active galaxies [counts a ks] anywhere: N(>S) ~ S^-1.5 above a faintest one."""
    field = np.zeros((size, size))
    num = rng.poisson(telescope.sources)

    # inverse of the cumulative distribution, from uniform shares
    share = rng.random(num)
    flux = _FAINTEST * share ** (-1.0 / 1.5)
    flux = np.minimum(flux, _BRIGHTEST)

    rows, columns = rng.integers(size, size=(2, num))
    np.add.at(field, (rows, columns), flux)  # sources may share a pixel
    return field
