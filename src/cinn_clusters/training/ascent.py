r"""Quasi-Newton ascent (BFGS) of many points at once, each on the surface of its object.

A point x with slope g steps to x + t H g inside its box. H starts as a part of the covariance of the
samples, which makes the step free of units, and learns the curvature from the change y of -g along
a step s,

.. math:: H' = (I - \rho s y^T) H (I - \rho y s^T) + \rho s s^T, \qquad \rho = 1 / y^T s.

Several points of one object race: one that cannot reach the best, or that joins it, stops. All
points of all objects go through each line of numpy together.

References:
    Nocedal & Wright 2006, Numerical optimization, eq. 6.17 (BFGS) and section 3.1 (backtracking).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np

Surface: TypeAlias = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Heights (M,) and slopes (M, D) at points (M, D), each of the object of an index (M,)."""

NUM_STEPS = 30
FIRST_CURVATURE = 0.15
"""Part of the covariance that H starts with: the surface bends more than its bulk tells."""
_LONGEST_STEP = 1.0
"""Longest step in standard deviations of the samples."""
_SHRINKING, _SHORTEST = 0.3, 1e-2
"""Factor of a step after one that did not climb, and the shortest that is tried."""
_TOLERANCE = 1e-3
"""Height that a step promises below which a point has arrived."""
_NUM_UNDECIDED, _MARGIN = 5, 0.05
"""After so many steps a point stops that lies below the best of its object by more than it promises
and this margin."""
_JOINED = 0.1
"""Distance from the best point, in standard deviations, at which another one has joined it."""
_ARMIJO, _LEAST_CURVATURE = 1e-4, 1e-4


@dataclass(frozen=True, eq=False)
class Terrain:
    """Where points may go.

    Args:
        surface: Height and slope.
        lower: Lower ends of the boxes, (N, D).
        upper: Upper ends, (N, D).
        covariance: Of the samples of each object, positive definite, (N, D, D).
    """

    surface: Surface
    lower: np.ndarray
    upper: np.ndarray
    covariance: np.ndarray

    @cached_property
    def whitening(self) -> np.ndarray:
        """Matrices (N, D, D) that turn offsets into standard deviations."""
        factor = np.linalg.cholesky(self.covariance)
        inverse: np.ndarray = np.linalg.inv(factor)
        return inverse

    def length(self, offsets: np.ndarray, objects: np.ndarray) -> np.ndarray:
        """Lengths (M,) of offsets (M, D) in standard deviations."""
        white = _product(self.whitening[objects], offsets)
        length: np.ndarray = np.linalg.norm(white, axis=1)
        return length

    def clip(self, points: np.ndarray, objects: np.ndarray) -> np.ndarray:
        """Points (M, D) inside the boxes of their objects (M,)."""
        lower = self.lower[objects]
        upper = self.upper[objects]
        inside: np.ndarray = np.clip(points, lower, upper)
        return inside

    def is_blocked(
        self, slopes: np.ndarray, points: np.ndarray, objects: np.ndarray
    ) -> np.ndarray:
        """Where slopes (M, D) push points against a wall of their box."""
        is_low = points <= self.lower[objects]
        is_high = points >= self.upper[objects]
        falls = slopes < 0.0
        rises = slopes > 0.0
        is_blocked: np.ndarray = (is_low & falls) | (is_high & rises)
        return is_blocked


@dataclass(frozen=True, eq=False)
class _Climbers:
    """Points on their way: rows of the results (M,), objects (M,), and what is known of each."""

    rows: np.ndarray
    objects: np.ndarray
    points: np.ndarray
    heights: np.ndarray
    slopes: np.ndarray
    inverse: np.ndarray
    fraction: np.ndarray

    def at(self, index: np.ndarray) -> _Climbers:
        """Return some of them."""
        chosen = {name: values[index] for name, values in vars(self).items()}
        return _Climbers(**chosen)


@dataclass(frozen=True, eq=False)
class _Race:
    """The points (R N, D) of N objects where they have got to, and their heights (R N,)."""

    points: np.ndarray
    heights: np.ndarray
    num_objects: int

    def enter(self, climbers: _Climbers) -> None:
        """Note where some of them are now."""
        self.points[climbers.rows] = climbers.points
        self.heights[climbers.rows] = climbers.heights

    def leaders(self) -> np.ndarray:
        """Row of the highest point of each object, (N,)."""
        heights = self.heights.reshape(-1, self.num_objects)
        start = heights.argmax(0)
        objects = np.arange(self.num_objects)
        rows: np.ndarray = start * self.num_objects + objects
        return rows


