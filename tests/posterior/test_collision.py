"""What is said of the last collision whether or not one is recorded, against plain counting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cinn_clusters import load_posterior, schema
from cinn_clusters.data.declared import declared_schema
from cinn_clusters.errors import ConfigError
from cinn_clusters.posterior.collision import (
    MajorMerger,
    Unconditional,
    condition,
    record_window,
    unconditional_columns,
    unconditional_quantiles,
)

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("probability", [0.0, 0.3, 0.6, 0.9, 1.0])
def test_quantiles_are_those_of_the_samples_with_the_rest_at_infinity(
    probability: float,
) -> None:
    since = RNG.exponential(1.0, (4000, 1))
    levels = [0.16, 0.5, 0.84]
    ends = unconditional_quantiles(since, np.array([probability]), levels)[:, 0]
    num_recorded = round(4000 * probability)
    everything = np.full(4000, np.inf)
    everything[:num_recorded] = np.quantile(
        since, (np.arange(num_recorded) + 0.5) / max(num_recorded, 1)
    )
    for end, level in zip(ends, levels, strict=True):
        expected = np.quantile(everything, level, method="lower")
        assert end == pytest.approx(expected, abs=0.02)
    assert (np.isinf(ends) == (np.array(levels) > probability)).all()


def test_a_certain_record_changes_no_quantile() -> None:
    since = RNG.exponential(1.0, (500, 7))
    ends = unconditional_quantiles(since, np.ones(7), [0.1, 0.5, 1.0])
    np.testing.assert_allclose(ends, np.quantile(since, [0.1, 0.5, 1.0], axis=0))


def test_columns_of_a_posterior() -> None:
    posterior = load_posterior()
    inputs = np.full((2, len(posterior.inputs)), np.nan)
    names = posterior.inputs
    inputs[:, names.index(schema.MASS)] = 14.7
    inputs[:, names.index(schema.LOOKBACK)] = [1.0, 7.9]
    inputs[:, len(posterior.transforms.names) :] = 0.0  # type: ignore[attr-defined]
    samples = posterior.sample(inputs, 200)
    chance = np.array([0.9, 0.3])
    strict, wide = (
        unconditional_columns(posterior, inputs, samples, Unconditional(chance, major))
        for major in (MajorMerger(), MajorMerger(0.0, 20.0))
    )
    np.testing.assert_allclose(wide.p_major_recent, chance)
    assert (strict.p_major_recent < wide.p_major_recent).all()
    assert np.isinf(wide.unconditional_time_since_collision_Gyr_median).tolist() == [
        False,
        True,
    ]
    window = record_window(posterior.transforms, inputs)
    assert window == pytest.approx([7.92, 1.0], abs=0.1)


def test_a_table_without_a_begin_has_no_window() -> None:
    posterior = load_posterior()
    document = {"columns": {"last_T_coll": {"role": "collision_time", "unit": "Gyr"}}}
    declared = declared_schema(document)
    transforms = replace(posterior.transforms, schema=declared)
    inputs = np.zeros((1, len(posterior.inputs)))
    assert np.isnan(record_window(transforms, inputs)).all()


def test_the_condition_is_that_of_the_targets() -> None:
    assert condition([schema.Column("mine")]) == ""
    text = condition([schema.Column("mine", absent_means="no history")])
    assert text == "posteriors are conditional on a collision that is recorded"


@pytest.mark.parametrize(
    ("values", "subject"),
    [
        ((1.0, 2.0), "major ratio"),
        ((-0.1, 2.0), "major ratio"),
        ((np.nan, 2.0), "major ratio"),
        ((0.25, 0.0), "recent"),
        ((0.25, np.inf), "recent"),
    ],
)
def test_what_is_no_ratio_or_time_is_refused(
    values: tuple[float, float], subject: str
) -> None:
    with pytest.raises(ConfigError, match=f"{subject}.*expected"):
        MajorMerger(*values)
