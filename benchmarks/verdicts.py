"""How often diagnose calls an exact posterior wrong, and how often it finds posteriors that are wrong.

    python benchmarks/verdicts.py --worlds 200

A world has six targets, six observables and a redshift; theta ~ N(0, C) is that of a cluster, its rows share it and
most of the noise of x = theta + N(0, s(z)^2), and each row's posterior is exact. Faults: all widths 0.8 or 1.25 times;
a bias of 0.3 standard deviations; the prior; one target 1.5 times too wide at low and 0.75 times at high redshift; a
pair of correlation 0.43 to 0.62 taken for independent; Student's t of 3 degrees of freedom with the mean width of the Gaussian.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import norm
from scipy.stats import t as student

from cinn_clusters import schema
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.diagnostics.verdict import CALIBRATED
from cinn_clusters.evaluation.diagnosis import diagnose_evidence
from cinn_clusters.evaluation.diagnosis_report import FindingEntry
from cinn_clusters.evaluation.evidence import Densities, gather

TARGETS = ("a", "b", "c", "d", "e", "f")
OBSERVABLES = (schema.MASS, "x1", "x2", "x3", "x4", "x5", schema.LOOKBACK)
LOOKBACKS = np.array([0.0, 1.3, 2.6, 3.9, 5.2, 6.5, 7.2, 7.9])
NOISE = np.array([0.4, 0.8, 0.5, 3.0, 1.5, 1.5])
SHARED = 0.8
DEGREES = 3.0


@dataclass(frozen=True, eq=False)
class World:
    """N rows of some clusters, and the offsets of S samples of their exact posteriors."""

    catalogue: Catalogue
    share: np.ndarray  # lookback time over its largest, (N,)
    mean: np.ndarray  # (N, D)
    covariance: np.ndarray  # (N, D, D)
    offsets: np.ndarray  # samples minus mean, (S, N, D)
    rng: np.random.Generator

    @property
    def deviation(self) -> np.ndarray:
        """Posterior standard deviations, (N, D)."""
        return np.sqrt(np.einsum("ndd->nd", self.covariance))

    def densities(self) -> Densities:
        """Log-densities of the exact posterior at its samples and truths, but for a constant."""
        precision = np.linalg.inv(self.covariance)
        truth = self.catalogue.theta - self.mean

        def log_prob(offset: np.ndarray) -> np.ndarray:
            return -0.5 * np.einsum("...nd,nde,...ne->...n", offset, precision, offset)

        return log_prob(self.offsets), log_prob(truth)


def prior_covariance() -> np.ndarray:
    covariance = np.eye(len(TARGETS))
    for first, second, value in ((0, 1, 0.85), (2, 3, -0.4)):
        covariance[first, second] = covariance[second, first] = value
    return covariance


def make_world(seed: int, clusters: int, rows: int, num_samples: int) -> World:
    rng = np.random.default_rng(seed)
    number = np.repeat(np.arange(clusters), rows)
    shape = (clusters, len(TARGETS))
    prior = prior_covariance()
    theta = (rng.normal(size=shape) @ np.linalg.cholesky(prior).T)[number]
    lookback = np.tile(LOOKBACKS[:rows], clusters)
    if rows == 1:
        lookback = rng.choice(LOOKBACKS, clusters)
    share = lookback / LOOKBACKS.max()
    deviation = NOISE * (1 + 0.8 * share[:, None])
    common, alone = rng.normal(size=shape)[number], rng.normal(size=theta.shape)
    x = theta + deviation * (np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * alone)

    # Gaussian prior times Gaussian likelihood
    information = np.einsum("nd,de->nde", deviation**-2, np.eye(len(TARGETS)))
    covariance = np.linalg.inv(np.linalg.inv(prior) + information)
    mean = np.einsum("nde,ne->nd", covariance, x / deviation**2)
    factor = np.linalg.cholesky(covariance)
    noise = rng.normal(size=(num_samples, *theta.shape))
    offsets = np.einsum("nde,sne->snd", factor, noise)

    table = pd.DataFrame(dict(zip(OBSERVABLES, [*x.T, lookback], strict=True)))
    table[list(TARGETS)] = theta
    table = table.assign(HaloID=np.arange(len(table)), Snapshot=0, HaloOrigID=number)
    return World(
        Catalogue(table, OBSERVABLES, TARGETS), share, mean, covariance, offsets, rng
    )


def heavy_scale() -> float:
    """Scale of Student's t whose mean width is that of a standard Gaussian."""
    truth = norm.ppf((np.arange(20_000) + 0.5) / 20_000)

    def excess(scale: float) -> float:
        scores = norm.ppf(student(DEGREES).cdf(truth / scale))
        return float(np.abs(scores).mean() - np.sqrt(2 / np.pi))

    return float(brentq(excess, 0.3, 2.0))


