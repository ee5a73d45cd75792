"""Checks of whether a model applies, on training clusters that are no Gaussian: they fire as
often as they say."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cinn_clusters import schema
from cinn_clusters.data.bijections import ObservableMap, TargetMap
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.data.missing_values import accept_missing_values
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.ood.sample_test import (
    TrainingPopulation,
    fit_population,
    two_sample_test,
)
from cinn_clusters.ood.support import TrainingSupport, fit_support

GAS = "GroupGasMass"
NUM_CLUSTERS, NUM_SNAPSHOTS = 200, 6


def clusters_like_training(
    num: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Inputs of clusters at snapshots, and their clusters: skewed masses that grow, rows of one
    cluster alike."""
    times = np.tile(np.linspace(0.0, 7.0, NUM_SNAPSHOTS), num)
    own = np.repeat(rng.exponential(0.3, num), NUM_SNAPSHOTS)
    mass = 14.3 + own - 0.05 * times + 0.03 * rng.standard_normal(len(times))
    gas = (
        mass
        - 0.7
        + np.repeat(0.1 * rng.standard_t(3, num), NUM_SNAPSHOTS)
        + 0.02 * rng.standard_normal(len(times))
    )
    inputs = np.column_stack([mass, gas, times, np.zeros((len(times), 2))])
    return inputs, np.repeat(np.arange(num), NUM_SNAPSHOTS)


def shifted(
    inputs: np.ndarray, mass: float = 0.0, gas: float = 0.0, time: float = 0.0
) -> np.ndarray:
    """Inputs with a bias."""
    return inputs + np.array([mass, gas, time, 0.0, 0.0])


@pytest.fixture(scope="module")
def training() -> tuple[MeasurementTransforms, np.ndarray, np.ndarray]:
    inputs, clusters = clusters_like_training(NUM_CLUSTERS, np.random.default_rng(0))
    maps = (
        ObservableMap(schema.MASS, shift=14.5, scale=0.3),
        ObservableMap(GAS, shift=13.8, scale=0.3),
        ObservableMap(schema.LOOKBACK, shift=4.0, scale=2.3),
    )
    columns = dict(zip((schema.MASS, GAS, schema.LOOKBACK), inputs.T[:3], strict=True))
    return (
        accept_missing_values(Transforms(maps, (TargetMap("mine"),)), columns),
        inputs,
        clusters,
    )


def test_the_sample_test_keeps_its_level_on_clusters_like_those_of_the_training(
    training,
) -> None:  # type: ignore[no-untyped-def]
    transforms, inputs, clusters = training
    population = fit_population(transforms, inputs, clusters)
    rng = np.random.default_rng(1)
    for size in (50, 300):
        for fresh in (False, True):
            chances = []
            for seed in range(12):
                rows = clusters_like_training(size, rng)[0] if fresh else inputs
                chosen = rng.choice(len(rows), size, replace=False)
                chances.append(
                    two_sample_test([population], transforms, rows[chosen], seed=seed)[
                        1
                    ]
                )
            assert sum(chance < 0.01 for chance in chances) <= 1, (size, fresh)


def test_the_sample_test_finds_a_bias_and_takes_the_likest_population(training) -> None:  # type: ignore[no-untyped-def]
    transforms, inputs, clusters = training
    biased = shifted(inputs, gas=-0.3)
    own, other = (
        fit_population(transforms, rows, clusters) for rows in (inputs, biased)
    )
    assert two_sample_test([own], transforms, biased[::8])[1] < 0.01
    assert two_sample_test([own, other], transforms, biased[::8])[1] > 0.01
    late = shifted(
        inputs, mass=-0.05, gas=-0.05, time=1.0
    )  # the line in lookback time is followed
    assert two_sample_test([own], transforms, late[::8])[1] > 0.01


