"""Priors of the masses and correlated errors, against sums over a grid of true values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cinn_clusters import schema
from cinn_clusters.data.bijections import ObservableMap, TargetMap
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.data.missing_values import accept_missing_values
from cinn_clusters.data.transforms import Transforms

GAS = "GroupGasMass"


@pytest.fixture(scope="module")
def transforms() -> MeasurementTransforms:
    """Time, mass and gas, all correlated; the mass scatters by about 0.25 dex at a given time."""
    rng = np.random.default_rng(0)
    time = rng.uniform(0.0, 8.0, 4000)
    mass = 14.8 - 0.05 * time + 0.25 * rng.standard_normal(4000)
    gas = mass - 0.6 + 0.1 * rng.standard_normal(4000)
    columns = {schema.MASS: mass, schema.LOOKBACK: time, GAS: gas}
    maps = tuple(
        ObservableMap(name, shift=float(values.mean()), scale=float(values.std()))
        for name, values in columns.items()
    )
    plain = Transforms(maps, (TargetMap("mine"),))
    return accept_missing_values(plain, columns)


def on_a_grid(
    transforms: MeasurementTransforms,
    slope: float | None,
    measured: np.ndarray,
    covariance: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean (2,) and covariance (2, 2) of true mass and gas at time 3, by the sum over a grid."""
    prior = transforms.prior
    order = [
        transforms.names.index(name) for name in (schema.LOOKBACK, schema.MASS, GAS)
    ]
    mean, full = prior.mean[order], prior.covariance[np.ix_(order, order)]
    gain = full[1:, 0] / full[0, 0]
    centre = mean[1:] + gain * (3.0 - mean[0])
    scatter = full[1:, 1:] - np.outer(gain, full[0, 1:])
    axes = [np.linspace(c - 2.5, c + 2.5, 1201) for c in measured]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)

    def log_normal(about: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        offset = grid - about
        return -0.5 * np.sum(offset @ np.linalg.inv(matrix) * offset, 1)

    log_weight = log_normal(centre, scatter) + log_normal(measured, covariance)
    if slope is not None:
        of_mass = (grid[:, 0] - centre[0]) ** 2 / scatter[0, 0]
        log_weight += 0.5 * of_mass + slope * np.log(10.0) * grid[:, 0]
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    average = weight @ grid
    return average, (grid - average).T * weight @ (grid - average)


@pytest.mark.parametrize("slope", [None, 0.0, -2.0])
@pytest.mark.parametrize("error", [0.1, 0.4])
@pytest.mark.parametrize("coefficient", [0.0, 0.9, -0.5])
def test_true_values_are_those_of_prior_times_likelihood(
    transforms: MeasurementTransforms,
    slope: float | None,
    error: float,
    coefficient: float,
) -> None:
    errors, measured = np.array([error, 0.12]), np.array([14.2, 13.9])
    correlation = np.array([[1.0, coefficient], [coefficient, 1.0]])
    covariance = correlation * np.outer(errors, errors)
    asked = replace(transforms, mass_prior=slope)
    names = list(transforms.optional)
    assert names == [schema.MASS, GAS]
    row = dict(zip(names, measured, strict=True))
    row |= {f"sigma_{n}": e for n, e in zip(names, errors, strict=True)}
    row[schema.LOOKBACK] = 3.0
    inputs = np.array([[row[name] for name in transforms.inputs]])
    mean, spread = asked.condition(inputs, correlation[None])
    columns = [transforms.names.index(name) for name in names]
    right_mean, right_spread = on_a_grid(transforms, slope, measured, covariance)
    np.testing.assert_allclose(mean[0, columns], right_mean, atol=1e-4)
    found = spread[0][np.ix_(columns, columns)]
    np.testing.assert_allclose(found, right_spread, atol=1e-5, rtol=1e-3)


def test_a_flat_prior_leaves_a_mass_where_it_was_measured(
    transforms: MeasurementTransforms,
) -> None:
    """And so it is with any error; the training clusters' own prior pulls it to their mean."""
    row = {
        schema.LOOKBACK: 3.0,
        schema.MASS: 14.0,
        f"sigma_{schema.MASS}": 0.2,
        GAS: np.nan,
    }
    inputs = np.array([[row.get(name, 0.0) for name in transforms.inputs]] * 3)
    of_error = transforms.inputs.index(f"sigma_{schema.MASS}")
    variance = transforms.prior.covariance
    inputs[:, of_error] = [0.2, 0.6, 0.0]
    flat, falling = (replace(transforms, mass_prior=slope) for slope in (0.0, -3.0))
    column = transforms.names.index(schema.MASS)
    mean, spread = flat.condition(inputs)
    np.testing.assert_allclose(mean[:, column], 14.0, atol=1e-9)
    deviation = np.sqrt(spread[:, column, column])
    np.testing.assert_allclose(deviation, [0.2, 0.6, 0.0], atol=1e-9)
    mean, _ = falling.condition(inputs)
    shift = -3.0 * np.log(10.0) * inputs[:, of_error] ** 2
    np.testing.assert_allclose(mean[:, column], 14.0 + shift, atol=1e-9)
    pulled, _ = transforms.condition(inputs)
    assert pulled[0, column] > 14.1
    assert pulled[2, column] == mean[2, column] == 14.0
    assert variance.shape == (3, 3)
    law = flat.mass_law
    assert law is not None
    share = law.error_share(transforms.prior, *transforms.raw_values(inputs))
    np.testing.assert_allclose(share / share[0], [1.0, 3.0, 0.0])
    assert transforms.mass_law is None


def test_a_network_sees_the_measurement_that_stands_for_the_other_prior(
    transforms: MeasurementTransforms,
) -> None:
    """1 / sigma'^2 = 1 / sigma^2 - 1 / s^2, so that its own prior is divided out."""
    flat = replace(transforms, mass_prior=0.0)
    row = {schema.LOOKBACK: 3.0, schema.MASS: 14.0, f"sigma_{schema.MASS}": 0.15}
    row |= {GAS: 13.5, f"sigma_{GAS}": 0.1}
    inputs = np.array([[row[name] for name in transforms.inputs]])
    values, _ = transforms.raw_values(inputs)
    law = flat.mass_law
    assert law is not None
    (centre,), variance = law.moments(transforms.prior, values)
    precision = 1.0 / 0.15**2 - 1.0 / variance
    told = inputs.copy()
    told[0, transforms.inputs.index(f"sigma_{schema.MASS}")] = precision**-0.5
    told[0, transforms.inputs.index(schema.MASS)] = (
        14.0 / 0.15**2 - centre / variance
    ) / precision
    np.testing.assert_allclose(
        flat.standardise_inputs(inputs), transforms.standardise_inputs(told), atol=1e-9
    )


def test_independent_errors_of_no_prior_are_as_before_to_the_last_bit(
    transforms: MeasurementTransforms,
) -> None:
    rng = np.random.default_rng(1)
    inputs = rng.uniform(0.0, 0.4, (20, len(transforms.inputs)))
    inputs[:, transforms.inputs.index(schema.MASS)] += 14.0
    inputs[::3, transforms.inputs.index(GAS)] = np.nan
    identity = np.broadcast_to(np.eye(2), (20, 2, 2))
    for one, other in zip(
        transforms.condition(inputs),
        transforms.condition(inputs, identity),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
