"""What runs a flow: kernels compiled for this machine, or PyTorch.

The kernels draw 15 to 30 times faster and agree with PyTorch to 1e-4, but compiling them takes some
seconds, once on a machine. PyTorch is the reference, and takes over where there are no kernels: on
a GPU, and for mixtures and velocity fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cinn_clusters.flows.flow import Flow

if TYPE_CHECKING:
    from cinn_clusters.flows.compiled.compiled_flow import CompiledFlow

ROWS_A_BLOCK = 8
"""Rows that matrix products and vector instructions take at once, or a multiple."""


@dataclass(frozen=True, eq=False)
class FlowEngines:
    """A flow and, once they are asked for, its kernels.

    Args:
        flow: K trained members.
        device: Where the flow lives.
    """

    flow: Flow
    device: str

    @cached_property
    def _compiled(self) -> CompiledFlow | None:
        # imported here: numba is not for those who ask a small question
        from cinn_clusters.flows.compiled.compiled_flow import compile_flow

        return compile_flow(self.flow)

    def sample(self, noise: Tensor, x: Tensor, is_compiled: bool) -> Tensor:
        """Unbounded targets (K, n, T, E, D), E in each of T contexts of n objects.

        Args:
            noise: Gaussian, (K, n, T, E, D).
            x: Standardised observables, (n, T, L).
            is_compiled: Use kernels, if there are some for the flow.
        """
        if is_compiled and self._compiled is not None:
            of_contexts = noise.flatten(1, 2)
            contexts = x.flatten(0, 1)
            u = self._compiled.sample(of_contexts.numpy(), contexts.numpy())
            return torch.from_numpy(u).view(noise.shape)
        return self._reference_sample(noise, x)

    def log_prob(self, points: Tensor, x: Tensor, is_compiled: bool) -> Tensor:
        """Log-densities (K, N, P) of the members, differentiable with respect to the points.

        Args:
            points: Unbounded targets of all or of each member, (1 or K, N, P, D).
            x: Standardised observables, (N, L).
            is_compiled: Use kernels, if there are some for the flow.
        """
        if not is_compiled or self._compiled is None:
            return self._reference_log_prob(points, x)
        if not points.requires_grad:
            log_prob = self._compiled.log_prob(points.numpy(), x.numpy())
            return torch.from_numpy(log_prob)
        from cinn_clusters.flows.compiled.density_function import (
            differentiable_log_prob,
        )

        return differentiable_log_prob(self._compiled, points[0], x)

    def _reference_log_prob(self, points: Tensor, x: Tensor) -> Tensor:
        num_members = self.flow.num_members
        _, num_objects, num_each, _ = points.shape
        u = points.expand(num_members, -1, -1, -1).flatten(1, 2)
        context = x.repeat_interleave(num_each, 0)
        of_members = context.expand(num_members, -1, -1)
        log_prob = self.flow.log_prob(u.to(self.device), of_members).cpu()
        return log_prob.view(num_members, num_objects, num_each)

    def _reference_sample(self, noise: Tensor, x: Tensor) -> Tensor:
        """Rows of an object are filled up to a multiple of ``ROWS_A_BLOCK``.

        Libraries of linear algebra take rows in blocks, and round those left over in another way.
        """
        num_each = noise.shape[3]
        points = noise.flatten(2, 3)
        repeated = x.repeat_interleave(num_each, 1)
        num_rows = points.shape[2]
        filling = (0, 0, 0, -num_rows % ROWS_A_BLOCK)
        points = torch.nn.functional.pad(points, filling)
        context = torch.nn.functional.pad(repeated, filling).flatten(0, 1)
        z = points.flatten(1, 2).to(self.device)
        of_members = context.expand(len(z), -1, -1)
        u = self.flow.sample(z, of_members).cpu()
        return u.view(points.shape)[:, :, :num_rows].reshape(noise.shape)