def test_few_clusters_or_objects_tell_nothing(training) -> None:  # type: ignore[no-untyped-def]
    transforms, inputs, clusters = training
    few = fit_population(transforms, inputs[:60], clusters[:60])
    assert few.tolerance == 1.0
    assert two_sample_test([few], transforms, shifted(inputs, mass=1.0))[1] == 1.0
    assert np.isnan(two_sample_test([few], transforms, inputs[:5])).all()
    assert np.isnan(two_sample_test([few], transforms, np.zeros((0, 5)))).all()


def test_a_population_holds_no_training_row_and_survives_json(training) -> None:  # type: ignore[no-untyped-def]
    transforms, inputs, clusters = training
    population = fit_population(transforms, inputs, clusters)
    text = json.dumps(population.to_dict())
    assert len(text) < 2000
    again = TrainingPopulation.from_dict(json.loads(text))
    times = np.linspace(0.0, 7.0, 5000)
    np.testing.assert_array_equal(
        again.draw(times, np.random.default_rng(0)),
        population.draw(times, np.random.default_rng(0)),
    )
    drawn = again.draw(inputs[:, 2], np.random.default_rng(0))
    np.testing.assert_allclose(drawn.mean(0), inputs[:, :2].mean(0), atol=0.05)
    np.testing.assert_allclose(drawn.std(0), inputs[:, :2].std(0), rtol=0.15)


def test_disagreement_is_judged_against_clusters_of_which_the_same_is_known(
    training,
) -> None:  # type: ignore[no-untyped-def]
    transforms, inputs, _ = training
    rng = np.random.default_rng(2)

    def disagreement(given: np.ndarray) -> np.ndarray:
        """Ten times as large with both observables as with fewer."""
        whole = np.isfinite(given[:, :2]).all(1)
        return np.where(whole, 10.0, 1.0) * rng.exponential(1.0, len(given))

    support = fit_support(transforms, inputs, disagreement)
    again = TrainingSupport.from_dict(
        json.loads(json.dumps(support.to_dict())), transforms
    )
    for missing in ([], [0], [1], [0, 1]):
        given = inputs.copy()
        given[:, missing] = np.nan
        told = again.reasons(given, disagreement(given))
        share = np.mean(
            [any("disagree" in reason for reason in reasons) for reasons in told]
        )
        assert 0.0 < share < 0.03, missing


def test_a_table_without_any_complete_row_still_tells_a_bias(training) -> None:  # type: ignore[no-untyped-def]
    _, inputs, clusters = training
    incomplete = inputs.copy()
    incomplete[::2, 0] = np.nan
    incomplete[1::2, 1] = np.nan
    names = (schema.MASS, GAS, schema.LOOKBACK)
    maps = tuple(ObservableMap(name, shift=0.0, scale=1.0) for name in names)
    # some complete rows tell the Gaussian how mass and gas go together
    columns = dict(
        zip(names, np.vstack([inputs[::9], incomplete])[:, :3].T, strict=True)
    )
    transforms = accept_missing_values(Transforms(maps, (TargetMap("mine"),)), columns)
    population = fit_population(transforms, incomplete, clusters)
    assert population.tolerance < 1.0
    like = clusters_like_training(50, np.random.default_rng(3))[0]
    assert two_sample_test([population], transforms, like)[1] > 0.01
    biased = shifted(like, gas=-0.3)
    assert two_sample_test([population], transforms, biased)[1] < 0.01


def test_missing_scalars_are_imputed_with_their_scatter(training) -> None:  # type: ignore[no-untyped-def]
    transforms, inputs, clusters = training
    incomplete = inputs.copy()
    incomplete[:, 1] = np.nan
    population = fit_population(transforms, incomplete, clusters)
    simulated = population.draw(inputs[:, 2], np.random.default_rng(0))
    np.testing.assert_allclose(simulated.mean(0), inputs[:, :2].mean(0), atol=0.05)
    np.testing.assert_allclose(simulated.std(0), inputs[:, :2].std(0), rtol=0.15)
