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
        centre_x, centre_y = centre
        distance: np.ndarray = np.hypot(self.x - centre_x, self.y - centre_y)
        return distance

    def along(
        self, origin: np.ndarray, direction: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return each pixel's coordinates along and across a unit vector (2,) from a point (2,)."""
        origin_x, origin_y = origin
        x = self.x - origin_x
        y = self.y - origin_y

        cosine, sine = direction
        along = x * cosine + y * sine
        across = y * cosine - x * sine
        return along, across

    def elliptical(
        self, centre: np.ndarray, direction: np.ndarray, axis_ratio: float
    ) -> np.ndarray:
        """Return the radius of the ellipse of the same area through each pixel.

        The major axis is along a unit vector (2,).
        """
        along, across = self.along(centre, direction)
        stretch = np.sqrt(axis_ratio)
        radius: np.ndarray = np.hypot(along * stretch, across / stretch)
        return radius


def make_plane(size: int, half_width: float) -> Plane:
    """Return a grid of ``size`` pixels a side whose edges are at +-``half_width`` [R500]."""
    fractions = (np.arange(size) + 0.5) / size
    centres = fractions * 2.0 * half_width - half_width
    x, y = np.meshgrid(centres, centres)
    return Plane(x, y)


def beta_profile(radius: np.ndarray, core: float, power: float) -> np.ndarray:
    """Return (1 + (r / core)^2)^power (Cavaliere & Fusco-Femiano 1976)."""
    scaled = radius / core
    profile: np.ndarray = (1.0 + scaled**2) ** power
    return profile


def cut_off(radius: np.ndarray, edge: float | np.ndarray, power: int = 4) -> np.ndarray:
    """Return exp(-(r / edge)^power), which ends a profile at its edge."""
    scaled = radius / edge
    factor: np.ndarray = np.exp(-(scaled**power))
    return factor


def gaussian_exponent(offset: np.ndarray, width: float | np.ndarray) -> np.ndarray:
    """Return -(offset / width)^2 / 2."""
    scaled = offset / width
    exponent: np.ndarray = -0.5 * scaled**2
    return exponent


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
    power = 0.5 - 3.0 * slope
    inner = beta_profile(radius, core, power)

    # second factor of Vikhlinin+06, eq. 3, whose gamma is 3
    scaled = radius / outskirts
    outer = (1.0 + scaled**3) ** (-_STEEPENING / 3.0)
    brightness: np.ndarray = inner * outer
    return brightness


def cool_core(radius: np.ndarray, size: float = COOL_CORE) -> np.ndarray:
    """Return the bright centre of a relaxed cluster, one at its peak.

    Together with the halo it is a double-beta model (Mohr+99, astro-ph/9901281).
    """
    return beta_profile(radius, size, -1.8)


def stripped_tail(
    plane: Plane, head: np.ndarray, motion: np.ndarray, length: float, width: float
) -> np.ndarray:
    """Return the gas left behind a subcluster at ``head`` (2,) that moves along a unit vector (2,).

    It is brightest behind the head, and wider farther off.
    """
    along, across = plane.along(head, motion)

    # The tail spreads as it falls behind; the light of a slice is conserved.
    behind = np.maximum(-along, 0.0)
    spread = width * (1.0 + 0.8 * behind / length)
    dilution = width / spread
    along_tail = -behind / length
    across_tail = gaussian_exponent(across, spread)
    tail = np.exp(along_tail + across_tail) * dilution

    # Ahead of the head the gas ends in a round cap.
    along_cap = gaussian_exponent(along, width)
    across_cap = gaussian_exponent(across, width)
    cap = np.exp(along_cap + across_cap)

    brightness: np.ndarray = np.where(along < 0.0, tail, cap)
    return brightness


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

    # strongest in the direction of motion, absent behind
    cosine = along / np.maximum(distance, 1e-6)
    ahead = np.clip(cosine, 0.0, None) ** 2

    # an edge as sharp as a pixel
    depth = radius - distance
    inside = np.clip(depth / 0.015 + 0.5, 0.0, 1.0)

    # the compressed gas expands again behind the front
    fading_length = 0.35 * radius
    fading = np.exp(-np.maximum(depth, 0.0) / fading_length)

    factor: np.ndarray = 1.0 + jump * ahead * inside * fading
    return factor


def sloshing_spiral(
    plane: Plane, phase: float, reach: float, strength: float, handedness: float
) -> np.ndarray:
    """Return the factor of a sloshing core: a spiral of brighter gas with a sharp outer edge.

    The pattern of cold fronts grows outwards with time (Ascasibar & Markevitch 2006,
    astro-ph/0603246).
    """
    radius = np.hypot(plane.x, plane.y)
    angle = np.arctan2(plane.y, plane.x)

    # logarithmic spiral: the angle advances with log r
    log_radius = np.log(np.maximum(radius, 1e-3))
    winding = handedness * angle - 2.0 * log_radius - phase
    turns = winding / (2.0 * np.pi)

    # a saw rises slowly and falls at an edge, the cold front
    saw = np.mod(turns, 1.0) - 0.5
    amplitude = strength * saw
    factor: np.ndarray = 1.0 + amplitude * cut_off(radius, reach)
    return factor


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
    lowest = 1.0 / size

    # Wave numbers of the half plane that a real field needs, (size, size // 2 + 1) [1 / px]
    rows = np.fft.fftfreq(size)
    columns = np.fft.rfftfreq(size)
    k = np.hypot(*np.meshgrid(rows, columns, indexing="ij"))

    # The amplitude is the root of the power; the mean (k = 0) is left out.
    power_law = np.maximum(k, lowest) ** (-slope / 2)
    amplitude = np.where(k > lowest / 2, power_law, 0.0)
    amplitude *= np.exp(-0.5 * (k * smallest) ** 2)

    # White noise, coloured in Fourier space
    white = rng.normal(size=shape)
    noise = np.fft.rfft2(white)
    field = np.fft.irfft2(noise * amplitude, shape)
    normalised: np.ndarray = field / field.std()
    return normalised
