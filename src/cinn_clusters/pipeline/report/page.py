"""A run on one page that opens in any browser: data, scores, calibration, every figure."""

from __future__ import annotations

import base64
import json
import tomllib
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import jinja2

from cinn_clusters import schema
from cinn_clusters.claims import reserving
from cinn_clusters.data.leakage import audit_split
from cinn_clusters.evaluation.json_model import NOT_FINITE
from cinn_clusters.evaluation.matched import MIN_CLUSTERS
from cinn_clusters.files import JsonObject, atomic_file, demand_free
from cinn_clusters.pipeline.origin import demand_one_model
from cinn_clusters.pipeline.report.captions import CAPTIONS, caption_values, compared
from cinn_clusters.pipeline.report.facts import RunFacts, read_facts
from cinn_clusters.posterior.collision import notes
from cinn_clusters.storage.model import describe_bundle
from cinn_clusters.storage.run import PARTS, Run, open_run

_FOLDER = files("cinn_clusters.pipeline.report")
_PROSE = tomllib.loads((_FOLDER / "captions.toml").read_text("utf-8"))
_TEXTS, _NOTICES = _PROSE["sections"], _PROSE["notices"]
_SENSITIVITY = tuple(name for name in CAPTIONS if name.startswith("5."))
_CALIBRATION = (
    "sbc_ecdf",
    "coverage",
    "tarp",
    "conditional",
    "3.uncertainties",
    "skill",
    "learning_curves",
)
_POSTERIORS = tuple(
    name for name in CAPTIONS if name not in {*_CALIBRATION, *_SENSITIVITY}
)
_NO_NUMBER = "-"
_PLAIN = 1e-4, 1e6
"""Sizes of numbers that are written without a power of ten."""
_ESTIMATES = {"median": "posterior median", "mean": "posterior mean", "map": "MAP"}


@dataclass(frozen=True)
class ReportTable:
    """Rows of text under headings."""

    heads: list[str]
    rows: list[list[str]]
    title: str = ""


