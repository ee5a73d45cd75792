"""Building blocks of an X-ray map: haloes, tails, fronts and turbulence as functions on a plane, lengths in R500.

Planes are (H, W) arrays of x and y; a position or direction is a pair. Everything returns surface
brightness relative to the centre of the main halo, or a factor to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CORE, SLOPE, STEEPENING = 0.15, 0.68, 1.6
"""Core radius [R500], beta, and outer steepening of the surface brightness (Vikhlinin+06,
astro-ph/0507092, eq. 3)."""
COOL_CORE = 0.035
"""Radius of the second beta component, the cool core [R500]."""


@dataclass(frozen=True)
class Plane:
    """A square grid.

    Args:
        x: Abscissa of each pixel [R500], (H, W).
        y: Ordinate [R500], (H, W).
    """

    x: np.ndarray
    y: np.ndarray

    def radius(self, at: np.ndarray) -> np.ndarray:
        """Distance of each pixel from a point (2,)."""
        return np.asarray(np.hypot(self.x - at[0], self.y - at[1]))

    def along(self, at: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates of each pixel along a unit vector (2,) from a point (2,), and across it."""
        x, y = self.x - at[0], self.y - at[1]
        return x * direction[0] + y * direction[1], y * direction[0] - x * direction[1]

    def elliptical(self, at: np.ndarray, direction: np.ndarray, axis_ratio: float) -> np.ndarray:
        """Radius of the ellipse through each pixel, its major axis along a unit vector; the area
        is kept.
        """
        along, across = self.along(at, direction)
        return np.asarray(np.hypot(along * np.sqrt(axis_ratio), across / np.sqrt(axis_ratio)))


def make_plane(size: int, half_width: float) -> Plane:
    """Grid of ``size`` pixels a side whose edges are at +-``half_width`` [R500]."""
    centres = (np.arange(size) + 0.5) / size * 2.0 * half_width - half_width
    x, y = np.meshgrid(centres, centres)
    return Plane(x, y)


def beta_halo(
    radius: np.ndarray, core: float, slope: float = SLOPE, outskirts: float = 1.0
) -> np.ndarray:
    """Surface brightness of gas in equilibrium, one at the centre.

    Args:
        radius: Distance from its centre.
        core: Core radius.
        slope: beta (Cavaliere & Fusco-Femiano 1976).
        outskirts: Radius at which it steepens (Vikhlinin+06, eq. 3).
    """
    inner = (1.0 + (radius / core) ** 2) ** (0.5 - 3.0 * slope)
    return np.asarray(inner * (1.0 + (radius / outskirts) ** 3) ** (-STEEPENING / 3.0))


def cool_core(radius: np.ndarray, size: float = COOL_CORE) -> np.ndarray:
    """The bright centre of a relaxed cluster, one at its peak (double-beta model: Mohr+99,
    astro-ph/9901281).
    """
    return np.asarray((1.0 + (radius / size) ** 2) ** -1.8)


def stripped_tail(
    plane: Plane, head: np.ndarray, motion: np.ndarray, length: float, width: float
) -> np.ndarray:
    """Gas left behind a subcluster that moves along a unit vector: brightest behind the head,
    wider farther off.
    """
    along, across = plane.along(head, motion)
    behind = np.maximum(-along, 0.0)
    spread = width * (1.0 + 0.8 * behind / length)
    profile = np.exp(-behind / length - 0.5 * (across / spread) ** 2) * (width / spread)
    return np.asarray(
        np.where(
            along < 0.0, profile, np.exp(-0.5 * (along / width) ** 2 - 0.5 * (across / width) ** 2)
        )
    )


def shock_front(
    plane: Plane, at: np.ndarray, motion: np.ndarray, radius: float, jump: float
) -> np.ndarray:
    """Factor of a bow shock: ``1 + jump`` just inside an arc about ``at``, ahead along ``motion``; fades inwards.

    Args:
        plane: Where.
        at: Centre of curvature, (2,).
        motion: Unit vector, (2,).
        radius: Of the arc.
        jump: Rise of the surface brightness across it.
    """
    along, across = plane.along(at, motion)
    distance = np.hypot(along, across)
    ahead = np.clip(along / np.maximum(distance, 1e-6), 0.0, None) ** 2
    inside = np.clip((radius - distance) / 0.015 + 0.5, 0.0, 1.0)  # an edge as sharp as a pixel
    return np.asarray(
        1.0 + jump * ahead * inside * np.exp(-np.maximum(radius - distance, 0.0) / (0.35 * radius))
    )


def sloshing_spiral(
    plane: Plane, phase: float, reach: float, strength: float, handedness: float
) -> np.ndarray:
    """Factor of a sloshing core: a spiral of brighter gas with a sharp outer edge, out to ``reach``.

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
    """Gaussian random field of unit variance with a power-law spectrum, (size, size).

    Args:
        size: Pixels a side.
        rng: Source of randomness.
        slope: Power falls as k^-slope (projected density of Kolmogorov-like turbulence).
        smallest: Scale that is left [px].
    """
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.rfftfreq(size), indexing="ij"))
    amplitude = np.where(k > 1.0 / size / 2, np.maximum(k, 1.0 / size) ** (-slope / 2), 0.0)
    amplitude *= np.exp(-0.5 * (k * smallest) ** 2)
    field = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(size, size))) * amplitude, (size, size))
    return np.asarray(field / field.std())
