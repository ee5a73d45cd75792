"""Densities in physical units integrate to one, draws follow them, and nothing else decides
about the draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from cinn_clusters.cosmology import age_at_lookback
from cinn_clusters.errors import DataError
from cinn_clusters.posterior import posterior as module
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.posterior.query import Query, Sampling

ALL = ("last_T_coll", "last_V_coll", "last_M_Crit500_coll", "last_Mass_ratio", "my_own")


def _axis(
    posterior: Posterior, draws: np.ndarray, d: int, age: float, num_points: int
) -> np.ndarray:
    """Points evenly over the unbounded value of one target, half as far again as the draws reach
    on both sides."""
    entry = posterior.transforms.targets[d]
    if entry.bijection == "identity":
        lower, upper, width = 0.0, 1.0, 1.0
    elif entry.is_log:
        lower, upper = np.log(entry.lower), np.log(entry.upper)
        width = upper - lower
    else:
        lower, upper = entry.lower, age if entry.bijection == "age" else entry.upper
        width = upper - lower
    share = ((np.log(draws) if entry.is_log else draws) - lower) / width
    is_free = entry.bijection == "identity"
    reach = share if is_free else np.log(share / (1 - share))
    margin = 0.5 * np.ptp(reach)
    points = np.linspace(reach.min() - margin, reach.max() + margin, num_points)
    value = lower + width * (
        points if is_free else 1 / (1 + np.exp(-np.clip(points, -14, 14)))
    )
    return np.unique(np.exp(value) if entry.is_log else value)


def _weights(axis: np.ndarray) -> np.ndarray:
    """Trapezoidal rule on uneven points: lengths in physical units, no Jacobian of ours."""
    return (
        np.concatenate(
            [[axis[1] - axis[0]], axis[2:] - axis[:-2], [axis[-1] - axis[-2]]]
        )
        / 2
    )


def _mass(
    posterior: Posterior, row: np.ndarray, num_points: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Axes and probability of every cell of a grid over the support."""
    age = float(age_at_lookback(row[:1])[0])
    draws = posterior.sample(row[None], 20_000, seed=9)[:, 0].astype(float)
    axes = [
        _axis(posterior, draws[:, d], d, age, num_points) for d in range(draws.shape[1])
    ]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
    density = np.exp(posterior.log_prob(points, np.tile(row, (len(points), 1))))
    volume = np.ones(())
    for axis in axes:
        volume = np.multiply.outer(volume, _weights(axis))
    return axes, density.reshape(volume.shape) * volume


@pytest.mark.parametrize("num_members", [1, 3])
@pytest.mark.parametrize("target", [*ALL])
def test_density_of_one_target_integrates_to_one(
    make_posterior, inputs, target, num_members
) -> None:
    posterior = make_posterior(target, num_members=num_members, distance=0.2, seed=4)
    for row in inputs[:3]:
        _, mass = _mass(posterior, row, 6001)
        assert mass.sum() == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize(
    "targets",
    [
        ("last_T_coll", "last_Mass_ratio"),
        ("last_M_Crit500_coll", "last_V_coll"),
        ("my_own", "last_T_coll"),
    ],
)
def test_density_of_two_targets_integrates_to_one(
    make_posterior, inputs, targets
) -> None:
    posterior = make_posterior(*targets, num_members=2, distance=0.2, seed=1)
    _, mass = _mass(posterior, inputs[0], 601)
    assert mass.sum() == pytest.approx(1.0, abs=5e-3)


@pytest.mark.parametrize(
    "targets", [("last_T_coll", "last_Mass_ratio"), ("last_M_Crit500_coll", "my_own")]
)
def test_draws_follow_the_density(make_posterior, inputs, targets) -> None:
    """Counts in coarse cells against the integral of the density over them."""
    posterior = make_posterior(*targets, num_members=2, distance=0.2, seed=1)
    draws = posterior.sample(inputs[:1], 20_000, seed=3)[:, 0].astype(float)
    axes, mass = _mass(posterior, inputs[0], 601)
    cell, edges = [], []
    for d in range(2):
        nodes = np.searchsorted(axes[d], np.quantile(draws[:, d], [0.2, 0.4, 0.6, 0.8]))
        edges.append(
            0.5 * (axes[d][nodes - 1] + axes[d][nodes])
        )  # between two points of the grid
        cell.append(np.searchsorted(edges[d], axes[d]))
    expected = np.zeros((5, 5))
    np.add.at(expected, np.ix_(*cell), mass)
    counts = np.zeros((5, 5))
    np.add.at(
        counts, tuple(np.searchsorted(edges[d], draws[:, d]) for d in range(2)), 1
    )
    np.testing.assert_allclose(counts / len(draws), expected, atol=0.012)
    assert expected.max() > 1.3 * expected.min(), "flat cells could not tell"


