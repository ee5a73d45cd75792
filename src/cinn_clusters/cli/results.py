"""Results of stages as tables on stdout, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cinn_clusters.cli.console import log
from cinn_clusters.files import JsonObject
from cinn_clusters.schema import COLLISION_TIME, column

if TYPE_CHECKING:
    from collections import Counter

    import pandas as pd

    from cinn_clusters.data.leakage import Overlap
    from cinn_clusters.evaluation.json_model import JsonModel
    from cinn_clusters.evaluation.score_report import LogScore, MeanScore, Scores
    from cinn_clusters.pipeline.simulation.baseline import BaselineReport

SHORT_NAMES = {
    "last_M_Crit500_coll": "M500_coll",
    "last_Subcluster_mass": "M_sub",
    "last_Mass_ratio": "ratio",
    "mass": "M500",
    "redshift": "z",
}
_PLAIN = 1e-5, 1e6
"""Sizes of numbers that are written without a power of ten."""
_SIGNIFICANT = 0.01
"""p of the sample test below which it warns."""
_LOGGED = (
    "protocol",
    "rows_read",
    "num_missing",
    "dropped",
    "cautions",
    "num_clusters",
    "table_sha256",
)


def print_table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], title: str = ""
) -> None:
    """Print a table with rules as wide as the terminal allows."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*heads, title=title or None)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def print_stages(states: Mapping[str, Mapping[str, str]], as_json: bool) -> None:
    """Print what was made and what was unchanged, then where the report is."""
    if as_json:
        print(json.dumps(states))
        return
    for folder, stages in states.items():
        for state in ("made", "unchanged"):
            if names := [name for name, made in stages.items() if made == state]:
                print(f"{state:<12}{', '.join(names)}")
        print(f"{'report':<12}{folder}/report.html")


def print_overlaps(overlaps: Sequence[Overlap], as_json: bool) -> None:
    """Print how much of the test set is in training, too, a line a kind."""
    if as_json:
        shares = (
            "total",
            "shared",
            "percent",
            "shared_with_validation",
            "percent_with_validation",
        )
        values = {
            o.what: {share: getattr(o, share) for share in shares} for o in overlaps
        }
        print(json.dumps(values))
        return
    for overlap in overlaps:
        count = f"{overlap.shared:>5} of {overlap.total:<5}"
        in_training = f"{overlap.percent:>6.1f} % in training"
        in_both = f"{overlap.percent_with_validation:.1f} % in training or validation"
        print(f"{overlap.what:<42}{count}{in_training}, {in_both}")


def print_preparation(record: JsonObject, as_json: bool) -> None:
    """Print how many rows were read, dropped with which reason, and used in which part."""
    rows = {part: len(numbers) for part, numbers in record["rows"].items()}
    for note in record.get("marks", []):
        log(f"note: {note}")
    if as_json:
        logged = {key: record[key] for key in _LOGGED if key in record}
        print(json.dumps(logged | {"num_rows": rows}))
        log_cautions(record)
        return
    if unknown := record["unknown_columns"]:
        log(f"note: columns unknown to the schema are left out: {', '.join(unknown)}")
    log_cautions(record)
    if maps := record.get("unmatched_maps"):
        log(
            f"note: {len(maps)} maps without a row are left out, the first {maps[0]} (split.json)"
        )
    _print_rows(record, rows)


def log_cautions(record: JsonObject) -> None:
    """Say on stderr what a table holds that may be wrong."""
    for caution in record.get("cautions", []):
        log(f"caution: {caution}")


def _print_rows(record: JsonObject, rows: Mapping[str, int]) -> None:
    print(f"{record['rows_read']:>6} rows in both files")
    for entry in record["dropped"]:
        num_clusters = entry["clusters"]
        clusters = f", of {num_clusters} clusters" * (num_clusters >= 0)
        print(f"{entry['rows']:>6} dropped: {entry['reason']}{clusters}")
    censored = column(COLLISION_TIME).absent_means
    reasons = [entry["reason"] for entry in record["dropped"]]
    condition = ""
    if censored in reasons:
        condition = ": posteriors are conditional on a recorded collision"
    num_used = sum(rows.values())
    print(f"{num_used:>6} rows used{condition}")
    for name, count in record["num_missing"].items():
        print(f"{count:>6} of them without {name}")
    for part, count in rows.items():
        print(f"{count:>6} {part}, {record['num_clusters'][part]} clusters")


def print_bundle(info: JsonObject, as_json: bool) -> None:
    """Print where a model comes from, then its columns with units."""
    if as_json:
        print(json.dumps(info))
        return
    for section in (
        "format_version",
        "num_parameters",
        "versions",
        "provenance",
        "config",
    ):
        print("\n".join(_indented(section, info[section])))
    for part in ("observables", "targets"):
        print(f"{part}:")
        for entry in info["transforms"][part]:
            described = info["columns"][entry["name"]]
            print(
                f"  {entry['name']:<24}{described['unit'] or '-':<20}{described['meaning']}"
            )


