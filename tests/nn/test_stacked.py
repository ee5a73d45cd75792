"""K stacked networks are K networks of torch.nn, each with its own weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from cinn_clusters.nn.stacked import (
    NetworkShape,
    StackedBatchNorm,
    StackedLinear,
    stacked_mlp,
)

K, B = 3, 5


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _mlp(*sizes: int, seed: int = 0, zero_last: bool = False) -> nn.Sequential:
    shape = NetworkShape(K, sizes[1:-1], zero_last=zero_last)
    return stacked_mlp(shape, sizes[0], sizes[-1], _generator(seed))


def _single(stacked: nn.Sequential, member: int) -> nn.Sequential:
    """The network of one member, written with torch.nn."""
    layers: list[nn.Module] = []
    for layer in stacked:
        if isinstance(layer, StackedLinear):
            _, num_inputs, num_outputs = layer.weight.shape
            linear = nn.Linear(num_inputs, num_outputs, dtype=layer.weight.dtype)
            linear.load_state_dict(
                {"weight": layer.weight[member].T, "bias": layer.bias[member, 0]}
            )
            layers.append(linear)
        else:
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)


@pytest.mark.parametrize("sizes", [(4, 2), (4, 16, 2), (1, 8, 8, 3)], ids=str)
def test_members_are_networks_of_torch(sizes: tuple[int, ...]) -> None:
    stacked = _mlp(*sizes).double()
    inputs = torch.randn(K, B, sizes[0], generator=_generator(1), dtype=torch.float64)
    expected = torch.stack([_single(stacked, k)(inputs[k]) for k in range(K)])
    torch.testing.assert_close(stacked(inputs), expected, rtol=0, atol=1e-13)
    assert stacked(inputs).shape == (K, B, sizes[-1])


def test_gradient_of_a_member_knows_only_its_own_loss() -> None:
    stacked = _mlp(4, 8, 2)
    stacked(torch.randn(K, B, 4, generator=_generator(1)))[1].square().sum().backward()
    for parameter in stacked.parameters():
        assert parameter.grad is not None
        assert parameter.grad[[0, 2]].abs().max() == 0
        assert parameter.grad[1].abs().max() > 0


def test_weights_start_uniform_within_the_fan_in() -> None:
    layer = StackedLinear(K, 100, 200, _generator())
    bound = 1 / math.sqrt(100)
    assert layer.weight.abs().max() <= bound
    assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.01)
    assert abs(layer.weight.mean().item()) < 0.01 * bound
    assert layer.bias.abs().max() <= bound
    assert layer.bias.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)


def test_generator_decides_and_members_differ() -> None:
    one, again, other = (_mlp(4, 8, 2, seed=seed).state_dict() for seed in (0, 0, 1))
    for name in one:
        assert torch.equal(one[name], again[name])
        assert not torch.isclose(one[name], other[name]).any()
        assert not torch.isclose(one[name][0], one[name][1]).any()


def test_zero_last_is_zero_everywhere_but_can_learn() -> None:
    stacked = _mlp(4, 8, 2, zero_last=True)
    output = stacked(torch.randn(K, B, 4, generator=_generator(1)))
    assert torch.equal(output, torch.zeros(K, B, 2))
    output.sum().backward()
    assert stacked[-1].weight.grad.abs().max() > 0
    assert stacked[0].weight.abs().max() > 0


def test_no_inputs_leave_the_bias() -> None:
    layer = StackedLinear(K, 0, 2, _generator())
    assert torch.equal(layer(torch.empty(K, B, 0)), layer.bias.expand(K, B, 2))


def test_batch_norm_of_members_is_that_of_torch() -> None:
    ours = StackedBatchNorm(K, 4).double()
    theirs = [nn.BatchNorm1d(4).double() for _ in range(K)]
    with torch.no_grad():
        ours.weight += torch.randn(ours.weight.shape, generator=_generator(2))
        ours.bias += torch.randn(ours.bias.shape, generator=_generator(3))
        for k, single in enumerate(theirs):
            single.weight.copy_(ours.weight[k, 0])
            single.bias.copy_(ours.bias[k, 0])
    for step in range(3):
        inputs = 3 + torch.randn(
            K, B, 4, generator=_generator(step), dtype=torch.float64
        )
        expected = torch.stack([single(inputs[k]) for k, single in enumerate(theirs)])
        torch.testing.assert_close(ours(inputs), expected, rtol=0, atol=1e-12)
    for k, single in enumerate(theirs):
        torch.testing.assert_close(ours.running_mean[k, 0], single.running_mean)
        torch.testing.assert_close(ours.running_var[k, 0], single.running_var)
    ours.eval()
    expected = torch.stack(
        [single.eval()(inputs[k]) for k, single in enumerate(theirs)]
    )
    torch.testing.assert_close(ours(inputs), expected, rtol=0, atol=1e-12)


def test_batch_norm_of_one_row_is_its_offset() -> None:
    layer = StackedBatchNorm(2, 3)
    torch.testing.assert_close(layer(torch.randn(2, 1, 3)), torch.zeros(2, 1, 3))
    torch.testing.assert_close(layer.running_mean, torch.zeros(2, 1, 3))


def test_a_layer_without_bias_has_none() -> None:
    layer = StackedLinear(K, 4, 2, _generator(), has_bias=False)
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    inputs = torch.randn(K, B, 4, generator=_generator(1))
    torch.testing.assert_close(layer(inputs), inputs @ layer.weight)
    assert not layer(torch.zeros(K, B, 4)).any()
