"""Whether a posterior can be trusted, and whether it says anything: numbers with bands, then a
verdict in words.
"""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cinn_clusters import schema
from cinn_clusters.cosmology import redshift_at_lookback
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.dequantise import dequantise
from cinn_clusters.diagnostics import coverage, ranks, scores, tarp, verdict
from cinn_clusters.diagnostics.bands import ALPHA, Estimate, Uniformity, mean_estimate, uniformity
from cinn_clusters.diagnostics.lc2st import lc2st
from cinn_clusters.errors import OutputError
from cinn_clusters.files import demand_free, sha256_of, write_json
from cinn_clusters.pipeline.simulation.evaluate import JITTER_SEED, REFERENCES, score_scales
from cinn_clusters.pipeline.simulation.judged import Judged, read_judged
from cinn_clusters.storage.run_paths import ResultPaths

NUM_RESAMPLES = 2000
LEVEL = 0.68
"""Of the intervals that are judged by tertile."""
NO_DENSITIES = "joint HPD and NLL need densities (group sample_stats with lp and lp_truth): skipped"
NO_GAUSSIAN = "NLL beside a reference: its draws do not span all targets: skipped"


def diagnose(
    posterior: str | Path,
    *,
    targets: str | Path | None = None,
    observables: str | Path | None = None,
    cluster_column: str = schema.CLUSTER_COLUMN,
    out: str | Path | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Diagnose a posterior file; writes diagnostics.json.

    Args:
        posterior: netCDF file in the ArviZ layout, ours or any other.
        targets: See ``read_judged``.
        observables: See ``read_judged``.
        cluster_column: See ``read_judged``.
        out: JSON file; default: ``diagnostics.json`` beside the posterior.
        seed: Seed of references, bootstrap and classifiers.
        overwrite: Replace a file that stands there.

    Returns:
        What the file holds.

    Raises:
        BundleError: If the posterior or the run is missing or damaged.
        DataError: If the posterior cannot be matched with its truths.
        OutputError: If the result stands there already or cannot be written.
    """
    posterior = Path(posterior)
    out = ResultPaths(posterior.parent).diagnostics if out is None else Path(out)
    if out.resolve() == posterior.resolve():
        raise OutputError(str(out), "another file than the posterior", "the same")
    demand_free(out, overwrite)
    judged = read_judged(posterior, targets, observables, cluster_column)
    report = {
        "posterior": posterior.name,
        "posterior_sha256": sha256_of(posterior),
        **diagnosis(judged, seed=seed),
    }
    write_json(out, report, overwrite=overwrite)
    return report


def diagnosis(judged: Judged, *, seed: int = 0) -> dict[str, Any]:
    """Reduce samples and truths to numbers and findings; every band resamples clusters.

    Args:
        judged: Samples beside truths.
        seed: Seed of references, bootstrap and classifiers.

    Returns:
        Plain values for JSON; bands are [value, lower, upper] by name.
    """
    rows, samples = judged.rows, judged.samples
    truth, names = rows.theta, rows.targets
    weights = scores.bootstrap_weights(rows.clusters, NUM_RESAMPLES, seed)
    scale = score_scales(names, truth)
    references = judged.references(seed=seed)
    by_target, found = _targets(rows, samples, references, weights)
    energy = scores.energy_score(samples / scale, truth / scale)
    theirs = {
        name: scores.energy_score(draws.astype(float) / scale, truth / scale)
        for name, draws in references.items()
    }
    skill = {name: scores.skill(energy, reference, weights) for name, reference in theirs.items()}
    joint, tests = _joint_tests(rows, samples, weights, seed)
    densities, skipped = _densities(judged, references, weights)
    hpd = densities.get("hpd", {}).get("signed_calibration_error")
    found += verdict.joint_findings(tests, hpd, skill[REFERENCES[0]])
    report = {
        "rows": len(truth),
        "clusters": len(np.unique(rows.clusters)),
        "draws": len(samples),
        "targets": by_target,
        "joint": {
            "energy_score": mean_estimate(energy, weights),
            "energy_skill": skill,
            **joint,
            **densities,
        },
        "findings": found,
        "skipped": skipped,
        "ignored_variables": judged.ignored,
    }
    return dict(_plain(report))


def within_resolution(rows: Catalogue) -> np.ndarray:
    """Truths (N, D) with collision times spread over their resolution, one jitter for all models.

    A recorded time stands on a snapshot, often that of the observation itself: above every draw of
    a density that ends there. Ranks of such truths would tell of the snapshots, not of the
    posterior.
    """
    return dequantise(rows.theta, rows.target_columns, rows.age, np.random.default_rng(JITTER_SEED))


def _targets(
    rows: Catalogue, samples: np.ndarray, references: dict[str, np.ndarray], weights: np.ndarray
) -> tuple[dict[str, Any], list[verdict.Finding]]:
    truth, names = rows.theta, rows.targets
    alpha = ALPHA / (4 * len(names))  # bias, width, core and shape of each target share the level
    spread = within_resolution(rows)
    pit, z = ranks.pit(samples, spread), scores.z_score(samples, truth)
    inside = scores.central_coverage(samples, truth)
    bands = np.stack([inside.mean(1), *coverage.coverage_band(inside, weights)])  # (3, C, D)
    scale = score_scales(names, truth)
    ours = scores.crps(samples / scale, truth / scale)
    theirs = {
        name: scores.crps(draws.astype(float) / scale, truth / scale)
        for name, draws in references.items()
    }
    errors, tails = (
        coverage.calibration_error(inside, weights),
        coverage.tail_coverage(pit, weights),
    )
    contraction, parts = scores.contraction(samples, truth), _by_tertile(rows, samples, weights)
    report, found = {}, []
    for d, name in enumerate(names):
        placed = verdict.placement(pit[:, d], weights, alpha=alpha)
        shape = uniformity(pit[:, d], weights, alpha=alpha)
        skill = {
            other: scores.skill(ours[:, d], crps[:, d], weights) for other, crps in theirs.items()
        }
        core = mean_estimate(
            inside[:, :, d].mean(0) - scores.COVERAGE_LEVELS.mean(), weights, alpha
        )
        found += verdict.target_findings(
            name, placed, core, shape, skill[REFERENCES[0]], alpha=alpha
        )
        report[name] = {
            "bias": placed.bias,
            "width": placed.width,
            "calibration_error": errors[d].absolute,
            "signed_calibration_error": errors[d].signed,
            "coverage": dict(
                zip(
                    ("level", "found", "lower", "upper"),
                    [scores.COVERAGE_LEVELS, *bands[:, :, d]],
                    strict=True,
                )
            ),
            "tails": [
                {"expected": level, "found": tail}
                for level, tail in zip(coverage.TAILS, tails[d], strict=True)
            ],
            "coverage_68_by_tertile": {
                what: [_of_target(part, d) for part in of] for what, of in parts.items()
            },
            "pit": shape,
            "sbc": _chi_square(samples, spread, d, weights),
            "z_mean": z[:, d].mean(),
            "z_sd": z[:, d].std(),
            "contraction": contraction[d],
            "crps": mean_estimate(ours[:, d], weights),
            "crps_skill": skill,
        }
    return report, found


def _by_tertile(
    rows: Catalogue, samples: np.ndarray, weights: np.ndarray
) -> dict[str, list[coverage.Tertile]]:
    inside = scores.central_coverage(samples, rows.theta, np.array([LEVEL]))[0]
    properties = {}
    mass, time = rows.having("mass"), rows.having("time")
    if mass is not None:
        properties["mass"] = rows.table[mass].to_numpy(float)
    if time is not None:
        redshift = redshift_at_lookback(rows.table[time].to_numpy(float))
        properties["redshift"] = redshift.round(6)
    return {
        name: coverage.by_tertile(values, inside, weights) for name, values in properties.items()
    }


def _of_target(part: coverage.Tertile, d: int) -> dict[str, Any]:
    return {"from": part.lower, "to": part.upper, "rows": part.rows, "coverage": part.coverage[d]}


def _chi_square(
    samples: np.ndarray, truth: np.ndarray, d: int, weights: np.ndarray
) -> ranks.ChiSquare | None:
    num_draws = ranks.whole_bins(len(samples))
    if not num_draws:
        return None
    ranked = ranks.ranks(samples[:num_draws, :, [d]], truth[:, [d]])[:, 0]
    return ranks.sbc_chi_square(ranked, num_draws, weights)


def _joint_tests(
    rows: Catalogue, samples: np.ndarray, weights: np.ndarray, seed: int
) -> tuple[dict[str, Any], list[verdict.JointTest]]:
    truth, x = within_resolution(rows), rows.inputs(rows.observables)
    scale = truth.std(0)
    samples, truth = samples / scale, truth / scale
    points = {
        "tarp": tarp.references_from_x(truth, x, rows.clusters, seed=seed),
        "tarp_plain": tarp.plain_references(truth, seed=seed),
    }
    nearer = {name: tarp.tarp_fractions(samples, truth, at) for name, at in points.items()}
    curves = {
        name: uniformity(ranks.randomised_shares(share, len(samples)), weights)
        for name, share in nearer.items()
    }
    told = lc2st(samples, truth, x, rows.clusters, seed=seed)
    local = {
        "statistic": told.statistic,
        "null_mean": told.null.mean(),
        "p_value": told.p_value,
        "share_of_objects_below_5_percent": (told.local_p_values < 0.05).mean(),
    }
    tests = [
        verdict.JointTest("TARP", curves["tarp"].p_value, f"KS {curves['tarp'].ks:.3f}"),
        verdict.JointTest(
            "L-C2ST", told.p_value, f"{told.statistic:.4f} against {told.null.mean():.4f} by chance"
        ),
    ]
    return {**curves, "lc2st": {**local, "by_object": _by_object(rows, told.local_p_values)}}, tests


def _by_object(rows: Catalogue, p_values: np.ndarray) -> dict[str, Any]:
    return {
        **{key: rows.table[key].to_numpy() for key in schema.KEYS},
        "p_value": p_values.round(4),
    }


def _densities(
    judged: Judged, references: dict[str, np.ndarray], weights: np.ndarray
) -> tuple[dict[str, Any], list[str]]:
    if (
        judged.log_prob is None
        or np.isnan(judged.log_prob[1]).any()
        or np.isnan(judged.log_prob[0]).all(0).any()
    ):
        return {}, [NO_DENSITIES]
    draws, log_prob = judged.log_prob
    rho = coverage.hpd_ranks(draws, log_prob)
    inside = (rho[:, None] <= scores.COVERAGE_LEVELS).T[:, :, None]
    error = coverage.calibration_error(inside, weights)[0]
    hpd = {
        "calibration_error": error.absolute,
        "signed_calibration_error": error.signed,
        "coverage": {"level": scores.COVERAGE_LEVELS, "found": inside[:, :, 0].mean(1)},
        "ranks": uniformity(ranks.randomised_shares(rho, (~np.isnan(draws)).sum(0)), weights),
    }
    outside = int((~np.isfinite(log_prob)).sum())
    nll: dict[str, Any] = {
        "rows_outside": outside,
        "mean": None if outside else mean_estimate(-log_prob, weights),
    }
    skipped = []
    try:
        theirs = {name: _gaussian(judged.rows, draws) for name, draws in references.items()}
        gain = (
            {}
            if outside
            else {name: mean_estimate(log_prob - of, weights) for name, of in theirs.items()}
        )
        nll["nats_gained_on_gaussian"] = gain
    except ValueError:
        skipped.append(NO_GAUSSIAN)
    return {"hpd": hpd, "nll": nll}, skipped


def _gaussian(rows: Catalogue, draws: np.ndarray) -> np.ndarray:
    """Log-density (N,) of the truths in physical units under Gaussians with the moments of
    draws.
    """
    truth, draws = rows.theta, draws.astype(float)
    # masses and the like are nearer to Gaussian in log
    is_log = [d for d, column in enumerate(rows.target_columns) if column.is_log]
    jacobian = np.log(truth[:, is_log]).sum(1)
    truth[:, is_log], draws[:, :, is_log] = np.log(truth[:, is_log]), np.log(draws[:, :, is_log])
    return np.asarray(scores.gaussian_log_prob(draws, truth) - jacobian)


def _plain(value: Any) -> Any:
    """Values as JSON has them; what is not finite becomes null."""
    if isinstance(
        value, Estimate | Uniformity | ranks.ChiSquare | verdict.Finding
    ) and is_dataclass(value):
        value = asdict(value)
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
