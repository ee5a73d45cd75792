"""Whether a posterior can be trusted, and whether it says anything.

Every band resamples whole clusters; the definitions are those of the field (SBC, TARP, L-C2ST,
joint HPD coverage), computed in ``diagnostics`` on arrays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.diagnostics import (
    conditional,
    coverage,
    local_verdict,
    ranks,
    scores,
    verdict,
)
from cinn_clusters.diagnostics.bands import ALPHA, Estimate, mean_estimate, uniformity
from cinn_clusters.evaluation.diagnosis_report import (
    Band,
    ConditionalTests,
    CoverageCurve,
    Diagnosis,
    FindingEntry,
    RankTest,
    TailCoverage,
    TargetDiagnosis,
    TertileCoverage,
    UniformityTest,
    bands_by_name,
)
from cinn_clusters.evaluation.evidence import Evidence, gather_matched
from cinn_clusters.evaluation.joint_diagnosis import diagnose_jointly
from cinn_clusters.evaluation.matched import MatchedPosterior
from cinn_clusters.evaluation.reference_posteriors import PRIOR
from cinn_clusters.moments import binary_units

NO_TIME = (
    "no time of observation in the table: prior given M500, z, coverage by redshift "
    "and the spread of collision times over their resolution: skipped"
)
NO_MASS = "no mass in the table: prior given M500, z and coverage by M500: skipped"


def diagnose_posterior(matched: MatchedPosterior, *, seed: int = 0) -> Diagnosis:
    """Reduce samples and ground truth to numbers and findings.

    Args:
        matched: Samples beside ground truth.
        seed: Seed of references, bootstrap and classifiers.

    Raises:
        DataError: If all objects are one cluster.
    """
    matched.demand_clusters()
    diagnosis = diagnose_evidence(gather_matched(matched, seed))
    notes = (*matched.notes, *diagnosis.skipped)
    update = {"ignored_variables": matched.ignored, "skipped": notes}
    return diagnosis.model_copy(update=update)


def diagnose_evidence(evidence: Evidence) -> Diagnosis:
    """Reduce samples, ground truth and references to numbers and findings.

    Four families of tests spend 1 % each: marginals; what depends on the observables, with the
    correlations; TARP with L-C2ST; joint HPD regions.
    """
    conditional_result = conditional.conditional_test(
        evidence.scores,
        evidence.observables,
        list(evidence.properties),
        evidence.weights,
        ALPHA / 2,
    )
    targets, findings = _diagnose_targets(evidence, conditional_result)
    joint, joint_findings, notes = diagnose_jointly(evidence)
    findings += joint_findings
    return Diagnosis(
        rows=len(evidence.truth),
        clusters=len(np.unique(evidence.objects.clusters)),
        draws=len(evidence.samples),
        targets=targets,
        joint=joint,
        conditional=ConditionalTests.of(conditional_result.test),
        findings=tuple(FindingEntry.of(finding) for finding in findings),
        skipped=(*_absent_context(evidence.objects), *notes),
        ignored_variables=(),
    )


def _absent_context(objects: Catalogue) -> Iterator[str]:
    """What the table lacks that references and tertiles are conditioned on."""
    if objects.having("time") is None:
        yield NO_TIME
    if objects.having("mass") is None:
        yield NO_MASS


@dataclass(frozen=True, eq=False)
class _Numbers:
    """What is computed for all targets at once."""

    inside: np.ndarray  # (C, N, D)
    band: tuple[np.ndarray, np.ndarray]  # (C, D) each
    errors: list[coverage.CalibrationError]
    tails: list[list[Estimate]]
    tertiles: dict[str, list[coverage.Tertile]]
    z: np.ndarray  # (N, D)
    contraction: np.ndarray  # (D,)
    crps: np.ndarray  # (N, D)
    reference_crps: dict[str, np.ndarray]  # (N, D) each

    @classmethod
    def of(cls, evidence: Evidence) -> _Numbers:
        samples, truth, weights = evidence.samples, evidence.truth, evidence.weights
        unit = binary_units(evidence.scale)  # squares do not overflow
        small_samples, small_truth = samples / unit, truth / unit
        inside = scores.central_coverage(samples, evidence.jittered)
        references = {
            name: _scaled_crps(evidence, reference)
            for name, reference in evidence.references.items()
        }
        return cls(
            inside,
            coverage.coverage_band(inside, weights),
            coverage.calibration_error(inside, weights),
            coverage.tail_coverage(evidence.pit, weights),
            _tertiles(evidence),
            scores.z_score(small_samples, small_truth),
            scores.contraction(small_samples, small_truth),
            _scaled_crps(evidence, samples),
            references,
        )


def _diagnose_targets(
    evidence: Evidence, conditional_result: conditional.ConditionalTest
) -> tuple[dict[str, TargetDiagnosis], list[verdict.Finding]]:
    """Each marginal by itself, and what of it depends on the observables."""
    numbers = _Numbers.of(evidence)
    local = local_verdict.conditional_findings(
        evidence.targets,
        conditional_result,
        evidence.scores,
        evidence.observables,
        evidence.weights,
    )
    targets, findings = {}, []
    for d, name in enumerate(evidence.targets):
        alpha = ALPHA / (verdict.NUM_MARGINAL_TESTS * len(evidence.targets))
        crps = {key: score[:, d] for key, score in numbers.reference_crps.items()}
        skill = evidence.skill(numbers.crps[:, d], crps)
        pit = evidence.pit[:, d]
        marginal = verdict.Marginal(
            verdict.placement(pit, evidence.weights, alpha=alpha),
            _core(pit, evidence.weights, alpha),
            uniformity(pit, evidence.weights, alpha=alpha),
            local[name],
            skill.get(PRIOR),
        )
        findings += verdict.target_findings(name, marginal, alpha=alpha)
        described = _describe(evidence, numbers, marginal, d)
        update = {
            "crps_skill": bands_by_name(skill),
            "conditional_t": conditional_result.of_target(d),
        }
        targets[name] = described.model_copy(update=update)
    return targets, findings


def _core(pit: np.ndarray, weights: np.ndarray, alpha: float) -> Estimate:
    """Coverage of central intervals minus their level, mean over levels, given a PIT (N,)."""
    distance = np.abs(2 * pit - 1)
    is_inside = distance < scores.COVERAGE_LEVELS[:, None]  # (C, N)
    excess = is_inside.mean(axis=0) - scores.COVERAGE_LEVELS.mean()
    return mean_estimate(excess, weights, alpha)


def _describe(
    evidence: Evidence, numbers: _Numbers, marginal: verdict.Marginal, d: int
) -> TargetDiagnosis:
    """Numbers of one target."""
    placed, error = marginal.placed, numbers.errors[d]
    share = numbers.inside[:, :, d].mean(axis=1)
    ends = (end[:, d] for end in numbers.band)
    z, crps = numbers.z[:, d], numbers.crps[:, d]
    tails = zip(coverage.TAILS, numbers.tails[d], strict=True)
    return TargetDiagnosis(
        bias=Band.of(placed.bias),
        width=Band.of(placed.width),
        tail_weight=Band.of(placed.tails),
        calibration_error=error.absolute,
        signed_calibration_error=Band.of(error.signed),
        coverage=_curve(share, *ends),
        tails=tuple(
            TailCoverage(expected=level, found=Band.of(tail)) for level, tail in tails
        ),
        coverage_68_by_tertile={
            key: tuple(_of_target(tertile, d) for tertile in thirds)
            for key, thirds in numbers.tertiles.items()
        },
        pit=UniformityTest.of(marginal.shape),
        sbc=_rank_test(evidence, d),
        z_mean=z.mean(),
        z_sd=z.std(),
        contraction=numbers.contraction[d],
        crps=Band.of(mean_estimate(crps, evidence.weights)),
        crps_skill={},
        conditional_t={},
    )


def _scaled_crps(evidence: Evidence, samples: np.ndarray) -> np.ndarray:
    return scores.crps(samples / evidence.scale, evidence.truth / evidence.scale)


def _curve(share: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> CoverageCurve:
    return CoverageCurve.of(
        {
            "level": scores.COVERAGE_LEVELS,
            "found": share,
            "lower": lower,
            "upper": upper,
        }
    )


def _tertiles(evidence: Evidence) -> dict[str, list[coverage.Tertile]]:
    """Coverage where mass and redshift are low, middle and high, where every row has them."""
    inside = conditional.is_held(evidence.scores)
    return {
        name: coverage.by_tertile(values, inside, evidence.weights)
        for name, values in evidence.properties.items()
    }


def _of_target(tertile: coverage.Tertile, d: int) -> TertileCoverage:
    return TertileCoverage(
        lower=tertile.lower,
        upper=tertile.upper,
        rows=tertile.rows,
        coverage=Band.of(tertile.coverage[d]),
    )


def _rank_test(evidence: Evidence, d: int) -> RankTest | None:
    """SBC on as many samples as bins divide; None with too few."""
    num_samples = ranks.whole_bins(len(evidence.samples))
    if not num_samples:
        return None
    samples, truth = evidence.samples[:num_samples, :, [d]], evidence.jittered[:, [d]]
    target_ranks = ranks.ranks(samples, truth)[:, 0]
    return RankTest.of(
        ranks.sbc_chi_square(target_ranks, num_samples, evidence.weights)
    )
