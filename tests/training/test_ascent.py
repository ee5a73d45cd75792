"""Quasi-Newton ascent against maxima in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from cinn_clusters.training.ascent import Terrain, ascend

NUM_OBJECTS, NUM_AXES = 5, 3
FAR = np.full((NUM_OBJECTS, NUM_AXES), 50.0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def quadratic(peaks: np.ndarray, curvature: np.ndarray):
    """-1/2 (x - p)^T C (x - p) of each object, and its slope."""

    def surface(points: np.ndarray, objects: np.ndarray):
        offsets = points - peaks[objects]
        slopes = -np.einsum("mij,mj->mi", curvature[objects], offsets)
        return 0.5 * np.einsum("md,md->m", offsets, slopes), slopes

    return surface


def random_curvature(rng: np.random.Generator) -> np.ndarray:
    roots = rng.normal(size=(NUM_OBJECTS, NUM_AXES, NUM_AXES))
    return roots @ roots.transpose(0, 2, 1) + 0.5 * np.eye(NUM_AXES)


def test_peak_of_a_quadratic_is_reached_from_anywhere(rng) -> None:
    peaks, curvature = rng.normal(size=(NUM_OBJECTS, NUM_AXES)), random_curvature(rng)
    unit = np.broadcast_to(np.eye(NUM_AXES), curvature.shape)
    terrain = Terrain(quadratic(peaks, curvature), -FAR, FAR, unit)
    starts = peaks + rng.normal(0.0, 3.0, (2, NUM_OBJECTS, NUM_AXES))
    points, heights = ascend(terrain, starts)
    np.testing.assert_allclose(heights, 0.0, atol=2e-3)
    np.testing.assert_allclose(points, peaks, atol=0.1)


def test_peak_outside_the_box_is_replaced_by_the_highest_point_of_its_wall(rng) -> None:
    """A separable quadratic: each axis stops at its wall or at its peak."""
    peaks = rng.normal(0.0, 2.0, (NUM_OBJECTS, NUM_AXES))
    curvature = np.einsum("ni,ij->nij", rng.uniform(0.5, 5.0, peaks.shape), np.eye(3))
    wall = np.ones_like(peaks)
    terrain = Terrain(quadratic(peaks, curvature), -wall, wall, curvature)
    points, _ = ascend(terrain, rng.uniform(-1.0, 1.0, (3, NUM_OBJECTS, NUM_AXES)))
    np.testing.assert_allclose(points, np.clip(peaks, -1.0, 1.0), atol=0.05)


def test_the_start_in_the_higher_of_two_basins_wins(rng) -> None:
    """Two Gaussian hills, of heights 1 and 2; the lower one has the higher start."""
    low, high = np.zeros(NUM_AXES), np.full(NUM_AXES, 8.0)

    def surface(points: np.ndarray, objects: np.ndarray):
        heights, slopes = np.zeros(len(points)), np.zeros_like(points)
        for size, peak in ((1.0, low), (2.0, high)):
            hill = size * np.exp(-0.5 * ((points - peak) ** 2).sum(1))
            heights += hill
            slopes += hill[:, None] * (peak - points)
        return heights, slopes

    unit = np.broadcast_to(np.eye(NUM_AXES), (NUM_OBJECTS, NUM_AXES, NUM_AXES))
    terrain = Terrain(surface, -FAR, FAR, unit)
    shape = (NUM_OBJECTS, NUM_AXES)
    starts = np.stack([np.full(shape, 0.1), np.full(shape, 7.1)])
    assert (
        surface(starts[1], np.arange(5))[0][0] < surface(starts[0], np.arange(5))[0][0]
    )
    points, heights = ascend(terrain, starts)
    np.testing.assert_allclose(heights, 2.0, atol=5e-3)
    np.testing.assert_allclose(points, 8.0, atol=0.1)


def test_units_do_not_matter(rng) -> None:
    """The same surface in axes that are a thousand times as long."""
    peaks, curvature = rng.normal(size=(NUM_OBJECTS, NUM_AXES)), random_curvature(rng)
    unit = np.broadcast_to(np.eye(NUM_AXES), curvature.shape)
    starts = rng.normal(size=(2, NUM_OBJECTS, NUM_AXES))
    terrain = Terrain(quadratic(peaks, curvature), -FAR, FAR, unit)
    points, heights = ascend(terrain, starts)
    long = quadratic(1e3 * peaks, 1e-6 * curvature)
    stretched = Terrain(long, -1e3 * FAR, 1e3 * FAR, 1e6 * unit)
    far_points, far_heights = ascend(stretched, 1e3 * starts)
    np.testing.assert_allclose(far_points, 1e3 * points, rtol=1e-6)
    np.testing.assert_allclose(far_heights, heights, atol=1e-9)
