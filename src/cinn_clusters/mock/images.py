"""X-ray maps of mock clusters: each shows the cluster's own history along one of three axes.

What is drawn and from which numbers is described in docs/mock.md. Lengths are in R500 at the
snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cinn_clusters.mock.encounters import MIXING_TIME, Encounter, encounters_at
from cinn_clusters.mock.gas import (
    COOL_CORE,
    CORE,
    SLOPE,
    Plane,
    beta_halo,
    cool_core,
    make_plane,
    shock_front,
    sloshing_spiral,
    stripped_tail,
    turbulence,
)
from cinn_clusters.mock.histories import REDSHIFTS, History

HALF_WIDTH = 1.5
"""The map reaches so many R500 from the centre."""
_STRIPPING_TIME, _SLOSHING_TIME, _COOLING_TIME = 1.2, 6.0, 3.0
"""A subcluster loses its gas, sloshing dies and a cool core returns, each in so long [Gyr]
(ZuHone 2011, arXiv:1004.3820; Poole+06, astro-ph/0608560; Ascasibar & Markevitch 2006,
astro-ph/0603246)."""
_LOG_GAS_FRACTION = -0.71
"""log10 of gas mass over M500 of a cluster without infall (mock/observables.py)."""
_SKY = 1e-6
"""Surface brightness of the sky, relative to the main halo's centre."""


@dataclass(frozen=True, eq=False)
class Substructure:
    """What a cluster keeps over its snapshots: the shape of its halo, filaments and clumps."""

    long_axis: np.ndarray  # unit vector, (3,)
    axis_ratio: float
    filaments: np.ndarray  # unit vectors, (3, 3)
    clumps: np.ndarray  # position (3), size and brightness, (C, 5)


@dataclass(frozen=True, eq=False)
class View:
    """A plane that is seen along one axis of the box."""

    plane: Plane
    axis: int
    substructure: Substructure

    def project(self, vector: np.ndarray) -> np.ndarray:
        """Return the two components of a vector (..., 3) in the plane."""
        return np.delete(vector, self.axis, axis=-1)

    def facing(self, normal: np.ndarray) -> float:
        """Return the cosine between the line of sight and a normal (3,), signed by its side.

        The plane keeps the order of the axes, so the middle one is looked at from behind.
        """
        cosine = float(normal[self.axis])
        return -cosine if self.axis == 1 else cosine


def draw_maps(
    history: History,
    log_gas: np.ndarray,
    rng: np.random.Generator,
    *,
    size: int = 128,
    num_projections: int = 3,
) -> np.ndarray:
    """Draw the maps of one cluster at its eight snapshots.

    Args:
        history: Growth and collisions.
        log_gas: log10 of its gas mass [Msun] at each, (8,).
        rng: Source of randomness; what it decides (orientations, substructure) is kept over
            snapshots.
        size: Pixels a side.
        num_projections: Views along the first so many axes of the box, at most 3.

    Returns:
        log10 surface brightness, relative to a cluster of 10^14.4 Msun at its centre, (8, P, size,
        size).
    """
    axes = np.array([_directions(rng) for _ in history.age]).reshape(-1, 2, 3)
    substructure = _draw_substructure(rng)
    plane = make_plane(size, HALF_WIDTH)
    levels = _central_brightness(history.log_mass, log_gas, REDSHIFTS)
    maps = np.empty((len(REDSHIFTS), num_projections, size, size), np.float32)
    for snapshot, level in enumerate(levels):
        encounters = encounters_at(history, snapshot, axes)
        for projection in range(num_projections):
            view = View(plane, projection, substructure)
            brightness = level * (_brightness(view, encounters, rng) + _SKY)
            maps[snapshot, projection] = np.log10(brightness)
    return maps


def _central_brightness(
    log_mass: np.ndarray, log_gas: np.ndarray, redshift: np.ndarray
) -> np.ndarray:
    """Return the gas density squared times the length of the path, the cluster's size."""
    log_density = log_gas - log_mass - _LOG_GAS_FRACTION
    log_level = 2.0 * log_density + (log_mass - 14.4) / 3.0
    return np.asarray(10.0**log_level * (1.0 + redshift) ** 3)


def _directions(rng: np.random.Generator) -> np.ndarray:
    """Draw two perpendicular unit vectors, of an infall and its pericentre, (2, 3)."""
    first, second = rng.normal(size=(2, 3))
    first /= np.linalg.norm(first)
    second -= first * (first @ second)
    return np.stack([first, second / np.linalg.norm(second)])


