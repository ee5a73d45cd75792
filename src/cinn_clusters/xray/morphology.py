"""Classical morphology: eleven numbers a map, each by its published definition.

Maps are linear surface brightness in any unit, centred squares of ``2 half_width`` R500 a side. All
maps of a stack are measured at once: what depends on the grid alone is a matrix.
"""

from __future__ import annotations

import numpy as np
from scipy.special import comb

from cinn_clusters.errors import DataError

_APERTURES = np.arange(0.1, 1.0 + 1e-9, 0.05)
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


def morphology(
    maps: np.ndarray, half_width: float = 1.0, *, chunk: int = 256
) -> np.ndarray:
    """Measure maps.

    Args:
        maps: Surface brightness, (N, H, H), finite; what is negative after a background was
            subtracted counts as zero.
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
        raise DataError("half_width", "at least 1 R500", half_width)
    is_bad = ~np.isfinite(maps).all((1, 2))
    if is_bad.any():
        got = f"{is_bad.sum()} maps with NaN or infinity"
        raise DataError("maps", "finite values", got, f"first map {is_bad.argmax()}")

    # in chunks, to bound the memory
    grid = _Grid(maps.shape[1], half_width)
    parts = [np.empty((0, len(MORPHOLOGY)))]
    for start in range(0, len(maps), chunk):
        stack = maps[start : start + chunk]
        parts.append(_measure(stack, grid, start))
    return np.concatenate(parts)


class _Grid:
    """Coordinates of the pixels [R500] and masks of apertures, pixels flattened."""

    def __init__(self, size: int, half_width: float) -> None:
        self.pixel = 2.0 * half_width / size
        centres = (np.arange(size) + 0.5) * self.pixel - half_width
        y, x = np.meshgrid(centres, centres, indexing="ij")

        # Pixels flattened, (H*H,)
        self.x = x.ravel()
        self.y = y.ravel()
        self.radius = np.hypot(self.x, self.y)
        self.inside = self.radius <= 1.0
        (self.disc,) = self.within(np.ones(1))

    def within(self, radii: np.ndarray) -> np.ndarray:
        """Return the share of each pixel inside each radius, (A, H*H): edges are one pixel soft."""
        depth = np.subtract.outer(radii, self.radius)
        pixels = depth / self.pixel
        share: np.ndarray = np.clip(pixels + 0.5, 0.0, 1.0)
        return share


def _measure(maps: np.ndarray, grid: _Grid, first: int) -> np.ndarray:
    """Measure maps, the first of which has the number ``first``; (N, 11)."""
    light = np.maximum(maps.reshape(len(maps), -1), 0.0)  # (N, H*H)
    is_dark = light @ grid.disc <= 0.0
    if is_dark.any():
        number = first + is_dark.argmax()
        raise DataError("maps", "light within R500", "none", f"map {number}")

    # Flux within apertures, (N,) each
    apertures = grid.within(np.array([0.05, 0.1, 0.5, 1.0]))
    fluxes = light @ apertures.T
    flux_005, flux_01, flux_05, flux_1 = fluxes.T

    inner = light[:, grid.inside]
    columns = {
        "concentration": flux_01 / flux_1,
        "cuspiness": flux_005 / flux_05,
        "log_centroid_shift": _centroid_shift(light, grid),
        **_power_ratios(light, grid),
        "asymmetry": _asymmetry(light, grid),
        "gini": _gini(inner),
        "m20": _m20(inner, grid),
        "ellipticity": _ellipticity(light, grid),
    }
    for name, floor in FLOORS.items():
        columns[name] = np.log10(columns[name] + floor)
    return np.stack([columns[name] for name in MORPHOLOGY], 1)


def _centroids(light: np.ndarray, grid: _Grid, radii: np.ndarray) -> np.ndarray:
    """Return the centroid of the light in each aperture, (N, A, 2)."""
    masks = grid.within(radii)  # (A, H*H)
    flux = light @ masks.T  # (N, A)
    moment_x = light @ (masks * grid.x).T
    moment_y = light @ (masks * grid.y).T
    moments = np.stack([moment_x, moment_y], -1)
    divisor = np.maximum(flux, 1e-300)
    centroids: np.ndarray = moments / divisor[..., None]
    return centroids


def _centroid_shift(light: np.ndarray, grid: _Grid) -> np.ndarray:
    """Return the standard deviation over apertures of the distance of the centroid [R500].

    The distance is that from the centre of the map (Poole+06, eq. 7).
    """
    centroids = _centroids(light, grid, _APERTURES)
    distance = np.linalg.norm(centroids, axis=2)
    shift: np.ndarray = distance.std(1, ddof=1)
    return shift


def _power_ratios(light: np.ndarray, grid: _Grid) -> dict[str, np.ndarray]:
    """Return P1/P0 ... P4/P0 within R500 (Buote & Tsai 1995, eqs. 12-16).

    P1 would vanish about the centroid and is taken about the centre of the map, the others about
    the centroid.
    """
    # Moments a_k + i b_k about the centre of the map, (N,) each
    flux = light @ grid.disc
    z = grid.x + 1j * grid.y
    moments = [light @ (grid.disc * z**k) for k in range(5)]

    # From the centre to the centroid
    x, y = _centroid(light, grid)
    shift = -(x + 1j * y)
    moved = {1: moments[1]}
    for m in (2, 3, 4):
        # binomial theorem: (z + shift)^m
        moved[m] = sum(
            comb(m, k) * moment * shift ** (m - k)
            for k, moment in enumerate(moments[: m + 1])
        )

    ratios = {}
    for m, moment in moved.items():
        # R = 1; P0 = (a_0 ln R)^2 with the logarithm dropped
        amplitude = np.abs(moment / flux)
        ratios[f"log_p{m}"] = amplitude**2 / (2.0 * m**2)
    return ratios


def _centroid(light: np.ndarray, grid: _Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of the centroid of the light within R500 [R500], (N,) each."""
    centroids = _centroids(light, grid, np.ones(1))
    x, y = centroids[:, 0].T
    return x, y


