"""Diagnosis of all targets together: energy score, TARP, L-C2ST, correlations, regions, likelihood."""

from __future__ import annotations

import numpy as np

from cinn_clusters import schema
from cinn_clusters.diagnostics import coverage, ranks, scores, tarp, verdict
from cinn_clusters.diagnostics.bands import ALPHA, Estimate, mean_estimate, uniformity
from cinn_clusters.diagnostics.lc2st import lc2st
from cinn_clusters.diagnostics.local_verdict import correlation_findings
from cinn_clusters.diagnostics.pairs import PairTest, pair_test
from cinn_clusters.diagnostics.tarp import positive_spread
from cinn_clusters.evaluation.diagnosis_report import (
    Band,
    CorrelationTest,
    CoverageCurve,
    HpdDiagnosis,
    JointDiagnosis,
    LikelihoodDiagnosis,
    LocalTest,
    PairDiagnosis,
    UniformityTest,
    bands_by_name,
)
from cinn_clusters.evaluation.evidence import Densities, Evidence
from cinn_clusters.evaluation.json_model import JsonModel
from cinn_clusters.evaluation.reference_posteriors import PRIOR
from cinn_clusters.moments import binary_units

NO_DENSITIES = "joint HPD and NLL need densities (group sample_stats with lp and lp_truth): skipped"
NO_GAUSSIAN = "NLL beside a reference: its samples do not span all targets: skipped"


def diagnose_jointly(
    evidence: Evidence,
) -> tuple[JointDiagnosis, list[verdict.Finding], list[str]]:
    """All targets together: numbers, findings, and notes of what was skipped."""
    joint, energy_skill = _diagnose_samples(evidence)
    pairs = pair_test(
        evidence.scores, evidence.sample_scores, evidence.weights, ALPHA / 2
    )
    update: dict[str, JsonModel] = {
        "correlations": _describe_pairs(evidence.targets, pairs)
    }
    hpd_error, notes = None, [NO_DENSITIES]
    if evidence.log_prob is not None:
        hpd, hpd_error = _diagnose_regions(evidence.log_prob, evidence.weights)
        likelihood, is_complete = _diagnose_likelihood(evidence.log_prob[1], evidence)
        notes = [] if is_complete else [NO_GAUSSIAN]
        update |= {"hpd": hpd, "nll": likelihood}
    joint = joint.model_copy(update=update)
    findings = verdict.joint_findings(
        _tests(joint),
        hpd_error,
        energy_skill.get(PRIOR),
        list(correlation_findings(evidence.targets, pairs)),
    )
    return joint, findings, notes


def _tests(joint: JointDiagnosis) -> list[verdict.JointTest]:
    tarp_test, local = joint.tarp, joint.lc2st
    chance = f"{local.statistic:.4f} against {local.null_mean:.4f} by chance"
    return [
        verdict.JointTest("TARP", tarp_test.p_value, f"KS {tarp_test.ks:.3f}"),
        verdict.JointTest("L-C2ST", local.p_value, chance),
    ]


def _describe_pairs(targets: tuple[str, ...], result: PairTest) -> CorrelationTest:
    pairs = tuple(
        PairDiagnosis(
            targets=(targets[pair.first], targets[pair.second]),
            of_truths=pair.of_truths,
            of_samples=pair.of_samples,
            t=t,
        )
        for pair, t in zip(result.pairs, result.test.t, strict=True)
    )
    test = result.test
    return CorrelationTest(critical=test.critical, p_value=test.p_value, pairs=pairs)


def _diagnose_samples(evidence: Evidence) -> tuple[JointDiagnosis, dict[str, Estimate]]:
    """Energy score, TARP and L-C2ST, which samples suffice for."""
    clusters, weights, seed = evidence.objects.clusters, evidence.weights, evidence.seed
    energy = _scaled_energy(evidence, evidence.samples)
    skill = evidence.skill(
        energy,
        {
            name: _scaled_energy(evidence, samples)
            for name, samples in evidence.references.items()
        },
    )
    unit = binary_units(evidence.scale)
    spread = unit * positive_spread(evidence.jittered / unit)
    samples, truth = evidence.samples / spread, evidence.jittered / spread

    def tarp_test(points: np.ndarray) -> UniformityTest:
        fractions = tarp.tarp_fractions(samples, truth, points)
        uniform = ranks.randomised_shares(fractions, len(samples))
        return UniformityTest.of(uniformity(uniform, weights))

    joint = JointDiagnosis(
        energy_score=Band.of(mean_estimate(energy, weights)),
        energy_skill=bands_by_name(skill),
        tarp=tarp_test(tarp.references_from_x(truth, evidence.x, clusters, seed=seed)),
        tarp_plain=tarp_test(tarp.plain_references(truth, seed=seed)),
        lc2st=_diagnose_locally(evidence),
    )
    return joint, skill


