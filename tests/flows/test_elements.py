"""Affine and spline maps of one target."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cinn_clusters.flows.compiled.spline_function import CompiledSpline
from cinn_clusters.flows.elements import Affine, Element, Spline

ELEMENTS: dict[str, Element] = {
    "affine": Affine(1.5),
    "spline": Spline(8, 5.0),
    "spline_two_bins": Spline(2, 1.0),
    "spline_many_bins": Spline(32, 10.0),
}


def _parameters(
    element: Element, seed: int = 0, num_values: int = 400, size: float = 2.0
) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return size * torch.randn(
        num_values, element.num_parameters, 1, generator=generator, dtype=torch.float64
    )


def _values(seed: int = 1, num_values: int = 400, width: float = 3.0) -> Tensor:
    return width * torch.randn(
        num_values,
        1,
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.float64,
    )


@pytest.fixture(params=ELEMENTS)
def element(request: pytest.FixtureRequest) -> Element:
    return ELEMENTS[request.param]


def test_inverse_undoes_forward(element: Element) -> None:
    u, parameters = _values(), _parameters(element)
    z, log_slope = element.forward(u, parameters)
    back, back_log_slope = element.inverse(z, parameters)
    assert (z - u).abs().max() > 0.1
    torch.testing.assert_close(back, u, rtol=0, atol=1e-7)
    torch.testing.assert_close(back_log_slope, -log_slope, rtol=0, atol=1e-7)


def test_log_slope_is_that_of_autodiff(element: Element) -> None:
    u, parameters = _values().requires_grad_(), _parameters(element)
    z, log_slope = element.forward(u, parameters)
    (slope,) = torch.autograd.grad(z.sum(), u)
    torch.testing.assert_close(log_slope, slope.log(), rtol=0, atol=1e-9)


def test_zero_parameters_are_the_identity(element: Element) -> None:
    u = _values()
    z, log_slope = element.forward(u, torch.zeros_like(_parameters(element)))
    torch.testing.assert_close(z, u, rtol=0, atol=1e-9)
    torch.testing.assert_close(log_slope, torch.zeros_like(u), rtol=0, atol=1e-9)


def test_map_rises(element: Element) -> None:
    parameters = _parameters(element, num_values=1).expand(2001, -1, -1)
    line = torch.linspace(-7.0, 7.0, 2001, dtype=torch.float64)[:, None]
    z, _ = element.forward(line, parameters)
    assert (z.diff(dim=0) > 0).all()


@pytest.mark.parametrize("bound", [1.0, 4.0])
def test_spline_is_the_identity_outside_and_joins_it_smoothly(bound: float) -> None:
    spline = Spline(6, bound)
    parameters = _parameters(spline, num_values=4)
    beyond = torch.tensor(
        [-bound - 1.0, -bound, bound, 2.0 * bound], dtype=torch.float64
    )[:, None]
    z, log_slope = spline.forward(beyond, parameters)
    assert torch.equal(z, beyond)
    assert torch.equal(log_slope, torch.zeros_like(beyond))
    just_inside = torch.tensor([-bound, bound], dtype=torch.float64)[:, None] * (
        1.0 - 1e-9
    )
    z, log_slope = spline.forward(just_inside, parameters[:2])
    torch.testing.assert_close(z, just_inside, rtol=0, atol=1e-5)
    torch.testing.assert_close(log_slope, torch.zeros_like(z), rtol=0, atol=1e-4)


def test_spline_has_gradients_everywhere() -> None:
    """Neither the branch outside nor a knot may give NaN to the weights."""
    spline = Spline(4, 2.0)
    parameters = _parameters(spline, num_values=5).requires_grad_()
    u = torch.tensor([-9.0, -2.0, 0.0, 1.999999, 50.0], dtype=torch.float64)[
        :, None
    ].requires_grad_()
    z, log_slope = spline.forward(u, parameters)
    gradients = torch.autograd.grad((z + log_slope).sum(), [u, parameters])
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_single_precision_keeps_the_round_trip() -> None:
    spline = Spline(8, 5.0)
    u, parameters = _values().float(), _parameters(spline, size=1.0).float()
    z, _ = spline.forward(u, parameters)
    torch.testing.assert_close(spline.inverse(z, parameters)[0], u, rtol=0, atol=2e-4)


SPLINES = {name: spline for name, spline in ELEMENTS.items() if name != "affine"}


@pytest.fixture(params=SPLINES)
def spline(request: pytest.FixtureRequest) -> Spline:
    spline = SPLINES[request.param]
    assert isinstance(spline, Spline)
    return spline


def _mapped(
    spline: Spline, u: Tensor, parameters: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Image and log-slope, and the gradients of a sum of both with unequal weights."""
    u, parameters = u.clone().requires_grad_(), parameters.clone().requires_grad_()
    z, log_slope = spline.forward(u, parameters)
    weights = torch.linspace(-1.0, 2.0, u.numel()).reshape(u.shape).to(u)
    loss = (weights * z).sum() + (weights.flip(0) * log_slope).sum()
    return z, log_slope, *torch.autograd.grad(loss, (u, parameters))


def test_compiled_spline_and_its_gradient_are_those_of_autodiff(spline: Spline) -> None:
    num_rows, num_targets = 133, 3  # the last lanes are not full
    generator = torch.Generator().manual_seed(3)
    shape = num_rows, spline.num_parameters, num_targets
    parameters = 0.7 * torch.randn(shape, generator=generator)
    values = torch.randn(num_targets, num_rows, generator=generator)
    u = (0.7 * spline.bound * values).T
    u[0] = torch.tensor([-spline.bound, 0.0, spline.bound])
    is_inside = u.abs() < spline.bound
    assert is_inside.float().mean() > 0.5
    assert (~is_inside).float().mean() > 0.1
    compiled = CompiledSpline(spline.num_bins, spline.bound)
    exact = _mapped(spline, u.double(), parameters.double())
    reference = _mapped(spline, u, parameters)
    fast = _mapped(compiled, u, parameters)
    for of_kernels, of_torch, expected in zip(fast, reference, exact, strict=True):
        scale = expected.abs().mean().item()
        assert scale > 1e-3
        rounding = (of_torch - expected).abs().max().item()
        assert (of_kernels - expected).abs().max() < 4.0 * rounding + 1e-6 * scale
        assert rounding < 0.02 * scale, "the comparison says something"


def test_compiled_spline_does_not_hide_what_is_not_finite() -> None:
    spline = CompiledSpline(4, 2.0)
    u = torch.tensor([[0.3, float("nan"), 0.5]])
    parameters = torch.zeros(1, spline.num_parameters, 3)
    parameters[:, :, 2] = float("nan")
    z, _ = spline.forward(u, parameters)
    assert torch.isfinite(z).tolist() == [[True, False, False]]


def test_kernels_leave_double_precision_to_the_reference(spline: Spline) -> None:
    u, parameters = _values(), _parameters(spline)
    compiled = CompiledSpline(spline.num_bins, spline.bound)
    for one, other in zip(
        compiled.forward(u, parameters), spline.forward(u, parameters), strict=True
    ):
        assert torch.equal(one, other)
