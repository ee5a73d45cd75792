"""Classical morphology: a dozen numbers a map, each by its published definition.

Maps are linear surface brightness in any unit, centred squares of ``2 half_width`` R500 a side. All
maps of a stack are measured at once: what depends on the grid alone is a matrix.
"""

from __future__ import annotations

import numpy as np
from scipy.special import comb

from cinn_clusters.errors import DataError

APERTURES = np.arange(0.1, 1.0 + 1e-9, 0.05)
"""Radii of the centroid shift [R500]."""
FLOORS = {
    "log_centroid_shift": 1e-4,
    "log_p1": 1e-9,
    "log_p2": 1e-9,
    "log_p3": 1e-10,
    "log_p4": 1e-10,
}
"""What is added before a logarithm is taken, about what photon noise leaves."""
MORPHOLOGY = (
    "concentration",
    "cuspiness",
    "log_centroid_shift",
    "log_p1",
    "log_p2",
    "log_p3",
    "log_p4",
    "asymmetry",
    "gini",
    "m20",
    "ellipticity",
)
"""Columns of ``morphology``."""


def morphology(maps: np.ndarray, half_width: float = 1.0, *, chunk: int = 256) -> np.ndarray:
    """Measure maps.

    Args:
        maps: Surface brightness, (N, H, H), finite; what is negative after a background was taken
            off counts as zero.
        half_width: Half the side of a map [R500], at least 1.
        chunk: Maps at a time.

    Returns:
        (N, 11), columns as in ``MORPHOLOGY``: c(0.1 / 1 R500) and c(0.05 / 0.5 R500); log10 of the
        centroid shift and of the power ratios P1/P0 ... P4/P0 about the peak of the light within
        R500; asymmetry; Gini; M20; ellipticity.

    Raises:
        DataError: If a map is not finite, has no light within R500, or the square is too small.

    References:
        Santos+08, arXiv:0802.1445 (concentration); Poole+06, astro-ph/0608560 (centroid shift);
        Buote & Tsai 1995, astro-ph/9502002, eqs. 10-16 (power ratios); Conselice 2003,
        astro-ph/0303065 (asymmetry); Lotz+04, astro-ph/0311352, eqs. 6-8 (Gini, M20).
    """
    maps = np.asarray(maps, dtype=float)
    if maps.ndim != 3 or maps.shape[1] != maps.shape[2]:
        raise DataError("maps", "a stack of squares (N, H, H)", f"shape {maps.shape}")
    if half_width < 1.0:
        raise DataError("half_width", "at least 1 R500", f"{half_width}")
    bad = ~np.isfinite(maps).all((1, 2))
    if bad.any():
        raise DataError(
            "maps",
            "finite values",
            f"{int(bad.sum())} maps with NaN or infinity",
            f"first map {bad.argmax()}",
        )
    grid = _Grid(maps.shape[1], half_width)
    parts = [
        _measured(maps[start : start + chunk], grid, start) for start in range(0, len(maps), chunk)
    ]
    return np.concatenate(parts) if parts else np.empty((0, len(MORPHOLOGY)))


class _Grid:
    """Coordinates of the pixels [R500] and masks of apertures, pixels flattened."""

    def __init__(self, size: int, half_width: float) -> None:
        centres = (np.arange(size) + 0.5) / size * 2.0 * half_width - half_width
        y, x = (axis.ravel() for axis in np.meshgrid(centres, centres, indexing="ij"))
        self.x, self.y, self.radius, self.pixel = x, y, np.hypot(x, y), 2.0 * half_width / size
        self.inside = self.radius <= 1.0

    def within(self, radii: np.ndarray) -> np.ndarray:
        """Share of each pixel inside each radius (A, H*H): edges are soft by one pixel."""
        return np.asarray(np.clip((radii[:, None] - self.radius) / self.pixel + 0.5, 0.0, 1.0))


def _measured(maps: np.ndarray, grid: _Grid, first: int) -> np.ndarray:
    light = np.maximum(maps.reshape(len(maps), -1), 0.0)
    total = light @ grid.within(np.ones(1))[0]
    dark = total <= 0.0
    if dark.any():
        raise DataError("maps", "light within R500", "none", f"map {first + int(dark.argmax())}")
    shares = light @ grid.within(np.array([0.05, 0.1, 0.5, 1.0])).T
    powers = _power_ratios(light, grid)
    columns = [
        shares[:, 1] / shares[:, 3],
        shares[:, 0] / shares[:, 2],
        np.log10(_centroid_shift(light, grid) + FLOORS["log_centroid_shift"]),
        *(np.log10(powers[:, m] + FLOORS[f"log_p{m + 1}"]) for m in range(4)),
        _asymmetry(light, grid),
        _gini(light[:, grid.inside]),
        _m20(light[:, grid.inside], grid),
        _ellipticity(light, grid),
    ]
    return np.stack(columns, 1)