@dataclass(frozen=True)
class ReportSection:
    """A part of the page: paragraphs, tables, figures and folded details, in this order."""

    id: str
    title: str
    text: list[str] = field(default_factory=list)
    tables: list[ReportTable] = field(default_factory=list)
    figures: list[dict[str, str]] = field(default_factory=list)
    details: list[dict[str, str]] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether the section has nothing to show."""
        return not (self.text or self.tables or self.figures)


@dataclass(frozen=True)
class Notice:
    """A box at the top of the page."""

    title: str
    items: list[str]
    is_warning: bool = False


@reserving()
def report(
    path: str | Path, *, out: str | Path | None = None, overwrite: bool = False
) -> Path:
    """Write the report of a run.

    Args:
        path: Folder of a run that was evaluated and drawn; diagnostics and baseline are shown where
            there are any.
        out: HTML file; default: ``report.html`` in the run.
        overwrite: Whether to replace a report that stands there.

    Returns:
        The HTML file.

    Raises:
        BundleError: If the run, its scores or its figures are missing, damaged or stale.
        OutputError: If the report stands there already or cannot be written.

    Examples:
        >>> import cinn_clusters as cc
        >>> drawn = cc.draw_figures("run", overwrite=True)
        >>> cc.report("run", overwrite=True).name
        'report.html'
    """
    run = open_run(path)
    out = Path(out or run.paths.report)
    demand_free(out, overwrite)
    paths = run.paths
    demand_one_model(paths, (paths.scores, paths.posterior, paths.diagnostics))
    page = _render(read_facts(run))
    with atomic_file(out, overwrite=overwrite) as scratch:
        scratch.write_text(page, encoding="utf-8")
    return out


def _render(facts: RunFacts) -> str:
    sections = [
        _data(facts.run),
        _scores(facts),
        ReportSection("posteriors", "Posteriors", figures=_figures(facts, _POSTERIORS)),
        _calibration(facts),
        ReportSection(
            "sensitivity", "Sensitivity", figures=_figures(facts, _SENSITIVITY)
        ),
        _provenance(facts.run),
    ]
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    template = environment.from_string((_FOLDER / "page.html.j2").read_text("utf-8"))
    return template.render(
        title="Merger histories of galaxy clusters",
        subtitle=_subtitle(facts),
        notices=_notices(facts),
        sections=[section for section in sections if not section.is_empty],
        version=version("cinn-clusters"),
    )


def _subtitle(facts: RunFacts) -> str:
    scores, observables = facts.scores, facts.run.catalogue.observables
    rows = f"{scores['rows']} test rows of {scores['clusters']} clusters unseen in training"
    samples = f"{scores['draws']} posterior samples each"
    inputs = "scalars"
    if any(map(schema.is_embedding, observables)):
        inputs += " and embeddings of maps"
    return f"{rows}, {samples}; from {inputs}"


def _figures(facts: RunFacts, names: tuple[str, ...]) -> list[dict[str, str]]:
    values = caption_values(
        facts.run.catalogue.schema, facts.estimate, facts.scores, facts.diagnosis
    )
    figures = []
    for name in names:
        path = facts.run.paths.figures / f"{name}.png"
        if path.is_file():
            caption = CAPTIONS[name]
            data = base64.b64encode(path.read_bytes()).decode()
            entry = {"name": name, "title": caption.title, "data": data}
            figures.append({**entry, "caption": caption.filled(values)})
    return figures


def _notices(facts: RunFacts) -> list[Notice]:
    run, notices = facts.run, []
    if run.record.get("is_mock"):
        notices.append(Notice("A mock catalogue", [_NOTICES["mock"]], is_warning=True))
    if any(
        overlap.shared_with_validation
        for overlap in audit_split(run.catalogue, run.split)
    ):
        notices.append(Notice("This split leaks", [_NOTICES["leak"]], is_warning=True))
    if cautions := run.record.get("cautions"):
        notices.append(Notice("What the table holds", cautions, is_warning=True))
    if reasons := _missing_numbers(facts):
        notices.append(Notice("What could not be computed", reasons, is_warning=True))
    notices.append(Notice("In short", _summary(facts)))
    if facts.problems:
        notices.append(_problem_notice(facts))
    return notices


def _summary(facts: RunFacts) -> list[str]:
    """What the diagnostics and scores come to, a sentence each."""
    run, scores, summary = facts.run, facts.scores, []
    if facts.findings and not facts.problems:
        summary.append(_NOTICES["calibrated"])
    if (targets := _bounded_targets(run)) and not scores["unphysical"]:
        summary.append(_NOTICES["physical"].format(targets=targets))
    for name, skill in scores["skill"].items():
        if skill["energy_skill"] is not None:
            comparison = compared(skill["energy_skill"], name)
            summary.append(_NOTICES["skill"].format(comparison=comparison))
    return summary


def _missing_numbers(facts: RunFacts) -> list[str]:
    """Numbers that are not finite, and why; and the diagnosis, where the clusters are too few."""
    reasons = [
        f"{name}: {reason}"
        for values in (facts.scores, facts.diagnosis)
        for name, reason in values.get(NOT_FINITE, {}).items()
    ]
    num_clusters = facts.scores["clusters"]
    if num_clusters < MIN_CLUSTERS:
        reasons.append(_NOTICES["few"].format(clusters=num_clusters))
    return reasons


def _problem_notice(facts: RunFacts) -> Notice:
    items = [
        f"{entry['subject']}: {entry['name']} ({entry['evidence']})"
        for entry in facts.problems
    ]
    items.append(_NOTICES["small"].format(clusters=facts.scores["clusters"]))
    return Notice("Findings of the diagnostics", items, is_warning=True)


def _bounded_targets(run: Run) -> str:
    """Targets with declared bounds, in words; empty without any."""
    catalogue = run.catalogue
    bounded = catalogue.schema.bounded(catalogue.targets)
    if bounded == catalogue.targets:
        return "all targets"
    return ", ".join(bounded)


def _data(run: Run) -> ReportSection:
    record = run.record
    rows = [["rows in the files", f"{record['rows_read']}", ""]]
    for entry in record["dropped"]:
        rows.append(
            [f"dropped: {entry['reason']}", f"-{entry['rows']}", f"{entry['clusters']}"]
        )
    for part in PARTS:
        rows.append(
            [part, f"{len(record['rows'][part])}", f"{record['num_clusters'][part]}"]
        )
    audit = []
    for overlap in audit_split(run.catalogue, run.split):
        shares = f"{overlap.percent:.1f} %", f"{overlap.percent_with_validation:.1f} %"
        audit.append([overlap.what, f"{overlap.total}", *shares])
    sentences = notes(run.catalogue.target_columns).values()
    text = [f"{sentence[:1].upper()}{sentence[1:]}." for sentence in sentences]
    if text:
        text.append(_TEXTS["data"])
    if unmatched := record.get("unmatched_maps"):
        file = run.paths.split.name
        text.append(_TEXTS["unmatched_maps"].format(number=len(unmatched), file=file))
    heads = [
        "of the test set",
        "number",
        "also in training",
        "in training or validation",
    ]
    tables = [
        ReportTable(
            ["", "rows", "clusters"], rows, "Rows that were read, dropped and used"
        ),
        ReportTable(heads, audit, "Data leakage"),
    ]
    return ReportSection("data", "Data", text, tables)


def _scores(facts: RunFacts) -> ReportSection:
    scores = facts.scores
    text = [_TEXTS["scores"]]
    nll = scores["nll"]["mean"]
    text.append(
        _TEXTS["likelihood"].format(nll="infinite" if nll is None else _number(nll))
    )
    if targets := _bounded_targets(facts.run):
        text.append(
            _TEXTS["unphysical"].format(targets=targets, share=scores["unphysical"])
        )
    tables = [_score_table(scores), _target_table(scores), _estimate_table(facts)]
    return ReportSection("scores", "Scores", text, tables)


def _score_table(scores: JsonObject) -> ReportTable:
    """Scores of the model, of the model without maps, and of the references."""
    models = {
        "this model": scores,
        "this model without maps": scores.get("without_maps"),
    }
    rows = []
    for name, entry in models.items():
        if entry:
            numbers = _with_error(entry["energy_score"]), _with_error(entry["crps"])
            rows.append([name, numbers[0], "", numbers[1], ""])
    for name, skill in scores["skill"].items():
        energy = [_number(skill["energy_score"]), _saved(skill["energy_skill"])]
        crps = [_number(skill["crps"]), _saved(skill["crps_skill"])]
        rows.append([f"{name}, drawn from the training clusters", *energy, *crps])
    heads = ["", "energy score", "model saves", "CRPS", "model saves"]
    return ReportTable(heads, rows)


def _saved(skill: float | None) -> str:
    """Share of a reference's score that the model saves; a loss is worded as one."""
    if skill is None:
        return _NO_NUMBER
    if skill < 0:
        return f"loses: {1.0 - skill:.3g} times as high"
    return f"{skill:.1%}"


