"""P(recorded) on a table whose true chance is known; threads, and Monte Carlo where it has
nothing to do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cinn_clusters import schema
from cinn_clusters.data.bijections import ObservableMap, TargetMap
from cinn_clusters.data.error_models.error_model import ErrorModel
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.data.missing_values import accept_missing_values
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.flows.zoo import make_flow
from cinn_clusters.ood.selection import UNCALIBRATED, MergerRecord, fit_classifier
from cinn_clusters.parallel import parallel_map
from cinn_clusters.posterior.monte_carlo import MonteCarlo, two_piece
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.posterior.query import Query, Sampling
from cinn_clusters.storage.model import load_model
from support import flow_config

RNG = np.random.default_rng(0)
NUM = 3000


@pytest.fixture(scope="module")
def columns() -> dict[str, np.ndarray]:
    return {
        schema.MASS: RNG.normal(14.5, 0.3, NUM),
        schema.LOOKBACK: RNG.uniform(0.0, 8.0, NUM),
    }


@pytest.fixture(scope="module")
def transforms(columns: dict[str, np.ndarray]) -> MeasurementTransforms:
    maps = (
        ObservableMap(schema.MASS, shift=14.5, scale=0.3, clip=4.0),
        ObservableMap(schema.LOOKBACK, shift=4.0, scale=2.3),
    )
    return accept_missing_values(
        Transforms(maps, (TargetMap("mine"), TargetMap("another"))), columns
    )


def slope(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Of the true log-odds on the predicted ones, weighted as a logistic regression does."""
    log_odds, of_truth = (np.log(p / (1.0 - p)) for p in (predicted, truth))
    deviation = np.sqrt(truth * (1.0 - truth))
    return float(np.polyfit(log_odds, of_truth, 1, w=deviation)[0])


