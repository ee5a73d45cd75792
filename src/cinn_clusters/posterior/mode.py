r"""Modes of a posterior, in the unbounded standardised coordinates u.

A density per physical unit is no property of the posterior alone: p(tau) = p(u) |du / dtau|
diverges wherever a bound squeezes the support, so that its maximum is the bound itself. The
maximum a posteriori (MAP) here is that of q(u | x), which is regular: no Jacobian to physical
units enters, and the point found is mapped back.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cinn_clusters.errors import DataError
from cinn_clusters.posterior.arguments import as_samples
from cinn_clusters.posterior.contexts import MixtureDensity
from cinn_clusters.posterior.posterior import NUM_MARGINAL_SAMPLES, Objects, Posterior
from cinn_clusters.posterior.query import Kernels, Query, Sampling
from cinn_clusters.training.ascent import Surface, Terrain, ascend

NUM_POOLED, NUM_MIXED = 320, 64
"""Samples that are ranked by the density of the one member that may have drawn them; and those of a
mixture over contexts, which has no such member."""
NUM_CANDIDATES = 32
"""The best of these, which are ranked by the density itself."""
NUM_STARTS = 8
APART = 1.0
"""Least distance between starts in standard deviations, as long as candidates are so far apart."""
OBJECTS_A_BATCH = 1000
_RIDGE = 1e-6
"""Part of the variance that is added to a covariance: few samples leave it singular."""


def joint_mode(
    posterior: Posterior,
    query: Objects,
    samples: np.ndarray,
    *,
    kernels: Kernels = "auto",
) -> tuple[np.ndarray, np.ndarray]:
    """Maximum a posteriori (MAP) of each object, of the density per unit of u.

    Quasi-Newton steps climb from the densest of some samples, several that lie apart. The search
    stays inside the box that the samples span, since a flow extrapolates beyond it. The best point
    met is returned, so the result is never worse than the samples it started from. A posterior that
    is averaged over realisations of its observables has the mode of that mixture. A recalibration
    moves the mode as it moves samples.

    Args:
        posterior: The density.
        query: Objects, a table of them by name, or their inputs (N, L).
        samples: Posterior samples (S, N, D) in catalogue units; the first 320 are tried as starts,
            all of them span the box.
        kernels: What evaluates densities, as ``Sampling`` has it; ``auto`` judges by these samples.

    Returns:
        Mode (N, D) in catalogue units, and its log-density per unit of u, (N,).

    Raises:
        DataError: If the shapes do not fit or an input is not finite.

    Examples:
        >>> import pandas as pd
        >>> from cinn_clusters import load_posterior
        >>> posterior = load_posterior()
        >>> table = pd.DataFrame({"Group_M_Crit500": [14.7], "lookback_time_Gyr": [2.0]})
        >>> query = posterior.query(table)
        >>> mode, _ = joint_mode(posterior, query, posterior.sample(query, 100))
        >>> mode.shape
        (1, 6)
    """
    query = posterior.as_query(query)
    samples = as_samples(samples, len(query), len(posterior.targets))
    if not len(query):
        raise DataError("modes", "one object or more", "none")
    kernels = Sampling(len(samples), kernels=kernels).for_job(len(query)).kernels
    if posterior.recalibration is None:
        return _raw_modes(posterior, query, samples, kernels)
    unmoved = posterior.without_recalibration()
    raw_samples = unmoved.sample(query, NUM_MARGINAL_SAMPLES)
    raw_modes, log_densities = _raw_modes(unmoved, query, raw_samples, kernels)
    return posterior.recalibration.move(raw_modes, raw_samples), log_densities


def _raw_modes(
    posterior: Posterior, query: Query, samples: np.ndarray, kernels: Kernels
) -> tuple[np.ndarray, np.ndarray]:
    """Modes (N, D) without a recalibration, and their log-densities (N,)."""
    modes, log_densities = [], []
    step = max(1, OBJECTS_A_BATCH // posterior.num_contexts)
    for objects in query.batches(step):
        density = posterior.density(query.rows(objects), kernels)
        u, log_density = _search(density, samples[:, objects])
        physical = density.transforms.physical_targets(u, density.anchors)
        modes.append(physical.numpy())
        log_densities.append(log_density)
    return np.concatenate(modes), np.concatenate(log_densities)


def _search(density: MixtureDensity, samples: np.ndarray) -> tuple[Tensor, np.ndarray]:
    """Best u (N, D) and its log-density (N,)."""
    anchors = density.anchors.expand(samples.shape)
    physical = samples.astype(float)
    u = density.transforms.standardise_targets(physical, anchors)  # (S, N, D)
    lower, upper = _box(u)
    pool = torch.nan_to_num(u[:NUM_POOLED]).clamp(lower, upper)
    surface = _surface(density)
    covariance = _covariance(pool.numpy())
    terrain = Terrain(surface, lower.numpy(), upper.numpy(), covariance)
    candidates = _candidates(density, pool)
    starts = _apart(density, candidates, terrain.whitening)
    modes, highest = ascend(terrain, starts)
    return torch.from_numpy(modes), highest


def _surface(density: MixtureDensity) -> Surface:
    """Log-density and its gradient."""

    def height_and_slope(
        points: np.ndarray, objects: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        u = torch.from_numpy(points)
        log_prob, gradient = density.rows(objects).gradient(u)
        return log_prob.numpy(), gradient.numpy()

    return height_and_slope


def _box(u: Tensor) -> tuple[Tensor, Tensor]:
    """Lower and upper ends (N, D) of samples (S, N, D)."""
    lower, upper = torch.aminmax(u, dim=0)
    if torch.isfinite(lower).all() and torch.isfinite(upper).all():
        return lower, upper
    # a float32 sample may have been rounded onto its bound
    is_inside = torch.isfinite(u)
    lower = torch.where(is_inside, u, torch.inf)
    upper = torch.where(is_inside, u, -torch.inf)
    return lower.amin(0), upper.amax(0)


def _covariance(u: np.ndarray) -> np.ndarray:
    """Covariances (N, D, D) of samples (S, N, D), positive definite."""
    offsets = u - u.mean(0)
    of_objects = offsets.swapaxes(0, 1)  # (N, S, D)
    products = of_objects.mT @ of_objects
    covariance: np.ndarray = products / len(u)
    variance = np.einsum("nii->ni", covariance)  # a view of the diagonals
    variance *= 1.0 + _RIDGE
    variance += np.finfo(np.float32).tiny
    return covariance


def _candidates(density: MixtureDensity, pool: Tensor) -> Tensor:
    """The samples (C, N, D) of a pool that their own members find densest."""
    if density.num_contexts > 1:
        return pool[:NUM_MIXED]
    log_density = density.own_log_prob(pool)
    num_candidates = min(NUM_CANDIDATES, len(pool))
    best = log_density.topk(num_candidates, 0).indices  # (C, N)
    index = best.unsqueeze(-1).expand(-1, -1, pool.shape[-1])
    return pool.gather(0, index)


def _apart(
    density: MixtureDensity, candidates: Tensor, whitening: np.ndarray
) -> np.ndarray:
    """Starts (R, N, D): the densest candidate, then the densest that is apart from all before."""
    with torch.no_grad():
        rank = density.log_prob(candidates).numpy()
    points = candidates.numpy()
    white = np.einsum("nij,cnj->cni", whitening, points)
    penalty = np.ptp(rank, axis=0) + 1.0  # below all that are apart
    objects = np.arange(points.shape[1])
    starts = []
    for _ in range(min(NUM_STARTS, len(points))):
        best = rank.argmax(0)
        starts.append(points[best, objects])
        offsets = white - white[best, objects]
        distance = np.linalg.norm(offsets, axis=-1)
        rank -= penalty * (distance < APART)
        rank[best, objects] = -np.inf
    return np.stack(starts)
