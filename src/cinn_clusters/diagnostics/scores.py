"""Proper scores and coverage of posterior samples (S, N, D) against ground truth (N, D).

Lower scores are better. Both are fair, that is unbiased in the number of samples S.
"""

from __future__ import annotations

import numpy as np

from cinn_clusters.diagnostics.bands import Estimate, estimate

COVERAGE_LEVELS = np.linspace(0.05, 0.95, 19)
"""Levels of the central intervals whose coverage is compared with them."""
NUM_PAIRINGS = 8
"""Random pairings of samples that stand for the double sum of the energy score."""


def crps(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    r"""Fair continuous ranked probability score of each marginal.

    mean_l |theta_l - y| - sum_l (2l - S - 1) theta_(l) / (S (S - 1)) on sorted samples.

    Args:
        samples: Posterior samples, shape (S, N, D).
        truth: Ground-truth parameters, shape (N, D), in the same units.

    Returns:
        Scores, shape (N, D), in the units of the samples.

    References:
        Ferro (2014), Fair scores for ensemble forecasts; Zamo & Naveau (2018), eq. (eINT-PWM).

    Examples:
        >>> crps(np.array([[[0.0]], [[2.0]]]), np.array([[1.0]]))
        array([[0.]])
    """
    num_samples = len(samples)
    error = np.abs(samples - truth)  # (S, N, D)
    distance = error.mean(axis=0)

    # the mean distance of two samples as a weighted sum of the sorted ones
    rank = np.arange(1, num_samples + 1)
    num_pairs = num_samples * (num_samples - 1)
    weight = (2.0 * rank - num_samples - 1) / num_pairs
    ordered = np.sort(samples, axis=0)
    spread = np.einsum("s,snd->nd", weight, ordered)

    score: np.ndarray = distance - spread
    return score


def energy_score(
    samples: np.ndarray, truth: np.ndarray, *, seed: int = 0
) -> np.ndarray:
    """Energy score E|theta - y| - E|theta - theta'| / 2 with the Euclidean norm, (N,).

    Samples and truth are to be in comparable units; the seed sets the random pairings.

    References:
        Gneiting & Raftery (2007), Strictly proper scoring rules, eq. (22).
    """
    rng = np.random.default_rng(seed)
    num_samples, num_objects, _ = samples.shape

    spread = np.zeros(num_objects)
    for _ in range(NUM_PAIRINGS):
        order = rng.permutation(num_samples)
        separation = _mean_norm(samples - samples[order])
        spread += separation / NUM_PAIRINGS
    distance = _mean_norm(samples - truth)

    # a permutation pairs a sample with itself once in S times, at no distance
    without_self_pairs = num_samples / (num_samples - 1)
    score: np.ndarray = distance - 0.5 * spread * without_self_pairs
    return score


def _mean_norm(offset: np.ndarray) -> np.ndarray:
    """Mean Euclidean norm (N,) of offsets (S, N, D), in half the time of ``np.linalg.norm``."""
    square = np.einsum("snd,snd->sn", offset, offset)
    mean: np.ndarray = np.sqrt(square).mean(axis=0)
    return mean


def scaled_scores(
    samples: np.ndarray, truth: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """CRPS (N, D) and energy score (N,) in units of some scales (D,).

    Examples:
        >>> samples = np.array([[[0.0]], [[2.0]]])
        >>> marginal, joint = scaled_scores(samples, np.array([[4.0]]), np.array([2.0]))
        >>> marginal
        array([[1.]])
    """
    scaled = samples / scale
    scaled_truth = truth / scale
    marginal = crps(scaled, scaled_truth)
    joint = energy_score(scaled, scaled_truth)
    return marginal, joint


def central_coverage(
    samples: np.ndarray, truth: np.ndarray, levels: np.ndarray = COVERAGE_LEVELS
) -> np.ndarray:
    """Whether the central interval of each level (C,) holds the truth, (C, N, D)."""
    is_below = samples < truth  # (S, N, D)
    rank = is_below.mean(axis=0)
    distance = np.abs(2.0 * rank - 1.0)  # of the truth from the median, in mass

    inside: np.ndarray = distance < levels[:, None, None]
    return inside


def contraction(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """1 - mean posterior variance / variance of the truth, unclipped, (D,); 0 is uninformative.

    NaN where all truths are equal.
    """
    if len(truth) < 2:
        return np.full(truth.shape[1], np.nan)
    variance = samples.var(axis=0, ddof=1, dtype=float)  # (N, D)
    posterior_variance = variance.mean(axis=0)
    prior_variance = truth.var(axis=0, ddof=1)

    with np.errstate(divide="ignore", invalid="ignore"):
        shrinkage: np.ndarray = 1.0 - posterior_variance / prior_variance
    return np.where(prior_variance > 0.0, shrinkage, np.nan)


def z_score(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(Posterior mean - truth) / posterior standard deviation, (N, D); NaN for a point mass."""
    mean = samples.mean(axis=0, dtype=float)
    deviation = samples.std(axis=0, ddof=1, dtype=float)
    deviation[deviation == 0] = np.nan

    scores: np.ndarray = (mean - truth) / deviation
    return scores


def skill(score: np.ndarray, reference: np.ndarray, weights: np.ndarray) -> Estimate:
    """Share 1 - mean(score) / mean(reference) of a reference's score (N,) that is saved.

    0 is no better than the reference, 1 is perfect; both share the bootstrap weights (R, N).

    Examples:
        >>> skill(np.array([1.0, 1.0]), np.array([2.0, 2.0]), np.full((3, 2), 0.5)).value
        0.5
    """
    if not reference.any():
        return Estimate(np.nan, np.nan, np.nan)  # nothing is left to save
    ratio = float(score.mean() / reference.mean())
    # numerator and denominator are resampled together: their errors are correlated
    resampled_score = weights @ score  # (R,)
    resampled_reference = weights @ reference
    resampled_ratio = resampled_score / resampled_reference
    return estimate(1.0 - ratio, 1.0 - resampled_ratio)


def gaussian_log_prob(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Log-density (N,) of the truth under Gaussians with the moments of the samples, S > D.

    It stands for the density of references that are known by samples alone.

    Raises:
        ValueError: If the samples of an object do not span all D directions.

    References:
        Dawid & Sebastiani (1999), Coherent dispersion criteria for optimal experimental design.
    """
    num_samples, _, num_targets = samples.shape
    mean = samples.mean(axis=0, dtype=float)
    centred = np.moveaxis(samples - mean, 1, 0)  # (N, S, D)
    scatter = centred.transpose(0, 2, 1) @ centred  # (N, D, D)
    covariance = scatter / (num_samples - 1)
    if (np.linalg.matrix_rank(covariance) < num_targets).any():
        expected = f"samples that span {num_targets} directions"
        raise ValueError(f"gaussian_log_prob: expected {expected}; got fewer")

    # squared Mahalanobis distance r^T C^-1 r
    residual = (truth - mean)[:, :, None]  # (N, D, 1)
    solved = np.linalg.solve(covariance, residual)
    product = residual * solved
    distance = product.sum(axis=(1, 2))  # (N,)

    _, log_determinant = np.linalg.slogdet(2 * np.pi * covariance)
    log_prob: np.ndarray = -0.5 * (distance + log_determinant)
    return log_prob


def is_one_cluster(weights: np.ndarray) -> bool:
    """Whether bootstrap weights (R, N) resample a single cluster, so that they say nothing."""
    return bool((weights == weights[0]).all())


def bootstrap_weights(
    clusters: np.ndarray, num_resamples: int = 500, seed: int = 1
) -> np.ndarray:
    """Row weights (R, N) of bootstrap resamples of whole clusters, given those of the rows (N,).

    Each resample sums to 1, so that ``weights @ score`` is the resampled mean.
    """
    names, cluster_of_row = np.unique(clusters, return_inverse=True)
    num_clusters = len(names)

    # as many clusters as there are, drawn with replacement
    rng = np.random.default_rng(seed)
    draws = rng.integers(num_clusters, size=(num_resamples, num_clusters))
    counts = np.stack([np.bincount(draw, minlength=num_clusters) for draw in draws])

    # every row of a cluster comes as often as its cluster, (R, N)
    row_counts = counts[:, cluster_of_row].astype(float)
    weights: np.ndarray = row_counts / row_counts.sum(axis=1, keepdims=True)
    return weights
