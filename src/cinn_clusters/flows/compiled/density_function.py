"""Compiled log-densities as an operation that PyTorch differentiates with respect to the targets."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cinn_clusters.flows.compiled.compiled_flow import CompiledFlow


def differentiable_log_prob(compiled: CompiledFlow, u: Tensor, x: Tensor) -> Tensor:
    """Log-densities (K, N, P) of the members for P targets u (N, P, D) of objects x (N, L)."""
    log_prob: Tensor = _LogProb.apply(u, x, compiled)
    return log_prob


class _LogProb(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, x: Tensor, compiled: CompiledFlow) -> Tensor:
        points = u.detach().numpy()
        values = compiled.gradient(points, x.numpy())
        both = torch.from_numpy(values)
        log_prob, gradient = both.tensor_split((1,), -1)
        ctx.save_for_backward(gradient)
        return log_prob.squeeze(-1).clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, rates: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        of_members = rates.unsqueeze(-1) * gradient
        return of_members.sum(0), None, None
