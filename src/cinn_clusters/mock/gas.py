"""Building blocks of an X-ray map: haloes, tails, fronts and turbulence on a plane.

Lengths are in R500; planes are (H, W) arrays of x and y; a position or direction is a pair.
Everything returns surface brightness relative to the centre of the main halo, or a factor to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CORE, SLOPE, _STEEPENING = 0.15, 0.68, 1.6
"""Core radius [R500], beta, and outer steepening (Vikhlinin+06, astro-ph/0507092, eq. 3)."""
COOL_CORE = 0.035
"""Radius of the second beta component, the cool core [R500]."""


@dataclass(frozen=True, eq=False)
class Plane:
    """Coordinates of the pixels of a square grid [R500], (H, W) each."""

    x: np.ndarray
    y: np.ndarray

    def radius(self, centre: np.ndarray) -> np.ndarray:
        """Return the distance of each pixel from a point (2,)."""
        x, y = centre
        return np.asarray(np.hypot(self.x - x, self.y - y))

    def along(
        self, origin: np.ndarray, direction: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return each pixel's coordinates along and across a unit vector (2,) from a point (2,)."""
        x, y = self.x - origin[0], self.y - origin[1]
        cosine, sine = direction
        return x * cosine + y * sine, y * cosine - x * sine

    def elliptical(
        self, centre: np.ndarray, direction: np.ndarray, axis_ratio: float
    ) -> np.ndarray:
        """Return the radius of the ellipse of the same area through each pixel.

        The major axis is along a unit vector (2,).
        """
        along, across = self.along(centre, direction)
        stretch = np.sqrt(axis_ratio)
        return np.asarray(np.hypot(along * stretch, across / stretch))


def make_plane(size: int, half_width: float) -> Plane:
    """Return a grid of ``size`` pixels a side whose edges are at +-``half_width`` [R500]."""
    centres = (np.arange(size) + 0.5) / size * 2.0 * half_width - half_width
    x, y = np.meshgrid(centres, centres)
    return Plane(x, y)


def beta_halo(
    radius: np.ndarray, core: float, slope: float = SLOPE, outskirts: float = 1.0
) -> np.ndarray:
    """Return the surface brightness of gas in equilibrium, one at the centre.

    Args:
        radius: Distance from its centre.
        core: Core radius.
        slope: beta (Cavaliere & Fusco-Femiano 1976).
        outskirts: Radius at which it steepens (Vikhlinin+06, eq. 3).
    """
    inner = (1.0 + (radius / core) ** 2) ** (0.5 - 3.0 * slope)
    outer = (1.0 + (radius / outskirts) ** 3) ** (-_STEEPENING / 3.0)
    return np.asarray(inner * outer)


def cool_core(radius: np.ndarray, size: float = COOL_CORE) -> np.ndarray:
    """Return the bright centre of a relaxed cluster, one at its peak.

    Together with the halo it is a double-beta model (Mohr+99, astro-ph/9901281).
    """
    return np.asarray((1.0 + (radius / size) ** 2) ** -1.8)


def stripped_tail(
    plane: Plane, head: np.ndarray, motion: np.ndarray, length: float, width: float
) -> np.ndarray:
    """Return the gas left behind a subcluster at ``head`` (2,) that moves along a unit vector (2,).

    It is brightest behind the head, and wider farther off.
    """
    along, across = plane.along(head, motion)
    behind = np.maximum(-along, 0.0)
    spread = width * (1.0 + 0.8 * behind / length)
    tail = np.exp(-behind / length - 0.5 * (across / spread) ** 2) * (width / spread)
    cap = np.exp(-0.5 * (along / width) ** 2 - 0.5 * (across / width) ** 2)
    return np.where(along < 0.0, tail, cap)


def shock_front(
    plane: Plane, centre: np.ndarray, motion: np.ndarray, radius: float, jump: float
) -> np.ndarray:
    """Return the factor of a bow shock: ``1 + jump`` just inside an arc, fading inwards.

    Args:
        plane: Pixels.
        centre: Centre of curvature, (2,).
        motion: Unit vector towards the middle of the arc, (2,).
        radius: Radius of the arc.
        jump: Rise of the surface brightness across it.
    """
    along, across = plane.along(centre, motion)
    distance = np.hypot(along, across)
    ahead = np.clip(along / np.maximum(distance, 1e-6), 0.0, None) ** 2
    inside = np.clip(
        (radius - distance) / 0.015 + 0.5, 0.0, 1.0
    )  # an edge as sharp as a pixel
    fading = np.exp(-np.maximum(radius - distance, 0.0) / (0.35 * radius))
    return np.asarray(1.0 + jump * ahead * inside * fading)


def sloshing_spiral(
    plane: Plane, phase: float, reach: float, strength: float, handedness: float
) -> np.ndarray:
    """Return the factor of a sloshing core: a spiral of brighter gas with a sharp outer edge.

    The pattern of cold fronts grows outwards with time (Ascasibar & Markevitch 2006,
    astro-ph/0603246).
    """
    radius, angle = np.hypot(plane.x, plane.y), np.arctan2(plane.y, plane.x)
    turns = handedness * angle - 2.0 * np.log(np.maximum(radius, 1e-3)) - phase
    saw = np.mod(turns / (2.0 * np.pi), 1.0) - 0.5  # rises slowly, falls at an edge
    return np.asarray(1.0 + strength * saw * np.exp(-((radius / reach) ** 4)))


def turbulence(
    size: int, rng: np.random.Generator, *, slope: float = 3.0, smallest: float = 2.0
) -> np.ndarray:
    """Draw a Gaussian random field of unit variance with a power-law spectrum, (size, size).

    Args:
        size: Pixels a side.
        rng: Source of randomness.
        slope: Power falls as k^-slope (projected density of Kolmogorov-like turbulence).
        smallest: Smallest scale that is left [px].
    """
    shape = (size, size)
    frequencies = np.fft.fftfreq(size), np.fft.rfftfreq(size)
    k = np.hypot(*np.meshgrid(*frequencies, indexing="ij"))
    power_law = np.maximum(k, 1.0 / size) ** (-slope / 2)
    amplitude = np.where(k > 1.0 / size / 2, power_law, 0.0)
    amplitude *= np.exp(-0.5 * (k * smallest) ** 2)
    noise = np.fft.rfft2(rng.normal(size=shape))
    field = np.fft.irfft2(noise * amplitude, shape)
    return np.asarray(field / field.std())
