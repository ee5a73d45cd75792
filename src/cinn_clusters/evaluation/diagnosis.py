"""Whether a posterior can be trusted, and whether it says anything.

Every band resamples whole clusters; the definitions are those of the field (SBC, TARP, L-C2ST,
joint HPD coverage), computed in ``diagnostics`` on arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from cinn_clusters import schema
from cinn_clusters.cosmology import redshift_at_lookback
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.diagnostics import coverage, ranks, scores, tarp, verdict
from cinn_clusters.diagnostics.bands import ALPHA, Estimate, mean_estimate, uniformity
from cinn_clusters.diagnostics.lc2st import lc2st
from cinn_clusters.diagnostics.tarp import positive_spread
from cinn_clusters.evaluation.diagnosis_report import (
    Band,
    Bands,
    CoverageCurve,
    Diagnosis,
    FindingEntry,
    HpdDiagnosis,
    JointDiagnosis,
    LikelihoodDiagnosis,
    LocalTest,
    RankTest,
    TailCoverage,
    TargetDiagnosis,
    TertileCoverage,
    UniformityTest,
)
from cinn_clusters.evaluation.ground_truth import (
    jittered_ground_truth,
    score_scales,
    standardised_observables,
)
from cinn_clusters.evaluation.matched import MatchedPosterior
from cinn_clusters.evaluation.reference_posteriors import PRIOR
from cinn_clusters.moments import binary_units

NO_DENSITIES = "joint HPD and NLL need densities (group sample_stats with lp and lp_truth): skipped"
NO_TIME = (
    "no time of observation in the table: prior given M500, z, coverage by redshift "
    "and the spread of collision times over their resolution: skipped"
)
NO_MASS = "no mass in the table: prior given M500, z and coverage by M500: skipped"
NO_GAUSSIAN = "NLL beside a reference: its samples do not span all targets: skipped"
_NUM_RESAMPLES = 2000
_LEVEL = 0.68
"""Of the intervals that are compared by tertile."""


@dataclass(frozen=True, eq=False)
class _Evidence:
    """What all numbers are made of: N objects, S samples, D targets, R bootstrap resamples."""

    objects: Catalogue
    samples: np.ndarray  # (S, N, D)
    truth: np.ndarray  # (N, D)
    jittered: np.ndarray  # (N, D), times within their resolution
    x: np.ndarray  # (N, L)
    weights: np.ndarray  # (R, N)
    references: Mapping[str, np.ndarray]  # (S, N, D) each
    scale: np.ndarray  # (D,)
    seed: int

    @property
    def targets(self) -> tuple[str, ...]:
        return self.objects.targets

    def skill(
        self, score: np.ndarray, references: Mapping[str, np.ndarray]
    ) -> dict[str, Estimate]:
        """Share of the score (N,) of each reference that the posterior saves."""
        return {
            name: scores.skill(score, other, self.weights)
            for name, other in references.items()
        }


def _gather(matched: MatchedPosterior, seed: int) -> _Evidence:
    objects = matched.objects
    return _Evidence(
        objects,
        matched.samples,
        objects.theta,
        jittered_ground_truth(objects),
        standardised_observables(objects),
        scores.bootstrap_weights(objects.clusters, _NUM_RESAMPLES, seed),
        {
            name: draws.astype(float)
            for name, draws in matched.references(seed=seed).items()
        },
        score_scales(objects, matched.samples),
        seed,
    )


def diagnose_posterior(matched: MatchedPosterior, *, seed: int = 0) -> Diagnosis:
    """Reduce samples and ground truth to numbers and findings.

    Args:
        matched: Samples beside ground truth.
        seed: Seed of references, bootstrap and classifiers.

    Raises:
        DataError: If all objects are one cluster.
    """
    matched.demand_clusters()
    evidence = _gather(matched, seed)
    targets, findings = _diagnose_targets(evidence)
    joint, energy_skill = _diagnose_jointly(evidence)
    skipped = list(_absent_context(matched.objects))
    hpd_error = None
    if matched.has_densities:
        hpd, hpd_error = _diagnose_regions(matched, evidence.weights)
        likelihood, is_complete = _diagnose_likelihood(matched, evidence)
        joint = joint.model_copy(update={"hpd": hpd, "nll": likelihood})
        skipped += [] if is_complete else [NO_GAUSSIAN]
    else:
        skipped.append(NO_DENSITIES)
    tests = [
        verdict.JointTest("TARP", joint.tarp.p_value, f"KS {joint.tarp.ks:.3f}"),
        verdict.JointTest(
            "L-C2ST",
            joint.lc2st.p_value,
            f"{joint.lc2st.statistic:.4f} against {joint.lc2st.null_mean:.4f} by chance",
        ),
    ]
    findings += verdict.joint_findings(tests, hpd_error, energy_skill[PRIOR])
    return Diagnosis(
        rows=len(evidence.truth),
        clusters=len(np.unique(evidence.objects.clusters)),
        draws=len(evidence.samples),
        targets=targets,
        joint=joint,
        findings=tuple(FindingEntry.of(finding) for finding in findings),
        skipped=tuple(skipped),
        ignored_variables=matched.ignored,
    )


def _absent_context(objects: Catalogue) -> Iterator[str]:
    """What the table lacks that references and tertiles are conditioned on."""
    if objects.having("time") is None:
        yield NO_TIME
    if objects.having("mass") is None:
        yield NO_MASS


def _diagnose_targets(
    evidence: _Evidence,
) -> tuple[dict[str, TargetDiagnosis], list[verdict.Finding]]:
    """Each marginal by itself; bias, width, core and shape of each target share the level."""
    samples, truth, weights = evidence.samples, evidence.truth, evidence.weights
    alpha = ALPHA / (4 * len(evidence.targets))
    pit = ranks.pit(samples, evidence.jittered)
    unit = binary_units(evidence.scale)  # squares do not overflow
    z = scores.z_score(samples / unit, truth / unit)
    inside = scores.central_coverage(samples, truth)  # (C, N, D)
    share, band = inside.mean(axis=1), coverage.coverage_band(inside, weights)
    errors = coverage.calibration_error(inside, weights)
    tails = coverage.tail_coverage(pit, weights)
    tertiles = _tertiles(evidence)
    contraction = scores.contraction(samples / unit, truth / unit)
    crps = _scaled_crps(evidence, samples)
    reference_crps = {
        name: _scaled_crps(evidence, reference)
        for name, reference in evidence.references.items()
    }
    targets, findings = {}, []
    for d, name in enumerate(evidence.targets):
        placed = verdict.placement(pit[:, d], weights, alpha=alpha)
        shape = uniformity(pit[:, d], weights, alpha=alpha)
        skill = evidence.skill(
            crps[:, d], {key: score[:, d] for key, score in reference_crps.items()}
        )
        excess = inside[:, :, d].mean(axis=0) - scores.COVERAGE_LEVELS.mean()
        core = mean_estimate(excess, weights, alpha)
        findings += verdict.target_findings(
            name, placed, core, shape, skill[PRIOR], alpha=alpha
        )
        targets[name] = TargetDiagnosis(
            bias=Band.of(placed.bias),
            width=Band.of(placed.width),
            calibration_error=errors[d].absolute,
            signed_calibration_error=Band.of(errors[d].signed),
            coverage=_curve(share[:, d], *(end[:, d] for end in band)),
            tails=tuple(
                TailCoverage(expected=level, found=Band.of(tail))
                for level, tail in zip(coverage.TAILS, tails[d], strict=True)
            ),
            coverage_68_by_tertile={
                key: tuple(_of_target(tertile, d) for tertile in thirds)
                for key, thirds in tertiles.items()
            },
            pit=UniformityTest.of(shape),
            sbc=_rank_test(evidence, d),
            z_mean=z[:, d].mean(),
            z_sd=z[:, d].std(),
            contraction=contraction[d],
            crps=Band.of(mean_estimate(crps[:, d], weights)),
            crps_skill=_bands(skill),
        )
    return targets, findings


def _scaled_crps(evidence: _Evidence, samples: np.ndarray) -> np.ndarray:
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


def _tertiles(evidence: _Evidence) -> dict[str, list[coverage.Tertile]]:
    """Coverage where mass and redshift are low, middle and high, where every row has them."""
    objects, properties = evidence.objects, {}
    if mass := objects.having("mass"):
        properties["mass"] = objects.table[mass].to_numpy(float)
    if time := objects.having("time"):
        redshift = redshift_at_lookback(objects.table[time].to_numpy(float))
        properties["redshift"] = redshift.round(6)
    level = np.array([_LEVEL])
    inside = scores.central_coverage(evidence.samples, evidence.truth, level)[0]
    return {
        name: coverage.by_tertile(values, inside, evidence.weights)
        for name, values in properties.items()
        if np.isfinite(values).all()
    }


def _of_target(tertile: coverage.Tertile, d: int) -> TertileCoverage:
    return TertileCoverage(
        lower=tertile.lower,
        upper=tertile.upper,
        rows=tertile.rows,
        coverage=Band.of(tertile.coverage[d]),
    )


def _rank_test(evidence: _Evidence, d: int) -> RankTest | None:
    """SBC on as many samples as bins divide; None with too few."""
    num_samples = ranks.whole_bins(len(evidence.samples))
    if not num_samples:
        return None
    samples, truth = evidence.samples[:num_samples, :, [d]], evidence.jittered[:, [d]]
    target_ranks = ranks.ranks(samples, truth)[:, 0]
    return RankTest.of(
        ranks.sbc_chi_square(target_ranks, num_samples, evidence.weights)
    )


def _diagnose_jointly(
    evidence: _Evidence,
) -> tuple[JointDiagnosis, dict[str, Estimate]]:
    """All targets together: energy score, TARP and L-C2ST."""
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

    local = lc2st(samples, truth, evidence.x, clusters, seed=seed)
    table, p_values = evidence.objects.table, local.local_p_values
    joint = JointDiagnosis(
        energy_score=Band.of(mean_estimate(energy, weights)),
        energy_skill=_bands(skill),
        tarp=tarp_test(tarp.references_from_x(truth, evidence.x, clusters, seed=seed)),
        tarp_plain=tarp_test(tarp.plain_references(truth, seed=seed)),
        lc2st=LocalTest(
            statistic=local.statistic,
            null_mean=float(local.null.mean()),
            p_value=local.p_value,
            share_of_objects_below_5_percent=float((p_values < 0.05).mean()),
            by_object={
                **{key: tuple(table[key].tolist()) for key in schema.KEYS},
                "p_value": tuple(p_values.round(4)),
            },
        ),
    )
    return joint, skill


def _scaled_energy(evidence: _Evidence, samples: np.ndarray) -> np.ndarray:
    return scores.energy_score(
        samples / evidence.scale, evidence.truth / evidence.scale
    )


def _diagnose_regions(
    matched: MatchedPosterior, weights: np.ndarray
) -> tuple[HpdDiagnosis, Estimate]:
    """Coverage of joint HPD regions, and its signed error."""
    assert matched.log_prob is not None
    of_samples, of_truth = matched.log_prob
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
    matched: MatchedPosterior, evidence: _Evidence
) -> tuple[LikelihoodDiagnosis, bool]:
    """NLL beside Gaussian references, and whether these could be had."""
    assert matched.log_prob is not None
    log_prob = matched.log_prob[1]
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
        update={"nats_gained_on_gaussian": _bands(gains)}
    ), True


def _gaussian(evidence: _Evidence, samples: np.ndarray) -> np.ndarray:
    """Log-density (N,) of the truth in physical units under Gaussians with moments of samples."""
    is_log = [column.is_log for column in evidence.objects.target_columns]
    truth = evidence.truth.copy()
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


def _bands(estimates: Mapping[str, Estimate]) -> Bands:
    return {name: Band.of(entry) for name, entry in estimates.items()}
