"""Proper scores and calibration of posterior samples against truths. Lower scores are better."""

from __future__ import annotations

import numpy as np

from cinn_clusters.diagnostics.bands import ALPHA, Estimate, estimate

LEVELS = np.linspace(0.05, 0.95, 19)
"""Levels of central intervals at which coverage is judged."""
NUM_PAIRINGS = 8


def crps(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    r"""Fair continuous ranked probability score of each marginal.

    mean_l |theta_l - y| - sum_l (2l - L - 1) theta_(l) / (L (L - 1)) on sorted draws: unbiased in
    the number of draws.

    Args:
        samples: Posterior draws, (S, N, D).
        truth: (N, D), same units.

    Returns:
        (N, D), in the units of the samples.

    References:
        Ferro (2014), Fair scores for ensemble forecasts; Zamo & Naveau (2018), eq. (eINT-PWM).

    Examples:
        >>> crps(np.array([[[0.0]], [[2.0]]]), np.array([[1.0]]))
        array([[0.]])
    """
    num_draws = len(samples)
    weight = (2.0 * np.arange(1, num_draws + 1) - num_draws - 1) / (num_draws * (num_draws - 1))
    spread = np.einsum("s,snd->nd", weight, np.sort(samples, axis=0))
    return np.asarray(np.abs(samples - truth).mean(0) - spread)


def energy_score(samples: np.ndarray, truth: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Energy score: E|theta - y| - E|theta - theta'|/2 with the Euclidean norm, fair in the number of draws.

    Args:
        samples: Posterior draws, (S, N, D), already in comparable units.
        truth: (N, D).
        seed: Seed of the random pairings that stand for the double sum (8 of them).

    Returns:
        (N,).

    References:
        Gneiting & Raftery (2007), Strictly proper scoring rules, eq. (22).
    """
    rng = np.random.default_rng(seed)
    num_draws = len(samples)
    pairings = [rng.permutation(num_draws) for _ in range(NUM_PAIRINGS)]
    spread = np.mean(
        [np.linalg.norm(samples - samples[order], axis=-1).mean(0) for order in pairings], axis=0
    )
    distance = np.linalg.norm(samples - truth, axis=-1).mean(0)
    return np.asarray(distance - 0.5 * spread * num_draws / (num_draws - 1))


def central_coverage(
    samples: np.ndarray, truth: np.ndarray, levels: np.ndarray = LEVELS
) -> np.ndarray:
    """Whether the central interval of each level holds the truth.

    Args:
        samples: Posterior draws, (S, N, D).
        truth: (N, D).
        levels: Probability masses, (C,).

    Returns:
        (C, N, D) bool; its mean over N is the coverage.
    """
    pit = (samples < truth).mean(0)
    return np.asarray(np.abs(2.0 * pit - 1.0)[None] < levels[:, None, None])


def contraction(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """1 - mean posterior variance / variance of the truths, unclipped, (D,): 0 says nothing, 1
    says all.
    """
    return np.asarray(1.0 - samples.var(0, ddof=1, dtype=float).mean(0) / truth.var(0, ddof=1))


def z_score(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(Posterior mean - truth) / posterior standard deviation, (N, D): mean 0, spread 1 for a
    calibrated Gaussian.
    """
    deviation = samples.std(0, ddof=1, dtype=float)
    known = np.where(deviation > 0, deviation, np.nan)  # a point is no posterior: it has no z-score
    return np.asarray((samples.mean(0, dtype=float) - truth) / known)


def skill(
    score: np.ndarray, reference: np.ndarray, weights: np.ndarray, *, alpha: float = ALPHA
) -> Estimate:
    """Share of a reference's mean score that is saved: 0 says no better than it, 1 says perfect.

    Args:
        score: Score of each row, lower is better, (N,).
        reference: Score of the reference on the same rows, (N,).
        weights: Bootstrap weights that resample clusters, (R, N); the same resample for both.
        alpha: See ``estimate``.

    Returns:
        1 - mean score / mean of the reference, and its band.

    Examples:
        >>> skill(np.array([1.0, 1.0]), np.array([2.0, 2.0]), np.full((3, 2), 0.5)).value
        0.5
    """
    resampled = 1.0 - (weights @ score) / (weights @ reference)
    return estimate(1.0 - float(score.mean() / reference.mean()), resampled, alpha)


def gaussian_log_prob(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Log-density of the truths under Gaussians with the moments of the draws: for references known by draws alone.

    Args:
        samples: Draws, (S, N, D), S > D.
        truth: (N, D).

    Returns:
        (N,).

    Raises:
        ValueError: If the draws of an object do not span all D directions.

    References:
        Dawid & Sebastiani (1999), Coherent dispersion criteria for optimal experimental design.
    """
    mean = samples.mean(0, dtype=float)
    moved = np.moveaxis(samples - mean, 1, 0)  # (N, S, D)
    covariance = moved.transpose(0, 2, 1) @ moved / (len(samples) - 1)
    if (np.linalg.matrix_rank(covariance) < truth.shape[1]).any():
        raise ValueError(
            f"gaussian_log_prob: expected draws that span {truth.shape[1]} directions; got fewer"
        )
    distance = np.einsum(
        "nd,nd->n", truth - mean, np.linalg.solve(covariance, (truth - mean)[:, :, None])[:, :, 0]
    )
    return np.asarray(-0.5 * (distance + np.linalg.slogdet(2 * np.pi * covariance)[1]))


def bootstrap_weights(clusters: np.ndarray, num_resamples: int = 500, seed: int = 1) -> np.ndarray:
    """Row weights of bootstrap samples that resample whole clusters.

    Args:
        clusters: Cluster of each row, (N,).
        num_resamples: R.
        seed: Seed.

    Returns:
        (R, N); each line sums to 1, so that ``weights @ score`` is the resampled mean.
    """
    names, inverse = np.unique(clusters, return_inverse=True)
    drawn = np.random.default_rng(seed).integers(len(names), size=(num_resamples, len(names)))
    weights = np.stack([np.bincount(line, minlength=len(names))[inverse] for line in drawn]).astype(
        float
    )
    return np.asarray(weights / weights.sum(1, keepdims=True))
