"""A diagnosis as tables on stdout, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cinn_clusters.cli.results import (
    SHORT_NAMES,
    infinite_text,
    log_not_finite,
    number_text,
    print_table,
)

if TYPE_CHECKING:
    from cinn_clusters.evaluation.comparison import Comparison, Difference, SeedScore
    from cinn_clusters.evaluation.diagnosis_report import (
        Band,
        ConditionalTests,
        CorrelationTest,
        Diagnosis,
        JointDiagnosis,
    )


def print_diagnosis(diagnosis: Diagnosis, as_json: bool) -> None:
    """Print calibration and sharpness by target, the joint tests, then the findings."""
    if as_json:
        print(json.dumps(diagnosis.to_json()))
        return
    print(
        f"{diagnosis.rows} rows of {diagnosis.clusters} clusters, {diagnosis.draws} samples each"
    )
    calibration, sharpness = [], []
    for name, target in diagnosis.targets.items():
        short = name.removeprefix("last_")
        signed = _band(target.signed_calibration_error, "+.2f")
        tails = [number_text(tail.found.value, ".3f") for tail in target.tails]
        bias, width = _band(target.bias, "+.2f"), _band(target.width, ".2f")
        weight = _band(target.tail_weight, ".2f")
        calibration.append([short, bias, width, weight, signed, *tails])
        skills = [_band(skill, "+.2f") for skill in target.crps_skill.values()]
        scores = [
            number_text(target.contraction, ".3f"),
            number_text(target.crps.value, ".4f"),
        ]
        sharpness.append([short, *scores, *skills])
    heads = (
        "calibrated if",
        "bias 0",
        "width 1",
        "tails 1",
        "coverage - level 0",
        "0.954",
        "0.997",
    )
    print_table(heads, calibration)
    references = [f"skill, {name}" for name in diagnosis.joint.energy_skill]
    print_table(("target", "contraction", "CRPS", *references), sharpness)
    _print_tertiles(diagnosis)
    for line in (*_conditional_lines(diagnosis), *_joint_lines(diagnosis.joint)):
        print(line)
    ignored = [f"ignored variable: {name}" for name in diagnosis.ignored_variables]
    for note in (*diagnosis.skipped, *ignored):
        print(f"note: {note}")
    log_not_finite(diagnosis)
    for finding in diagnosis.findings:
        print(f"{finding.subject:<22}{finding.name:<16}{finding.evidence}")


def _print_tertiles(diagnosis: Diagnosis) -> None:
    """Coverage of the central 68 % where mass or redshift is low, middle and high."""
    first = next(iter(diagnosis.targets.values()))
    heads = [
        f"{SHORT_NAMES[name]}\n{part.lower:.2f}\n{part.upper:.2f}"
        for name, parts in first.coverage_68_by_tertile.items()
        for part in parts
    ]
    if not heads:
        return
    rows = []
    for name, target in diagnosis.targets.items():
        parts = sum(target.coverage_68_by_tertile.values(), ())
        coverage = [number_text(part.coverage.value, ".2f") for part in parts]
        rows.append([name.removeprefix("last_"), *coverage])
    print_table(("68 % coverage", *heads), rows)


def _conditional_lines(diagnosis: Diagnosis) -> Iterator[str]:
    """The largest |t| of bias and width against the observables, and of the correlations."""
    conditional = [
        (abs(t or 0.0), f"{target.removeprefix('last_')}: {form} against {observable}")
        for target, entry in diagnosis.targets.items()
        for observable, forms in entry.conditional_t.items()
        for form, t in forms.items()
    ]
    if conditional:
        largest, name = max(conditional)
        yield _largest_t("against observables", largest, diagnosis.conditional, name)
    test = diagnosis.joint.correlations
    if test is not None and test.pairs:
        largest, name = max(
            (abs(pair.t or 0.0), ", ".join(pair.targets)) for pair in test.pairs
        )
        yield _largest_t("correlations", largest, test, name.replace("last_", ""))


def _largest_t(
    title: str, largest: float, test: ConditionalTests | CorrelationTest, name: str
) -> str:
    critical, chance = (
        number_text(test.critical, ".1f"),
        number_text(test.p_value, ".4f"),
    )
    values = f"|t| {largest:.1f} (critical {critical}), p = {chance}"
    return f"{title:<30}{values}: {name}"


def _joint_lines(joint: JointDiagnosis) -> Iterator[str]:
    yield f"energy score                  {_band(joint.energy_score, '.4f')}"
    for name, skill in joint.energy_skill.items():
        yield f"  skill, {name:<21} {_band(skill, '+.3f')}"
    tarps = {
        "TARP, references from x": joint.tarp,
        "TARP, plain references": joint.tarp_plain,
    }
    for name, test in tarps.items():
        distance, chance = number_text(test.ks, ".3f"), number_text(test.p_value, ".4f")
        yield f"{name:<30}KS {distance}, p = {chance}"
    local = joint.lc2st
    statistic, chance = (
        number_text(local.statistic, ".4f"),
        number_text(local.p_value, ".4f"),
    )
    yield f"{'L-C2ST':<30}{statistic}, p = {chance}"
    if joint.hpd is not None:
        signed = _band(joint.hpd.signed_calibration_error, "+.3f")
        yield f"{'joint HPD coverage - level':<30}{signed}"
    if joint.nll is not None:
        nll = infinite_text(joint.nll.rows_outside)
        if joint.nll.mean is not None:
            nll = _band(joint.nll.mean, ".3f")
        yield f"{'NLL, physical units':<30}{nll}"
        for name, gain in joint.nll.nats_gained_on_gaussian.items():
            yield f"  nats gained, Gaussian {name:<20} {_band(gain, '+.2f')}"


def _band(band: Band, form: str) -> str:
    if band.value is None:
        return "-"
    half = None
    if band.lower is not None and band.upper is not None:
        half = (band.upper - band.lower) / 2
    return f"{number_text(band.value, form)} ± {number_text(half, form.lstrip('+'))}"


def print_comparison(comparison: Comparison, as_json: bool) -> None:
    """Print scores of models side by side, then the differences of each to the first."""
    if as_json:
        print(json.dumps(comparison.to_json()))
        return
    print(f"{comparison.rows} rows of {comparison.clusters} clusters, in all files")
    labels = [chr(ord("A") + k % 26) for k in range(len(comparison.models))]
    for label, model in zip(labels, comparison.models, strict=True):
        print(f"{label}  {', '.join(model.files)}")
    names = list(comparison.models[0].scores)
    rows = [
        [
            name.replace("last_", ""),
            *(_seed_score(model.scores[name]) for model in comparison.models),
            *(_difference(difference[name]) for difference in comparison.differences),
        ]
        for name in names
    ]
    heads = [f"{label} - {labels[0]}" for label in labels[1:]]
    print_table(("± cluster error (seeds)", *labels, *heads), rows)
    print("differences: ± 99 % over clusters (standard error over seeds); * excludes 0")
    for note in comparison.notes:
        print(f"note: {note}")
    log_not_finite(comparison)


def _seed_score(score: SeedScore) -> str:
    text = f"{number_text(score.mean, '.4f')} ± {number_text(score.se, '.4f')}"
    if score.seeds_sd is None:
        return text
    return f"{text} ({number_text(score.seeds_sd, '.4f')})"


def _difference(difference: Difference) -> str:
    value, lower, upper = difference.value, difference.lower, difference.upper
    if value is None or lower is None or upper is None:
        return "-"
    half = (upper - lower) / 2
    text = f"{number_text(value, '+.4f')} ± {number_text(half, '.4f')}"
    if difference.seeds_se is not None:
        text += f" ({number_text(difference.seeds_se, '.4f')})"
    return text + " *" * (lower > 0 or upper < 0)
