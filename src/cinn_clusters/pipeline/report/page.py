"""A run on one page that opens in any browser: what was done, how good it is, every figure and
how to read it.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from cinn_clusters import schema
from cinn_clusters.data.leakage import audit_split
from cinn_clusters.errors import BundleError
from cinn_clusters.files import atomic_file, demand_free, read_json
from cinn_clusters.pipeline.report.captions import READINGS, reading
from cinn_clusters.storage.model import describe_bundle
from cinn_clusters.storage.run import Run, open_run

CALIBRATION = ("sbc_ecdf", "coverage", "tarp", "3.uncertainties")
SENSITIVITY = tuple(name for name in READINGS if name.startswith("5."))
OF_TRAINING = "drawn from the training clusters"
"""What the references of ``evaluate`` are; those of ``diagnose`` are drawn from all clusters of
other folds."""
WORTH = ("skill", "learning_curves")


@dataclass(frozen=True)
class Table:
    """Rows of text."""

    heads: list[str]
    rows: list[list[str]]
    title: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    id: str
    title: str
    text: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    figures: list[dict[str, str]] = field(default_factory=list)
    details: list[dict[str, str]] = field(default_factory=list)


def report(path: str | Path, *, out: str | Path | None = None, overwrite: bool = False) -> Path:
    """Write the report of a run.

    Args:
        path: A run that was evaluated and drawn; diagnostics and baseline are shown where there are
            any.
        out: HTML file; default: ``report.html`` in the run.
        overwrite: Replace a report that stands there.

    Returns:
        The file.

    Raises:
        BundleError: If the run, its scores or its figures are missing or damaged.
        OutputError: If the report stands there already or cannot be written.
    """
    run = open_run(path)
    out = run.paths.report if out is None else Path(out)
    demand_free(out, overwrite)
    for needed, command in ((run.paths.scores, "evaluate"), (run.paths.figures, "figures")):
        if not needed.exists():
            raise BundleError(
                str(run.path),
                f"{needed.name} of the run",
                "none",
                "",
                f"run cinn-clusters {command} first",
            )
    facts = {
        "scores": read_json(run.paths.scores),
        "diagnosis": _optional(run.paths.diagnostics),
        "mae": _optional(run.paths.baseline.mae),
    }
    facts = {name: value for name, value in facts.items() if value}
    page = _render(run, facts)
    with atomic_file(out, overwrite=overwrite) as scratch:
        scratch.write_text(page, encoding="utf-8")
    return out


def _render(run: Run, facts: dict[str, Any]) -> str:
    scores = facts["scores"]
    sections = [
        _data(run),
        _scores(facts),
        Section("posteriors", "Posteriors", figures=_figures(run, facts, _rest())),
        _calibration(run, facts),
        Section("sensitivity", "Sensitivity", figures=_figures(run, facts, SENSITIVITY)),
        _provenance(run),
    ]
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    template = environment.from_string(
        files("cinn_clusters.pipeline.report").joinpath("page.html.j2").read_text("utf-8")
    )
    seen = (
        "scalars and embeddings of maps"
        if any(map(schema.is_embedding, run.catalogue.observables))
        else "scalars"
    )
    return template.render(
        title="Merger histories of galaxy clusters",
        subtitle=f"{scores['rows']} test rows of {scores['clusters']} clusters that the model has not seen, "
        f"{scores['draws']} posterior draws each; from {seen}",
        verdicts=_verdicts(run, facts),
        sections=[
            section for section in sections if section.text or section.tables or section.figures
        ],
        version=version("cinn-clusters"),
    )


def _rest() -> tuple[str, ...]:
    return tuple(name for name in READINGS if name not in {*CALIBRATION, *SENSITIVITY, *WORTH})


def _figures(run: Run, facts: dict[str, Any], names: tuple[str, ...]) -> list[dict[str, str]]:
    shown = []
    for name in names:
        path = run.paths.figures / f"{name}.png"
        if path.is_file():
            title, told = reading(name, facts)
            data = base64.b64encode(path.read_bytes()).decode()
            shown.append({"name": name, "title": title, "reading": told, "data": data})
    return shown


def _verdicts(run: Run, facts: dict[str, Any]) -> list[dict[str, Any]]:
    scores, notes = facts["scores"], []
    leaks = any(overlap.shared_with_validation for overlap in audit_split(run.catalogue, run.split))
    if leaks:
        told = [
            "Prepared by the original protocol: test clusters stand in training, and every score is too good."
        ]
        notes.append({"title": "This split leaks", "told": told, "is_warning": True})
    findings = facts.get("diagnosis", {}).get("findings", [])
    wrong = [
        f"{entry['subject']}: {entry['name']} ({entry['evidence']})"
        for entry in findings
        if entry["name"] != "calibrated"
    ]
    good = []
    if findings and not wrong:
        good.append(
            "Calibrated: nothing speaks against the error bars, target by target and jointly."
        )
    if not scores["unphysical"]:
        good.append("No unphysical draw.")
    for name, skill in scores["skill"].items():
        good.append(
            f"Energy score {skill['energy_skill']:+.0%} better than the {name}, {OF_TRAINING}."
        )
    if good:
        notes.append({"title": "In short", "told": good, "is_warning": False})
    if wrong:
        told = [
            *wrong,
            f"With {scores['clusters']} clusters a test set is small: see crossval for all of them.",
        ]
        notes.append({"title": "What the diagnostics found", "told": told, "is_warning": True})
    return notes


def _data(run: Run) -> Section:
    record, parts = run.record, ("train", "validation", "test")
    account = [["rows in the files", f"{record['rows_read']}", ""]]
    for entry in record["dropped"]:
        account.append([f"dropped: {entry['reason']}", f"-{entry['rows']}", f"{entry['clusters']}"])
    for part in parts:
        account.append([part, f"{len(record['rows'][part])}", f"{record['num_clusters'][part]}"])
    overlaps = audit_split(run.catalogue, run.split)
    audit = [
        [
            entry.what,
            f"{entry.total}",
            f"{entry.percent:.1f} %",
            f"{entry.percent_with_validation:.1f} %",
        ]
        for entry in overlaps
    ]
    unmatched = record.get("unmatched_maps", [])
    text = [
        "Every posterior is conditional on a collision having been recorded in the simulation: rows without one say "
        "nothing of when the last one was, and are left out."
    ]
    if unmatched:
        text.append(
            f"{len(unmatched)} maps have no row and were left out (listed in {run.paths.split.name})."
        )
    return Section(
        "data",
        "Data",
        text,
        [
            Table(["", "rows", "clusters"], account, "What was read, dropped and used"),
            Table(
                ["of the test set", "number", "also in training", "in training or validation"],
                audit,
                "Does the split leak?",
            ),
        ],
    )


def _scores(facts: dict[str, Any]) -> Section:
    scores = facts["scores"]
    energy, crps = scores["energy_score"], scores["crps"]
    rows = [
        [
            "this model",
            f"{energy['mean']:.3f} ± {energy['se']:.3f}",
            "",
            f"{crps['mean']:.3f} ± {crps['se']:.3f}",
            "",
        ]
    ]
    for name, of in scores["skill"].items():
        saved = (f"{of['energy_skill']:+.1%}", f"{of['crps_skill']:+.1%}")
        rows.append(
            [
                f"{name}, {OF_TRAINING}",
                f"{of['energy_score']:.3f}",
                saved[0],
                f"{of['crps']:.3f}",
                saved[1],
            ]
        )
    mae = facts.get("mae", {}).get("targets", {})
    detail = []
    for name, value in scores["crps_per_target"].items():
        line = [
            name,
            f"{value:.3f}",
            f"{scores['coverage_68'][name]:.2f}",
            f"{scores['contraction'][name]:+.2f}",
        ]
        if mae:
            of = mae[name]
            line += [
                f"{of['mae']:.3f} ± {of['se']:.3f} {of['unit']}",
                f"{of['mae_of_the_median']:.3f}",
            ]
        detail.append(line)
    heads = ["target", "CRPS", "68 % intervals hold", "contraction"] + (
        ["MLP error (MAE)", "of the median"] if mae else []
    )
    nll = scores["nll"]["mean"]
    text = [
        "CRPS and energy score judge the whole posterior, lower is better, in units of one standard deviation of "
        "each target; errors resample clusters. The skill is the share of a reference's score that the model saves. "
        "Contraction is the share of the prior's variance that is gone.",
        f"Negative log-likelihood of the truths in physical units: {'infinite' if nll is None else f'{nll:.3f}'}. "
        f"Unphysical draws: {scores['unphysical']:.2%}.",
    ]
    tables = [
        Table(["", "energy score", "saved", "CRPS", "saved"], rows),
        Table(heads, detail, "Target by target"),
    ]
    return Section("scores", "How good it is", text, tables)


def _calibration(run: Run, facts: dict[str, Any]) -> Section:
    findings = facts.get("diagnosis", {}).get("findings", [])
    rows = [[entry["subject"], entry["name"], entry["evidence"]] for entry in findings]
    tables = [Table(["", "verdict", "evidence"], rows)] if rows else []
    crossval = _optional(run.paths.crossval.scores)
    text = [
        "A posterior is calibrated if an interval of 68 % holds the truth in 68 % of all cases, and so on."
    ]
    if crossval:
        text.append(
            f"Out of fold over all {crossval['clusters']} clusters (crossval): energy score "
            f"{crossval['energy_score']['mean']:.3f} ± {crossval['energy_score']['se']:.3f}, CRPS "
            f"{crossval['crps']['mean']:.3f}, calibration error {crossval['calibration_error']:.3f}."
        )
    return Section(
        "calibration",
        "Can it be trusted?",
        text,
        tables,
        _figures(run, facts, (*CALIBRATION, *WORTH)),
    )


def _provenance(run: Run) -> Section:
    record = run.record
    rows = [[f"file {entry['name']}", f"sha256 {entry['sha256']}"] for entry in record["files"]]
    rows += [["protocol", record["protocol"]], ["seed of the split", str(record["seed"])]]
    rows += [
        ["versions", ", ".join(f"{name} {number}" for name, number in record["versions"].items())]
    ]
    details = []
    if (run.paths.model).is_dir():
        info = describe_bundle(run.paths.model)
        rows += [
            ["parameters", f"{info['num_parameters']}"],
            ["epochs", str(info["provenance"].get("epochs", ""))],
        ]
        details.append(
            {"title": "All settings of the model", "text": json.dumps(info["config"], indent=1)}
        )
    names = [
        name
        for name in (*run.catalogue.observables, *run.catalogue.targets)
        if not schema.is_embedding(name)
    ]
    columns = [[name, schema.column(name).unit, schema.column(name).meaning] for name in names]
    tables = [Table(["", ""], rows), Table(["column", "unit", "meaning"], columns, "Columns")]
    return Section("provenance", "Where it comes from", [], tables, details=details)


def _optional(path: Path) -> dict[str, Any]:
    return dict(read_json(path)) if path.is_file() else {}


def _with_error(score: dict[str, float]) -> str:
    return f"{score['mean']:.3f} ± {score['se']:.3f}"