def print_scores(scores: Scores, as_json: bool) -> None:
    """Print the scores beside those of the reference posteriors, then target by target."""
    if as_json:
        print(json.dumps(scores.to_json()))
        return
    print(
        f"{scores.rows} rows of {scores.clusters} clusters, {scores.draws} samples each"
    )
    model = [
        "this model",
        _with_error(scores.energy_score),
        "",
        _with_error(scores.crps),
        "",
    ]
    references = [
        [
            name,
            number_text(reference.energy_score, ".4f"),
            number_text(reference.energy_skill, "+.3f"),
            number_text(reference.crps, ".4f"),
            number_text(reference.crps_skill, "+.3f"),
        ]
        for name, reference in scores.skill.items()
    ]
    heads = ("lower is better", "energy score", "skill", "CRPS", "skill")
    print_table(heads, [model, *references])
    details = [
        [
            name,
            number_text(value, ".4f"),
            number_text(scores.coverage_68[name], ".3f"),
            number_text(scores.contraction[name], ".3f"),
        ]
        for name, value in scores.crps_per_target.items()
    ]
    print_table(("target", "CRPS", "68 % coverage", "contraction"), details)
    print(f"NLL, dequantised, physical units  {_with_error(scores.nll)}")
    error, outside = scores.calibration_error, scores.coverage_outside_99_band
    print(f"calibration error                 {number_text(error, '.4f')}")
    print(f"levels outside their 99 % band    {number_text(outside, '.3f')}")
    print(f"unphysical samples                {number_text(scores.unphysical, '.4f')}")
    log_not_finite(scores)


def print_mae(report: BaselineReport, as_json: bool) -> None:
    """Print the mean absolute errors beside those of the median of the training rows."""
    if as_json:
        print(json.dumps(report.to_json()))
        return
    print(f"{report.rows} rows of {report.clusters} clusters")
    rows = [
        [
            name,
            number_text(e.mae, ".4f"),
            number_text(e.se, ".4f"),
            number_text(e.mae_of_the_median, ".4f"),
            e.unit,
        ]
        for name, e in report.targets.items()
    ]
    print_table(("target", "MAE", "standard error", "MAE of the median", "unit"), rows)
    print(f"predictions out of bounds  {number_text(report.unphysical, '.4f')}")
    log_not_finite(report)


def log_not_finite(result: JsonModel) -> None:
    """Name the numbers that are not finite, and why; the JSON file says the same."""
    for name, reason in result.not_finite().items():
        log(f"note: {name} is not finite: {reason}")


def print_matrix(matrix: pd.DataFrame, errors: pd.DataFrame, as_json: bool) -> None:
    """Print increases of the mean absolute error, observables by targets."""
    if as_json:
        print(
            json.dumps(
                {"matrix": matrix.to_dict("index"), "errors": errors.to_dict("index")}
            )
        )
        return
    heads = [
        SHORT_NAMES.get(name, name.removeprefix("last_"))[:9]
        for name in map(str, matrix)
    ]
    print(f"{'MAE rises by':<22}" + "".join(f"{head:>13}" for head in heads))
    for name, row in matrix.iterrows():
        print(
            f"{name:<22}"
            + "".join(f"{number_text(value, '+.3f'):>13}" for value in row)
        )


def print_probe(tables: Mapping[str, pd.DataFrame], as_json: bool) -> None:
    """Print what embeddings explain, quantity by embedding, and whether they are healthy."""
    if as_json:
        plain = {name: frame.to_dict("index") for name, frame in tables.items()}
        print(json.dumps(plain, default=float))
        return
    titles = {
        "knn": "explained by a k-NN probe",
        "linear": "explained by a linear probe",
    }
    for kind, title in titles.items():
        table = tables[kind]
        rows = [
            [str(name), *(f"{value:+.3f}" for value in table[name])] for name in table
        ]
        print_table(("quantity", *table.index), rows, title)
    health = tables["health"].astype(float)
    rows = [
        [str(name), *(number_text(value, ".3f") for value in health[name])]
        for name in health
    ]
    print_table(("health", *health.index), rows)


def _indented(title: str, value: Any, depth: int = 0) -> Iterator[str]:
    margin = "  " * depth
    if not isinstance(value, dict):
        yield f"{margin}{title}: {value}"
        return
    yield f"{margin}{title}:"
    for key, inner in value.items():
        yield from _indented(key, inner, depth + 1)


def number_text(value: float | None, form: str) -> str:
    """A number, or a dash where there is none; in powers of ten where it is large or small."""
    if value is None or value != value:
        return "-"
    is_plain = value == 0.0 or _PLAIN[0] <= abs(value) < _PLAIN[1]
    if not is_plain:
        sign = form[: form.startswith("+")]
        return f"{value:{sign}.3e}"
    return f"{value:{form}}"


def _with_error(score: MeanScore | LogScore) -> str:
    if score.mean is None:
        return infinite_text(getattr(score, "rows_outside", 0))
    return f"{number_text(score.mean, '.4f')} +- {number_text(score.se, '.4f')}"


def infinite_text(num_rows: int) -> str:
    """Say why a likelihood is infinite."""
    return f"infinite: {num_rows} ground truths have no density"


def log_notes(
    conversions: tuple[str, ...], reasons: Counter[str], num_objects: int
) -> None:
    """Say what was converted, and how often each reason was given."""
    for line in conversions:
        log(f"converted: {line}")
    for reason, count in reasons.most_common():
        log(f"{count} of {num_objects}: {reason}")


def log_sample_test(distance: float, p_value: float) -> None:
    """Say whether a sample is drawn like the training clusters, where that was tested."""
    if p_value != p_value:  # NaN: too few
        return
    verdict = "note: this sample is compatible with"
    if p_value < _SIGNIFICANT:
        verdict = "warning: this sample is not drawn like"
    log(f"{verdict} the training clusters (MMD^2 {distance:.3f}, p {p_value:.3f})")


def rounded_test(distance: float, p_value: float) -> dict[str, float | None]:
    """The test of a sample for a result, null where there was none."""
    values = {"sample_mmd2": distance, "sample_p": p_value}
    has_test = p_value == p_value  # not NaN
    return {
        name: round(value, 6) if has_test else None for name, value in values.items()
    }
