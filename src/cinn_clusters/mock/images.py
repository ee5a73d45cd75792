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
    beta_profile,
    cool_core,
    cut_off,
    gaussian_exponent,
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
_SHOCK_TIME = 1.5
"""A shock front fades in so long [Gyr]."""
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

    def project_with_length(self, vector: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the two components of a unit vector (3,), and their norm.

        It is the sine of the angle to the line of sight.
        """
        projected = self.project(vector)
        return projected, float(np.linalg.norm(projected))

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
    # Decided once, so that all snapshots show the same cluster
    orbits = [_directions(rng) for _ in history.age]
    axes = np.array(orbits).reshape(-1, 2, 3)
    substructure = _draw_substructure(rng)

    plane = make_plane(size, HALF_WIDTH)
    views = [View(plane, axis, substructure) for axis in range(num_projections)]
    levels = _central_brightness(history.log_mass, log_gas, REDSHIFTS)
    maps = np.empty((len(levels), num_projections, size, size), np.float32)
    for snapshot, level in enumerate(levels):
        encounters = encounters_at(history, snapshot, axes)
        for projection, view in enumerate(views):
            brightness = _brightness(view, encounters, rng) + _SKY
            maps[snapshot, projection] = np.log10(level * brightness)
    return maps


def _central_brightness(
    log_mass: np.ndarray, log_gas: np.ndarray, redshift: np.ndarray
) -> np.ndarray:
    """Return the gas density squared times the length of the path, the cluster's size."""
    log_density = log_gas - log_mass - _LOG_GAS_FRACTION
    log_level = 2.0 * log_density + (log_mass - 14.4) / 3.0
    # densities within R500 follow the critical density, about (1 + z)^3
    density_growth = (1.0 + redshift) ** 3
    level: np.ndarray = 10.0**log_level * density_growth
    return level


def _directions(rng: np.random.Generator) -> np.ndarray:
    """Draw two perpendicular unit vectors, of an infall and its pericentre, (2, 3)."""
    first, second = rng.normal(size=(2, 3))
    first /= np.linalg.norm(first)
    # Gram-Schmidt
    second -= first * (first @ second)
    second /= np.linalg.norm(second)
    return np.stack([first, second])


def _draw_substructure(rng: np.random.Generator) -> Substructure:
    """Draw what a cluster keeps.

    Axis ratios follow Allgood+06 (astro-ph/0508497; gas is rounder); clumps crowd along filaments.
    """
    long_axis, _ = _directions(rng)
    axis_ratio = np.clip(rng.normal(0.87, 0.06), 0.6, 1.0)
    directions = [_directions(rng) for _ in range(3)]
    filaments = np.stack([filament for filament, _ in directions])

    # Each clump lies near the axis of one filament, at a distance of its own.
    num = rng.poisson(5)
    filament_of_clump = rng.integers(len(filaments), size=num)
    scatter = rng.normal(0.0, 0.35, (num, 3))
    position = filaments[filament_of_clump] + scatter
    distance = rng.uniform(0.5, 2.4, (num, 1))
    position *= distance / np.linalg.norm(position, axis=1, keepdims=True)

    size = 0.02 + 0.03 * rng.random(num)
    brightness = 10.0 ** rng.uniform(-3.6, -1.8, num)
    clumps = np.column_stack([position, size, brightness])
    return Substructure(long_axis, float(axis_ratio), filaments, clumps)


def _brightness(
    view: View, encounters: list[Encounter], rng: np.random.Generator
) -> np.ndarray:
    """Return the surface brightness (H, H) of all gas, relative to the main halo's centre."""
    plane = view.plane
    size = len(plane.x)
    stirred = _stirring(encounters)

    # Radius on ellipses that are the more lopsided, the farther out
    centre = view.project(_recoil(encounters))
    direction, axis_ratio = _elongation(view, encounters)
    radius = plane.elliptical(centre, direction, axis_ratio)
    lopsidedness = 0.15 * np.minimum(radius, 1.5)
    log_stretch = lopsidedness * turbulence(size, rng, slope=4.5)
    radius = radius * np.exp(log_stretch)

    # Main halo: stirring widens the core and puts out the cool core.
    core = CORE * (1.0 + 0.8 * stirred)
    peak = 6.0 * (1.0 - stirred) ** 2
    main = beta_halo(radius, core, SLOPE)
    core_radius = plane.radius(centre)
    main = main + peak * cool_core(core_radius, COOL_CORE)
    for encounter in encounters:
        main = main * _fronts(view, encounter)

    # It ends at a ragged accretion shock.
    raggedness = 0.1 * turbulence(size, rng)
    edge = 1.6 * (1.0 + raggedness)
    outskirts = 2e-5 * cut_off(radius, 1.3 * edge, 3)
    total = main * cut_off(radius, edge) + outskirts

    # Gas that is still falling in
    for encounter in encounters:
        total = total + _subcluster(view, encounter)
    total = total + _infalling_gas(view)

    # Density fluctuations, stronger in a stirred core and outside
    roughness = 0.03 + 0.07 * stirred + 0.07 * np.minimum(radius, 2.0)
    log_fluctuations = roughness * turbulence(size, rng)
    brightness: np.ndarray = total * np.exp(log_fluctuations)
    return brightness


def _stirring(encounters: list[Encounter]) -> float:
    """Return how far from rest the core is, in [0, 1], by strong, close and recent collisions."""
    total = 0.0
    for encounter in encounters:
        if encounter.since <= -0.1:
            continue
        closeness = np.exp(-encounter.pericentre / 0.6)
        strength = 1.8 * encounter.ratio**0.35 * closeness
        total += strength * encounter.decay(_COOLING_TIME)

    # many collisions saturate
    calm = np.exp(-total)
    return float(1.0 - calm)


def _recoil(encounters: list[Encounter]) -> np.ndarray:
    """Return the offset of the main gas from the centre after collisions [R500], (3,)."""
    offset = np.zeros(3)
    for encounter in encounters:
        since = encounter.since
        if since <= 0.0:
            continue

        # A damped oscillation along the infall
        amplitude = 0.35 * encounter.ratio**0.8 * encounter.decay(MIXING_TIME)
        phase = 2.2 * since + 0.3
        displacement = amplitude * np.sin(phase)
        offset = offset + displacement * encounter.axis
    return offset


def _elongation(view: View, encounters: list[Encounter]) -> tuple[np.ndarray, float]:
    """Return the long axis in the plane (2,) and the axis ratio of the main halo.

    Its own shape is stretched along recent infalls.
    """
    # Stretching tensor, (2, 2): one plus a term v v^T for each direction
    halo = view.substructure
    long_axis = view.project(halo.long_axis)
    flattening = 1.0 / halo.axis_ratio - 1.0
    tensor = flattening * np.outer(long_axis, long_axis)
    for encounter in encounters:
        if encounter.since > 0.0:
            pull = 1.2 * encounter.ratio**0.7 * encounter.decay(MIXING_TIME)
            infall = view.project(encounter.axis)
            tensor = tensor + pull * np.outer(infall, infall)

    # Eigenvalues come in increasing order.
    (minor, major), vectors = np.linalg.eigh(np.eye(2) + tensor)
    _, direction = vectors.T
    axis_ratio = np.clip(minor / major, 0.35, 1.0)
    return direction, float(axis_ratio)


def _fronts(view: View, encounter: Encounter) -> np.ndarray:
    """Return the factor of the shock ahead of a subcluster and of cold fronts in the core."""
    since = encounter.since
    factor = np.ones_like(view.plane.x)
    if since <= 0.0:
        return factor

    if since < 2.5 and encounter.mach > 1.0:
        factor = factor * _shock(view, encounter)

    # Sloshing needs an off-centre passage, and some time to build up.
    if since > 0.2:
        offset = min(encounter.pericentre / 0.1, 1.0)
        decay = encounter.decay(_SLOSHING_TIME)
        strength = 1.6 * encounter.ratio**0.3 * offset * decay
        growth = 1.0 - np.exp(-since / 0.4)
        factor = factor * sloshing(view, encounter, strength * growth)
    return factor


def _shock(view: View, encounter: Encounter) -> np.ndarray:
    """Return the factor (H, H) of the bow shock, fainter where it moves along the line of sight."""
    mach = encounter.mach
    motion, tilt = view.project_with_length(encounter.axis)
    direction = motion / max(tilt, 1e-6)

    # Jump of the surface brightness, which saturates at high Mach numbers
    excess = min(mach - 1.0, 2.0)
    strength = 2.0 * excess * encounter.ratio**0.4
    decay = encounter.decay(_SHOCK_TIME)
    jump = strength * decay * tilt**2

    # The front runs outwards, faster after a faster encounter.
    travelled = 0.6 * encounter.since * mach**0.5
    reach = 0.15 + travelled
    middle = np.zeros(2)
    return shock_front(view.plane, middle, direction, reach, jump)


def sloshing(view: View, encounter: Encounter, strength: float) -> np.ndarray:
    """Return the factor (H, H) of gas that sloshes in the plane of the orbit.

    It is a spiral from above, and faint blurred arcs from the side.
    """
    normal, infall = encounter.normal, encounter.axis
    facing = view.facing(normal)

    # The plane of the orbit meets that of the sky in the line of nodes; seen from right above, any
    # direction in the plane will do.
    line_of_sight = np.eye(3)[view.axis]
    nodes = np.cross(normal, line_of_sight)
    length = float(np.linalg.norm(nodes))
    nodes = nodes / length if length > 1e-9 else infall

    # Coordinates in the plane of the orbit: what is across the nodes is foreshortened.
    foreshortening = max(abs(facing), 0.4)
    along, across = view.plane.along(np.zeros(2), view.project(nodes))
    above = Plane(along, across / foreshortening)

    sine = infall @ np.cross(normal, nodes)
    cosine = infall @ nodes
    infall_angle = np.arctan2(sine, cosine)
    handedness = 1.0 if facing >= 0.0 else -1.0

    # The pattern turns and grows.
    since = encounter.since
    phase = 1.8 * since + infall_angle
    reach = 0.2 + 0.17 * since
    visible = strength * (0.25 + 0.75 * facing**2)
    return sloshing_spiral(above, phase, reach, visible, handedness)


def _subcluster(view: View, encounter: Encounter) -> np.ndarray:
    """Return a subcluster's gas and its tail: whole before pericentre, stripped and mixed after."""
    # Sizes go with the cube root of the mass.
    scale = encounter.ratio ** (1.0 / 3.0)
    bound = encounter.decay(_STRIPPING_TIME)
    centre = view.project(encounter.position)
    radius = view.plane.radius(centre)

    # Gas that is still bound: a small cluster with a cool core
    core_radius = CORE * scale
    halo = beta_halo(radius, core_radius, SLOPE, scale)
    cool_radius = COOL_CORE * scale**0.5
    core = 3.0 * cool_core(radius, cool_radius)
    edge = 1.5 * scale
    gas: np.ndarray = bound * scale * (halo + core)
    gas = gas * cut_off(radius, edge)

    # Gas that was stripped and is not mixed yet
    unmixed = encounter.decay(MIXING_TIME)
    stripped = (1.0 - bound) * unmixed
    motion, tilt = view.project_with_length(encounter.motion)
    if tilt < 1e-3 or stripped < 1e-3:
        return gas

    # The tail grows for 2 Gyr; it is seen in projection.
    growing_time = min(encounter.since, 2.0)
    length = (0.25 + 0.3 * growing_time) * tilt * scale
    length = max(length, 0.05)
    width = 0.12 * scale + 0.04
    direction = motion / tilt
    tail = stripped_tail(view.plane, centre, direction, length, width)
    tail_brightness = 0.5 * stripped * scale
    total: np.ndarray = gas + tail_brightness * tail
    return total


def _infalling_gas(view: View) -> np.ndarray:
    """Return the surface brightness of filaments and of small clumps."""
    plane = view.plane
    total = np.zeros_like(plane.x)

    # Filaments widen outwards; they come in from one side and are brightest near R500.
    for filament in view.substructure.filaments:
        direction, tilt = view.project_with_length(filament)
        along, across = plane.along(np.zeros(2), direction / tilt)
        width = 0.12 + 0.14 * np.maximum(along, 0.0)
        across_profile = np.exp(gaussian_exponent(across, width))
        profile = 3e-3 * tilt * across_profile
        rise = np.clip(along, 0.0, 1.0) ** 2
        total += profile * rise / (1.0 + along**2)

    # Clumps are beta models with beta = 2/3.
    for *position, size, brightness in view.substructure.clumps:
        centre = view.project(np.array(position))
        radius = plane.radius(centre)
        total += brightness * beta_profile(radius, size, -1.5)
    return total
