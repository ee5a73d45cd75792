"""The density of a posterior by Monte Carlo is that of its samples, its mode that of the mixture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cinn_clusters import schema
from cinn_clusters.data.bijections import ObservableMap, TargetMap
from cinn_clusters.data.error_models.error_model import ErrorModel
from cinn_clusters.data.error_models.gaussian import ObservablePrior
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.diagnostics.regions import shortest_interval
from cinn_clusters.posterior.mode import joint_mode
from cinn_clusters.posterior.monte_carlo import MonteCarlo
from cinn_clusters.posterior.query import Query
from cinn_clusters.posterior.recalibration import Recalibration
from support import glow

INPUTS = np.array([[14.6, 3.0, 0.4], [14.9, 6.0, 0.2], [14.1, 1.0, 0.0]])
"""Mass, lookback time and error of the mass."""
TWO_SIDED = np.array([[[0.02], [0.2], [0.0]], [[0.6], [0.2], [0.0]]])
NARROW = Recalibration(
    np.linspace(0.0, 1.0, 201),
    0.5 + 0.5 * np.sin(np.pi * (np.linspace(0.0, 1.0, 201) - 0.5))[None],
    np.linspace(0.0, 1.0, 201),
)
"""Truths crowd in the middle of the samples, which are to be narrower."""


def make_monte_carlo(target: TargetMap) -> MonteCarlo:
    """One target whose flow moves with the mass, far from Gaussian."""
    observables = (
        ObservableMap(schema.MASS, shift=14.5, scale=0.3),
        ObservableMap(schema.LOOKBACK, shift=4.0, scale=2.5),
    )
    prior = ObservablePrior(np.array([14.5, 4.0]), np.diag([0.25, 6.0]))
    transforms = MeasurementTransforms(observables, (target,), prior=prior)
    flow = glow(1, 3, members=3, blocks=4, hidden=16, clamp=1.0, seed=3)
    return MonteCarlo(
        flow, transforms, num_realisations=20, error_model=ErrorModel(TWO_SIDED)
    )


RELATIVE = TargetMap(
    "last_M_Crit500_coll", "logit", True, 1e-4, 1e3, 0.0, 0.3, schema.MASS, 14.0
)
TIME = TargetMap("last_T_coll", "window", False, 4.9, 13.9, 0.5, 1.0)


@pytest.fixture(scope="module", params=[RELATIVE, TIME], ids=["mass", "time"])
def posterior(request: pytest.FixtureRequest) -> MonteCarlo:
    return make_monte_carlo(request.param)


QUERY = Query.from_inputs(INPUTS)


def grid_of(samples: np.ndarray) -> np.ndarray:
    """Points (G, N, 1) from end to end of samples (S, N, 1), dense at both ends."""
    steps = np.linspace(0.0, 1.0, 1501)
    crowded = 0.5 - 0.5 * np.cos(np.pi * steps)
    lower, upper = samples.min(0), samples.max(0)
    return lower + crowded[:, None, None] * (upper - lower)


@pytest.mark.parametrize("recalibration", [None, NARROW], ids=["raw", "recalibrated"])
def test_density_is_that_of_the_samples(
    posterior: MonteCarlo, recalibration: Recalibration | None
) -> None:
    posterior = replace(posterior, recalibration=recalibration)
    samples = posterior.sample(QUERY, 4000, seed=5).astype(float)
    points = grid_of(samples)
    density = np.exp(posterior.log_prob(points, QUERY))
    widths = np.diff(points[:, :, 0], axis=0)
    mass = np.cumsum(0.5 * (density[1:] + density[:-1]) * widths, axis=0)
    np.testing.assert_allclose(mass[-1], 1.0, atol=0.02)
    for n in range(len(QUERY)):
        below = np.searchsorted(np.sort(samples[:, n, 0]), points[1:, n, 0]) / 4000
        assert np.abs(below - mass[:, n]).max() < 0.035


def test_density_is_the_mean_of_those_of_the_realisations(
    posterior: MonteCarlo,
) -> None:
    """Physical densities add up, whatever each realisation measures its targets from."""
    theta = posterior.sample(QUERY, 7)
    realisations = posterior.density(QUERY).contexts.x.view(3, 20, -1)
    assert (realisations[:2].std(1)[:, 0] > 0.1).all()
    assert (realisations[2].std(0) < 1e-6).all()  # no error
    contexts = posterior.density(QUERY).contexts
    transforms = posterior.transforms
    total = np.zeros((7, 3))
    for t in range(20):
        one = contexts.rows(slice(t, None, 20))
        for s in range(7):
            u = transforms.standardise_targets(theta[s].astype(float), one.anchors)
            log_prob = posterior.unbounded_log_prob(u, one)
            log_prob = log_prob - transforms.log_jacobian(u, one.anchors)
            total[s] += log_prob.exp().detach().numpy() / 20
    np.testing.assert_allclose(
        posterior.log_prob(theta, QUERY), np.log(total), rtol=1e-4, atol=1e-5
    )


def test_mode_is_the_highest_point_of_the_mixture(posterior: MonteCarlo) -> None:
    """Against brute force over the coordinate u of each object."""
    samples = posterior.sample(QUERY, 1000)
    mode, log_density = joint_mode(posterior, QUERY, samples)
    points = grid_of(samples.astype(float))
    density = posterior.density(QUERY)
    transforms = posterior.transforms
    u = transforms.standardise_targets(points, density.anchors.expand(points.shape))
    log_jacobian = transforms.log_jacobian(u, density.anchors.expand(points.shape))
    per_u = posterior.log_prob(points, QUERY) + log_jacobian.numpy()
    best = np.nanmax(np.where(np.isfinite(u.numpy()[..., 0]), per_u, -np.inf), 0)
    assert (log_density > best - 0.01).all()
    at_mode = transforms.standardise_targets(mode, density.anchors)
    np.testing.assert_allclose(
        posterior.log_prob(mode, QUERY)
        + transforms.log_jacobian(at_mode, density.anchors).numpy(),
        log_density,
        atol=1e-6,
    )


def test_seed_of_samples_changes_no_realisation(posterior: MonteCarlo) -> None:
    theta = posterior.sample(QUERY, 3, seed=1)
    other = replace(posterior, seed=1)
    assert not np.array_equal(theta, posterior.sample(QUERY, 3, seed=2))
    differs = posterior.log_prob(theta, QUERY) != other.log_prob(theta, QUERY)
    assert differs[:, :2].all()


def test_few_samples_come_from_all_members(posterior: MonteCarlo) -> None:
    """20 realisations and 3 members: 20 samples are a third of each, not all of the first."""
    whole = posterior.sample(QUERY, 60).astype(float)
    distance = np.abs(whole[:, 2].mean() - whole[:20, 2].mean())
    assert distance < 2.5 * whole[:, 2].std() / np.sqrt(20)
    apart = replace(posterior, num_realisations=1)
    of_members = apart.sample(QUERY.rows([2]), 600).astype(float).reshape(200, 3)
    means = of_members.mean(0)
    assert np.ptp(means) > 3.0 * of_members.std() / np.sqrt(200)


def test_recalibration_acts_on_the_quantiles_of_the_mixture(
    posterior: MonteCarlo,
) -> None:
    """Widths are those of the repaired mixture, not of 50 samples of each realisation."""
    raw = posterior.sample(QUERY, 1000)
    repaired = replace(posterior, recalibration=NARROW).sample(QUERY, 1000)
    levels = np.interp([0.16, 0.84], NARROW.coverage[0], NARROW.levels)
    exact = np.diff(np.quantile(raw, levels, axis=0), axis=0)
    width = np.diff(np.quantile(repaired, [0.16, 0.84], axis=0), axis=0)
    np.testing.assert_allclose(width, exact, rtol=0.01)
    assert (width < 0.9 * np.diff(np.quantile(raw, [0.16, 0.84], axis=0), axis=0)).all()


def test_recalibration_moves_the_mode_as_it_moves_samples(
    posterior: MonteCarlo,
) -> None:
    """A map that puts all quantiles lower puts the mode lower, into the repaired interval."""
    low = replace(NARROW, coverage=np.sqrt(NARROW.levels)[None])  # truths stand low
    repaired = replace(posterior, recalibration=low)
    raw, moved = posterior.sample(QUERY, 1000), repaired.sample(QUERY, 1000)
    mode, log_density = joint_mode(posterior, QUERY, raw)
    moved_mode, same = joint_mode(repaired, QUERY, moved)
    np.testing.assert_array_equal(same, log_density)
    assert (moved_mode < mode).all()
    rank, moved_rank = (raw < mode).mean(0), (moved < moved_mode).mean(0)
    np.testing.assert_allclose(moved_rank, rank, atol=0.03)
    lower, upper = shortest_interval(moved, 0.95)
    assert ((moved_mode > lower) & (moved_mode < upper)).all()