def by_redshift(world: World) -> np.ndarray:
    offsets = world.offsets.copy()
    is_low, is_high = world.share < 0.25, world.share > 0.6
    offsets[:, :, 2] *= np.where(is_low, 1.5, np.where(is_high, 0.75, 1.0))
    return offsets


def independent(world: World) -> np.ndarray:
    offsets = world.offsets.copy()
    offsets[:, :, 1] = world.rng.permuted(offsets[:, :, 1], axis=0)
    return offsets


def heavy(world: World) -> np.ndarray:
    offsets = world.offsets.copy()
    draws = student(DEGREES).rvs(size=offsets.shape[:2], random_state=world.rng)
    offsets[:, :, 4] = heavy_scale() * draws * world.deviation[:, 4]
    return offsets


def of_prior(world: World) -> np.ndarray:
    factor = np.linalg.cholesky(prior_covariance())
    noise = world.rng.normal(size=world.offsets.shape)
    return noise @ factor.T - world.mean


FAULTS: dict[str, tuple[Callable[[World], np.ndarray], tuple[str, str]]] = {
    "0.8 times as wide": (lambda world: 0.8 * world.offsets, ("", "too narrow")),
    "1.25 times as wide": (lambda world: 1.25 * world.offsets, ("", "too wide")),
    "0.3 sd too high": (
        lambda world: world.offsets + 0.3 * world.deviation,
        ("", "biased high"),
    ),
    "the prior": (of_prior, ("", "biased")),
    "1.5 at low, 0.75 at high redshift": (
        by_redshift,
        ("c", "narrow at high redshift"),
    ),
    "a correlation left out": (independent, ("a, b", "wrong correlation")),
    "heavy tails of right mean width": (heavy, ("e", "tails too heavy")),
}
"""What is done to exact posteriors, and subject and verdict that name it."""


def wrong(
    world: World, offsets: np.ndarray, log_prob: Densities | None = None
) -> list[FindingEntry]:
    """Findings other than that something is calibrated."""
    samples = world.mean + offsets
    evidence = gather(world.catalogue, samples, {}, log_prob)
    findings = diagnose_evidence(evidence).findings
    return [finding for finding in findings if finding.name != CALIBRATED]


def kind(finding: FindingEntry) -> str:
    """Which family of tests a finding is of."""
    test = finding.evidence.split(":")[0]
    if finding.subject == "joint" and "HPD" not in test:
        return test
    if finding.subject == "joint":
        return "joint HPD"
    is_local = "by chance" in finding.evidence
    if not is_local:
        return "marginal"
    return "correlation" if "," in finding.subject else "conditional"


def false_alarms(seeds: range, num_samples: int) -> Iterator[str]:
    worlds = len(seeds)
    yield "| clusters | rows | worlds | with any finding | by family | CPU seconds a world |\n|---|---|---|---|---|---|"
    for clusters, rows in ((276, 6), (1000, 1), (35, 6)):
        begin, num_wrong, kinds = time.process_time(), 0, Counter[str]()
        for seed in seeds:
            world = make_world(seed, clusters, rows, num_samples)
            findings = wrong(world, world.offsets, world.densities())
            num_wrong += bool(findings)
            kinds.update({kind(finding) for finding in findings})
        families = ", ".join(f"{name} {count}" for name, count in kinds.most_common())
        seconds = (time.process_time() - begin) / worlds
        yield f"| {clusters} | {clusters * rows} | {worlds} | {num_wrong} ({num_wrong / worlds:.1%}) | {families} | {seconds:.1f} |"


def power(worlds: int, num_samples: int) -> Iterator[str]:
    yield "\n| fault, 276 clusters | worlds | with any finding | named | most frequent findings |\n|---|---|---|---|---|"
    for name, (fault, (subject, verdict)) in FAULTS.items():
        num_wrong, num_named, names = 0, 0, Counter[str]()
        for seed in range(1000, 1000 + worlds):
            world = make_world(seed, 276, 6, num_samples)
            findings = wrong(world, fault(world))
            num_wrong += bool(findings)
            num_named += any(
                verdict in finding.name and subject in ("", finding.subject)
                for finding in findings
            )
            names.update({f"{finding.subject}: {finding.name}" for finding in findings})
        frequent = "; ".join(f"{key} {count}" for key, count in names.most_common(2))
        yield f"| {name} | {worlds} | {num_wrong / worlds:.0%} | {num_named / worlds:.0%} | {frequent} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--worlds", type=int, default=200, help="Exact worlds of each size."
    )
    parser.add_argument("--first", type=int, default=0, help="Seed of the first world.")
    parser.add_argument(
        "--wrong-worlds", type=int, default=20, help="Worlds of each fault."
    )
    parser.add_argument("--samples", type=int, default=199)
    args = parser.parse_args()
    if args.worlds:
        seeds = range(args.first, args.first + args.worlds)
        for line in false_alarms(seeds, args.samples):
            print(line, flush=True)
    if args.wrong_worlds:
        for line in power(args.wrong_worlds, args.samples):
            print(line, flush=True)


if __name__ == "__main__":
    main()
