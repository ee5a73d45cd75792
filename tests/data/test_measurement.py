"""What is known of observables with errors and gaps: closed forms, limits, and what a network is
shown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from cinn_clusters import schema
from cinn_clusters.data.bijections import ObservableMap, TargetMap
from cinn_clusters.data.measurement import (
    MeasurementTransforms,
    ObservablePrior,
    accept_missing_values,
    read_transforms,
)
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.errors import DataError

GAS, HOLE = "GroupGasMass", "bcg_SubhaloBHMass"
RNG = np.random.default_rng(3)
NUM = 4000


def table() -> dict[str, np.ndarray]:
    mass = RNG.normal(14.5, 0.3, NUM)
    return {
        HOLE: 10.0 ** RNG.normal(-0.4, 0.3, NUM),
        schema.MASS: mass,
        schema.RADIUS: mass / 3.0 - 1.7,
        GAS: mass - 0.7 + RNG.normal(0.0, 0.1, NUM),
        schema.LOOKBACK: RNG.uniform(0.0, 8.0, NUM),
    }


@pytest.fixture(scope="module")
def columns() -> dict[str, np.ndarray]:
    return table()


@pytest.fixture(scope="module")
def transforms(columns: dict[str, np.ndarray]) -> MeasurementTransforms:
    offset = columns[GAS] - columns[schema.MASS]
    maps = (
        ObservableMap(
            HOLE,
            True,
            1e-4,
            None,
            float(np.log(columns[HOLE]).mean()),
            float(np.log(columns[HOLE]).std()),
            4.0,
        ),
        ObservableMap(schema.MASS, shift=14.5, scale=0.3, clip=4.0),
        ObservableMap(schema.RADIUS, shift=3.1, scale=0.1, clip=4.0),
        ObservableMap(GAS, False, 0.0, schema.MASS, float(offset.mean()), float(offset.std()), 4.0),
        ObservableMap(schema.LOOKBACK, shift=4.0, scale=2.3, clip=4.0),
    )
    target = TargetMap(
        "last_M_Crit500_coll",
        "logit",
        True,
        1e-4,
        1e3,
        relative_to=schema.MASS,
        reference_unit=14.0,
    )
    return accept_missing_values(Transforms(maps, (target,)), columns)


def inputs(
    transforms: MeasurementTransforms, columns: dict[str, np.ndarray], num: int = 50
) -> np.ndarray:
    values = np.stack([columns[name][:num] for name in transforms.names], 1)
    return np.concatenate([values, np.zeros((num, len(transforms.optional)))], 1)


def test_one_observable_is_shrunk_by_the_textbook_formula() -> None:
    prior = ObservablePrior(np.array([1.0]), np.array([[4.0]]))
    mean, covariance = prior.condition(
        np.array([[3.0], [3.0], [np.nan]]), np.array([[0.0], [2.0], [np.inf]])
    )
    np.testing.assert_allclose(mean[:, 0], [3.0, 2.0, 1.0])
    np.testing.assert_allclose(covariance[:, 0, 0], [0.0, 2.0, 4.0])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), seen=st.integers(0, 7))
def test_conditioning_is_that_of_a_joint_gaussian(seed: int, seen: int) -> None:
    """Against the block formula for the measured part alone."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(3, 3))
    prior = ObservablePrior(rng.normal(size=3), root @ root.T + 0.1 * np.eye(3))
    has = np.array([bool(seen & 1 << bit) for bit in range(3)])
    errors, values = rng.uniform(0.1, 2.0, 3), rng.normal(size=3)
    mean, covariance = prior.condition(
        np.where(has, values, np.nan)[None], np.where(has, errors, np.inf)[None]
    )
    cross = prior.covariance[:, has]
    inner = np.linalg.inv(prior.covariance[np.ix_(has, has)] + np.diag(errors[has] ** 2))
    np.testing.assert_allclose(
        mean[0], prior.mean + cross @ inner @ (values - prior.mean)[has], atol=1e-8
    )
    np.testing.assert_allclose(covariance[0], prior.covariance - cross @ inner @ cross.T, atol=1e-8)
    squared, degrees = prior.mahalanobis(
        np.where(has, values, np.nan)[None], np.where(has, errors, np.inf)[None]
    )
    offset = (values - prior.mean)[has]
    np.testing.assert_allclose(squared[0], offset @ inner @ offset, atol=1e-8)
    assert degrees[0] == has.sum()


def test_without_errors_the_network_sees_the_values_themselves(
    transforms: MeasurementTransforms, columns: dict[str, np.ndarray]
) -> None:
    given = inputs(transforms, columns)
    x = transforms.standardise_inputs(given).numpy()
    plain = (
        Transforms(transforms.observables, ())
        .standardise_inputs(given[:, : len(transforms.names)])
        .numpy()
    )
    np.testing.assert_allclose(x[:, : len(transforms.names)], plain, atol=1e-12)
    np.testing.assert_array_equal(x[:, len(transforms.names) :], 0.0)


