"""One law, one test, every flow. Weights are random and large, so that no law holds by the
identity alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from cinn_clusters.errors import ConfigError, DataError
from cinn_clusters.flows.coupling import Coupling
from cinn_clusters.flows.elements import SOFT_CLAMP, Affine
from cinn_clusters.flows.flow import Flow
from cinn_clusters.flows.matching import FlowMatching
from cinn_clusters.flows.mixing import ActNorm, LULinear, Permutation, Rotation
from cinn_clusters.flows.transform import Transform
from cinn_clusters.flows.zoo import make_flow
from cinn_clusters.nn.stacked import NetworkShape
from cinn_clusters.settings.config import Config, FlowName, read_config
from support import flow_config, glow

K, B = 3, 4


@dataclass(frozen=True)
class Case:
    """A flow of K members on D targets given L observables, and how far training has moved its weights.

    Args:
        tolerance: How well a map and its inverse agree, in double precision.
        reach: Whether every target of z depends on every target of u (a triangular map alone does
            not reach).
    """

    num_targets: int
    num_observables: int
    config: Config
    distance: float = 0.3
    tolerance: float = 1e-9
    reach: bool = True

    def __call__(self, num_members: int = K, seed: int = 0) -> Flow:
        model = self.config.model.model_copy(update={"members": num_members})
        config = self.config.model_copy(update={"model": model, "seed": seed})
        return make_flow(config, self.num_targets, self.num_observables).double()


def _glow(**options: Any) -> Config:
    return flow_config("glow", **{"blocks": 4, "hidden": 8, "clamp": 2.0, **options})


def _spline(**options: Any) -> Config:
    return flow_config("spline", **{"blocks": 3, "hidden": 8, **options})


def _autoregressive(**options: Any) -> Config:
    return flow_config("autoregressive", **{"blocks": 3, "hidden": 24, **options})


MIXTURE = flow_config("mixture", components=3, hidden=8)
MATCHING = flow_config("flow_matching", hidden=8, layers=2, steps=64)

FLOWS = {
    "glow": Case(6, 7, _glow()),
    "glow_deep": Case(6, 7, _glow(blocks=12), distance=0.1),
    "glow_small_clamp": Case(4, 2, _glow(clamp=0.3)),
    "glow_from_identity": Case(4, 2, _glow(zero_init=True)),
    "glow_odd": Case(5, 3, _glow()),
    "glow_two_targets": Case(2, 1, _glow()),
    "glow_one_target": Case(1, 4, _glow()),
    "glow_deep_networks": Case(3, 2, _glow(layers=3)),
    "glow_rotated": Case(4, 2, _glow(mixing="rotation")),
    "glow_lu": Case(4, 2, _glow(mixing="lu", act_norm=True)),
    "one_coupling": Case(3, 2, _glow(blocks=1), reach=False),
    "spline": Case(6, 7, _spline(), distance=0.15, tolerance=1e-7),
    "spline_two_bins": Case(
        3, 2, _spline(bins=2, bound=2.0), distance=0.15, tolerance=1e-7
    ),
    "spline_lu": Case(
        4, 2, _spline(mixing="lu", act_norm=True), distance=0.15, tolerance=1e-7
    ),
    "spline_one_target": Case(1, 4, _spline(), distance=0.15, tolerance=1e-7),
    "maf": Case(6, 7, _autoregressive(element="affine")),
    "maf_one_target": Case(1, 4, _autoregressive(element="affine")),
    "autoregressive": Case(6, 7, _autoregressive(), distance=0.15, tolerance=1e-7),
    "autoregressive_two_layers": Case(
        4,
        2,
        _autoregressive(layers=2, mixing="rotation"),
        distance=0.15,
        tolerance=1e-7,
    ),
    "autoregressive_from_identity": Case(
        4, 2, _autoregressive(zero_init=True), distance=0.15, tolerance=1e-7
    ),
    "autoregressive_one_target": Case(
        1, 4, _autoregressive(), distance=0.15, tolerance=1e-7
    ),
    "autoregressive_one_block": Case(
        3, 2, _autoregressive(blocks=1), distance=0.15, tolerance=1e-7, reach=False
    ),
    "mixture": Case(4, 5, MIXTURE, distance=0.2, tolerance=1e-7, reach=False),
    "mixture_one_target": Case(1, 4, MIXTURE, tolerance=1e-7),
    "flow_matching": Case(4, 3, MATCHING, distance=0.15, tolerance=1e-6),
    "flow_matching_one_target": Case(1, 3, MATCHING, distance=0.3, tolerance=1e-6),
}


@pytest.fixture(params=FLOWS)
def recipe(request: pytest.FixtureRequest) -> Case:
    return FLOWS[request.param]


def _normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def _trained(recipe: Case, num_members: int = K, seed: int = 0) -> Flow:
    """A flow whose weights have moved far from where they started."""
    flow = recipe(num_members, seed)
    with torch.no_grad():
        for i, parameter in enumerate(flow.parameters()):
            parameter += recipe.distance * _normal(1000 * seed + i, *parameter.shape)
    return flow


def _points(recipe: Case, seed: int = 5) -> tuple[Tensor, Tensor]:
    return _normal(seed, K, B, recipe.num_targets), _normal(
        seed + 1, K, B, recipe.num_observables
    )


def test_round_trip(recipe: Case) -> None:
    flow, (u, x) = _trained(recipe), _points(recipe)
    z, _ = flow(u, x)
    assert (z - u).abs().max() > 0.1
    torch.testing.assert_close(flow.inverse(z, x)[0], u, rtol=0, atol=recipe.tolerance)
    torch.testing.assert_close(
        flow(flow.inverse(u, x)[0], x)[0], u, rtol=0, atol=recipe.tolerance
    )


def test_log_det_is_that_of_autodiff(recipe: Case) -> None:
    flow, (u, x) = _trained(recipe), _points(recipe)
    _, log_det = flow(u, x)
    for k in range(K):
        for b in range(B):

            def image(point: Tensor, k: int = k, b: int = b) -> Tensor:
                return flow(
                    torch.cat((u[:, :b], point.expand(K, 1, -1), u[:, b + 1 :]), 1), x
                )[0][k, b]

            jacobian = torch.func.jacrev(image)(u[k, b])
            torch.testing.assert_close(
                log_det[k, b],
                torch.linalg.slogdet(jacobian)[1],
                rtol=0,
                atol=recipe.tolerance,
            )
    assert log_det.std() > 0.01


def test_inverse_log_det_is_minus_forward(recipe: Case) -> None:
    flow, (u, x) = _trained(recipe), _points(recipe)
    z, log_det = flow(u, x)
    torch.testing.assert_close(
        flow.inverse(z, x)[1], -log_det, rtol=0, atol=recipe.tolerance
    )
    assert log_det.shape == (K, B)


def test_batch_is_loop(recipe: Case) -> None:
    flow, (u, x) = _trained(recipe), _points(recipe)
    for method in (flow.forward, flow.inverse):
        image, log_det = method(u, x)
        for b in range(B):
            one, one_log_det = method(u[:, b : b + 1], x[:, b : b + 1])
            torch.testing.assert_close(one[:, 0], image[:, b], rtol=0, atol=1e-11)
            torch.testing.assert_close(
                one_log_det[:, 0], log_det[:, b], rtol=0, atol=1e-11
            )


def test_every_observable_matters_to_shape_and_density(recipe: Case) -> None:
    flow, (u, x) = _trained(recipe), _points(recipe)
    z, log_det = flow(u, x)
    for column in range(recipe.num_observables):
        moved = x.clone()
        moved[..., column] += 1.0
        z_moved, log_det_moved = flow(u, moved)
        assert ((z_moved - z).abs().amax(-1) > 1e-6).all()
        assert ((log_det_moved - log_det).abs() > 1e-6).all()


def test_every_target_depends_on_every_other(recipe: Case) -> None:
    """Couplings and permutations together reach everything."""
    flow, (u, x) = _trained(recipe), _points(recipe)
    jacobian = torch.func.jacrev(
        lambda point: flow(point.expand(K, 1, -1), x[:, :1])[0][0, 0]
    )(u[0, 0])
    if recipe.reach:
        assert (jacobian.abs() > 1e-8).all()


def test_state_goes_round(recipe: Case) -> None:
    flow, other, (u, x) = _trained(recipe), _trained(recipe, seed=9), _points(recipe)
    assert (other(u, x)[0] - flow(u, x)[0]).abs().max() > 0.1
    other.load_state_dict(flow.state_dict(), strict=True)
    for method, again in ((flow.forward, other.forward), (flow.inverse, other.inverse)):
        assert torch.equal(method(u, x)[0], again(u, x)[0])
        assert torch.equal(method(u, x)[1], again(u, x)[1])


def test_members_are_single_networks(recipe: Case) -> None:
    flow, (u, x) = _trained(recipe), _points(recipe)
    members = {name for name, _ in flow.named_parameters()}
    for k in range(K):
        single = recipe(1)
        state = flow.state_dict()
        single.load_state_dict(
            {name: v[k : k + 1] if name in members else v for name, v in state.items()}
        )
        alone = slice(k, k + 1)
        for method, own in (
            (flow.forward, single.forward),
            (flow.inverse, single.inverse),
        ):
            for stacked, expected in zip(
                method(u, x), own(u[alone], x[alone]), strict=True
            ):
                torch.testing.assert_close(stacked[alone], expected, rtol=0, atol=1e-11)


def test_density_is_gaussian_times_jacobian(recipe: Case) -> None:
    flow, (u, x) = _trained(recipe), _points(recipe)
    z, log_det = flow(u, x)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1) + log_det
    torch.testing.assert_close(flow.log_prob(u, x), expected, rtol=0, atol=1e-12)


def test_sample_is_the_inverse_without_gradient(recipe: Case) -> None:
    flow, (noise, x) = _trained(recipe), _points(recipe)
    u = flow.sample(noise, x)
    assert not u.requires_grad
    torch.testing.assert_close(flow(u, x)[0], noise, rtol=0, atol=recipe.tolerance)


def test_seed_decides(recipe: Case) -> None:
    (u, x), flow = _points(recipe), recipe(K, 3)
    assert torch.equal(flow(u, x)[0], recipe(K, 3)(u, x)[0])
    with torch.no_grad():
        weights = [
            torch.cat([p.flatten() for p in recipe(K, seed).parameters()])
            for seed in (3, 4)
        ]
    assert not torch.equal(*weights)


PLANE = {
    "glow": _glow(),
    "glow_lu": _glow(mixing="lu", act_norm=True),
    "glow_rotated": _glow(mixing="rotation"),
    "spline": _spline(bins=5, bound=3.0),
    "maf": _autoregressive(element="affine"),
    "autoregressive": _autoregressive(bins=5, bound=3.0),
    "mixture": MIXTURE,
    "flow_matching": flow_config("flow_matching", hidden=8, layers=2, steps=16),
}


@pytest.mark.parametrize("num_targets", [1, 2])
@pytest.mark.parametrize("name", PLANE)
def test_density_integrates_to_one(name: str, num_targets: int) -> None:
    """Midpoint rule on a wide box."""
    case = Case(num_targets, 2, PLANE[name], distance=0.1)
    flow, half, num_points = _trained(case, num_members=1), 20.0, 600
    line = (
        torch.arange(num_points, dtype=torch.float64) + 0.5
    ) / num_points * 2 * half - half
    grid = torch.cartesian_prod(*[line] * num_targets).view(1, -1, num_targets)
    x = _normal(3, 1, 1, 2).expand(-1, grid.shape[1], -1)
    with torch.no_grad():
        total = (
            flow.log_prob(grid, x).exp().sum(-1)
            * (2 * half / num_points) ** num_targets
        )
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=2e-3)


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"'model.flow': expected .*'glow', 'spline'.*; got 'iresn"
    ):
        read_config(changes=["model.flow=iresnet"])


def test_autoregression_is_triangular_and_the_first_target_sees_x_only() -> None:
    flow, x = _trained(FLOWS["autoregressive_one_block"]), _normal(3, K, 1, 2)
    layer = flow.transforms[0]
    jacobian = torch.func.jacrev(
        lambda point: layer(point.expand(K, 1, -1), x)[0][0, 0]
    )(_normal(4, 3))
    assert torch.equal(jacobian.triu(1), torch.zeros(3, 3, dtype=torch.float64))
    assert (jacobian.tril().abs() > 1e-8).sum() == 6


@pytest.mark.parametrize("make", [ActNorm, Rotation, LULinear])
def test_mixing_layers_start_as_what_they_are_told(
    make: Callable[..., Transform],
) -> None:
    order, u, x = (
        torch.tensor([2, 0, 1]),
        _normal(1, K, B, 3).float(),
        torch.zeros(K, B, 1),
    )
    z, log_det = make(3 if make is ActNorm else order, 1, K)(u, x)
    torch.testing.assert_close(z, u if make is ActNorm else u[..., order])
    torch.testing.assert_close(log_det, torch.zeros(K, B))


def test_rotation_keeps_lengths() -> None:
    flow = _trained(Case(4, 2, _glow(blocks=1, mixing="rotation")))
    rotation, u = flow.transforms[1], _normal(1, K, B, 4)
    torch.testing.assert_close(
        rotation(u, torch.zeros(K, B, 2))[0].norm(dim=-1), u.norm(dim=-1)
    )


def test_matching_loss_is_zero_for_the_right_field() -> None:
    """With no data spread, u = 0 always, the field that carries noise to it is -place / (1 -
    time)."""

    class Known(FlowMatching):
        def _velocity(self, time: Tensor, u: Tensor, x: Tensor) -> Tensor:
            return -u / (1.0 - time)

    field = Known(2, 1, torch.Generator().manual_seed(0), 8, NetworkShape(1, (8,)))
    loss = field.matching_loss(
        torch.zeros(1, 50, 2), torch.zeros(1, 50, 1), torch.Generator().manual_seed(1)
    )
    torch.testing.assert_close(loss, torch.zeros(1, 50), rtol=0, atol=1e-6)


def test_loss_is_minus_log_prob_but_for_a_velocity_field(recipe: Case) -> None:
    flow, (u, x) = _trained(recipe), _points(recipe)
    loss = flow.loss(u, x, torch.Generator().manual_seed(0))
    assert loss.shape == (K, B)
    assert torch.allclose(loss, -flow.log_prob(u, x)) is not isinstance(
        flow.transforms[0], FlowMatching
    )


@pytest.mark.parametrize("name", ["glow", "spline", "autoregressive", "mixture"])
def test_dropout_acts_in_training_only_and_by_the_generator(name: FlowName) -> None:
    case = Case(4, 3, flow_config(name, hidden=24, dropout=0.5))
    flow, (u, x) = _trained(case), _points(case)
    first, again, other = (
        flow.loss(u, x, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    flow.eval()
    assert torch.equal(
        *(flow.loss(u, x, torch.Generator().manual_seed(seed)) for seed in (1, 2))
    )


WRONG = {
    "too few targets": ((K, B, -1), (K, B, 0)),
    "too many observables": ((K, B, 0), (K, B, 1)),
    "another batch": ((K, B, 0), (K, B + 1, 0)),
    "another number of members": ((K + 1, B, 0), (K, B, 0)),
    "members the flow does not have": ((K + 1, B, 0), (K + 1, B, 0)),
    "one member for all": ((1, B, 0), (1, B, 0)),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_shapes_are_refused(recipe: Case, wrong: str) -> None:
    flow, ((k_u, b_u, more_u), (k_x, b_x, more_x)) = recipe(), WRONG[wrong]
    u = torch.zeros(k_u, b_u, recipe.num_targets + more_u, dtype=torch.float64)
    x = torch.zeros(k_x, b_x, recipe.num_observables + more_x, dtype=torch.float64)
    for method in (flow.forward, flow.inverse, flow.log_prob, flow.sample):
        with pytest.raises(DataError, match=r"^Flow: expected .*; got .*\("):
            method(u, x)


def test_error_tells_the_shapes() -> None:
    flow = FLOWS["glow"]()
    with pytest.raises(
        DataError,
        match=r"targets \(K, B, 6\) and observables \(K, B, 7\); got \(4, 6\) and \(4, 7\)",
    ):
        flow(torch.zeros(4, 6), torch.zeros(4, 7))
    with pytest.raises(DataError, match=r"^Coupling: expected targets \(K, B, 6\)"):
        flow.transforms[0](torch.zeros(K, 4, 5), torch.zeros(K, 4, 7))


@pytest.mark.parametrize("num_targets", [1, 2, 5, 6])
def test_zero_last_starts_as_a_permutation(num_targets: int) -> None:
    flow = glow(num_targets, 3, members=K, blocks=5, hidden=8, zero_init=True)
    u, x = torch.randn(K, B, num_targets), torch.randn(K, B, 3)
    z, log_det = flow(u, x)
    assert torch.equal(log_det, torch.zeros(K, B))
    assert torch.equal(z.sort(-1).values, u.sort(-1).values)


def test_log_scale_stays_within_the_clamp() -> None:
    flow, x = FLOWS["one_coupling"](), torch.full((K, 1, 2), 1e9, dtype=torch.float64)
    coupling = flow.transforms[0]
    assert isinstance(coupling, Coupling)
    assert isinstance(coupling.element, Affine)
    with torch.no_grad():
        for parameter in coupling.parameters():
            parameter.mul_(1e6).abs_()
    _, log_det = flow(torch.ones(K, 1, 3, dtype=torch.float64), x)
    limit = 3 * 2.0 * SOFT_CLAMP * math.pi / 2
    assert torch.allclose(log_det, torch.full_like(log_det, limit), rtol=1e-6)
    assert limit < 3 * 2.0


def test_permutation_puts_targets_in_order() -> None:
    permutation = Permutation(torch.tensor([2, 0, 1]), 1)
    u, x = torch.tensor([[[10.0, 20.0, 30.0]]]), torch.zeros(1, 1, 1)
    z, log_det = permutation(u, x)
    assert z.tolist() == [[[30.0, 10.0, 20.0]]]
    assert permutation.inverse(z, x)[0].tolist() == u.tolist()
    assert log_det.tolist() == [[0.0]]


def test_permutations_differ_between_blocks_and_are_stored() -> None:
    flow = glow(6, 2, blocks=6, hidden=4)
    orders = [
        tuple(layer.order.tolist())
        for layer in flow.transforms
        if isinstance(layer, Permutation)
    ]
    assert len(set(orders)) > 3
    assert all(sorted(order) == list(range(6)) for order in orders)
    assert sum(name.endswith("order") for name in flow.state_dict()) == 6
