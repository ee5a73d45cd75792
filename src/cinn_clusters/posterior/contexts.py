r"""Density of a posterior, mixed over the contexts that its samples come from.

.. math:: p(\theta \mid o) = \frac{1}{T} \sum_t q(u_t(\theta) \mid x_t) |du_t / d\theta|

The T contexts x_t of an object are realisations of its true observables, or the one context of
observables as they are. Targets may be measured from another anchor in each of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from cinn_clusters.data.transforms import Transforms


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

    def repeat(self, number: int) -> Context:
        """Return all objects, several times in turn."""
        return Context(self.x.repeat(number, 1), self.anchors.repeat(number, 1))


ContextDensity: TypeAlias = Callable[[Tensor, Context], Tensor]
"""Log-density (M,) per unit of u, of points u (M, D) in M contexts."""


@dataclass(frozen=True, eq=False)
class MixtureDensity:
    """Density of n objects with T contexts each, equally weighted.

    Args:
        of_context: Density in one context.
        transforms: Between physical targets and u.
        contexts: All contexts of the objects, (n T).
        anchors: What u of the objects themselves is measured from, (n, D).
    """

    of_context: ContextDensity
    transforms: Transforms
    contexts: Context
    anchors: Tensor

    @property
    def num_contexts(self) -> int:
        """Contexts of each object, T."""
        return len(self.contexts.x) // max(1, len(self.anchors))

    def repeat(self, number: int) -> MixtureDensity:
        """Return that of all objects, several times in turn."""
        contexts = self.contexts.repeat(number)
        anchors = self.anchors.repeat(number, 1)
        return replace(self, contexts=contexts, anchors=anchors)

    def log_prob(self, u: Tensor) -> Tensor:
        """Log-density (n,) per unit of u (n, D), differentiable."""
        if self.num_contexts == 1:
            return self.of_context(u, self.contexts)
        theta = self.transforms.physical_targets(u, self.anchors)
        log_jacobian = self.transforms.log_jacobian(u, self.anchors)
        return self.physical_log_prob(theta) + log_jacobian

    def physical_log_prob(self, theta: Tensor) -> Tensor:
        """Log-density (n,) of theta (n, D) in physical units; -inf outside the support."""
        anchors = self.contexts.anchors
        repeated = theta.repeat_interleave(self.num_contexts, 0)  # (n T, D)
        u = self.transforms.standardise_targets(repeated, anchors)
        is_inside = torch.isfinite(u).all(-1)
        u = torch.where(is_inside[:, None], u, 0.0)
        log_jacobian = self.transforms.log_jacobian(u, anchors)
        log_prob = self.of_context(u, self.contexts) - log_jacobian
        log_prob = torch.where(is_inside, log_prob, -math.inf)
        of_objects = log_prob.view(len(theta), -1)
        return torch.logsumexp(of_objects, 1) - math.log(self.num_contexts)