def _centroids(light: np.ndarray, grid: _Grid, radii: np.ndarray) -> np.ndarray:
    """Centroid of the light in each aperture, (N, A, 2)."""
    masks = grid.within(radii)
    flux = light @ masks.T
    moments = np.stack([light @ (masks * grid.x).T, light @ (masks * grid.y).T], -1)
    return np.asarray(moments / np.maximum(flux, 1e-300)[..., None])


def _centroid_shift(light: np.ndarray, grid: _Grid) -> np.ndarray:
    """Standard deviation of the distance of the centroid from the centre over apertures [R500]
    (Poole+06, eq. 7).
    """
    distance = np.linalg.norm(_centroids(light, grid, APERTURES), axis=2)
    return np.asarray(distance.std(1, ddof=1))


def _power_ratios(light: np.ndarray, grid: _Grid) -> np.ndarray:
    """P1/P0 ... P4/P0 within R500 about the centre, (N, 4) (Buote & Tsai 1995, eqs. 12-16).

    P1 would vanish about the centroid and is taken about the centre of the map, the others about
    the centroid.
    """
    mask = grid.within(np.ones(1))[0]
    flux = light @ mask
    centre = _centroids(light, grid, np.ones(1))[:, 0]
    about_map = [
        light @ (mask * (grid.x + 1j * grid.y) ** k) for k in range(5)
    ]  # complex moments a_k + i b_k
    shift = -(centre[:, 0] + 1j * centre[:, 1])
    ratios = []
    for m in range(1, 5):
        moved = (
            sum(comb(m, k) * about_map[k] * shift ** (m - k) for k in range(m + 1))
            if m > 1
            else about_map[1]
        )
        ratios.append(
            np.abs(moved / flux) ** 2 / (2.0 * m**2)
        )  # R = 1; P0 = (a_0 ln R)^2 with the log dropped
    return np.stack(ratios, 1)


def _asymmetry(light: np.ndarray, grid: _Grid) -> np.ndarray:
    """Sum of |map - map turned by 180 degrees| over twice the light, within R500."""
    turned = light[:, ::-1]  # the grid is symmetric about its centre
    mask = grid.within(np.ones(1))[0]
    return np.asarray((np.abs(light - turned) @ mask) / (2.0 * (light @ mask)))


def _gini(light: np.ndarray) -> np.ndarray:
    """Gini coefficient of the pixel values (Lotz+04, eq. 6)."""
    ordered = np.sort(light, axis=1)
    num = light.shape[1]
    ranks = 2.0 * np.arange(1, num + 1) - num - 1.0
    return np.asarray(ordered @ ranks / (ordered.mean(1) * num * (num - 1)))


def _m20(light: np.ndarray, grid: _Grid) -> np.ndarray:
    """log10 of the second moment of the brightest 20 % of the light over the whole (Lotz+04, eq.
    8).
    """
    x, y = grid.x[grid.inside], grid.y[grid.inside]
    flux = light.sum(1, keepdims=True)
    cx, cy = (light @ x)[:, None] / flux, (light @ y)[:, None] / flux
    moment = light * ((x - cx) ** 2 + (y - cy) ** 2)
    order = np.argsort(-light, axis=1, kind="stable")
    sorted_light = np.take_along_axis(light, order, 1)
    before = np.cumsum(sorted_light, 1) - sorted_light  # the pixel that crosses 20 % still counts
    brightest = np.where(before < 0.2 * flux, np.take_along_axis(moment, order, 1), 0.0).sum(1)
    return np.asarray(
        np.log10(np.maximum(brightest, 1e-300) / np.maximum(moment.sum(1), 1e-300)).clip(-6.0)
    )


def _ellipticity(light: np.ndarray, grid: _Grid) -> np.ndarray:
    """One minus the axis ratio of the second moments within R500 about the centroid."""
    mask = grid.within(np.ones(1))[0]
    flux = light @ mask
    centre = _centroids(light, grid, np.ones(1))[:, 0]
    xx = light @ (mask * grid.x**2) / flux - centre[:, 0] ** 2
    yy = light @ (mask * grid.y**2) / flux - centre[:, 1] ** 2
    xy = light @ (mask * grid.x * grid.y) / flux - centre[:, 0] * centre[:, 1]
    mean, split = 0.5 * (xx + yy), np.hypot(0.5 * (xx - yy), xy)
    return np.asarray(
        1.0 - np.sqrt(np.maximum(mean - split, 0.0) / np.maximum(mean + split, 1e-300))
    )
