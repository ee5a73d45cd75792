r"""Density of a posterior, mixed over the contexts that its samples come from.

.. math:: p(\theta \mid o) = \frac{1}{T} \sum_t q(u_t(\theta) \mid x_t) |du_t / d\theta|

The T contexts x_t of an object are realisations of its true observables, or the one context of
observables as they are. Targets may be measured from another anchor in each of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from cinn_clusters.data.transforms import Transforms
from cinn_clusters.flows.flow_engines import FlowEngines


@dataclass(frozen=True)
class Context:
    """Standardised inputs and anchors of some objects.

    Args:
        x: Standardised observables, (N, F).
        anchors: What their targets are measured from, (N, D).
    """

    x: Tensor
    anchors: Tensor

    def rows(self, index: slice | Tensor) -> Context:
        """Return some of the objects."""
        return Context(self.x[index], self.anchors[index])


@dataclass(frozen=True, eq=False)
class MixtureDensity:
    """Density of n objects with T contexts each, equally weighted.

    Args:
        engines: What evaluates the K members.
        transforms: Between physical targets and u.
        contexts: All contexts of the objects, (n T).
        anchors: What u of the objects themselves is measured from, (n, D).
        is_compiled: Use compiled kernels, if there are some for the flow.
    """

    engines: FlowEngines
    transforms: Transforms
    contexts: Context
    anchors: Tensor
    is_compiled: bool = False

    @property
    def num_contexts(self) -> int:
        """Contexts of each object, T."""
        return len(self.contexts.x) // max(1, len(self.anchors))

    def rows(self, objects: np.ndarray) -> MixtureDensity:
        """Return that of some objects, in any number and order."""
        index = torch.from_numpy(objects)
        turns = torch.arange(self.num_contexts)
        first = index.unsqueeze(1) * self.num_contexts
        rows = first + turns
        contexts = self.contexts.rows(rows.flatten())
        return replace(self, contexts=contexts, anchors=self.anchors[index])

    def log_prob(self, u: Tensor) -> Tensor:
        """Log-density (..., n) per unit of u (..., n, D), differentiable."""
        if u.ndim > 2:
            return self._of_layers(u)
        if self.num_contexts == 1:
            return self._mixed(u)
        theta = self.transforms.physical_targets(u, self.anchors)
        log_jacobian = self.transforms.log_jacobian(u, self.anchors)
        return self.physical_log_prob(theta) + log_jacobian

    def _of_layers(self, layers: Tensor) -> Tensor:
        """Log-density (S, n) of layers (S, n, D), which share the context of their object."""
        if self.num_contexts > 1:
            return torch.stack(list(map(self.log_prob, layers)))
        points = layers.movedim(0, 1).unsqueeze(0)  # (1, n, S, D)
        return self._mean_of_members(points).T

    def gradient(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Log-density (n,) per unit of u (n, D), and its gradient (n, D)."""
        leaf = u.clone().requires_grad_()
        log_prob = self.log_prob(leaf)
        (gradient,) = torch.autograd.grad(log_prob.sum(), leaf)
        return log_prob.detach(), gradient

    def own_log_prob(self, u: Tensor) -> Tensor:
        """Log-density (S, n) per unit of u (S, n, D) of the one member that draws each sample.

        Samples of one context are meant, which members draw in turn; one that came from elsewhere
        is judged by one member, too. Those behind the last full turn are -inf.
        """
        num_members = self.engines.flow.num_members
        num_turns = len(u) // num_members
        by_turn = u[: num_turns * num_members].unflatten(0, (num_turns, num_members))
        points = by_turn.permute(1, 2, 0, 3)  # (K, n, J, D)
        with torch.no_grad():
            of_members = self._of_members(points)
        log_prob = torch.full(u.shape[:2], -math.inf, dtype=torch.float64)
        in_turn = of_members.permute(2, 0, 1).flatten(0, 1)
        log_prob[: len(in_turn)] = in_turn
        return log_prob

    def physical_log_prob(self, theta: Tensor) -> Tensor:
        """Log-density (n,) of theta (n, D) in physical units; -inf outside the support."""
        anchors = self.contexts.anchors
        repeated = theta.repeat_interleave(self.num_contexts, 0)  # (n T, D)
        u = self.transforms.standardise_targets(repeated, anchors)
        is_inside = torch.isfinite(u).all(-1)
        u = torch.where(is_inside[:, None], u, 0.0)
        log_jacobian = self.transforms.log_jacobian(u, anchors)
        log_prob = self._mixed(u) - log_jacobian
        log_prob = torch.where(is_inside, log_prob, -math.inf)
        of_objects = log_prob.view(len(theta), -1)
        return torch.logsumexp(of_objects, 1) - math.log(self.num_contexts)

    def _mixed(self, u: Tensor) -> Tensor:
        """Log-density (M,) of all members together, of points u (M, D) in M contexts."""
        points = u[None, :, None]  # (1, M, 1, D)
        return self._mean_of_members(points).squeeze(1)

    def _mean_of_members(self, points: Tensor) -> Tensor:
        """Log-density (N, P) of all members together, of points (1, N, P, D)."""
        log_probs = self._of_members(points)
        log_sum = torch.logsumexp(log_probs, 0)
        return log_sum - math.log(len(log_probs))

    def _of_members(self, points: Tensor) -> Tensor:
        """Log-densities (K, N, P) of points (1 or K, N, P, D) in N contexts."""
        log_probs = self.engines.log_prob(
            points.float(), self.contexts.x, self.is_compiled
        )
        return log_probs.double()
