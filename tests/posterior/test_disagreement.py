"""Disagreement of members: closed form for Gaussians, zero for one mind, larger where members
were never told."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from cinn_clusters.data.bijections import ObservableMap, TargetMap
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.flows.flow import Flow
from cinn_clusters.flows.mixing import ActNorm
from cinn_clusters.posterior import posterior as room
from cinn_clusters.posterior.disagreement import disagreement
from cinn_clusters.posterior.posterior import Posterior

INPUTS = np.zeros((3, 1))


def _gaussians(means: list[float], widths: list[float]) -> Posterior:
    """Members N(mean, width^2) in one target, whatever the input."""
    layer = ActNorm(1, 1, len(means))
    with torch.no_grad():
        layer.log_scale[:, 0, 0] = -torch.tensor(widths).log()
        layer.shift[:, 0, 0] = -torch.tensor(means) / torch.tensor(widths)
    return Posterior(
        Flow([layer], len(means)),
        Transforms((ObservableMap("m"),), (TargetMap("mine", scale=7.0),)),
    )


def _divergence(
    mean: float, width: float, other_mean: float, other_width: float
) -> float:
    ratio = (width / other_width) ** 2
    return float(
        0.5 * (ratio - 1.0 - np.log(ratio) + ((mean - other_mean) / other_width) ** 2)
    )


def test_mean_pairwise_divergence_of_gaussians() -> None:
    means, widths = [0.0, 1.0, -0.5], [1.0, 0.7, 1.5]
    pairs = [(k, j) for k in range(3) for j in range(3) if k != j]
    expected = np.mean(
        [_divergence(means[k], widths[k], means[j], widths[j]) for k, j in pairs]
    )
    found = disagreement(_gaussians(means, widths), INPUTS, 20_000)
    np.testing.assert_allclose(found, expected, rtol=0.03)


@pytest.mark.parametrize("members", [1, 4])
def test_members_of_one_mind_do_not_disagree(members: int) -> None:
    np.testing.assert_allclose(
        disagreement(_gaussians([0.3] * members, [0.5] * members), INPUTS),
        0.0,
        atol=1e-5,
    )


def test_objects_are_independent_of_their_batch(
    make_posterior: Callable[..., Posterior],
    inputs: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    posterior = make_posterior("my_own", "another", num_members=3, distance=0.2)
    whole = disagreement(posterior, inputs, seed=5)
    assert (whole > 0.01).all()
    monkeypatch.setattr("cinn_clusters.posterior.disagreement.POINTS_A_BATCH", 100)
    np.testing.assert_allclose(
        disagreement(posterior, inputs, seed=5), whole, rtol=1e-4
    )
    assert not np.allclose(disagreement(posterior, inputs, seed=6), whole)
    assert room.POINTS_A_BATCH > 100
