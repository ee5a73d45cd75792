"""Kernels do what PyTorch does, for all flows that have some, whatever their lanes hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cinn_clusters.flows.compiled.compiled_flow import CompiledFlow, compile_flow
from cinn_clusters.flows.flow import Flow
from cinn_clusters.flows.zoo import make_flow
from cinn_clusters.settings.config import Config
from support import flow_config

K, N, P = 3, 5, 20
TOLERANCE = 1e-4
CASES: dict[str, tuple[int, int, Config]] = {
    "default": (6, 7, Config()),
    "glow": (6, 7, flow_config("glow", blocks=4, hidden=19, clamp=2.0)),
    "glow_one_target": (1, 4, flow_config("glow", blocks=2, mixing="rotation")),
    "glow_deep": (5, 3, flow_config("glow", layers=3, mixing="lu", act_norm=True)),
    "many_columns": (6, 519, flow_config("glow", blocks=2, hidden=128)),
    "spline": (4, 2, flow_config("spline", blocks=3, bins=2, mixing="permutation")),
    "spline_deep": (5, 3, flow_config("spline", layers=2, hidden=11, mixing="lu")),
    "maf": (9, 7, flow_config("autoregressive", element="affine", dropout=0.3)),
    "few_units": (6, 1, flow_config("autoregressive", hidden=3, mixing="rotation")),
    "autoregressive_deep": (
        6,
        2,
        flow_config("autoregressive", layers=3, hidden=13, act_norm=True, bins=9),
    ),
    "autoregressive_one_target": (1, 4, flow_config("autoregressive")),
}


def _trained(name: str) -> Flow:
    """A flow whose weights have moved from where they started."""
    num_targets, num_observables, config = CASES[name]
    model = config.model.model_copy(update={"members": K})
    config = config.model_copy(update={"model": model})
    flow = make_flow(config, num_targets, num_observables).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return flow


def _compiled(flow: Flow) -> CompiledFlow:
    compiled = compile_flow(flow)
    assert compiled is not None
    return compiled


def _arrays(flow: Flow, num_draws: int = P) -> tuple[np.ndarray, np.ndarray]:
    stream = np.random.default_rng(2)
    noise = stream.normal(0.0, 1.5, (K, N, num_draws, flow.num_targets))
    x = stream.normal(size=(N, flow.num_observables))
    return noise.astype(np.float32), x.astype(np.float32)


@pytest.mark.parametrize("name", CASES)
def test_samples_and_densities_are_those_of_pytorch(name: str) -> None:
    flow = _trained(name)
    noise, x = _arrays(flow)
    compiled = _compiled(flow)
    u = compiled.sample(noise, x)
    log_prob = compiled.log_prob(noise[0], x)

    # the reference in double precision, so that its rounding is none of the difference
    flow.double()
    z = torch.from_numpy(noise).double().flatten(1, 2)
    contexts = torch.from_numpy(x).double().repeat_interleave(P, 0).expand(K, -1, -1)
    expected = flow.sample(z, contexts).view(noise.shape)
    np.testing.assert_allclose(u, expected, rtol=TOLERANCE, atol=TOLERANCE)
    assert np.abs(u - noise).max() > 0.1
    with torch.no_grad():
        densities = flow.log_prob(z[:1].expand(K, -1, -1), contexts).view(K, N, P)
    np.testing.assert_allclose(log_prob, densities, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("name", CASES)
def test_gradients_of_densities_are_those_of_pytorch(name: str) -> None:
    flow = _trained(name)
    noise, x = _arrays(flow)
    values = _compiled(flow).gradient(noise[0], x)

    flow.double()
    u = torch.from_numpy(noise[:1]).double().flatten(1, 2).expand(K, -1, -1)
    u = u.contiguous().requires_grad_()
    contexts = torch.from_numpy(x).double().repeat_interleave(P, 0).expand(K, -1, -1)
    log_prob = flow.log_prob(u, contexts)
    (slopes,) = torch.autograd.grad(log_prob.sum(), u)
    expected = torch.cat((log_prob.detach().unsqueeze(-1), slopes), -1)
    expected = expected.view(values.shape).numpy()
    scale = TOLERANCE * (1.0 + np.abs(expected).max(-1, keepdims=True))
    assert (np.abs(values - expected) < scale).all()


@pytest.mark.parametrize("num_draws", [1, 3, 15, 16, 129, 300])
def test_a_draw_is_the_same_wherever_it_stands(num_draws: int) -> None:
    """To the bit: alone, among others, in another order, in a tile of its own or a shared one."""
    compiled = _compiled(_trained("default"))
    noise, x = _arrays(compiled.flow, num_draws)
    u = compiled.sample(noise, x)
    log_prob = compiled.log_prob(noise[0], x)
    for number in range(N):
        only = slice(number, number + 1)
        assert np.array_equal(compiled.sample(noise[:, only], x[only]), u[:, only])
        last = noise[:, only, -1:]
        assert np.array_equal(compiled.sample(last, x[only]), u[:, only, -1:])
        alone = compiled.log_prob(noise[0, only, :1], x[only])
        assert np.array_equal(alone, log_prob[:, only, :1])
    order = np.arange(N)[::-1]
    assert np.array_equal(compiled.sample(noise[:, order], x[order]), u[:, order])


def test_far_values_and_no_values() -> None:
    """Splines are the identity outside their box; what is not finite stays so."""
    flow = _trained("default")
    noise, x = _arrays(flow)
    noise[:, 0] *= 1e6
    noise[0, 1, 0, 0] = np.nan
    u = _compiled(flow).sample(noise, x)
    contexts = torch.from_numpy(x).repeat_interleave(P, 0).expand(K, -1, -1)
    expected = flow.sample(torch.from_numpy(noise).flatten(1, 2), contexts)
    expected = expected.view(noise.shape).numpy()
    assert np.isnan(u[0, 1, 0]).any()
    is_number = ~np.isnan(expected)
    assert np.array_equal(np.isnan(u), ~is_number)
    numbers = u[is_number], expected[is_number]
    np.testing.assert_allclose(*numbers, rtol=TOLERANCE, atol=TOLERANCE)
    assert _compiled(flow).sample(noise[:, :0], x[:0]).shape == (K, 0, P, 6)


@pytest.mark.parametrize("name", ["mixture", "flow_matching"])
def test_other_flows_have_no_kernels(name: str) -> None:
    assert compile_flow(make_flow(flow_config(name), 3, 2)) is None


def test_double_precision_has_no_kernels() -> None:
    assert compile_flow(_trained("default").double()) is None
