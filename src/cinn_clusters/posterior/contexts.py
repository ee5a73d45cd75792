r"""Density of a posterior, mixed over the contexts that its samples come from.

.. math:: p(\theta \mid o) = \frac{1}{T} \sum_t q(u_t(\theta) \mid x_t) |du_t / d\theta|

The T contexts x_t of an object are realisations of its true observables, or the one context of
observables as they are. Targets may be measured from another anchor in each of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import numpy as np
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


MemberDensity: TypeAlias = Callable[[Tensor, Context], Tensor]
"""Log-densities (K, M) per unit of u, of points u (K, M, D), or (M, D) of all members, in M
contexts."""


@dataclass(frozen=True, eq=False)
class MixtureDensity:
    """Density of n objects with T contexts each, equally weighted.

    Args:
        of_members: Density of each member in one context.
        num_members: K.
        transforms: Between physical targets and u.
        contexts: All contexts of the objects, (n T).
        anchors: What u of the objects themselves is measured from, (n, D).
    """

    of_members: MemberDensity
    num_members: int
    transforms: Transforms
    contexts: Context
    anchors: Tensor

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
        """Log-density (n,) per unit of u (n, D), differentiable."""
        if self.num_contexts == 1:
            return self._mixed(u, self.contexts)
        theta = self.transforms.physical_targets(u, self.anchors)
        log_jacobian = self.transforms.log_jacobian(u, self.anchors)
        return self.physical_log_prob(theta) + log_jacobian

    def gradient(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Log-density (n,) per unit of u (n, D), and its gradient (n, D)."""
        leaf = u.clone().requires_grad_()
        log_prob = self.log_prob(leaf)
        (gradient,) = torch.autograd.grad(log_prob.sum(), leaf)
        return log_prob.detach(), gradient

    def own_log_prob(self, u: Tensor) -> Tensor:
        """Log-density (S, n) per unit of u (S, n, D) of the one member that draws each sample.

        A sample that came from elsewhere is judged by one member, too.
        """
        num_samples, num_objects, _ = u.shape
        sources = sample_sources(num_samples, self.num_contexts, self.num_members)
        index = _by_member(sources.member, self.num_members)  # (K, J)
        turns = torch.from_numpy(sources.context[index])
        first = torch.arange(num_objects) * self.num_contexts
        rows = first + turns.unsqueeze(-1)  # (K, J, n)
        contexts = self.contexts.rows(rows)
        points = self._in_contexts(u[index], contexts)
        with torch.no_grad():
            of_members = self.of_members(points, contexts)
        log_prob = u.new_empty(num_samples, num_objects)
        # the member of a sample comes last, behind one that has no sample and judges its neighbour's
        log_prob[index[::-1].copy()] = of_members.flip(0)
        return log_prob

    def _in_contexts(self, u: Tensor, contexts: Context) -> Tensor:
        """Points u (K, J, n, D) of the objects as their contexts measure them."""
        if self.num_contexts == 1:
            return u
        anchors = self.anchors.expand(u.shape)
        theta = self.transforms.physical_targets(u, anchors)
        return self.transforms.standardise_targets(theta, contexts.anchors)

    def physical_log_prob(self, theta: Tensor) -> Tensor:
        """Log-density (n,) of theta (n, D) in physical units; -inf outside the support."""
        anchors = self.contexts.anchors
        repeated = theta.repeat_interleave(self.num_contexts, 0)  # (n T, D)
        u = self.transforms.standardise_targets(repeated, anchors)
        is_inside = torch.isfinite(u).all(-1)
        u = torch.where(is_inside[:, None], u, 0.0)
        log_jacobian = self.transforms.log_jacobian(u, anchors)
        log_prob = self._mixed(u, self.contexts) - log_jacobian
        log_prob = torch.where(is_inside, log_prob, -math.inf)
        of_objects = log_prob.view(len(theta), -1)
        return torch.logsumexp(of_objects, 1) - math.log(self.num_contexts)

    def _mixed(self, u: Tensor, contexts: Context) -> Tensor:
        """Log-density (M,) of all members together, of points u (M, D) in M contexts."""
        log_probs = self.of_members(u, contexts)
        log_sum = torch.logsumexp(log_probs, 0)
        return log_sum - math.log(self.num_members)


class SampleSources(NamedTuple):
    """Context and member, of T and K, that each of S samples is drawn from, (S,) each."""

    context: np.ndarray
    member: np.ndarray


def sample_sources(
    num_samples: int, num_contexts: int, num_members: int
) -> SampleSources:
    """Deal samples to contexts and members in turn, so that S samples use all of them alike.

    Examples:
        >>> sample_sources(4, 2, 2).member
        array([0, 1, 1, 0])
    """
    numbers = np.arange(num_samples)
    turn, context = np.divmod(numbers, num_contexts)
    member = (turn + context) % num_members
    return SampleSources(context, member)


def _by_member(member: np.ndarray, num_members: int) -> np.ndarray:
    """Samples of each member, (K, J); a member that has fewer than J repeats its last one."""
    order = member.argsort(kind="stable")
    counts = np.bincount(member, minlength=num_members)
    first = counts.cumsum() - counts
    numbers = np.arange(counts.max())
    last = np.maximum(counts - 1, 0)
    turns = np.minimum(numbers, last.reshape(-1, 1))
    places = first.reshape(-1, 1) + turns
    places = np.minimum(places, len(member) - 1)  # of a member without samples
    index: np.ndarray = order[places]
    return index
