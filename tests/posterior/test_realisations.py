"""Realisations of limits, redshifts and correlated errors, against rejection and integration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm, truncnorm

from cinn_clusters import schema
from cinn_clusters.cosmology import redshift_at_lookback, time_of_redshift
from cinn_clusters.data.bijections import ObservableMap, TargetMap
from cinn_clusters.data.error_models.error_model import (
    ErrorModel,
    MeasuredLimits,
    RedshiftErrors,
)
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.data.missing_values import accept_missing_values
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.flows.zoo import make_flow
from cinn_clusters.posterior.monte_carlo import MonteCarlo
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.posterior.query import Query, Sampling
from cinn_clusters.posterior.realisations import BoundedRow, truncated_two_piece
from support import flow_config

GAS = "GroupGasMass"
NUM = 20_000


@pytest.fixture(scope="module")
def transforms() -> MeasurementTransforms:
    rng = np.random.default_rng(0)
    time = rng.uniform(0.0, 8.0, 4000)
    mass = 14.8 - 0.05 * time + 0.25 * rng.standard_normal(4000)
    columns = {
        schema.MASS: mass,
        schema.LOOKBACK: time,
        GAS: mass - 0.6 + 0.15 * rng.standard_normal(4000),
    }
    maps = tuple(
        ObservableMap(name, shift=float(values.mean()), scale=float(values.std()))
        for name, values in columns.items()
    )
    targets = (TargetMap("mine"), TargetMap("another"))
    return accept_missing_values(Transforms(maps, targets), columns)


def row(transforms: MeasurementTransforms, **values: float) -> np.ndarray:
    stated = {schema.LOOKBACK: 3.0, schema.MASS: np.nan, GAS: np.nan, **values}
    return np.array([[stated.get(name, 0.0) for name in transforms.inputs]])


def limits(
    transforms: MeasurementTransforms, scatter: float = 0.0, **values: float
) -> ErrorModel:
    """Upper limits of some observables (negative values: lower ones)."""
    side, value = np.zeros((2, 1, len(transforms.optional)))
    for name, limit in values.items():
        column = transforms.optional.index(name)
        side[0, column], value[0, column] = -np.sign(limit), abs(limit)
    return ErrorModel(limits=MeasuredLimits(side, value, scatter * np.abs(side)))


def drawn(
    transforms: MeasurementTransforms, inputs: np.ndarray, errors: ErrorModel
) -> dict[str, np.ndarray]:
    noise = np.random.default_rng(1).standard_normal((NUM, len(transforms.scalars)))
    exact = BoundedRow(transforms, inputs[0], errors, 7).draw(noise, Sampling(NUM))
    assert not exact[:, len(transforms.names) :].any()
    return dict(zip(transforms.inputs, exact.T, strict=True))


def kept(
    transforms: MeasurementTransforms, inputs: np.ndarray, seed: int = 2
) -> dict[str, np.ndarray]:
    """A million true observables given the measured ones, without any limit."""
    noise = np.random.default_rng(seed).standard_normal((1_000_000, 3))
    mean, covariance = transforms.condition(inputs)
    values, vectors = np.linalg.eigh(covariance[0])
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return dict(zip(transforms.names, (mean[0] + noise @ root.T).T, strict=True))


@pytest.mark.parametrize("scatter", [0.0, 0.1])
@pytest.mark.parametrize("limit", [13.5, -14.3])
def test_a_limit_cuts_off_the_gaussian(
    transforms: MeasurementTransforms, scatter: float, limit: float
) -> None:
    inputs = row(transforms, **{schema.MASS: 14.6, f"sigma_{schema.MASS}": 0.15})
    found = drawn(transforms, inputs, limits(transforms, scatter, **{GAS: limit}))
    every = kept(transforms, inputs)
    blurred = every[GAS] + scatter * np.random.default_rng(3).standard_normal(1_000_000)
    inside = blurred < limit if limit > 0 else blurred > -limit
    assert 0.001 < inside.mean() < 0.2
    for name in (schema.MASS, GAS):
        right = every[name][inside]
        assert found[name].mean() == pytest.approx(right.mean(), abs=0.012)
        assert found[name].std() == pytest.approx(right.std(), abs=0.012)
    assert (found[schema.LOOKBACK] == 3.0).all()


def test_two_limits_cut_off_together(transforms: MeasurementTransforms) -> None:
    inputs = row(transforms)
    found = drawn(
        transforms, inputs, limits(transforms, **{schema.MASS: 14.5, GAS: -13.9})
    )
    every = kept(transforms, inputs)
    inside = (every[schema.MASS] < 14.5) & (every[GAS] > 13.9)
    for name in (schema.MASS, GAS):
        assert found[name].mean() == pytest.approx(every[name][inside].mean(), abs=0.01)
        assert found[name].std() == pytest.approx(every[name][inside].std(), abs=0.01)
    assert found[schema.MASS].max() <= 14.5 + 1e-6
    assert found[GAS].min() >= 13.9 - 1e-6


def test_a_limit_far_from_all_clusters_still_bounds(
    transforms: MeasurementTransforms,
) -> None:
    exact = row(transforms, **{schema.MASS: 15.2})
    found = drawn(transforms, exact, limits(transforms, **{GAS: 12.0}))
    assert (found[GAS] <= 12.0 + 1e-6).all()
    assert found[GAS].min() > 11.8


def test_a_limit_of_the_mass_leaves_the_training_prior(
    transforms: MeasurementTransforms,
) -> None:
    flat = replace(transforms, mass_prior=0.0)
    errors = limits(transforms, **{schema.MASS: 14.2})
    one = drawn(transforms, row(transforms), errors)[schema.MASS]
    np.testing.assert_array_equal(drawn(flat, row(flat), errors)[schema.MASS], one)


@pytest.mark.parametrize("sides", [(0.05, 0.05), (0.02, 0.1), (0.3, 0.2), (0.0, 0.1)])
def test_redshifts_follow_their_errors(
    transforms: MeasurementTransforms, sides: tuple[float, float]
) -> None:
    slopes = np.zeros((1, 2))
    slopes[0, transforms.optional.index(GAS)] = 0.5
    errors = RedshiftErrors(np.array([0.28]), np.array([sides]).T, slopes)
    inputs = row(transforms, **{schema.MASS: 14.5, GAS: 13.9})
    inputs[0, transforms.names.index(schema.LOOKBACK)] = time_of_redshift(0.28)
    found = drawn(transforms, inputs, ErrorModel(redshift=errors))
    redshift = redshift_at_lookback(found[schema.LOOKBACK])
    grid = np.linspace(0.0, 3.0, 300_001)
    side = np.where(grid < 0.28, max(sides[0], 1e-4), sides[1])
    density = norm.pdf((grid - 0.28) / side)
    density /= density.sum()
    assert redshift.mean() == pytest.approx((grid * density).sum(), abs=0.004)
    spread = np.sqrt((grid**2 * density).sum() - (grid * density).sum() ** 2)
    assert redshift.std() == pytest.approx(spread, rel=0.03)
    assert redshift.min() >= 0.0
    change = 0.5 * (redshift - 0.28)
    np.testing.assert_allclose(found[GAS], 13.9 + change, atol=1e-6)


def test_equal_sides_are_the_truncated_normal_of_the_library() -> None:
    uniform = np.linspace(0.001, 0.999, 50)
    found = truncated_two_piece(0.2, np.array([0.1, 0.1]), (0.0, 0.5), uniform)
    right = truncnorm.ppf(uniform, -2.0, 3.0, loc=0.2, scale=0.1)
    np.testing.assert_allclose(found, right, atol=1e-12)


@pytest.fixture(scope="module")
def survey(transforms: MeasurementTransforms) -> tuple[MonteCarlo, np.ndarray]:
    """Rows: plain, correlated, limited, plain again, with a redshift error, all at once."""
    config = flow_config("autoregressive", seed=1, members=2, blocks=2, hidden=8)
    flow = make_flow(config, 2, transforms.num_features).eval()
    stated = {schema.MASS: 14.5, GAS: 13.9}
    stated |= {f"sigma_{name}": 0.15 for name in (schema.MASS, GAS)}
    inputs = np.repeat(row(transforms, **stated), 6, axis=0)
    inputs[:, transforms.names.index(schema.MASS)] += 0.05 * np.arange(6)
    correlation = np.tile(np.eye(2), (6, 1, 1))
    correlation[[1, 5], 0, 1] = correlation[[1, 5], 1, 0] = 0.9
    gas = transforms.optional.index(GAS)
    side, value = np.zeros((2, 6, 2))
    side[[2, 5], gas], value[[2, 5], gas] = -1, 13.5
    inputs[[2, 5], transforms.names.index(GAS)] = np.nan
    inputs[[2, 5], transforms.inputs.index(f"sigma_{GAS}")] = 0.0
    sides = np.zeros((2, 6))
    sides[:, 4:] = 0.04
    redshift = redshift_at_lookback(np.full(6, 3.0))
    errors = ErrorModel(
        correlation=correlation,
        limits=MeasuredLimits(side, value, np.zeros((6, 2))),
        redshift=RedshiftErrors(redshift, sides, np.zeros((6, 2))),
    )
    rows = errors.needs_realisations(6)
    assert rows.tolist() == [False, True, True, False, True, True]
    parts = (flow, transforms)
    return MonteCarlo(
        *parts, num_realisations=20, error_model=errors, rows=rows
    ), inputs


def test_rows_that_state_none_of_it_are_unchanged_and_order_matters_nowhere(
    survey: tuple[MonteCarlo, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    posterior, inputs = survey
    query = Query.from_inputs(inputs)
    samples = posterior.sample(query, 100)
    plain = Posterior(posterior.flow, posterior.transforms).sample(query, 100)
    np.testing.assert_array_equal(samples[:, [0, 3]], plain[:, [0, 3]])
    for number in (1, 2, 4, 5):
        assert not np.array_equal(samples[:, number], plain[:, number])
    order = np.array([5, 2, 0, 4, 3, 1])
    np.testing.assert_array_equal(
        posterior.sample(query.rows(order), 100), samples[:, order]
    )
    alone = posterior.sample(query.rows(np.array([5])), 100)
    np.testing.assert_array_equal(alone[:, 0], samples[:, 5])
    monkeypatch.setattr("cinn_clusters.posterior.posterior.POINTS_A_BATCH", 200)
    np.testing.assert_array_equal(posterior.sample(query, 100), samples)


def test_densities_are_of_the_rows_that_were_sampled(
    survey: tuple[MonteCarlo, np.ndarray],
) -> None:
    posterior, inputs = survey
    query = Query.from_inputs(inputs)
    theta = posterior.sample(query, 3)[0]
    plain = Posterior(posterior.flow, posterior.transforms)
    density, of_network = posterior.log_prob(theta, query), plain.log_prob(theta, query)
    np.testing.assert_allclose(density[[0, 3]], of_network[[0, 3]], atol=1e-5)
    assert (np.abs(density - of_network)[[1, 2, 4, 5]] > 1e-4).all()