def ascend(terrain: Terrain, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Climb from each start (R, N, D) of N objects.

    Returns the highest point of each object, (N, D), and its height, (N,): never below its starts.
    """
    race, climbers = _line_up(terrain, starts)
    for number in range(NUM_STEPS):
        directions, promises = _directions(terrain, climbers)
        leaders = race.leaders()[climbers.objects]
        goes_on = _goes_on(climbers, promises, race.heights[leaders], number)
        offsets = climbers.points - race.points[leaders]
        distance = terrain.length(offsets, climbers.objects)
        is_leader = leaders == climbers.rows
        goes_on &= is_leader | (distance > _JOINED)
        index = np.flatnonzero(goes_on)
        if not len(index):
            break
        climbers = _step(terrain, climbers.at(index), directions[index])
        race.enter(climbers)
    best = race.leaders()
    return race.points[best], race.heights[best]


def _line_up(terrain: Terrain, starts: np.ndarray) -> tuple[_Race, _Climbers]:
    num_starts, num_objects, num_axes = starts.shape
    points = starts.reshape(-1, num_axes)
    objects = np.tile(np.arange(num_objects), num_starts)
    heights, slopes = terrain.surface(points, objects)
    inverse = FIRST_CURVATURE * terrain.covariance[objects]
    rows = np.arange(len(points))
    fraction = np.ones(len(points))
    climbers = _Climbers(rows, objects, points, heights, slopes, inverse, fraction)
    return _Race(points.copy(), heights.copy(), num_objects), climbers


def _directions(terrain: Terrain, climbers: _Climbers) -> tuple[np.ndarray, np.ndarray]:
    """Directions (M, D) that climb inside the boxes, and the heights (M,) that they promise."""
    is_blocked = terrain.is_blocked(climbers.slopes, climbers.points, climbers.objects)
    slopes = np.where(is_blocked, 0.0, climbers.slopes)
    newton = _product(climbers.inverse, slopes)
    directions = np.where(is_blocked, 0.0, newton)
    promises = _dot(directions, slopes)
    return directions, promises


def _goes_on(
    climbers: _Climbers, promises: np.ndarray, best: np.ndarray, number: int
) -> np.ndarray:
    """Which points (M,) may still become the highest of their object, whose height is best (M,)."""
    has_arrived = promises < _TOLERANCE
    is_stuck = climbers.fraction < _SHORTEST
    goes_on: np.ndarray = ~(has_arrived | is_stuck)
    if number < _NUM_UNDECIDED:
        return goes_on
    hoped_for = climbers.heights + promises + _MARGIN
    goes_on &= hoped_for >= best
    return goes_on


def _step(terrain: Terrain, climbers: _Climbers, directions: np.ndarray) -> _Climbers:
    """Try a step: it is taken where it climbs, and becomes shorter where it does not."""
    objects = climbers.objects
    length = terrain.length(directions, objects)
    reach = climbers.fraction / np.maximum(1.0, length / _LONGEST_STEP)
    trial = climbers.points + reach[:, None] * directions
    trial = terrain.clip(trial, objects)
    steps = trial - climbers.points

    heights, slopes = terrain.surface(trial, objects)
    rise = heights - climbers.heights
    climbs = rise > _ARMIJO * _dot(steps, climbers.slopes)
    is_taken = climbs[:, None]
    shorter = _SHRINKING * climbers.fraction
    return replace(
        climbers,
        points=np.where(is_taken, trial, climbers.points),
        heights=np.where(climbs, heights, climbers.heights),
        slopes=np.where(is_taken, slopes, climbers.slopes),
        inverse=_learned(climbers.inverse, steps, climbers.slopes - slopes),
        fraction=np.where(climbs, 1.0, shorter),
    )


def _learned(inverse: np.ndarray, steps: np.ndarray, changes: np.ndarray) -> np.ndarray:
    """H (M, D, D) after steps s (M, D) along which -g changed by y (M, D).

    It stays as it was where the surface does not bend downwards along the step.
    """
    curvature = _dot(steps, changes)
    squares = _dot(steps, steps) * _dot(changes, changes)
    bends = curvature > _LEAST_CURVATURE * np.sqrt(squares)
    rho = np.zeros_like(curvature)
    np.divide(1.0, curvature, out=rho, where=bends)

    # H' = H + s (w s - rho H y)^T - rho (H y) s^T with w = rho (1 + rho y^T H y)
    carried = _product(inverse, changes)
    bulge = rho * _dot(changes, carried)
    weight = rho * (1.0 + bulge)
    turned = rho[:, None] * carried
    along = weight[:, None] * steps - turned
    learned: np.ndarray = inverse + _outer(steps, along)
    learned -= _outer(turned, steps)
    return learned


def _dot(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    product: np.ndarray = np.einsum("md,md->m", first, second)
    return product


def _outer(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    product: np.ndarray = np.einsum("mi,mj->mij", first, second)
    return product


def _product(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    product: np.ndarray = np.einsum("mij,mj->mi", matrices, vectors)
    return product
