"""X-ray maps of embedded clusters: each is an image of the cluster's own history, seen along three axes.

What is drawn and from which numbers is described in docs/mock.md. Lengths are in R500 at the
snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cinn_clusters.cosmology import log_radius_crit500
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
from cinn_clusters.mock.histories import GYR_PER_KPC_S, REDSHIFTS, History, since_collision

HALF_WIDTH = 1.5
"""The map reaches so many R500 from the centre."""
AHEAD, BEHIND = 1.5, 9.0
"""Collisions are seen from so long before pericentre [Gyr] until so long after."""
STRIPPING_TIME, MIXING_TIME, SLOSHING_TIME, COOLING_TIME = 1.2, 1.8, 6.0, 3.0
"""A subcluster loses its gas, its remnant fades, sloshing dies and a cool core returns, each in so long [Gyr]
(ZuHone 2011, arXiv:1004.3820; Poole+06, astro-ph/0608560; Ascasibar & Markevitch 2006, astro-ph/0603246)."""
LOG_GAS_FRACTION = -0.71
"""log10 of gas mass over M500 of a cluster without infall (mock/observables.py)."""
FLOOR = 1e-6
"""Surface brightness of the sky, relative to the main halo's centre."""


@dataclass(frozen=True)
class Encounter:
    """One collision as it stands at a snapshot, in three dimensions.

    Args:
        since: Time since pericentre [Gyr]; negative before.
        ratio: Mass ratio.
        position: Of the subcluster from the main cluster [R500], (3,).
        motion: Unit vector of its motion, (3,).
        axis: Unit vector of the infall, (3,).
        normal: Unit vector of the orbit's angular momentum, (3,).
        pericentre: Closest approach [R500].
        mach: Mach number at pericentre.
    """

    since: float
    ratio: float
    position: np.ndarray
    motion: np.ndarray
    axis: np.ndarray
    normal: np.ndarray
    pericentre: float
    mach: float


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
    axes = (
        np.stack([_directions(rng) for _ in history.age])
        if len(history.age)
        else np.empty((0, 2, 3))
    )
    shape, filaments = _shape(rng), np.stack([_directions(rng)[0] for _ in range(3)])
    clumps = _clumps(filaments, rng)
    maps = np.empty((len(REDSHIFTS), num_projections, size, size), np.float32)
    plane = make_plane(size, HALF_WIDTH)
    for snapshot in range(len(REDSHIFTS)):
        encounters = _encounters(history, snapshot, axes)
        level = _level(
            float(history.log_mass[snapshot]), float(log_gas[snapshot]), float(REDSHIFTS[snapshot])
        )
        for projection in range(num_projections):
            view = _View(plane, projection, shape, filaments, clumps)
            brightness = level * (_brightness(view, encounters, rng) + FLOOR)
            maps[snapshot, projection] = np.log10(brightness)
    return maps


def _level(log_mass: float, log_gas: float, redshift: float) -> float:
    """Central brightness: emission goes with the gas density squared, along a path of the
    cluster's size.
    """
    log_density = log_gas - log_mass - LOG_GAS_FRACTION
    return float(10.0 ** (2.0 * log_density + (log_mass - 14.4) / 3.0) * (1.0 + redshift) ** 3)


@dataclass(frozen=True)
class _View:
    """A plane seen along one axis of the box."""

    plane: Plane
    axis: int
    shape: tuple[np.ndarray, float]
    filaments: np.ndarray
    clumps: np.ndarray

    def seen(self, vector: np.ndarray) -> np.ndarray:
        """The two components of a vector (..., 3) in the plane."""
        return np.delete(vector, self.axis, axis=-1)

    def facing(self, normal: np.ndarray) -> float:
        """Cosine between the line of sight and the normal (3,) of a plane; its sign tells which side is seen.

        The plane keeps the order of the axes, so the middle one is looked at from behind.
        """
        return float(normal[self.axis] * (-1.0 if self.axis == 1 else 1.0))


def _directions(rng: np.random.Generator) -> np.ndarray:
    """Two perpendicular unit vectors at random: of the infall and of the pericentre, (2, 3)."""
    first, second = rng.normal(size=(2, 3))
    first /= np.linalg.norm(first)
    second -= first * (first @ second)
    return np.stack([first, second / np.linalg.norm(second)])


