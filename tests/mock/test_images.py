"""Images of mock clusters: what histories, gas and telescopes do to them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cinn_clusters.cosmology import age_at_lookback, lookback_at_redshift
from cinn_clusters.mock.encounters import Encounter
from cinn_clusters.mock.gas import (
    beta_halo,
    make_plane,
    shock_front,
    sloshing_spiral,
    stripped_tail,
    turbulence,
)
from cinn_clusters.mock.histories import REDSHIFTS
from cinn_clusters.mock.images import Substructure, View, draw_maps, sloshing
from cinn_clusters.mock.instrument import Telescope, observe_map
from cinn_clusters.mock.population import draw_cluster
from cinn_clusters.rng import numpy_stream
from cinn_clusters.xray.morphology import MORPHOLOGY, morphology


def test_histories_are_seen() -> None:
    """Over many clusters, recent strong collisions make maps more disturbed."""
    disturbed, calm = [], []
    names = [
        MORPHOLOGY.index(name)
        for name in ("log_centroid_shift", "log_p3", "concentration")
    ]
    for cluster in range(40):
        history, _, seen = draw_cluster(cluster, 1)
        rng = numpy_stream(1, "maps", cluster)
        maps = draw_maps(
            history, seen["GroupGasMass"], rng, size=32, num_projections=1
        )[0]
        since = age_at_lookback(lookback_at_redshift(REDSHIFTS))[0] - history.age
        is_stirred = ((since > 0) & (since < 1.5) & (history.ratio > 0.1)).any()
        (disturbed if is_stirred else calm).append(
            morphology(10.0 ** maps.astype(float), 1.5)[0, names]
        )
    difference = np.mean(disturbed, 0) - np.mean(calm, 0)
    assert difference[0] > 0.2
    assert difference[1] > 0.2
    assert difference[2] < -0.02


def test_gas_makes_light_and_only_that() -> None:
    history, _, seen = draw_cluster(3, 1)
    plain, rich = (
        draw_maps(
            history, seen["GroupGasMass"] + more, numpy_stream(1, "maps", 3), size=32
        )
        for more in (0.0, 0.1)
    )
    np.testing.assert_allclose(
        rich - plain, 0.2, atol=1e-4
    )  # light goes with the density squared


def test_sloshing_is_seen_from_above_and_hardly_from_the_side() -> None:
    axis, normal = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])
    hit = Encounter(3.0, 0.3, axis, axis, axis, normal, 0.3, 2.0)
    plane = make_plane(64, 1.5)
    substructure = Substructure(axis, 0.9, np.empty((0, 3)), np.empty((0, 5)))
    above, side = (View(plane, number, substructure) for number in (2, 0))
    assert above.facing(normal) == 1.0
    assert side.facing(normal) == 0.0
    contrast = [np.ptp(sloshing(view, hit, 1.0)) for view in (above, side)]
    assert contrast[0] > 2.0 * contrast[1] > 0.0
    below = sloshing(
        above, replace(hit, normal=-normal), 1.0
    )  # the other sense of rotation: mirrored about the infall
    np.testing.assert_allclose(below, sloshing(above, hit, 1.0)[::-1], atol=1e-9)


def test_building_blocks() -> None:
    plane = make_plane(64, 1.5)
    assert plane.x.max() == -plane.x.min() == pytest.approx(1.5 - 1.5 / 64)
    radius = plane.radius(np.zeros(2))
    halo = beta_halo(radius, 0.15)
    assert (
        np.diff(halo.ravel()[np.argsort(radius.ravel(), kind="stable")]) <= 1e-12
    ).all()
    np.testing.assert_allclose(
        plane.elliptical(np.zeros(2), np.array([1.0, 0.0]), 1.0), radius
    )
    shock = shock_front(plane, np.zeros(2), np.array([1.0, 0.0]), 0.8, 1.0)
    assert shock[32, np.abs(plane.x[32] - 0.75).argmin()] > 1.5
    np.testing.assert_array_equal(shock[plane.x < 0], 1.0)
    spiral = sloshing_spiral(plane, 0.0, 0.4, 0.5, 1.0)
    assert np.abs(spiral[radius > 0.9] - 1.0).max() < 1e-6
    assert np.ptp(spiral[radius < 0.3]) > 0.3
    tail = stripped_tail(plane, np.zeros(2), np.array([1.0, 0.0]), 0.4, 0.1)
    assert tail[:, :32].sum() > 2 * tail[:, 32:].sum()
    field = turbulence(64, np.random.default_rng(0))
    assert field.std() == pytest.approx(1.0)
    assert np.abs(np.corrcoef(field[:, :-1].ravel(), field[:, 1:].ravel())[0, 1]) > 0.9


def test_counts_follow_the_exposure() -> None:
    rng = np.random.default_rng(0)
    flat = np.full((64, 64), 1.0)
    telescope = Telescope(exposure=100.0, sources=0.0)
    counts, exposure = observe_map(flat, rng, telescope)
    used = exposure > 0
    expected = exposure * (10.0 * telescope.rate + telescope.background) * 4.0
    assert counts[used].sum() / expected[used].sum() == pytest.approx(1.0, abs=0.01)
    assert (counts[~used] == 0).all()
    assert (~used).any()
    with_sources, _ = observe_map(
        flat - 9.0, np.random.default_rng(1), Telescope(sources=30.0)
    )
    assert with_sources.max() > 20
