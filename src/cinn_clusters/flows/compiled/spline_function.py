"""Compiled splines as an operation that PyTorch differentiates."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cinn_clusters.flows.compiled.lanes import WIDTH
from cinn_clusters.flows.compiled.monotone import ElementShape
from cinn_clusters.flows.compiled.spline_gradient import (
    NUM_VALUES,
    Targets,
    map_values,
    pull_back,
)
from cinn_clusters.flows.elements import Spline


class CompiledSpline(Spline):
    """Spline whose ``forward`` and gradient are compiled kernels, in float32 on the CPU.

    They are several times faster, after seconds of compilation once on a machine; the inverse, and
    other numbers, are left to PyTorch.
    """

    def forward(self, u: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the spline."""
        if u.device.type != "cpu" or u.dtype != torch.float32:
            return super().forward(u, parameters)
        bound, no_clamp = np.float32(self.bound), np.float32(0.0)
        shape = ElementShape(self.num_parameters, self.num_bins, bound, no_clamp)
        image, log_slope = _SplineFunction.apply(u, parameters, shape)
        return image, log_slope


class _SplineFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, u: Tensor, parameters: Tensor, shape: ElementShape
    ) -> tuple[Tensor, Tensor]:
        u, parameters = u.contiguous(), parameters.contiguous()
        ctx.save_for_backward(u, parameters)
        ctx.shape = shape
        image, log_slope = torch.empty_like(u), torch.empty_like(u)
        targets = _targets(u, parameters, image, log_slope)
        map_values(targets, shape, _registers(shape))
        return image, log_slope

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, g_image: Tensor, g_log_slope: Tensor
    ) -> tuple[Tensor, Tensor, None]:
        u, parameters = ctx.saved_tensors
        targets = _targets(u, parameters, g_image, g_log_slope)
        g_u, g_parameters = torch.empty_like(u), torch.empty_like(parameters)
        rates = _rows(g_u), _splines(g_parameters)
        pull_back(targets, ctx.shape, _registers(ctx.shape), *rates)
        return g_u, g_parameters, None


def _targets(
    u: Tensor, parameters: Tensor, image: Tensor, log_slope: Tensor
) -> Targets:
    return Targets(_rows(u), _splines(parameters), _rows(image), _rows(log_slope))


def _rows(numbers: Tensor) -> np.ndarray:
    """Numbers (..., M) as (N, M)."""
    flat = numbers.contiguous().view(-1, numbers.shape[-1])
    return flat.detach().numpy()


def _splines(parameters: Tensor) -> np.ndarray:
    """Parameters (..., P, M) as (N, P, M)."""
    flat = parameters.view(-1, *parameters.shape[-2:])
    return flat.detach().numpy()


def _registers(shape: ElementShape) -> np.ndarray:
    """Memory of the kernels; that of a tensor begins a line of the cache."""
    num_rows = shape.num_parameters + NUM_VALUES
    return torch.empty(num_rows, WIDTH).numpy()