def _shape(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Long axis of the main halo and its axis ratio (Allgood+06, astro-ph/0508497; gas is
    rounder).
    """
    return _directions(rng)[0], float(np.clip(rng.normal(0.87, 0.06), 0.6, 1.0))


def _clumps(filaments: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Position (3), size and brightness of small clumps that crowd along filaments, (C, 5)."""
    num = rng.poisson(5)
    along = filaments[rng.integers(len(filaments), size=num)]
    position = along + rng.normal(0.0, 0.35, (num, 3))
    position *= (rng.uniform(0.5, 2.4, num) / np.linalg.norm(position, axis=1))[:, None]
    size, bright = 0.02 + 0.03 * rng.random(num), 10.0 ** rng.uniform(-3.6, -1.8, num)
    return np.column_stack([position, size, bright])


def _encounters(history: History, snapshot: int, axes: np.ndarray) -> list[Encounter]:
    """Collisions that are seen at a snapshot."""
    log_mass = history.log_mass[snapshot : snapshot + 1]
    radius = float(
        10.0 ** log_radius_crit500(log_mass, REDSHIFTS[snapshot])[0] / (1.0 + REDSHIFTS[snapshot])
    )
    sound = 1100.0 * 10.0 ** ((float(log_mass[0]) - 14.7) / 3.0)  # km/s at 5 keV
    found = []
    for number, since in enumerate(since_collision(history.age)[snapshot]):
        if not -AHEAD < since < BEHIND:
            continue
        speed, near = (
            10.0 ** history.log_speed[number],
            10.0 ** history.log_pericentre[number] / radius,
        )
        along, away = _orbit(float(since), speed / GYR_PER_KPC_S / radius, near)
        infall, outward = axes[number]
        step = np.subtract(
            _orbit(float(since) + 0.02, speed / GYR_PER_KPC_S / radius, near), (along, away)
        )
        motion = infall * step[0] + outward * step[1]
        found.append(
            Encounter(
                float(since),
                float(history.ratio[number]),
                infall * along + outward * away,
                motion / np.linalg.norm(motion),
                infall,
                np.cross(infall, outward),
                near,
                speed / sound,
            )
        )
    return found


def _orbit(since: float, speed: float, pericentre: float) -> tuple[float, float]:
    """Position along the infall and across it [R500] of a subcluster that passes, turns and comes back, ever closer.

    Args:
        since: Time since pericentre [Gyr].
        speed: At pericentre [R500 / Gyr].
        pericentre: [R500].
    """
    swing = 1.9 + 0.5 * np.log(max(speed, 0.3))  # first apocentre
    if since < 0.0:
        return -swing * np.tanh(-since * speed / swing) - 0.35 * min(
            -since, 1.5
        ) * speed * 0.3, pericentre
    period = 1.2 * np.pi * swing / speed
    fading = np.exp(-since / MIXING_TIME)
    return swing * fading * float(np.sin(np.pi * since / period)), pericentre * float(
        np.exp(-since / 1.0)
    )


def _brightness(view: _View, encounters: list[Encounter], rng: np.random.Generator) -> np.ndarray:
    """Surface brightness of everything that is seen, relative to the main halo's centre."""
    plane = view.plane
    stirred = _stirring(encounters)
    centre = view.seen(_recoil(encounters))
    direction, axis_ratio = _elongation(view, encounters)
    radius = plane.elliptical(centre, direction, axis_ratio)
    lopsided = (
        0.15 * np.minimum(radius, 1.5) * turbulence(len(radius), rng, slope=4.5)
    )  # the more, the farther out
    radius = radius * np.exp(lopsided)
    edge = 1.6 * (1.0 + 0.1 * turbulence(len(radius), rng))  # accretion shock, ragged
    main = beta_halo(radius, CORE * (1.0 + 0.8 * stirred), SLOPE)
    main = main + 6.0 * (1.0 - stirred) ** 2 * cool_core(plane.radius(centre), COOL_CORE)
    for encounter in encounters:
        main = main * _fronts(view, encounter)
    total = main * np.exp(-((radius / edge) ** 4)) + 2e-5 * np.exp(-((radius / (1.3 * edge)) ** 3))
    for encounter in encounters:
        total = total + _subcluster(view, encounter)
    total = total + _substructure(view)
    rough = 0.03 + 0.07 * stirred + 0.07 * np.minimum(radius, 2.0)
    return np.asarray(total * np.exp(rough * turbulence(len(radius), rng)))


def _stirring(encounters: list[Encounter]) -> float:
    """How far from rest the core is, in [0, 1]: strong and recent collisions of dense cores
    count.
    """
    total = 0.0
    for e in encounters:
        if e.since > -0.1:
            hit = np.exp(-e.pericentre / 0.6)
            total += 1.8 * e.ratio**0.35 * hit * np.exp(-max(e.since, 0.0) / COOLING_TIME)
    return float(1.0 - np.exp(-total))


def _recoil(encounters: list[Encounter]) -> np.ndarray:
    """Offset of the main gas from the centre of the map [R500], (3,): it sloshes after a
    collision.
    """
    offset = np.zeros(3)
    for e in encounters:
        if e.since > 0.0:
            swing = (
                0.35 * e.ratio**0.8 * np.exp(-e.since / MIXING_TIME) * np.sin(2.2 * e.since + 0.3)
            )
            offset = offset + swing * e.axis
    return offset


def _elongation(view: _View, encounters: list[Encounter]) -> tuple[np.ndarray, float]:
    """Long axis in the plane (2,) and axis ratio: the halo's own, stretched along recent
    infalls.
    """
    long, ratio = view.shape
    tensor = (1.0 / ratio - 1.0) * np.outer(view.seen(long), view.seen(long))
    for e in encounters:
        if e.since > 0.0:
            pull = 1.2 * e.ratio**0.7 * np.exp(-e.since / MIXING_TIME)
            tensor = tensor + pull * np.outer(view.seen(e.axis), view.seen(e.axis))
    values, vectors = np.linalg.eigh(np.eye(2) + tensor)
    return np.asarray(vectors[:, 1]), float(np.clip(values[0] / values[1], 0.35, 1.0))


def _fronts(view: _View, e: Encounter) -> np.ndarray:
    """Factor of the shock ahead of a subcluster and of the cold fronts it leaves in the core."""
    factor = np.ones_like(view.plane.x)
    if e.since <= 0.0:
        return factor
    motion = view.seen(e.axis)
    tilt = float(np.linalg.norm(motion))
    if e.since < 2.5 and e.mach > 1.0:
        jump = 2.0 * min(e.mach - 1.0, 2.0) * e.ratio**0.4 * np.exp(-e.since / 1.5) * tilt**2
        reach = 0.15 + 0.6 * e.since * e.mach**0.5
        factor = factor * shock_front(
            view.plane, np.zeros(2), motion / max(tilt, 1e-6), reach, jump
        )
    if e.since > 0.2:
        strength = (
            1.6 * e.ratio**0.3 * min(e.pericentre / 0.1, 1.0) * np.exp(-e.since / SLOSHING_TIME)
        )
        strength *= 1.0 - np.exp(-e.since / 0.4)
        factor = factor * _spiral(view, e, strength)
    return factor


def _spiral(view: _View, e: Encounter, strength: float) -> np.ndarray:
    """Factor of the sloshing in the plane of the orbit: a spiral from above, faint blurred arcs
    from the side.
    """
    facing = view.facing(e.normal)
    nodes = np.cross(
        e.normal, np.eye(3)[view.axis]
    )  # where the orbit's plane meets the plane of the sky
    length = float(np.linalg.norm(nodes))
    nodes = (
        nodes / length if length > 1e-9 else e.axis
    )  # seen from right above, any direction in the plane will do
    along, across = view.plane.along(np.zeros(2), view.seen(nodes))
    above = Plane(along, across / max(abs(facing), 0.4))
    start = np.arctan2(
        e.axis @ np.cross(e.normal, nodes), e.axis @ nodes
    )  # the infall's angle in that plane
    seen = strength * (0.25 + 0.75 * facing**2)
    return sloshing_spiral(
        above, 1.8 * e.since + start, 0.2 + 0.17 * e.since, seen, 1.0 if facing >= 0.0 else -1.0
    )


def _subcluster(view: _View, e: Encounter) -> np.ndarray:
    """The subcluster's own gas and its tail: whole before pericentre, stripped and mixed after."""
    at, motion = view.seen(e.position), view.seen(e.motion)
    tilt = float(np.linalg.norm(motion))
    scale = e.ratio ** (1.0 / 3.0)
    kept = 1.0 if e.since < 0.0 else float(np.exp(-e.since / STRIPPING_TIME))
    lost = 0.0 if e.since < 0.0 else (1.0 - kept) * float(np.exp(-e.since / MIXING_TIME))
    radius = view.plane.radius(at)
    own = (
        kept
        * scale
        * (
            beta_halo(radius, CORE * scale, SLOPE, scale)
            + 3.0 * cool_core(radius, COOL_CORE * scale**0.5)
        )
    )
    own = own * np.exp(-((radius / (1.5 * scale)) ** 4))
    if tilt < 1e-3 or lost < 1e-3:
        return np.asarray(own)
    length = (0.25 + 0.3 * min(e.since, 2.0)) * tilt * scale
    tail = stripped_tail(view.plane, at, motion / tilt, max(length, 0.05), 0.12 * scale + 0.04)
    return np.asarray(own + 0.5 * lost * scale * tail)


def _substructure(view: _View) -> np.ndarray:
    """Gas that falls in along filaments, and small clumps."""
    total = np.zeros_like(view.plane.x)
    for filament in view.filaments:
        direction = view.seen(filament)
        tilt = float(np.linalg.norm(direction))
        along, across = view.plane.along(np.zeros(2), direction / tilt)
        width = 0.12 + 0.14 * np.maximum(along, 0.0)
        total += (
            3e-3
            * tilt
            * np.exp(-0.5 * (across / width) ** 2)
            * np.clip(along, 0.0, 1.0) ** 2
            / (1.0 + along**2)
        )
    for clump in view.clumps:
        squared = (view.plane.radius(view.seen(clump[:3])) / clump[3]) ** 2
        total += clump[4] * (1.0 + squared) ** -1.5
    return total
