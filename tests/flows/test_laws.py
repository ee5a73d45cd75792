"""One law, one test, every flow. Weights are random and large, so that no law holds by the identity alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from cinn_clusters.errors import DataError
from cinn_clusters.flows.coupling import SOFT_CLAMP, AffineCoupling
from cinn_clusters.flows.flow import Flow
from cinn_clusters.flows.mixing import Permutation
from cinn_clusters.flows.zoo import glow

K, B = 3, 4


@dataclass(frozen=True)
class Recipe:
    """A flow of K members on D targets given L observables, and how far training has moved its weights."""

    num_targets: int
    num_observables: int
    make: Callable[[int, int, int, int], Flow]
    distance: float = 0.3

    def __call__(self, num_members: int = K, seed: int = 0) -> Flow:
        return self.make(self.num_targets, self.num_observables, num_members, seed).double()


def _glow(**options: float) -> Callable[[int, int, int, int], Flow]:
    def make(num_targets: int, num_observables: int, num_members: int, seed: int) -> Flow:
        kept = {"num_blocks": 4, "num_hidden": 8, **options}
        return glow(num_targets, num_observables, num_members=num_members, seed=seed, **kept)  # type: ignore[arg-type]

    return make


def _coupling(num_targets: int, num_observables: int, num_members: int, seed: int) -> Flow:
    generator = torch.Generator().manual_seed(seed)
    return Flow([AffineCoupling(num_targets, num_observables, generator, num_members=num_members)], num_members)


FLOWS = {
    "glow": Recipe(6, 7, _glow()),
    "glow_deep": Recipe(6, 7, _glow(num_blocks=12), distance=0.1),
    "glow_small_clamp": Recipe(4, 2, _glow(clamp=0.3)),
    "glow_from_identity": Recipe(4, 2, _glow(zero_last=True)),
    "glow_odd": Recipe(5, 3, _glow()),
    "glow_two_targets": Recipe(2, 1, _glow()),
    "glow_one_target": Recipe(1, 4, _glow()),
    "one_coupling": Recipe(3, 2, _coupling),
}


@pytest.fixture(params=FLOWS)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return FLOWS[request.param]


def _normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _trained(recipe: Recipe, num_members: int = K, seed: int = 0) -> Flow:
    """A flow whose weights have moved far from where they started."""
    flow = recipe(num_members, seed)
    with torch.no_grad():
        for i, parameter in enumerate(flow.parameters()):
            parameter += recipe.distance * _normal(1000 * seed + i, *parameter.shape)
    return flow


def _points(recipe: Recipe, seed: int = 5) -> tuple[Tensor, Tensor]:
    return _normal(seed, K, B, recipe.num_targets), _normal(seed + 1, K, B, recipe.num_observables)


def test_round_trip(recipe: Recipe) -> None:
    flow, (u, x) = _trained(recipe), _points(recipe)
    z, _ = flow(u, x)
    assert (z - u).abs().max() > 0.1
    torch.testing.assert_close(flow.inverse(z, x)[0], u, rtol=0, atol=1e-9)
    torch.testing.assert_close(flow(flow.inverse(u, x)[0], x)[0], u, rtol=0, atol=1e-9)


def test_log_det_is_that_of_autodiff(recipe: Recipe) -> None:
    flow, (u, x) = _trained(recipe), _points(recipe)
    _, log_det = flow(u, x)
    for k in range(K):
        for b in range(B):

            def image(point: Tensor, k: int = k, b: int = b) -> Tensor:
                return flow(torch.cat((u[:, :b], point.expand(K, 1, -1), u[:, b + 1 :]), 1), x)[0][k, b]

            jacobian = torch.func.jacrev(image)(u[k, b])
            torch.testing.assert_close(log_det[k, b], torch.linalg.slogdet(jacobian)[1], rtol=0, atol=1e-10)
    assert log_det.std() > 0.01


def test_inverse_log_det_is_minus_forward(recipe: Recipe) -> None:
    flow, (u, x) = _trained(recipe), _points(recipe)
    z, log_det = flow(u, x)
    torch.testing.assert_close(flow.inverse(z, x)[1], -log_det, rtol=0, atol=1e-9)
    assert log_det.shape == (K, B)


def test_batch_is_loop(recipe: Recipe) -> None:
    flow, (u, x) = _trained(recipe), _points(recipe)
    for method in (flow.forward, flow.inverse):
        image, log_det = method(u, x)
        for b in range(B):
            one, one_log_det = method(u[:, b : b + 1], x[:, b : b + 1])
            torch.testing.assert_close(one[:, 0], image[:, b], rtol=0, atol=1e-11)
            torch.testing.assert_close(one_log_det[:, 0], log_det[:, b], rtol=0, atol=1e-11)


def test_every_observable_matters_to_shape_and_density(recipe: Recipe) -> None:
    flow, (u, x) = _trained(recipe), _points(recipe)
    z, log_det = flow(u, x)
    for column in range(recipe.num_observables):
        moved = x.clone()
        moved[..., column] += 1.0
        z_moved, log_det_moved = flow(u, moved)
        assert ((z_moved - z).abs().amax(-1) > 1e-3).all()
        assert ((log_det_moved - log_det).abs() > 1e-6).all()


def test_every_target_depends_on_every_other(recipe: Recipe) -> None:
    """Couplings and permutations together reach everything."""
    flow, (u, x) = _trained(recipe), _points(recipe)
    jacobian = torch.func.jacrev(lambda point: flow(point.expand(K, 1, -1), x[:, :1])[0][0, 0])(u[0, 0])
    if len(flow.transforms) > 1:
        assert (jacobian.abs() > 1e-8).all()


def test_state_goes_round(recipe: Recipe) -> None:
    flow, other, (u, x) = _trained(recipe), _trained(recipe, seed=9), _points(recipe)
    assert (other(u, x)[0] - flow(u, x)[0]).abs().max() > 0.1
    other.load_state_dict(flow.state_dict(), strict=True)
    for method, again in ((flow.forward, other.forward), (flow.inverse, other.inverse)):
        assert torch.equal(method(u, x)[0], again(u, x)[0])
        assert torch.equal(method(u, x)[1], again(u, x)[1])


def test_members_are_single_networks(recipe: Recipe) -> None:
    flow, (u, x) = _trained(recipe), _points(recipe)
    members = {name for name, _ in flow.named_parameters()}
    for k in range(K):
        single = recipe(1)
        state = flow.state_dict()
        single.load_state_dict({name: v[k : k + 1] if name in members else v for name, v in state.items()})
        alone = slice(k, k + 1)
        for method, own in ((flow.forward, single.forward), (flow.inverse, single.inverse)):
            for stacked, expected in zip(method(u, x), own(u[alone], x[alone]), strict=True):
                torch.testing.assert_close(stacked[alone], expected, rtol=0, atol=1e-11)


def test_density_is_gaussian_times_jacobian(recipe: Recipe) -> None:
    flow, (u, x) = _trained(recipe), _points(recipe)
    z, log_det = flow(u, x)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1) + log_det
    torch.testing.assert_close(flow.log_prob(u, x), expected, rtol=0, atol=1e-12)


def test_sample_is_the_inverse_without_gradient(recipe: Recipe) -> None:
    flow, (noise, x) = _trained(recipe), _points(recipe)
    u = flow.sample(noise, x)
    assert not u.requires_grad
    torch.testing.assert_close(flow(u, x)[0], noise, rtol=0, atol=1e-9)


def test_seed_decides(recipe: Recipe) -> None:
    (u, x), flow = _points(recipe), recipe(K, 3)
    assert torch.equal(flow(u, x)[0], recipe(K, 3)(u, x)[0])
    with torch.no_grad():
        weights = [torch.cat([p.flatten() for p in recipe(K, seed).parameters()]) for seed in (3, 4)]
    assert not torch.equal(*weights)


WRONG = {
    "too few targets": ((K, B, -1), (K, B, 0)),
    "too many observables": ((K, B, 0), (K, B, 1)),
    "another batch": ((K, B, 0), (K, B + 1, 0)),
    "another number of members": ((K + 1, B, 0), (K, B, 0)),
    "members the flow does not have": ((K + 1, B, 0), (K + 1, B, 0)),
    "one member for all": ((1, B, 0), (1, B, 0)),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_shapes_are_refused(recipe: Recipe, wrong: str) -> None:
    flow, ((k_u, b_u, more_u), (k_x, b_x, more_x)) = recipe(), WRONG[wrong]
    u = torch.zeros(k_u, b_u, recipe.num_targets + more_u, dtype=torch.float64)
    x = torch.zeros(k_x, b_x, recipe.num_observables + more_x, dtype=torch.float64)
    for method in (flow.forward, flow.inverse, flow.log_prob, flow.sample):
        with pytest.raises(DataError, match=r"^Flow: expected .*; got .*\("):
            method(u, x)


def test_error_tells_the_shapes() -> None:
    flow = FLOWS["glow"]()
    with pytest.raises(DataError, match=r"targets \(K, B, 6\) and observables \(K, B, 7\); got \(4, 6\) and \(4, 7\)"):
        flow(torch.zeros(4, 6), torch.zeros(4, 7))
    with pytest.raises(DataError, match=r"^AffineCoupling: expected targets \(K, B, 6\)"):
        flow.transforms[0](torch.zeros(K, 4, 5), torch.zeros(K, 4, 7))


@pytest.mark.parametrize("num_targets", [1, 2, 5, 6])
def test_zero_last_starts_as_a_permutation(num_targets: int) -> None:
    flow = glow(num_targets, 3, num_members=K, num_blocks=5, num_hidden=8, zero_last=True)
    u, x = torch.randn(K, B, num_targets), torch.randn(K, B, 3)
    z, log_det = flow(u, x)
    assert torch.equal(log_det, torch.zeros(K, B))
    assert torch.equal(z.sort(-1).values, u.sort(-1).values)


def test_log_scale_stays_within_the_clamp() -> None:
    flow, x = FLOWS["one_coupling"](), torch.full((K, 1, 2), 1e9, dtype=torch.float64)
    coupling = flow.transforms[0]
    assert isinstance(coupling, AffineCoupling)
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
    flow = glow(6, 2, num_blocks=6, num_hidden=4)
    orders = [tuple(layer.order.tolist()) for layer in flow.transforms if isinstance(layer, Permutation)]
    assert len(set(orders)) > 3
    assert all(sorted(order) == list(range(6)) for order in orders)
    assert sum(name.endswith("order") for name in flow.state_dict()) == 6
