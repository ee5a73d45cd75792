"""What all numbers of a diagnosis are made of: samples, ground truth and what was observed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cinn_clusters.cosmology import redshift_at_lookback
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.diagnostics import ranks, scores
from cinn_clusters.diagnostics.bands import Estimate
from cinn_clusters.evaluation.ground_truth import (
    dequantised_ground_truth,
    score_scales,
    standardised_observables,
)
from cinn_clusters.evaluation.matched import MatchedPosterior
from cinn_clusters.schema import Role

Densities = tuple[np.ndarray, np.ndarray]
_ROLE_OF_PROPERTY: dict[str, Role] = {"mass": "mass", "redshift": "time"}
"""Role of the column behind each property by whose tertiles coverage is compared."""
_NUM_RESAMPLES = 2000
_MAX_SCORED = 200
"""Samples of an object that are compared with its truth by L-C2ST and correlations."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Posterior samples of N objects beside their ground truth.

    Args:
        objects: The objects with their ground truth.
        samples: Posterior samples, (S, N, D).
        truth: Ground truth as it is recorded, (N, D).
        jittered: Ground truth with times spread over their resolution, (N, D).
        x: Standardised observables, (N, L).
        weights: Bootstrap weights, (R, N).
        references: Samples (S, N, D) of each reference posterior.
        scale: Units of the scores, (D,).
        log_prob: Log-densities of samples (S, N), NaN where not evaluated, and of truths (N,); None
            where any object has none.
        seed: Seed of references, bootstrap and classifiers.
    """

    objects: Catalogue
    samples: np.ndarray
    truth: np.ndarray
    jittered: np.ndarray
    x: np.ndarray
    weights: np.ndarray
    references: Mapping[str, np.ndarray]
    scale: np.ndarray
    log_prob: Densities | None = None
    seed: int = 0

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the D targets."""
        return self.objects.targets

    @cached_property
    def pit(self) -> np.ndarray:
        """Randomised PIT of the truths, (N, D)."""
        return ranks.pit(self.samples, self.jittered)

    @cached_property
    def scores(self) -> np.ndarray:
        """Gaussian scores of the truths, (N, D): truths whitened by their posteriors."""
        return ranks.gaussian_scores(self.pit)

    @cached_property
    def sample_pit(self) -> np.ndarray:
        """Randomised PIT of some samples among themselves, (S', N, D)."""
        num_samples = len(self.samples)
        num_scored = min(_MAX_SCORED, num_samples)
        numbers = np.linspace(0, num_samples - 1, num_scored).astype(int)
        return ranks.sample_pit(self.samples[numbers], seed=self.seed)

    @cached_property
    def sample_scores(self) -> np.ndarray:
        """Gaussian scores of the same samples, (S', N, D)."""
        return ranks.gaussian_scores(self.sample_pit)

    @cached_property
    def properties(self) -> dict[str, np.ndarray]:
        """Mass and redshift (N,), where every row has them; tertiles are those of these."""
        properties = {}
        for name, role in _ROLE_OF_PROPERTY.items():
            column = self.objects.having(role)
            if column is None:
                continue
            values = self.objects.table[column].to_numpy(float)
            if role == "time":
                values = redshift_at_lookback(values).round(6)
            if np.isfinite(values).all():
                properties[name] = values
        return properties

    @cached_property
    def observables(self) -> dict[str, np.ndarray]:
        """Mass, redshift and all other observables (N,), by name."""
        roles = [_ROLE_OF_PROPERTY[name] for name in self.properties]
        named = {self.objects.having(role) for role in roles}
        names = [name for name in self.objects.observables if name not in named]
        columns = self.objects.inputs(names).T
        return {**self.properties, **dict(zip(names, columns, strict=True))}

    def skill(
        self, score: np.ndarray, references: Mapping[str, np.ndarray]
    ) -> dict[str, Estimate]:
        """Share of the score (N,) of each reference that the posterior saves."""
        return {
            name: scores.skill(score, other, self.weights)
            for name, other in references.items()
        }


def gather(
    objects: Catalogue,
    samples: np.ndarray,
    references: Mapping[str, np.ndarray],
    log_prob: Densities | None = None,
    seed: int = 0,
) -> Evidence:
    """Put samples (S, N, D), and their densities, beside the ground truth of their objects."""
    return Evidence(
        objects,
        samples,
        objects.theta,
        dequantised_ground_truth(objects),
        standardised_observables(objects),
        scores.bootstrap_weights(objects.clusters, _NUM_RESAMPLES, seed),
        references,
        score_scales(objects, samples),
        log_prob,
        seed,
    )


def gather_matched(matched: MatchedPosterior, seed: int) -> Evidence:
    """Put a posterior file beside ground truth and references."""
    by_reference = matched.references(seed=seed)
    references = {name: samples.astype(float) for name, samples in by_reference.items()}
    log_prob = matched.log_prob if matched.has_densities else None
    return gather(matched.objects, matched.samples, references, log_prob, seed)