def test_draws_of_one_target_pass_a_ks_test(make_posterior, inputs) -> None:
    posterior = make_posterior("last_T_coll", num_members=3, distance=0.2, seed=4)
    (axis,), mass = _mass(posterior, inputs[2], 6001)
    draws = posterior.sample(inputs[2:3], 5000, seed=3)[:, 0, 0]
    cumulated = np.cumsum(mass) - 0.5 * mass
    assert stats.kstest(draws, lambda t: np.interp(t, axis, cumulated)).pvalue > 0.01


@pytest.mark.parametrize(
    ("target", "outside"),
    [
        ("last_T_coll", [-1.0, 0.0, "age", "after"]),
        ("last_Mass_ratio", [-0.1, 0.0, 1.0, 1.1]),
        ("last_M_Crit500_coll", [-1.0, 0.0, 1e-4, 1e3, 2e3]),
        ("my_own", [np.inf, -np.inf]),
    ],
)
def test_density_outside_the_support_is_zero(
    make_posterior, inputs, target, outside
) -> None:
    posterior = make_posterior(target, "another", num_members=2, distance=0.2)
    ages = age_at_lookback(inputs[:, 0])
    for value in outside:
        column = {"age": ages, "after": ages + 1e-9}.get(
            value, np.full(len(ages), value if value else 0.0)
        )
        theta = np.stack([np.asarray(column, dtype=float), np.full(len(ages), -1.0)], 1)
        assert (posterior.log_prob(theta, inputs) == -np.inf).all(), value
    inside = np.stack([0.5 * np.minimum(ages, 1.0), np.full(len(ages), -1.0)], 1)
    assert np.isfinite(posterior.log_prob(inside, inputs)).all()


def test_one_bad_row_leaves_the_others_alone(make_posterior, inputs) -> None:
    posterior = make_posterior(*ALL, distance=0.2)
    theta = posterior.sample(inputs, 1)[0].astype(float)
    expected = posterior.log_prob(theta, inputs)
    theta[2, 3] = 1.5
    log_prob = posterior.log_prob(theta, inputs)
    assert log_prob[2] == -np.inf
    np.testing.assert_allclose(
        np.delete(log_prob, 2), np.delete(expected, 2), atol=1e-4
    )


def test_density_of_the_identity_is_a_change_of_variables(
    make_posterior, inputs
) -> None:
    """The closed form of a flow that does nothing: Gaussians in the unbounded coordinates,
    written out by hand."""
    posterior = make_posterior("last_T_coll", "my_own")
    ages = age_at_lookback(inputs[:, 0])
    time, own = 0.6 * ages, np.linspace(2, 8, len(ages))
    raw = np.log((ages - time) / time)
    by_hand = (
        stats.norm.logpdf(raw, -1.0, 1.5)
        + np.log(ages / (time * (ages - time)))
        + stats.norm.logpdf(own, 5.0, 2.0)
    )
    np.testing.assert_allclose(
        posterior.log_prob(np.stack([time, own], 1), inputs), by_hand, atol=1e-5
    )


class TestMixture:
    def test_density_is_the_mean_of_the_members(self, make_posterior, inputs) -> None:
        posterior = make_posterior(*ALL, num_members=3, distance=0.2)
        theta = posterior.sample(inputs, 4)
        each = np.stack(
            [self._member(posterior, k).log_prob(theta, inputs) for k in range(3)]
        )
        assert each.std(0).min() > 0.01
        np.testing.assert_allclose(
            posterior.log_prob(theta, inputs), np.log(np.exp(each).mean(0)), atol=1e-4
        )

    @pytest.mark.parametrize("num_samples", [3, 10, 300])
    def test_members_take_turns(self, make_posterior, inputs, num_samples) -> None:
        posterior = make_posterior("my_own", num_members=3)
        with torch.no_grad():  # member k sits at u = -100 k, far from the others
            posterior.flow.transforms[-2].subnet1[-1].bias[:, 0, 1] += torch.tensor(
                [0.0, 100.0, 200.0]
            )
        draws = posterior.sample(inputs, num_samples)[..., 0]
        member = np.rint((5.0 - draws) / 2.0 / 100.0)
        np.testing.assert_array_equal(
            member, np.broadcast_to(np.arange(num_samples)[:, None] % 3, member.shape)
        )

    @staticmethod
    def _member(posterior: Posterior, member: int) -> Posterior:
        from support import glow

        flow = glow(len(ALL), 2, blocks=3, hidden=16, clamp=1.0)
        stacked = {name for name, _ in posterior.flow.named_parameters()}
        state = posterior.flow.state_dict().items()
        flow.load_state_dict(
            {
                name: v[member : member + 1] if name in stacked else v
                for name, v in state
            }
        )
        return replace(posterior, flow=flow)