def test_a_known_chance_is_found(
    transforms: MeasurementTransforms, columns: dict[str, np.ndarray]
) -> None:
    inputs = np.column_stack(
        [columns[schema.MASS], columns[schema.LOOKBACK], np.zeros(NUM)]
    )
    chance = 1.0 / (
        1.0
        + np.exp(
            2.0 * (columns[schema.LOOKBACK] - 5.0) - 3.0 * (columns[schema.MASS] - 14.5)
        )
    )
    answer = RNG.random(NUM) < chance
    half = np.arange(NUM) < NUM // 2
    is_usable = answer & (RNG.random(NUM) < 0.9)
    record = MergerRecord(answer, is_usable, np.arange(NUM) // 8).rows(half)
    classifier = fit_classifier(transforms, inputs[half], record)
    found = classifier.record_probability(inputs[~half])
    assert np.abs(found - chance[~half]).mean() < 0.05
    assert classifier.is_of_usable
    assert classifier.calibration.measured_share == record.measured_share
    usable = classifier.probability(inputs[~half])
    np.testing.assert_allclose(usable, found * record.measured_share)
    uncalibrated = replace(classifier, calibration=UNCALIBRATED)
    assert not uncalibrated.is_of_usable
    assert np.isnan(uncalibrated.probability(inputs)).all()
    before = uncalibrated.record_probability(inputs[~half])
    truth = chance[~half]
    assert np.abs(found - truth).mean() < 0.8 * np.abs(before - truth).mean()
    assert abs(slope(found, truth) - 1.0) < 0.6 * abs(slope(before, truth) - 1.0)
    missing = inputs[~half].copy()
    missing[:, 0] = np.nan
    by_time = classifier.record_probability(missing)
    assert np.corrcoef(by_time, columns[schema.LOOKBACK][~half])[0, 1] < -0.9
    assert np.abs(by_time - chance[~half]).mean() > np.abs(found - chance[~half]).mean()


def test_a_chance_does_not_depend_on_the_rows_around() -> None:
    model = load_model()
    assert model.selection is not None
    maps = model.posterior.transforms
    exact = np.zeros((1000, len(maps.inputs)))
    noise = RNG.standard_normal((1000, len(maps.observables)))
    inputs = maps.sample_values(np.full_like(exact, np.nan), noise)  # type: ignore[attr-defined]
    together = model.selection.record_probability(inputs)
    for count in (1, 2, 3, 7, 31, 97, 500):
        rows = RNG.choice(1000, count, replace=False)
        alone = model.selection.record_probability(inputs[rows])
        np.testing.assert_array_equal(alone, together[rows])


@pytest.fixture(scope="module")
def posterior(transforms: MeasurementTransforms) -> Posterior:
    config = flow_config("autoregressive", seed=1, members=2, blocks=12, hidden=8)
    flow = make_flow(config, 2, transforms.num_features)
    return Posterior(flow.eval(), transforms)


def test_monte_carlo_without_errors_is_the_posterior_itself(
    posterior: Posterior,
) -> None:
    inputs = np.array([[14.2, 2.0, 0.0], [14.9, 6.0, 0.0]])
    plain = posterior.sample(inputs, 4000)
    drawn = MonteCarlo(posterior.flow, posterior.transforms).sample(inputs, 4000)
    np.testing.assert_allclose(drawn.mean(0), plain.mean(0), atol=0.1)
    np.testing.assert_allclose(drawn.std(0), plain.std(0), rtol=0.1)


@pytest.mark.parametrize(("below", "above"), [(0.05, 0.3), (0.3, 0.05), (0.2, 0.0)])
def test_true_values_of_two_sided_errors_are_those_of_their_density(
    transforms: MeasurementTransforms, below: float, above: float
) -> None:
    """Against prior times two-piece normal on a grid; the inputs hold its mean."""
    mean_mass = 14.6 + np.sqrt(2.0 / np.pi) * (above - below)
    inputs = np.array([[mean_mass, 3.0, 0.1]])
    errors = np.array([[[below]], [[above]]])
    drawn = two_piece(
        transforms, Query(inputs, np.array([4])), errors, Sampling(20_000)
    )
    assert (drawn[0, :, 1] == 3.0).all()
    mean, covariance = transforms.condition(np.array([[np.nan, 3.0, 0.0]]))
    grid = np.linspace(13.0, 16.0, 30_001)
    side = np.where(grid < 14.6, below, max(above, 0.01 * below))
    density = np.exp(
        -((grid - mean[0, 0]) ** 2) / (2.0 * covariance[0, 0, 0])
        - (grid - 14.6) ** 2 / (2.0 * side**2)
    )
    density /= density.sum()
    assert drawn[0, :, 0].mean() == pytest.approx((grid * density).sum(), abs=0.004)
    assert (drawn[0, :, 0] < 14.6).mean() == pytest.approx(
        density[grid < 14.6].sum(), abs=0.012
    )
    again = two_piece(
        transforms, Query(inputs, np.array([4])), errors, Sampling(20_000)
    )
    np.testing.assert_array_equal(again, drawn)


def test_equal_sides_change_nothing_and_others_only_their_rows(
    posterior: Posterior,
) -> None:
    inputs = np.array([[14.6, 3.0, 0.2], [14.9, 6.0, 0.2]])
    parts = (posterior.flow, posterior.transforms)
    plain, equal = (
        MonteCarlo(*parts),
        MonteCarlo(*parts, error_model=ErrorModel(np.full((2, 2, 1), 0.2))),
    )
    sides = ErrorModel(np.array([[[0.05], [0.2]], [[0.35], [0.2]]]))
    skewed = MonteCarlo(*parts, error_model=sides)
    draws = [one.sample(inputs, 500) for one in (plain, equal, skewed)]
    np.testing.assert_array_equal(draws[1], draws[0])
    np.testing.assert_array_equal(draws[2][:, 1], draws[0][:, 1])
    assert not np.allclose(draws[2][:, 0], draws[0][:, 0])


def test_draws_are_the_same_on_any_number_of_threads(
    posterior: Posterior, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cinn_clusters.posterior.posterior.POINTS_A_BATCH", 60)
    inputs = np.column_stack(
        [np.linspace(14.0, 15.0, 11), np.linspace(0.0, 7.0, 11), np.zeros(11)]
    )
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = posterior.sample(inputs, 20)
        torch.set_num_threads(3)
        np.testing.assert_array_equal(posterior.sample(inputs, 20), alone)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_pieces_come_in_order_and_failures_are_told() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert list(parallel_map(lambda number: number * 2, range(50))) == [
            2 * number for number in range(50)
        ]

        def fail(number: int) -> int:
            if number == 7:
                raise ValueError("seven")
            return number

        with pytest.raises(ValueError, match="seven"):
            list(parallel_map(fail, range(20)))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
