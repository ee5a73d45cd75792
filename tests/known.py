"""Posteriors whose answers are known: theta ~ N(0, 1)^6, x = theta + N(0, 0.5^2), exact N(0.8 x,
0.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NUM_TARGETS = 6
DEVIATION = np.sqrt(0.2)
NAMES = ("exact", "narrow", "wide", "biased", "prior")


@dataclass(frozen=True)
class Known:
    """Truths, observables, clusters, and Gaussians that answer."""

    truth: np.ndarray
    x: np.ndarray
    clusters: np.ndarray
    noise: np.ndarray
    prior: np.ndarray

    def moments(self, name: str) -> tuple[np.ndarray, float]:
        mean = 0.8 * self.x
        return {
            "exact": (mean, DEVIATION),
            "narrow": (mean, 0.5 * DEVIATION),
            "wide": (mean, 2.0 * DEVIATION),
            "biased": (mean + 0.5 * DEVIATION, DEVIATION),
            "prior": (0.0 * mean, 1.0),
        }[name]

    def samples(self, name: str) -> np.ndarray:
        mean, deviation = self.moments(name)
        return np.asarray(mean + deviation * self.noise)

    def log_prob(self, name: str, theta: np.ndarray) -> np.ndarray:
        mean, deviation = self.moments(name)
        return np.asarray(
            (
                -0.5 * ((theta - mean) / deviation) ** 2
                - np.log(np.sqrt(2 * np.pi) * deviation)
            ).sum(-1)
        )


def known(
    num_clusters: int = 1000,
    num_rows: int = 1,
    *,
    num_draws: int = 199,
    shared: float = 0.8,
    seed: int = 0,
) -> Known:
    """``num_rows`` a cluster share their theta and a part of the noise of x, yet each row's
    posterior is exact."""
    rng = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(num_clusters), num_rows)
    truth = rng.normal(size=(num_clusters, NUM_TARGETS))[clusters]
    common = rng.normal(size=(num_clusters, NUM_TARGETS))[clusters]
    noise = np.sqrt(shared) * common + np.sqrt(1 - shared) * rng.normal(
        size=truth.shape
    )
    shape = (num_draws, *truth.shape)
    return Known(
        truth,
        truth + 0.5 * noise,
        clusters,
        rng.normal(size=shape),
        rng.normal(size=shape),
    )