def _diagnose_locally(evidence: Evidence) -> LocalTest:
    """L-C2ST on parameters that their posteriors have whitened to (-1, 1).

    Squares of Gaussian scores that a cluster shares are too skewed for exchanged labels.
    """
    local = lc2st(
        2 * evidence.sample_pit - 1,
        2 * evidence.pit - 1,
        evidence.x,
        evidence.objects.clusters,
        seed=evidence.seed,
    )
    table, p_values = evidence.objects.table, local.local_p_values
    keys = {key: tuple(table[key].tolist()) for key in schema.KEYS}
    return LocalTest(
        statistic=local.statistic,
        null_mean=float(local.null.mean()),
        p_value=local.p_value,
        share_of_objects_below_5_percent=float((p_values < 0.05).mean()),
        by_object={**keys, "p_value": tuple(p_values.round(4))},
    )


def _scaled_energy(evidence: Evidence, samples: np.ndarray) -> np.ndarray:
    return scores.energy_score(
        samples / evidence.scale, evidence.truth / evidence.scale
    )


def _diagnose_regions(
    log_prob: Densities, weights: np.ndarray
) -> tuple[HpdDiagnosis, Estimate]:
    """Coverage of joint HPD regions, and its signed error."""
    of_samples, of_truth = log_prob
    rho = coverage.hpd_ranks(of_samples, of_truth)
    inside = (rho <= scores.COVERAGE_LEVELS[:, None])[:, :, None]  # (C, N, 1)
    error = coverage.calibration_error(inside, weights)[0]
    num_evaluated = (~np.isnan(of_samples)).sum(axis=0)
    uniform = ranks.randomised_shares(rho, num_evaluated)
    level = scores.COVERAGE_LEVELS
    hpd = HpdDiagnosis(
        calibration_error=error.absolute,
        signed_calibration_error=Band.of(error.signed),
        coverage=CoverageCurve.of(
            {"level": level, "found": inside[:, :, 0].mean(axis=1)}
        ),
        ranks=UniformityTest.of(uniformity(uniform, weights)),
    )
    return hpd, error.signed


def _diagnose_likelihood(
    log_prob: np.ndarray, evidence: Evidence
) -> tuple[LikelihoodDiagnosis, bool]:
    """NLL beside Gaussian references, and whether these could be had."""
    num_outside = int((~np.isfinite(log_prob)).sum())
    if num_outside:
        return LikelihoodDiagnosis(rows_outside=num_outside, mean=None), True
    likelihood = LikelihoodDiagnosis(
        rows_outside=0, mean=Band.of(mean_estimate(-log_prob, evidence.weights))
    )
    try:
        gains = {
            name: mean_estimate(
                log_prob - _gaussian(evidence, samples), evidence.weights
            )
            for name, samples in evidence.references.items()
        }
    except ValueError:
        return likelihood, False
    return likelihood.model_copy(
        update={"nats_gained_on_gaussian": bands_by_name(gains)}
    ), True


def _gaussian(evidence: Evidence, samples: np.ndarray) -> np.ndarray:
    """Log-density (N,) of the truth in physical units under Gaussians with moments of samples."""
    is_log = [column.is_log for column in evidence.objects.target_columns]
    truth = evidence.jittered.copy()
    samples = samples.copy()

    # nearer to Gaussian in log
    log_truth = np.log(truth[:, is_log])
    log_samples = np.log(samples[:, :, is_log])
    truth[:, is_log] = log_truth
    samples[:, :, is_log] = log_samples
    unit = np.where(is_log, 1.0, binary_units(evidence.scale))
    log_prob = scores.gaussian_log_prob(samples / unit, truth / unit)
    log_unit = np.log(unit).sum()
    log_volume = log_truth.sum(axis=1) + log_unit
    return np.asarray(log_prob - log_volume)
