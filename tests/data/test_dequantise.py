"""Collision times made continuous: within their resolution, before the observation, and nothing
else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cinn_clusters.data.dequantise import TIME_FLOOR, dequantise, off_bounds
from cinn_clusters.schema import COLLISION_TIME, TIME_RESOLUTION, column

BEGIN = column(COLLISION_TIME).record_begin
TARGETS = tuple(map(column, ("last_V_coll", COLLISION_TIME, "last_Mass_ratio")))


def _theta(times: np.ndarray) -> np.ndarray:
    return np.stack(
        [np.full(len(times), 3.0), times, np.linspace(0.1, 0.9, len(times))], 1
    )


def _jittered(times: np.ndarray, age: np.ndarray, seed: int = 0) -> np.ndarray:
    return dequantise(_theta(times), TARGETS, age, np.random.default_rng(seed))[:, 1]


@given(
    age=st.floats(BEGIN + 0.1, 13.8),
    share=st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0])),
    seed=st.integers(0, 1000),
)
def test_times_stay_between_the_begin_of_the_record_and_the_observation(
    age: float, share: float, seed: int
) -> None:
    ages = np.full(50, age)
    recorded = BEGIN + (ages - BEGIN) * share
    times = _jittered(recorded, ages, seed)
    assert (times > BEGIN).all()
    assert (times < ages).all()
    assert (ages - times).min() >= TIME_FLOOR * (1 - 1e-9)
    assert np.abs(times - recorded).max() <= TIME_RESOLUTION / 2 + TIME_FLOOR


def test_jitter_is_uniform_over_the_resolution() -> None:
    ages = np.full(20_000, 10.0)
    offset = _jittered(np.full(20_000, 6.0), ages) - 6.0
    uniform = stats.uniform(-TIME_RESOLUTION / 2, TIME_RESOLUTION)
    assert stats.kstest(offset, uniform.cdf).pvalue > 0.01


def test_a_collision_at_the_snapshot_is_reflected_not_piled_up() -> None:
    ages = np.full(20_000, 10.0)
    since = ages - _jittered(ages.copy(), ages)
    at_floor = np.isclose(since, TIME_FLOOR, rtol=1e-6)
    assert at_floor.mean() == pytest.approx(TIME_FLOOR / (TIME_RESOLUTION / 2), rel=0.3)
    uniform = stats.uniform(0, TIME_RESOLUTION / 2)
    assert stats.kstest(since[~at_floor], uniform.cdf).statistic < 0.03


def test_a_collision_at_the_begin_of_the_record_is_reflected_not_piled_up() -> None:
    times = _jittered(np.full(20_000, BEGIN), np.full(20_000, 10.0))
    uniform = stats.uniform(BEGIN, TIME_RESOLUTION / 2)
    assert stats.kstest(times, uniform.cdf).statistic < 0.03


def test_near_the_snapshot_both_sides_are_kept() -> None:
    """tau = 0.05 with jitter of 0.075: a tau between 0 and 0.025 has two sources, so it is twice
    as dense."""
    ages = np.full(40_000, 10.0)
    since = ages - _jittered(ages - 0.05, ages)
    low, high = ((since > a) & (since < b) for a, b in ((0.005, 0.020), (0.050, 0.065)))
    assert low.mean() == pytest.approx(2 * high.mean(), rel=0.05)
    assert since.max() <= 0.05 + TIME_RESOLUTION / 2


def test_other_targets_and_the_given_array_are_untouched() -> None:
    ages = np.linspace(5, 13, 9)
    theta = _theta(ages - 0.5)
    kept = theta.copy()
    result = dequantise(theta, TARGETS, ages, np.random.default_rng(0))
    np.testing.assert_array_equal(theta, kept)
    np.testing.assert_array_equal(result[:, [0, 2]], kept[:, [0, 2]])
    assert (result[:, 1] != kept[:, 1]).all()


def test_without_a_collision_time_nothing_happens_and_nothing_is_drawn() -> None:
    theta, rng = np.ones((4, 2)), np.random.default_rng(0)
    state = rng.bit_generator.state
    assert (
        dequantise(theta, [TARGETS[0], column("last_d_peri")], np.full(4, np.nan), rng)
        is theta
    )
    assert rng.bit_generator.state == state


def test_generator_decides() -> None:
    ages = np.full(5, 9.0)
    np.testing.assert_array_equal(
        _jittered(ages - 1, ages, 3), _jittered(ages - 1, ages, 3)
    )
    assert (_jittered(ages - 1, ages, 3) != _jittered(ages - 1, ages, 4)).all()


def test_values_on_a_bound_are_moved_inside_and_no_others() -> None:
    names = (
        "last_T_coll",
        "last_Mass_ratio",
        "last_Subcluster_mass",
        "mean_Mass_ratio",
    )
    theta = np.array(
        [[10.0, 1.0, 0.2, -5.0], [0.0, 0.0, 1e-4, 2.0], [6.0, 0.9999, 1e3, 2.0]]
    )
    moved = off_bounds(theta, [column(name) for name in names], np.full(3, 10.0))
    assert moved[:, 0].tolist() == [10.0 - TIME_FLOOR, BEGIN + TIME_FLOOR, 6.0]
    assert moved[:, 1].tolist() == [0.999, 0.001, 0.9999]
    np.testing.assert_array_equal(moved[:, 2:], theta[:, 2:])
    assert theta[0, 0] == 10.0, "the given array is left as it was"
