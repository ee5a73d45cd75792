"""One convention of dequantisation: training, likelihood, ranks and coverage see one density."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.evaluation.ground_truth import dequantised_ground_truth, unphysical
from cinn_clusters.evaluation.score_report import SampledObjects, score_report
from cinn_clusters.schema import (
    CLUSTER_COLUMN,
    COLLISION_MASS,
    COLLISION_TIME,
    LOOKBACK,
    MASS,
)

NUM_ROWS = 2000


@pytest.fixture(scope="module")
def at_the_snapshot() -> Catalogue:
    """Collisions that are recorded exactly at the observation."""
    table = pd.DataFrame({LOOKBACK: np.full(NUM_ROWS, 2.0)})
    table[CLUSTER_COLUMN] = np.arange(NUM_ROWS) // 2
    catalogue = Catalogue(table, (LOOKBACK,), (COLLISION_TIME,))
    table[COLLISION_TIME] = catalogue.age
    return catalogue


def test_collisions_at_the_observation_are_reflected_not_piled_up_at_it(
    at_the_snapshot: Catalogue,
) -> None:
    truth = dequantised_ground_truth(at_the_snapshot)[:, 0]
    since = at_the_snapshot.age - truth
    uniform = stats.uniform(0.0, 0.075)
    assert stats.kstest(since, uniform.cdf).pvalue > 0.01
    assert np.unique(since).size > 0.97 * NUM_ROWS


def test_coverage_is_judged_against_dequantised_times(
    at_the_snapshot: Catalogue,
) -> None:
    """A posterior that is right has no interval that ends at the observation itself."""
    rng = np.random.default_rng(1)
    since = rng.uniform(0.001, 0.075, (200, NUM_ROWS, 1))
    samples = at_the_snapshot.age[:, None] - since
    truth = dequantised_ground_truth(at_the_snapshot)
    sampled = SampledObjects(at_the_snapshot, samples, truth, np.zeros(NUM_ROWS))
    scores = score_report(sampled)
    assert scores.coverage_68[COLLISION_TIME] == pytest.approx(0.68, abs=0.04)
    assert scores.calibration_error < 0.03


def test_a_row_has_one_jitter_in_every_comparison(at_the_snapshot: Catalogue) -> None:
    rows = np.arange(5, NUM_ROWS, 7)
    everywhere = dequantised_ground_truth(at_the_snapshot)
    part = dequantised_ground_truth(at_the_snapshot, rows)
    np.testing.assert_array_equal(part, everywhere[rows])


def test_samples_that_break_a_relation_are_unphysical() -> None:
    """A subcluster above the main cluster then, and a mass then above four times that now."""
    names = (COLLISION_MASS, "last_Subcluster_mass")
    table = pd.DataFrame({MASS: [14.0, 14.5], CLUSTER_COLUMN: [0, 1]})
    table[LOOKBACK] = 2.0
    table[list(names)] = 1.0
    objects = Catalogue(table, (MASS, LOOKBACK), names)
    pairs = [[3.9, 3.9], [3.9, 4.0], [4.1, 1.0], [12.0, 1.0], [12.7, 1.0]]
    samples = np.repeat(np.array(pairs)[:, None], 2, axis=1)
    expected = [[False, True, True, True, True], [False, True, False, False, True]]
    np.testing.assert_array_equal(unphysical(samples, objects), np.array(expected).T)
    of_masses = Catalogue(table, (LOOKBACK,), names[1:])  # nothing to compare with
    assert not unphysical(samples[..., 1:], of_masses).any()
