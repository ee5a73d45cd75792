"""Point estimates that lie where the posterior is: medians, intervals, modes per unit of u."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cinn_clusters.cosmology import age_at_lookback
from cinn_clusters.posterior.mode import joint_mode
from cinn_clusters.posterior.summary import (
    TIME_SINCE_COLLISION,
    marginal_modes,
    summarise,
    summary_columns,
)

ALL = ("last_T_coll", "last_V_coll", "last_M_Crit500_coll", "last_Mass_ratio", "my_own")


def quantity_samples(samples: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    since = age_at_lookback(inputs[:, 0]) - samples[:, :, 0]
    return np.concatenate([since[..., None], samples], -1)


def test_columns_come_in_order_and_the_time_since_collision_first(
    make_posterior, inputs
) -> None:
    posterior = make_posterior(*ALL, num_members=2, distance=0.2)
    samples = posterior.sample(inputs, 200)
    frame = summarise(posterior, inputs, samples)
    assert len(frame) == len(inputs)
    assert list(frame) == summary_columns(ALL, with_map=False)
    assert list(frame)[:2] == [
        f"{TIME_SINCE_COLLISION}_median",
        f"{TIME_SINCE_COLLISION}_p16",
    ]
    assert not any(name.endswith("_map") for name in frame), (
        "the joint mode is off by default"
    )
    values = quantity_samples(samples, inputs)
    for q, name in enumerate((TIME_SINCE_COLLISION, *ALL)):
        np.testing.assert_allclose(
            frame[[f"{name}_{statistic}" for statistic in ("p16", "median", "p84")]],
            np.quantile(values[:, :, q], [0.16, 0.5, 0.84], axis=0).T,
        )
        inside = (values[:, :, q] >= frame[f"{name}_lower68"].to_numpy()) & (
            values[:, :, q] <= frame[f"{name}_upper68"].to_numpy()
        )
        assert (inside.mean(0) >= 0.68).all()


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_the_point_estimate_lies_inside_the_central_95_per_cent_of_every_marginal(
    make_posterior, inputs, seed
) -> None:
    posterior = make_posterior(*ALL, num_members=3, distance=0.3, seed=seed)
    samples = posterior.sample(inputs, 300, seed=seed)
    frame = summarise(posterior, inputs, samples)
    lower, upper = np.quantile(
        quantity_samples(samples, inputs), [0.025, 0.975], axis=0
    )
    for q, name in enumerate((TIME_SINCE_COLLISION, *ALL)):
        median = frame[f"{name}_median"].to_numpy()
        assert ((median > lower[:, q]) & (median < upper[:, q])).all()


def test_marginal_modes_are_those_per_unit_of_u(make_posterior, inputs) -> None:
    """Gaussians in u: modes are medians, wherever the physical density diverges."""
    posterior = make_posterior("last_T_coll", "last_Mass_ratio")
    wide = tuple(replace(target, scale=3.0) for target in posterior.transforms.targets)
    posterior = replace(
        posterior, transforms=replace(posterior.transforms, targets=wide)
    )
    modes = marginal_modes(posterior, inputs, posterior.sample(inputs, 20_000))
    anchors = posterior.transforms.anchors(inputs)
    u = posterior.transforms.standardise_targets(modes, anchors).numpy()
    np.testing.assert_allclose(u, 0.0, atol=0.3)


def test_marginal_mode_of_a_skewed_marginal_is_its_peak(make_posterior, inputs) -> None:
    posterior = make_posterior("my_own")
    rng = np.random.default_rng(0)
    samples = rng.gamma(3.0, size=(20_000, len(inputs), 1))
    samples[:50, 0] = np.inf  # as rounded onto a bound
    modes = marginal_modes(posterior, inputs, samples)
    np.testing.assert_allclose(modes, 2.0, atol=0.3)
    np.testing.assert_array_equal(
        marginal_modes(posterior, inputs, 0 * samples[100:] + 4.0), 4.0
    )


def test_map_is_added_on_demand(make_posterior, inputs) -> None:
    posterior = make_posterior(*ALL, num_members=2, distance=0.2)
    samples = posterior.sample(inputs, 100)
    frame = summarise(posterior, inputs, samples, with_map=True)
    assert list(frame) == summary_columns(ALL)
    mode, _ = joint_mode(posterior, inputs, samples)
    np.testing.assert_allclose(frame["last_V_coll_map"], mode[:, 1])
    age = age_at_lookback(inputs[:, 0])
    np.testing.assert_allclose(frame[f"{TIME_SINCE_COLLISION}_map"], age - mode[:, 0])


def test_targets_without_a_time_have_no_time_since_collision(
    make_posterior, inputs
) -> None:
    posterior = make_posterior("my_own", "another")
    frame = summarise(posterior, inputs, posterior.sample(inputs, 50))
    assert next(iter(frame)) == "my_own_median"
    assert not any(name.startswith(TIME_SINCE_COLLISION) for name in frame)