def _asymmetry(light: np.ndarray, grid: _Grid) -> np.ndarray:
    """Return the sum of |map - map turned by 180 degrees| over twice the light, within R500."""
    turned = light[:, ::-1]  # the grid is symmetric about its centre
    difference = np.abs(light - turned) @ grid.disc
    flux = light @ grid.disc
    asymmetry: np.ndarray = difference / (2.0 * flux)
    return asymmetry


def _gini(light: np.ndarray) -> np.ndarray:
    """Return the Gini coefficient of the pixel values (Lotz+04, eq. 6)."""
    _, num = light.shape
    weights = 2.0 * np.arange(1, num + 1) - num - 1.0
    weighted = np.sort(light, axis=1) @ weights
    mean = light.mean(1)
    gini: np.ndarray = weighted / (mean * num * (num - 1))
    return gini


def _m20(light: np.ndarray, grid: _Grid) -> np.ndarray:
    """Return log10 of the second moment of the brightest 20 % of the light over that of all.

    See Lotz+04, eq. 8.
    """
    x = grid.x[grid.inside]
    y = grid.y[grid.inside]
    flux = light.sum(1, keepdims=True)  # (N, 1)

    # Second moment of each pixel about the centroid, (N, pixels)
    centre_x = (light @ x)[:, None] / flux
    centre_y = (light @ y)[:, None] / flux
    squared_distance = (x - centre_x) ** 2 + (y - centre_y) ** 2
    moment = light * squared_distance

    # Brightest first; the pixel that crosses 20 % still counts.
    order = np.argsort(-light, axis=1, kind="stable")
    ordered = np.take_along_axis(light, order, 1)
    brighter = np.cumsum(ordered, 1) - ordered
    is_bright = brighter < 0.2 * flux
    ordered_moment = np.take_along_axis(moment, order, 1)
    brightest = np.where(is_bright, ordered_moment, 0.0).sum(1)

    # a single bright pixel has no moment
    numerator = np.maximum(brightest, 1e-300)
    denominator = np.maximum(moment.sum(1), 1e-300)
    m20: np.ndarray = np.log10(numerator / denominator).clip(-6.0)
    return m20


def _ellipticity(light: np.ndarray, grid: _Grid) -> np.ndarray:
    """Return one minus the axis ratio of the second moments within R500 about the centroid."""
    flux = light @ grid.disc
    x, y = _centroid(light, grid)

    def central_moment(product: np.ndarray, mean_product: np.ndarray) -> np.ndarray:
        raw = light @ product / flux
        central: np.ndarray = raw - mean_product
        return central

    xx = central_moment(grid.disc * grid.x**2, x**2)
    yy = central_moment(grid.disc * grid.y**2, y**2)
    xy = central_moment(grid.disc * grid.x * grid.y, x * y)

    # Eigenvalues of the tensor of moments: mean -+ split
    mean = 0.5 * (xx + yy)
    half_difference = 0.5 * (xx - yy)
    split = np.hypot(half_difference, xy)
    minor = np.maximum(mean - split, 0.0)
    major = np.maximum(mean + split, 1e-300)
    axis_ratio: np.ndarray = np.sqrt(minor / major)
    return 1.0 - axis_ratio