def _draw_substructure(rng: np.random.Generator) -> Substructure:
    """Draw what a cluster keeps.

    Axis ratios follow Allgood+06 (astro-ph/0508497; gas is rounder); clumps crowd along filaments.
    """
    long_axis = _directions(rng)[0]
    axis_ratio = float(np.clip(rng.normal(0.87, 0.06), 0.6, 1.0))
    filaments = np.stack([_directions(rng)[0] for _ in range(3)])
    num = rng.poisson(5)
    position = filaments[rng.integers(len(filaments), size=num)]
    position = position + rng.normal(0.0, 0.35, (num, 3))
    distance = rng.uniform(0.5, 2.4, num)
    position *= (distance / np.linalg.norm(position, axis=1))[:, None]
    size = 0.02 + 0.03 * rng.random(num)
    brightness = 10.0 ** rng.uniform(-3.6, -1.8, num)
    clumps = np.column_stack([position, size, brightness])
    return Substructure(long_axis, axis_ratio, filaments, clumps)


def _brightness(
    view: View, encounters: list[Encounter], rng: np.random.Generator
) -> np.ndarray:
    """Return the surface brightness (H, H) of all gas, relative to the main halo's centre."""
    plane, size = view.plane, len(view.plane.x)
    stirred = _stirring(encounters)
    centre = view.project(_recoil(encounters))
    direction, axis_ratio = _elongation(view, encounters)
    radius = plane.elliptical(centre, direction, axis_ratio)
    lopsidedness = 0.15 * np.minimum(radius, 1.5)  # the more, the farther out
    radius = radius * np.exp(lopsidedness * turbulence(size, rng, slope=4.5))
    edge = 1.6 * (1.0 + 0.1 * turbulence(size, rng))  # accretion shock, ragged
    main = beta_halo(radius, CORE * (1.0 + 0.8 * stirred), SLOPE)
    peak = 6.0 * (1.0 - stirred) ** 2
    main = main + peak * cool_core(plane.radius(centre), COOL_CORE)
    for encounter in encounters:
        main = main * _fronts(view, encounter)
    outskirts = 2e-5 * np.exp(-((radius / (1.3 * edge)) ** 3))
    total = main * np.exp(-((radius / edge) ** 4)) + outskirts
    for encounter in encounters:
        total = total + _subcluster(view, encounter)
    total = total + _infalling_gas(view)
    roughness = 0.03 + 0.07 * stirred + 0.07 * np.minimum(radius, 2.0)
    return np.asarray(total * np.exp(roughness * turbulence(size, rng)))


def _stirring(encounters: list[Encounter]) -> float:
    """Return how far from rest the core is, in [0, 1], by strong, close and recent collisions."""
    total = 0.0
    for encounter in encounters:
        if encounter.since > -0.1:
            closeness = np.exp(-encounter.pericentre / 0.6)
            strength = 1.8 * encounter.ratio**0.35 * closeness
            total += strength * encounter.decay(_COOLING_TIME)
    return float(1.0 - np.exp(-total))


def _recoil(encounters: list[Encounter]) -> np.ndarray:
    """Return the offset of the main gas from the centre after collisions [R500], (3,)."""
    offset = np.zeros(3)
    for encounter in encounters:
        if encounter.since > 0.0:
            amplitude = 0.35 * encounter.ratio**0.8 * encounter.decay(MIXING_TIME)
            offset = (
                offset
                + amplitude * np.sin(2.2 * encounter.since + 0.3) * encounter.axis
            )
    return offset


def _elongation(view: View, encounters: list[Encounter]) -> tuple[np.ndarray, float]:
    """Return the long axis in the plane (2,) and the axis ratio of the main halo.

    Its own shape is stretched along recent infalls.
    """
    halo = view.substructure
    long_axis = view.project(halo.long_axis)
    tensor = (1.0 / halo.axis_ratio - 1.0) * np.outer(long_axis, long_axis)
    for encounter in encounters:
        if encounter.since > 0.0:
            pull = 1.2 * encounter.ratio**0.7 * encounter.decay(MIXING_TIME)
            infall = view.project(encounter.axis)
            tensor = tensor + pull * np.outer(infall, infall)
    values, vectors = np.linalg.eigh(np.eye(2) + tensor)
    return np.asarray(vectors[:, 1]), float(np.clip(values[0] / values[1], 0.35, 1.0))


