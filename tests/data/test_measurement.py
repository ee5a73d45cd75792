"""What is known of observables with errors and gaps: closed forms, limits, and what a network is
shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from cinn_clusters import schema
from cinn_clusters.data.bijections import ObservableMap, TargetMap
from cinn_clusters.data.error_models.gaussian import ObservablePrior, fit_prior
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.data.missing_values import accept_missing_values, read_transforms
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
        ObservableMap(
            GAS, False, 0.0, schema.MASS, float(offset.mean()), float(offset.std()), 4.0
        ),
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
    inner = np.linalg.inv(
        prior.covariance[np.ix_(has, has)] + np.diag(errors[has] ** 2)
    )
    np.testing.assert_allclose(
        mean[0], prior.mean + cross @ inner @ (values - prior.mean)[has], atol=1e-8
    )
    np.testing.assert_allclose(
        covariance[0], prior.covariance - cross @ inner @ cross.T, atol=1e-8
    )
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
    np.testing.assert_allclose(
        transforms.anchors(huge), transforms.anchors(missing), atol=1e-6
    )


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
    assert accept_missing_values(without, columns).optional == tuple(
        entry.name for entry in without.observables
    )
    bounded = replace(
        without, targets=(TargetMap("last_T_coll", "age", False, 0.0, 13.9),)
    )
    with pytest.raises(DataError, match=schema.LOOKBACK):
        accept_missing_values(bounded, columns)


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
    in_dex = (
        np.log10(hole[noisy] / exact[noisy, transforms.names.index(HOLE)]) / told[noisy]
    )
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
        given,
        np.random.default_rng(0).standard_normal((len(given), len(transforms.names))),
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
        type(
            read_transforms(
                Transforms(transforms.observables, transforms.targets).to_dict()
            )
        )
        is Transforms
    )


def holes(values: np.ndarray, share: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(values.shape) < share, np.nan, values)


def test_the_prior_of_a_complete_table_is_its_mean_and_covariance() -> None:
    values = RNG.normal(size=(200, 3)) @ RNG.normal(size=(3, 3))
    prior = fit_prior(values)
    np.testing.assert_allclose(prior.mean, values.mean(0))
    np.testing.assert_allclose(prior.covariance, np.cov(values.T), rtol=1e-6)


def test_the_prior_of_a_table_with_holes_is_that_of_the_whole_table() -> None:
    """Missing at random given the first column, where the rows that are complete are biased."""
    rng = np.random.default_rng(0)
    root = np.array([[1.0, 0.0, 0.0], [0.8, 0.5, 0.0], [-0.5, 0.3, 0.7]])
    values = rng.normal(size=(20_000, 3)) @ root.T
    punched = values.copy()
    punched[values[:, 0] > 0.5, 1] = np.nan
    punched[:, 2] = holes(values[:, 2], 0.3, 1)
    prior = fit_prior(punched)
    np.testing.assert_allclose(prior.mean, 0.0, atol=0.03)
    np.testing.assert_allclose(prior.covariance, root @ root.T, atol=0.04)
    assert abs(np.nanmean(punched[:, 1])) > 0.3, "the values that are left are biased"


def test_em_does_not_lower_the_likelihood_and_stops_at_the_closed_form() -> None:
    """One column that is always there, one with holes: the closed form is a regression."""
    rng = np.random.default_rng(2)
    first = rng.normal(size=500)
    second = 0.7 * first + 0.2 * rng.normal(size=500)
    is_missing = rng.random(500) < 0.4
    values = np.stack([first, np.where(is_missing, np.nan, second)], 1)
    slope, offset = np.polyfit(first[~is_missing], second[~is_missing], 1)
    prior = fit_prior(values)
    np.testing.assert_allclose(
        prior.mean, [first.mean(), offset + slope * first.mean()], rtol=1e-3
    )
    np.testing.assert_allclose(
        prior.covariance[0, 1], slope * first.var(ddof=1), rtol=1e-3
    )


class TestEmbedding:
    """Scalars, an embedding that is there or not, and columns that are no logarithms."""

    COLUMNS = (
        schema.MASS,
        "embedding_000",
        schema.LOOKBACK,
        "embedding_001",
        "asymmetry",
    )

    @pytest.fixture
    def columns(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(5)
        mass = rng.normal(14.5, 0.3, NUM)
        return {
            schema.MASS: mass,
            "embedding_000": (mass - 14.5) / 0.3 + 0.5 * rng.normal(size=NUM),
            schema.LOOKBACK: rng.uniform(0.0, 8.0, NUM),
            "embedding_001": rng.normal(size=NUM),
            "asymmetry": 0.02 * rng.normal(size=NUM),
        }

    @pytest.fixture
    def transforms(self, columns: dict[str, np.ndarray]) -> MeasurementTransforms:
        maps = tuple(
            ObservableMap(
                name, shift=columns[name].mean(), scale=columns[name].std(), clip=4.0
            )
            for name in self.COLUMNS
        )
        return accept_missing_values(Transforms(maps, (TargetMap("mine"),)), columns)

    @pytest.fixture
    def exact(self, transforms, columns) -> np.ndarray:
        values = np.stack([columns[name] for name in transforms.names], 1)
        return np.hstack([values, np.zeros((NUM, len(transforms.optional)))])

    def test_scalars_stand_before_the_embedding_which_has_no_errors(
        self, transforms
    ) -> None:
        assert transforms.inputs == (
            schema.MASS,
            schema.LOOKBACK,
            "asymmetry",
            "embedding_000",
            "embedding_001",
            f"sigma_{schema.MASS}",
            "sigma_asymmetry",
        )
        assert transforms.num_features == len(transforms.inputs) + 1

    @pytest.mark.parametrize("missing", [[], [0], [0, 2], [3, 4], [0, 3, 4]])
    def test_conditioning_in_blocks_is_that_of_the_whole_gaussian(
        self, transforms, exact, missing
    ) -> None:
        inputs = exact[:20].copy()
        inputs[:, missing] = np.nan
        inputs[:, 5] = 0.2
        mean, covariance = transforms.condition(inputs)
        errors = np.hstack(
            [inputs[:, [5]], np.zeros((20, 1)), inputs[:, [6]], np.zeros((20, 2))]
        )
        values = inputs[:, :5]
        errors = np.where(np.isnan(values), np.inf, errors)
        expected = transforms.prior.condition(values, errors)
        np.testing.assert_allclose(mean, expected[0], atol=1e-7)
        np.testing.assert_allclose(covariance, expected[1][:, :3, :3], atol=1e-7)
        squared, degrees = transforms.mahalanobis(transforms.prior, inputs)
        whole = transforms.prior.mahalanobis(values, errors)
        np.testing.assert_allclose(squared, whole[0], rtol=1e-5)
        np.testing.assert_array_equal(degrees, whole[1])

    def test_one_feature_says_that_the_embedding_is_missing(
        self, transforms, exact
    ) -> None:
        half = transforms.without(
            exact[:2], np.array([[1, 1, 1], [1, 1, 0]], dtype=bool)
        )
        features = transforms.standardise_inputs(half).numpy()
        np.testing.assert_array_equal(features[:, -1], [0.0, 1.0])
        partial = exact[:2].copy()
        partial[1, 4] = np.nan
        np.testing.assert_array_equal(
            transforms.standardise_inputs(partial).numpy(), features
        )
        assert transforms.is_usable(half).all()

    def test_augmentation_masks_the_embedding_as_a_whole_and_scales_noise(
        self, transforms, exact
    ) -> None:
        augmented = transforms.augment(exact, np.random.default_rng(0))
        is_missing = np.isnan(augmented[:, 3:5])
        assert (is_missing[:, 0] == is_missing[:, 1]).all()
        assert 0.45 < is_missing[:, 0].mean() < 0.55
        has = ~is_missing[:, 0]
        np.testing.assert_array_equal(augmented[has, 3:5], exact[has, 3:5])
        noisy = np.isfinite(augmented[:, 2]) & (augmented[:, 6] > 0)
        pull = (augmented[noisy, 2] - exact[noisy, 2]) / augmented[noisy, 6]
        assert abs(pull.std() - 1.0) < 0.06
        spread = exact[:, 2].std()
        assert augmented[noisy, 6].max() < 3.01 * spread < 0.1
        assert augmented[noisy, 6].max() > 2.0 * spread

    def test_what_is_missing_in_the_table_stays_missing(
        self, transforms, exact
    ) -> None:
        punched = exact.copy()
        punched[::2, 0], punched[::3, 3:5] = np.nan, np.nan
        augmented = transforms.augment(punched, np.random.default_rng(0))
        assert np.isnan(augmented[::2, 0]).all()
        assert np.isnan(augmented[::3, 3:5]).all()
        assert transforms.is_usable(augmented).all()
        assert np.isfinite(transforms.standardise_inputs(augmented).numpy()).all()

    def test_true_values_keep_the_embedding_as_it_is(self, transforms, exact) -> None:
        inputs = exact[:3].copy()
        inputs[0, 3:5], inputs[:, 0] = np.nan, np.nan
        values = transforms.sample_values(inputs, np.ones((3, 3)))
        np.testing.assert_array_equal(values[:, 3:5], inputs[:, 3:5])
        assert np.isfinite(values[:, :3]).all()
