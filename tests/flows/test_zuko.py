"""zuko as oracle: the same numbers in, the same spline and the same autoregressive flow out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cinn_clusters.flows.autoregressive import Autoregressive
from cinn_clusters.flows.elements import MIN_SHARE, MIN_SLOPE, Affine, Spline
from cinn_clusters.flows.transform import Transform
from cinn_clusters.nn.stacked import NetworkShape

zuko = pytest.importorskip(
    "zuko", reason="zuko is not installed (pip install -e '.[test]')"
)

D, L, B = 4, 3, 40


def _normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


@pytest.mark.parametrize(("num_bins", "bound"), [(2, 1.0), (8, 5.0), (16, 3.0)])
def test_spline_is_the_spline_of_zuko(num_bins: int, bound: float) -> None:
    """From the same knots: zuko's own parametrisation of widths and slopes differs, its
    interpolation may not."""
    spline, u = Spline(num_bins, bound), 2.0 * _normal(0, B, 1)
    parameters = _normal(1, B, spline.num_parameters, 1)
    left, bottom, slopes = (knots.movedim(0, -1) for knots in spline._knots(parameters))
    theirs = zuko.transforms.MonotonicRQSTransform(
        left.diff(), bottom.diff(), left[..., 1:-1], bound=bound
    )
    theirs.horizontal, theirs.vertical, theirs.derivatives = left, bottom, slopes
    z, log_slope = spline.forward(u, parameters)
    z_theirs, log_slope_theirs = theirs.call_and_ladj(u)
    torch.testing.assert_close(z, z_theirs, rtol=0, atol=1e-9)
    torch.testing.assert_close(log_slope, log_slope_theirs, rtol=0, atol=1e-8)
    torch.testing.assert_close(
        spline.inverse(z, parameters)[0], theirs.inv(z_theirs), rtol=0, atol=1e-8
    )


def test_knots_keep_their_distance() -> None:
    spline = Spline(4, 2.0)
    left, bottom, slopes = spline._knots(30.0 * _normal(2, B, spline.num_parameters, 1))
    least = 2 * spline.bound * MIN_SHARE / spline.num_bins
    assert left.diff(dim=0).min() >= least * 0.999
    assert bottom.diff(dim=0).min() >= least * 0.999
    assert slopes.min() >= MIN_SLOPE
    torch.testing.assert_close(left[-1], torch.full_like(left[-1], 2.0))


@pytest.mark.parametrize(
    "element", [Affine(1.0), Spline(5, 3.0)], ids=["affine", "spline"]
)
def test_autoregression_is_that_of_zuko(element: Affine | Spline) -> None:
    """zuko's autoregressive machinery around our network of parameters: same image, determinant
    and inverse."""
    ours = Autoregressive(
        D, L, torch.Generator().manual_seed(0), element, NetworkShape(1, (32,))
    ).double()
    x, u = _normal(3, 1, B, L), _normal(4, 1, B, D)

    class Mapped(zuko.transforms.Transform):  # type: ignore[misc, name-defined]
        domain = codomain = torch.distributions.constraints.real_vector

        def __init__(self, parameters: Tensor) -> None:
            super().__init__()
            self.parameters = parameters

        def _call(self, u: Tensor) -> Tensor:
            return element.forward(u, self.parameters)[0]

        def _inverse(self, z: Tensor) -> Tensor:
            return element.inverse(z, self.parameters)[0]

        def log_abs_det_jacobian(self, u: Tensor, z: Tensor) -> Tensor:
            return element.forward(u, self.parameters)[1].sum(-1)

    theirs = zuko.transforms.AutoregressiveTransform(
        lambda given: Mapped(ours._conditioned(given, x)), passes=D
    )
    z, log_det = ours(u, x)
    torch.testing.assert_close(z, theirs(u), rtol=0, atol=1e-12)
    torch.testing.assert_close(
        log_det, theirs.log_abs_det_jacobian(u, z), rtol=0, atol=1e-9
    )
    torch.testing.assert_close(ours.inverse(z, x)[0], theirs.inv(z), rtol=0, atol=1e-9)


def _degrees(layer: Transform) -> Tensor:
    jacobian = torch.func.jacrev(
        lambda u: layer(u[None, None], torch.zeros(1, 1, L, dtype=torch.float64))[0][
            0, 0
        ]
    )
    return (jacobian(_normal(5, D)).abs() > 0).int()


def test_masks_let_through_what_zuko_lets_through() -> None:
    """Over several inputs: a rectifier that happens to be off hides what the mask lets through."""
    torch.manual_seed(0)
    ours = Autoregressive(
        D, L, torch.Generator().manual_seed(0), Affine(2.0), NetworkShape(1, (32, 32))
    ).double()
    theirs = zuko.flows.MaskedAutoregressiveTransform(
        D, L, hidden_features=(32, 32)
    ).double()
    jacobian = torch.func.jacrev(
        lambda u: theirs(torch.zeros(L, dtype=torch.float64))(u)
    )
    reached = sum(jacobian(_normal(seed, D)).abs() > 0 for seed in range(20)) > 0
    assert torch.equal(_degrees(ours), reached.int())