def _fronts(view: View, encounter: Encounter) -> np.ndarray:
    """Return the factor of the shock ahead of a subcluster and of cold fronts in the core."""
    since, mach = encounter.since, encounter.mach
    factor = np.ones_like(view.plane.x)
    if since <= 0.0:
        return factor
    motion = view.project(encounter.axis)
    tilt = float(np.linalg.norm(motion))
    if since < 2.5 and mach > 1.0:
        strength = 2.0 * min(mach - 1.0, 2.0) * encounter.ratio**0.4
        jump = strength * encounter.decay(1.5) * tilt**2
        reach = 0.15 + 0.6 * since * mach**0.5
        direction = motion / max(tilt, 1e-6)
        factor = factor * shock_front(view.plane, np.zeros(2), direction, reach, jump)
    if since > 0.2:
        offset = min(encounter.pericentre / 0.1, 1.0)
        strength = 1.6 * encounter.ratio**0.3 * offset * encounter.decay(_SLOSHING_TIME)
        factor = factor * sloshing(
            view, encounter, strength * (1.0 - np.exp(-since / 0.4))
        )
    return factor


def sloshing(view: View, encounter: Encounter, strength: float) -> np.ndarray:
    """Return the factor (H, H) of gas that sloshes in the plane of the orbit.

    It is a spiral from above, and faint blurred arcs from the side.
    """
    since, normal = encounter.since, encounter.normal
    facing = view.facing(normal)
    nodes = np.cross(
        normal, np.eye(3)[view.axis]
    )  # the orbit's plane meets that of the sky
    length = float(np.linalg.norm(nodes))
    # seen from right above, any direction in the plane will do
    nodes = nodes / length if length > 1e-9 else encounter.axis
    along, across = view.plane.along(np.zeros(2), view.project(nodes))
    above = Plane(along, across / max(abs(facing), 0.4))
    sine = encounter.axis @ np.cross(normal, nodes)
    infall_angle = np.arctan2(sine, encounter.axis @ nodes)
    visible = strength * (0.25 + 0.75 * facing**2)
    handedness = 1.0 if facing >= 0.0 else -1.0
    phase, reach = 1.8 * since + infall_angle, 0.2 + 0.17 * since
    return sloshing_spiral(above, phase, reach, visible, handedness)


def _subcluster(view: View, encounter: Encounter) -> np.ndarray:
    """Return a subcluster's gas and its tail: whole before pericentre, stripped and mixed after."""
    centre, motion = view.project(encounter.position), view.project(encounter.motion)
    tilt = float(np.linalg.norm(motion))
    scale = encounter.ratio ** (1.0 / 3.0)
    bound = encounter.decay(_STRIPPING_TIME)
    stripped = (1.0 - bound) * encounter.decay(MIXING_TIME)
    radius = view.plane.radius(centre)
    core = 3.0 * cool_core(radius, COOL_CORE * scale**0.5)
    gas = bound * scale * (beta_halo(radius, CORE * scale, SLOPE, scale) + core)
    gas = gas * np.exp(-((radius / (1.5 * scale)) ** 4))
    if tilt < 1e-3 or stripped < 1e-3:
        return np.asarray(gas)
    length = (0.25 + 0.3 * min(encounter.since, 2.0)) * tilt * scale
    width = 0.12 * scale + 0.04
    tail = stripped_tail(view.plane, centre, motion / tilt, max(length, 0.05), width)
    return np.asarray(gas + 0.5 * stripped * scale * tail)


def _infalling_gas(view: View) -> np.ndarray:
    """Return the surface brightness of filaments and of small clumps."""
    total = np.zeros_like(view.plane.x)
    for filament in view.substructure.filaments:
        direction = view.project(filament)
        tilt = float(np.linalg.norm(direction))
        along, across = view.plane.along(np.zeros(2), direction / tilt)
        width = 0.12 + 0.14 * np.maximum(along, 0.0)
        profile = 3e-3 * tilt * np.exp(-0.5 * (across / width) ** 2)
        total += profile * np.clip(along, 0.0, 1.0) ** 2 / (1.0 + along**2)
    for *position, size, brightness in view.substructure.clumps:
        radius = view.plane.radius(view.project(np.array(position)))
        total += brightness * (1.0 + (radius / size) ** 2) ** -1.5
    return total