def test_a_huge_error_is_a_missing_value_and_a_tiny_one_none(
    transforms: MeasurementTransforms, columns: dict[str, np.ndarray]
) -> None:
    place, column = (
        transforms.names.index(GAS),
        len(transforms.names) + transforms.optional.index(GAS),
    )
    exact = inputs(transforms, columns)
    missing, huge, tiny = exact.copy(), exact.copy(), exact.copy()
    missing[:, place] = np.nan
    huge[:, column], tiny[:, column] = 1e5, 1e-7

    def seen(given: np.ndarray) -> np.ndarray:
        return transforms.standardise_inputs(given).numpy()

    np.testing.assert_allclose(seen(huge), seen(missing), atol=1e-6)
    np.testing.assert_allclose(seen(tiny), seen(exact), atol=1e-4)
    assert not np.allclose(seen(missing), seen(exact), atol=0.1)
    np.testing.assert_allclose(transforms.anchors(huge), transforms.anchors(missing), atol=1e-6)


def test_r500_is_left_out_and_time_is_needed(
    transforms: MeasurementTransforms, columns: dict[str, np.ndarray]
) -> None:
    assert schema.RADIUS not in transforms.names
    assert transforms.inputs == (
        *transforms.names,
        *(f"sigma_{name}" for name in transforms.optional),
    )
    assert schema.LOOKBACK not in transforms.optional
    without = Transforms(
        tuple(one for one in transforms.observables if one.name != schema.LOOKBACK), ()
    )
    with pytest.raises(DataError, match=schema.LOOKBACK):
        accept_missing_values(without, columns)


def test_rows_without_time_or_with_negative_errors_cannot_be_answered(
    transforms: MeasurementTransforms, columns: dict[str, np.ndarray]
) -> None:
    given = inputs(transforms, columns, 4)
    given[0, transforms.names.index(schema.LOOKBACK)] = np.nan
    given[1, len(transforms.names)] = -0.1
    given[2, transforms.names.index(schema.MASS)] = np.nan
    assert transforms.is_usable(given).tolist() == [False, False, True, True]


def test_corruption_tells_the_truth_about_itself(
    transforms: MeasurementTransforms, columns: dict[str, np.ndarray]
) -> None:
    exact = inputs(transforms, columns, NUM)
    given = transforms.augment(exact, np.random.default_rng(0))
    place, column = (
        transforms.names.index(schema.MASS),
        len(transforms.names) + transforms.optional.index(schema.MASS),
    )
    missing = np.isnan(given[:, place])
    errors, offset = given[:, column], given[:, place] - exact[:, place]
    assert 0.2 < missing.mean() < 0.6
    assert 0.3 < (errors[~missing] == 0).mean() < 0.9
    noisy = ~missing & (errors > 0)
    assert abs((offset[noisy] / errors[noisy]).std() - 1.0) < 0.06
    np.testing.assert_array_equal(offset[~missing & (errors == 0)], 0.0)
    hole, told = (
        given[:, transforms.names.index(HOLE)],
        given[:, len(transforms.names) + transforms.optional.index(HOLE)],
    )
    noisy = np.isfinite(hole) & (told > 0)
    in_dex = np.log10(hole[noisy] / exact[noisy, transforms.names.index(HOLE)]) / told[noisy]
    assert abs(in_dex.std() - 1.0) < 0.06, "errors of a positive quantity are in dex"
    np.testing.assert_array_equal(
        given[:, transforms.names.index(schema.LOOKBACK)],
        exact[:, transforms.names.index(schema.LOOKBACK)],
    )


def test_plausible_truths_scatter_as_is_known(
    transforms: MeasurementTransforms, columns: dict[str, np.ndarray]
) -> None:
    given = np.repeat(inputs(transforms, columns, 1), 20_000, 0)
    given[:, len(transforms.names) + transforms.optional.index(schema.MASS)] = 0.2
    given[:, transforms.names.index(GAS)] = np.nan
    mean, covariance = transforms.condition(given[:1])
    drawn = transforms.sample_values(
        given, np.random.default_rng(0).standard_normal((len(given), len(transforms.names)))
    )
    values, _ = transforms.raw_values(drawn)
    np.testing.assert_allclose(values.mean(0), mean[0], atol=0.01)
    np.testing.assert_allclose(np.cov(values.T), covariance[0], atol=0.005)
    np.testing.assert_array_equal(drawn[:, len(transforms.names) :], 0.0)


def test_distances_of_training_clusters_are_chi_squared(
    transforms: MeasurementTransforms, columns: dict[str, np.ndarray]
) -> None:
    given = inputs(transforms, columns, NUM)
    squared, degrees = transforms.mahalanobis(transforms.prior, given)
    share = chi2.cdf(squared, degrees)
    assert abs((share < 0.5).mean() - 0.5) < 0.08
    assert set(degrees) == {len(transforms.names)}


def test_round_trip_through_plain_values(
    transforms: MeasurementTransforms, columns: dict[str, np.ndarray]
) -> None:
    again = read_transforms(transforms.to_dict())
    assert isinstance(again, MeasurementTransforms)
    given = transforms.augment(inputs(transforms, columns), np.random.default_rng(1))
    np.testing.assert_array_equal(
        again.standardise_inputs(given), transforms.standardise_inputs(given)
    )
    assert (
        type(read_transforms(Transforms(transforms.observables, transforms.targets).to_dict()))
        is Transforms
    )
