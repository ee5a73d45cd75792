"""Captions of the figures of a run: the prose of ``captions.toml`` with the run's own numbers."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files

from cinn_clusters.files import JsonObject
from cinn_clusters.schema import Schema


@dataclass(frozen=True)
class Caption:
    """Title and caption of a figure.

    Args:
        title: Heading of the figure.
        text: Sentences that always stand, with placeholders in braces.
        numbers: Sentences that stand where the run has their numbers.
    """

    title: str
    text: str
    numbers: tuple[str, ...] = ()

    def filled(self, values: Mapping[str, object]) -> str:
        """Return the caption with numbers of a run; a sentence without its numbers is left out."""
        sentences = [self.text.format_map(values)]
        for sentence in self.numbers:
            with suppress(KeyError):
                sentences.append(sentence.format_map(values))
        return " ".join(sentences)


def _read_captions() -> dict[str, Caption]:
    text = (
        files("cinn_clusters.pipeline.report")
        .joinpath("captions.toml")
        .read_text("utf-8")
    )
    return {
        entry["name"]: Caption(
            entry["title"], entry["text"], tuple(entry.get("numbers", ()))
        )
        for entry in tomllib.loads(text)["figure"]
    }


CAPTIONS = _read_captions()
"""Captions by the name of the figure's file without suffix, in the order of a report."""


def caption_values(
    schema: Schema, estimate: str, scores: JsonObject, diagnosis: JsonObject
) -> dict[str, object]:
    """Return the numbers of a run by the names that captions give them.

    Args:
        schema: Meaning of the targets in words.
        estimate: Name of the point estimate that the figures show.
        scores: Content of ``scores.json``.
        diagnosis: Content of ``diagnostics.json``, empty where there is none.
    """
    values: dict[str, object] = {"estimate": estimate}
    contraction = _finite(scores.get("contraction", {}))
    if contraction:
        best = max(contraction, key=contraction.__getitem__)
        worst = min(contraction, key=contraction.__getitem__)
        values["best_target"] = in_words(schema, best)
        values["worst_target"] = in_words(schema, worst)
        values["least_variance"] = compared(contraction[best], "prior")
        values["most_variance"] = compared(contraction[worst], "prior")
    coverage = _finite(scores.get("coverage_68", {}))
    if coverage:
        values["least_coverage"] = min(coverage.values())
        values["most_coverage"] = max(coverage.values())
    if "calibration_error" in scores:
        values["calibration_error"] = scores["calibration_error"]
    if diagnosis:
        values |= _diagnosis_values(schema, diagnosis)
    return values


def _diagnosis_values(schema: Schema, diagnosis: JsonObject) -> dict[str, object]:
    joint = diagnosis["joint"]
    tarp, energy_skill = joint["tarp"], joint["energy_skill"]
    comparisons = [
        compared(skill["value"], reference)
        for reference, skill in energy_skill.items()
        if skill["value"] is not None
    ]
    return {
        "findings": _findings_in_words(schema, diagnosis["findings"]),
        "tarp_p_value": tarp["p_value"],
        "energy_comparison": " and ".join(comparisons),
    }


def _finite(values: Mapping[str, float | None]) -> dict[str, float]:
    """Numbers by name, without those that are not finite."""
    return {name: value for name, value in values.items() if value is not None}


def in_words(schema: Schema, name: str) -> str:
    """Return the meaning of a column, or its name where none is declared."""
    names = name.split(", ")  # two targets whose correlation is meant
    return " and ".join(schema.column(part).meaning or part for part in names)


def compared(skill: float, reference: str) -> str:
    """Say how a score compares with that of a reference, given its skill; a loss is a loss.

    Examples:
        >>> compared(0.31, "prior"), compared(-0.05, "prior"), compared(-71.87, "prior")
        ('31% below that of the prior', '5% above that of the prior', '72.9 times that of the prior')
    """
    if skill <= -1.0:
        return f"{1.0 - skill:.1f} times that of the {reference}"
    side = "below" if skill >= 0.0 else "above"
    return f"{abs(skill):.0%} {side} that of the {reference}"


def _findings_in_words(schema: Schema, findings: list[JsonObject]) -> str:
    problems = [
        f"{in_words(schema, finding['subject'])}: {finding['name']}"
        for finding in findings
        if finding["name"] != "calibrated"
    ]
    if not problems:
        return "Nothing speaks against calibration."
    return f"Findings: {'; '.join(problems)}."
