"""Posteriors that fooled earlier diagnostics are found, and said where; exact ones are not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from cinn_clusters import schema
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.diagnostics.verdict import CALIBRATED
from cinn_clusters.evaluation.diagnosis import diagnose_evidence
from cinn_clusters.evaluation.diagnosis_report import Diagnosis
from cinn_clusters.evaluation.evidence import gather

NUM_CLUSTERS, NUM_ROWS, NUM_SAMPLES = 250, 4, 99
TARGETS = ("a", "b", "c")
HEAVY = 0.788
"""Scale of Student's t of 3 degrees of freedom whose mean Gaussian width is 1."""


class World:
    """theta ~ N(0, C) with corr(a, b) = 0.85, x = theta + N(0, 0.5^2): posteriors in closed form."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(3)
        clusters = np.repeat(np.arange(NUM_CLUSTERS), NUM_ROWS)
        lookback = np.tile([0.0, 2.0, 4.0, 6.0], NUM_CLUSTERS)
        prior = np.eye(3)
        prior[0, 1] = prior[1, 0] = 0.85
        common = self.rng.normal(size=(2, NUM_CLUSTERS, 3))[:, clusters]
        truth = common[0] @ np.linalg.cholesky(prior).T
        alone = self.rng.normal(size=truth.shape)
        x = truth + 0.5 * (np.sqrt(0.8) * common[1] + np.sqrt(0.2) * alone)
        covariance = np.linalg.inv(np.linalg.inv(prior) + 4 * np.eye(3))
        self.mean = x @ (4 * covariance)
        self.deviation = np.sqrt(np.diag(covariance))
        self.prior_factor = np.linalg.cholesky(prior)
        noise = self.rng.normal(size=(NUM_SAMPLES, *truth.shape))
        self.offsets = noise @ np.linalg.cholesky(covariance).T
        self.lookback = lookback
        columns = {
            "x0": x[:, 0],
            "x1": x[:, 1],
            "x2": x[:, 2],
            schema.LOOKBACK: lookback,
        }
        keys = {"HaloID": np.arange(len(x)), "Snapshot": 0, "HaloOrigID": clusters}
        theta = dict(zip(TARGETS, truth.T, strict=True))
        table = pd.DataFrame({**keys, **columns, **theta})
        self.catalogue = Catalogue(table, tuple(columns), TARGETS)

    def diagnose(self, offsets: np.ndarray) -> Diagnosis:
        return diagnose_evidence(gather(self.catalogue, self.mean + offsets, {}))


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def narrow_at_high_redshift(world: World) -> np.ndarray:
    offsets = world.offsets.copy()
    widths = np.select([world.lookback < 1, world.lookback > 5], [1.5, 0.75], 1.0)
    offsets[:, :, 2] *= widths
    return offsets


def biased_by_redshift(world: World) -> np.ndarray:
    offsets = world.offsets.copy()
    biases = np.select([world.lookback < 1, world.lookback > 5], [-0.5, 0.5], 0.0)
    offsets[:, :, 2] += biases * world.deviation[2]
    return offsets


def independent(world: World) -> np.ndarray:
    offsets = world.offsets.copy()
    offsets[:, :, 1] = np.random.default_rng(0).permuted(offsets[:, :, 1], axis=0)
    return offsets


def heavy(world: World) -> np.ndarray:
    offsets = world.offsets.copy()
    rng = np.random.default_rng(1)
    draws = student(3).rvs(size=offsets.shape[:2], random_state=rng)
    offsets[:, :, 2] = HEAVY * world.deviation[2] * draws
    return offsets


def prior(world: World) -> np.ndarray:
    noise = np.random.default_rng(2).normal(size=world.offsets.shape)
    return np.asarray(noise @ world.prior_factor.T - world.mean)


CASES: dict[str, tuple[Callable[[World], np.ndarray], str, str]] = {
    "narrow": (lambda world: 0.7 * world.offsets, "a", "too narrow"),
    "wide": (lambda world: 1.4 * world.offsets, "a", "too wide"),
    "biased": (lambda world: world.offsets + 0.4 * world.deviation, "a", "biased high"),
    "prior": (prior, "c", "biased high at low x2, biased low at high x2"),
    "width by redshift": (
        narrow_at_high_redshift,
        "c",
        "too wide at low redshift, too narrow at high redshift",
    ),
    "bias by redshift": (
        biased_by_redshift,
        "c",
        "biased low at low redshift, biased high at high redshift",
    ),
    "correlation left out": (independent, "a, b", "wrong correlation"),
    "heavy tails": (heavy, "c", "tails too heavy"),
}


def test_an_exact_posterior_is_calibrated(world: World) -> None:
    diagnosis = world.diagnose(world.offsets)
    assert {finding.name for finding in diagnosis.findings} == {CALIBRATED}
    pairs = diagnosis.joint.correlations
    assert pairs is not None
    assert pairs.pairs[0].of_truths == pytest.approx(0.40, abs=0.1)
    assert pairs.pairs[0].of_samples == pytest.approx(0.40, abs=0.03)


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_named_with_its_place(case: str, world: World) -> None:
    fault, subject, name = CASES[case]
    findings = {(f.subject, f.name): f for f in world.diagnose(fault(world)).findings}
    assert (subject, name) in findings, list(findings)
    assert (subject, CALIBRATED) not in findings


@pytest.mark.parametrize("case", ["width by redshift", "heavy tails"])
def test_one_wrong_target_leaves_the_others_calibrated(case: str, world: World) -> None:
    findings = world.diagnose(CASES[case][0](world)).findings
    right = {finding.subject for finding in findings if finding.name == CALIBRATED}
    assert {"a", "b"} <= right


def test_a_single_target_has_no_pairs(world: World) -> None:
    table = world.catalogue.table.drop(columns=["a", "b"])
    catalogue = Catalogue(table, world.catalogue.observables, ("c",))
    samples = (world.mean + world.offsets)[:, :, [2]]
    diagnosis = diagnose_evidence(gather(catalogue, samples, {}))
    assert {finding.name for finding in diagnosis.findings} == {CALIBRATED}
    assert diagnosis.joint.correlations is not None
    assert diagnosis.joint.correlations.pairs == ()