class TestSample:
    @pytest.fixture
    def posterior(self, make_posterior) -> Posterior:
        return make_posterior(*ALL, num_members=3, distance=0.2)

    @pytest.mark.parametrize("num_samples", [1, 2, 3, 50])
    def test_shape_and_type(self, posterior, inputs, num_samples) -> None:
        draws = posterior.sample(inputs, num_samples)
        assert draws.shape == (num_samples, len(inputs), len(ALL))
        assert draws.dtype == np.float32
        assert np.isfinite(draws).all()

    def test_no_objects_no_draws(self, posterior) -> None:
        assert posterior.sample(np.empty((0, 2)), 5).shape == (5, 0, len(ALL))

    def test_seed_decides(self, posterior, inputs) -> None:
        first = posterior.sample(inputs, 20, seed=1)
        np.testing.assert_array_equal(first, posterior.sample(inputs, 20, seed=1))
        assert (first != posterior.sample(inputs, 20, seed=2)).mean() > 0.99

    def test_objects_have_the_noise_of_their_own_inputs(
        self, posterior, inputs
    ) -> None:
        twins_and_more = inputs[[0, 0, 1]]
        twins_and_more[2, 0] = np.nextafter(inputs[0, 0], 9.0, dtype=np.float32)
        twins_and_more[2, 1:] = inputs[0, 1:]
        draws = posterior.sample(twins_and_more, 200)
        np.testing.assert_array_equal(draws[:, 0], draws[:, 1])
        assert (draws[:, 0] != draws[:, 2]).mean() > 0.99

    @pytest.mark.parametrize("num_samples", [1, 7, 20, 333])
    def test_order_number_and_partition_of_the_rows_do_not_matter(
        self, posterior, inputs, num_samples
    ) -> None:
        whole = posterior.sample(inputs, num_samples)
        order = np.random.default_rng(0).permutation(len(inputs))
        np.testing.assert_array_equal(
            posterior.sample(inputs[order], num_samples), whole[:, order]
        )
        for size in (1, 3):
            parts = [
                posterior.sample(inputs[start : start + size], num_samples)
                for start in range(0, len(inputs), size)
            ]
            np.testing.assert_array_equal(np.concatenate(parts, 1), whole)

    @pytest.mark.parametrize("points", [1, 40, 100, 10**6])
    def test_batches_do_not_matter(
        self, posterior, inputs, points, monkeypatch
    ) -> None:
        whole = posterior.sample(inputs, 20, seed=1)
        monkeypatch.setattr(module, "POINTS_A_BATCH", points)
        pieces = list(posterior.sample_batches(inputs, Sampling(20, seed=1)))
        assert len(pieces) == -(-len(inputs) // max(1, points // 20))
        np.testing.assert_allclose(
            np.concatenate([draws for _, draws in pieces], 1), whole, rtol=1e-5
        )
        covered = np.concatenate(
            [np.arange(len(inputs))[objects] for objects, _ in pieces]
        )
        np.testing.assert_array_equal(covered, np.arange(len(inputs)))
        np.testing.assert_allclose(
            posterior.sample(inputs, 20, seed=1), whole, rtol=1e-5
        )

    def test_other_objects_do_not_matter(self, posterior, inputs) -> None:
        whole = posterior.sample(inputs, 20, seed=1)
        some = np.array([5, 0, 3])
        ((_, draws),) = posterior.sample_batches(
            Query(inputs[some], some), Sampling(20, seed=1)
        )
        np.testing.assert_allclose(draws, whole[:, some], rtol=1e-5)

    def test_more_draws_begin_with_the_same(self, posterior, inputs) -> None:
        few, many = (
            posterior.sample(inputs, 10, seed=1),
            posterior.sample(inputs, 31, seed=1),
        )
        np.testing.assert_allclose(few, many[:10], rtol=1e-5)

    @pytest.mark.parametrize("push", [1e2, -1e2, 1e6, -1e6])
    def test_no_draw_is_unphysical_even_when_the_flow_explodes(
        self, make_posterior, inputs, push
    ) -> None:
        posterior = make_posterior(*ALL[:4], num_members=2, distance=0.2)
        with torch.no_grad():
            for layer in posterior.flow.transforms[::2]:
                for subnet in (layer.subnet1, layer.subnet2):
                    subnet[-1].bias[..., 2:] += push
        draws = posterior.sample(inputs, 50).astype(float)
        age = age_at_lookback(inputs[:, 0])
        assert (draws > 0).all()
        assert (draws[..., 0] < age).all()
        assert (draws[..., 1] < np.log10(299792.458)).all()
        assert (draws[..., 3] <= 1).all()
        u = posterior.transforms.standardise_targets(
            draws, posterior.transforms.anchors(inputs)
        )
        assert torch.isfinite(u).all(), "every draw has a density"
        assert (u.abs() > 3).double().mean() > 0.2, "the flow was meant to explode"


class TestErrors:
    @pytest.fixture
    def posterior(self, make_posterior) -> Posterior:
        return make_posterior("last_T_coll", "my_own")

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("column", [0, 1])
    def test_inputs_that_are_not_finite(self, posterior, inputs, bad, column) -> None:
        inputs = inputs.copy()
        inputs[[3, 5], column] = bad
        calls = (
            lambda: posterior.sample(inputs, 2),
            lambda: posterior.log_prob(np.ones((7, 2)), inputs),
        )
        for call in calls:
            with pytest.raises(
                DataError,
                match=r"^inputs: expected finite values; got 2 rows that are not; first row 3",
            ):
                call()

    @pytest.mark.parametrize("bad", [np.inf, -np.inf])
    def test_clip_does_not_make_infinity_finite(self, posterior, inputs, bad) -> None:
        seen = tuple(
            replace(m, clip=4.0, is_log=True, floor=1e-3)
            for m in posterior.transforms.observables
        )
        clipped = replace(
            posterior, transforms=replace(posterior.transforms, observables=seen)
        )
        inputs = inputs.copy()
        inputs[1, 1] = bad
        with pytest.raises(DataError, match="first row 1"):
            clipped.sample(inputs, 2)

    def test_lookback_time_without_an_age(self, posterior, inputs) -> None:
        inputs = inputs.copy()
        inputs[4, 0] = 13.7
        with pytest.raises(DataError, match="1 rows that are not; first row 4"):
            posterior.sample(inputs, 2)

    def test_no_age_is_needed_where_none_bounds_a_target(
        self, make_posterior, inputs
    ) -> None:
        inputs = inputs.copy()
        inputs[4, 0] = 13.7
        assert np.isfinite(make_posterior("my_own").sample(inputs, 2)).all()

    @pytest.mark.parametrize("width", [1, 3])
    def test_wrong_width(self, posterior, width) -> None:
        with pytest.raises(
            DataError,
            match=r"inputs: expected shape \(N, 2\) holding lookback_time_Gyr, m; got",
        ):
            posterior.sample(np.ones((4, width)), 2)

    @pytest.mark.parametrize("num_samples", [0, -3])
    def test_no_draws(self, posterior, inputs, num_samples) -> None:
        match = f"^num_samples: expected a whole number of 1 or more; got {num_samples}"
        with pytest.raises(DataError, match=match):
            next(posterior.sample_batches(inputs, Sampling(num_samples)))
        with pytest.raises(DataError, match=match):
            posterior.sample(inputs, num_samples)

    @pytest.mark.parametrize(
        "shape", [(2,), (7,), (6, 2), (7, 3), (4, 6, 2), (1, 1, 7, 2)], ids=str
    )
    def test_theta_of_another_shape(self, posterior, inputs, shape) -> None:
        with pytest.raises(
            DataError,
            match=r"^theta: expected \(N, D\) or \(S, N, D\) with N, D = \(7, 2\); got \(",
        ):
            posterior.log_prob(np.ones(shape), inputs)


def test_layers_of_theta_are_scored_one_by_one(make_posterior, inputs) -> None:
    posterior = make_posterior(*ALL, num_members=2, distance=0.2)
    theta = posterior.sample(inputs, 5)
    log_prob = posterior.log_prob(theta, inputs)
    assert log_prob.shape == (5, len(inputs))
    for s in range(5):
        np.testing.assert_allclose(
            posterior.log_prob(theta[s], inputs), log_prob[s], atol=1e-5
        )


def test_names_are_those_of_the_transforms(make_posterior) -> None:
    posterior = make_posterior("last_T_coll", "my_own")
    assert posterior.inputs == ("lookback_time_Gyr", "m")
    assert posterior.targets == ("last_T_coll", "my_own")


def test_densities_of_kernels_are_those_of_pytorch(make_posterior, inputs) -> None:
    posterior = make_posterior(*ALL, num_members=3, zero_init=False)
    theta = posterior.sample(inputs, 50, seed=2)
    reference = posterior.log_prob(theta, inputs)
    compiled = posterior.log_prob(theta, inputs, kernels="compiled")
    assert np.ptp(reference) > 1.0
    np.testing.assert_allclose(compiled, reference, rtol=0, atol=1e-3)
    assert (compiled != reference).any(), "they are not the same code"