def _target_table(scores: JsonObject) -> ReportTable:
    rows = []
    for name, crps in scores["crps_per_target"].items():
        coverage, contraction = scores["coverage_68"][name], scores["contraction"][name]
        numbers = _number(crps), _number(coverage, ".2f"), _number(contraction, "+.2f")
        rows.append([name, *numbers])
    heads = ["target", "CRPS", "68 % intervals hold", "contraction"]
    return ReportTable(heads, rows, "Target by target")


def _estimate_table(facts: RunFacts) -> ReportTable:
    """Mean absolute errors of point estimates, beside those of the MLP ensemble."""
    heads, rows = ["target", "unit"], []
    for name, errors in facts.scores["mae"].items():
        row = [name, facts.run.catalogue.schema.column(name).unit]
        row += [_number(error) for error in errors.values()]
        if entry := facts.baseline.get(name):
            row += [_with_error({"mean": entry["mae"], "se": entry["se"]})]
            row += [_number(entry["mae_of_the_median"])]
        rows.append(row)
        heads[2:] = [_ESTIMATES.get(kind, kind) for kind in errors]
    if facts.baseline:
        heads += ["MLP ensemble", "median of the training set"]
    return ReportTable(heads, rows, "Mean absolute error of point estimates")


def _with_error(score: JsonObject) -> str:
    return f"{_number(score['mean'])} ± {_number(score['se'])}"


def _number(value: float | None, form: str = ".3f") -> str:
    """A number, in powers of ten where it is large or small; a dash where there is none."""
    if value is None:
        return _NO_NUMBER
    is_plain = value == 0.0 or _PLAIN[0] <= abs(value) < _PLAIN[1]
    return f"{value:{form}}" if is_plain else f"{value:.2e}"


def _calibration(facts: RunFacts) -> ReportSection:
    text, tables = [_TEXTS["calibration"]], []
    if crossval := facts.crossval:
        energy, crps = _with_error(crossval["energy_score"]), crossval["crps"]["mean"]
        numbers = {"clusters": crossval["clusters"], "energy": energy, "crps": crps}
        error = crossval["calibration_error"]
        text.append(_TEXTS["crossval"].format(**numbers, calibration_error=error))
    if facts.findings:
        rows = [
            [entry["subject"], entry["name"], entry["evidence"]]
            for entry in facts.findings
        ]
        tables.append(ReportTable(["", "verdict", "evidence"], rows))
    figures = _figures(facts, _CALIBRATION)
    return ReportSection("calibration", "Calibration and skill", text, tables, figures)


def _provenance(run: Run) -> ReportSection:
    record, details = run.record, []
    rows = [
        [f"file {entry['name']}", f"sha256 {entry['sha256']}"]
        for entry in record["files"]
    ]
    versions = ", ".join(
        f"{name} {number}" for name, number in record["versions"].items()
    )
    rows.append(["protocol", record["protocol"]])
    rows.append(["seed of the split", str(record["seed"])])
    rows.append(["versions", versions])
    if run.paths.model.is_dir():
        bundle = describe_bundle(run.paths.model)
        rows.append(["parameters", str(bundle["num_parameters"])])
        rows.append(["epochs", str(bundle["provenance"].get("epochs", ""))])
        settings = json.dumps(bundle["config"], indent=1)
        details.append({"title": "All settings of the model", "text": settings})
    columns = []
    for name in (*run.catalogue.observables, *run.catalogue.targets):
        if not schema.is_embedding(name):
            column = run.catalogue.schema.column(name)
            columns.append([name, column.unit, column.meaning])
    heads = ["column", "unit", "meaning"]
    tables = [ReportTable(["", ""], rows), ReportTable(heads, columns, "Columns")]
    return ReportSection("provenance", "Provenance", [], tables, details=details)
