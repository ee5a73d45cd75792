"""Results of stages as tables on stdout, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from cinn_clusters.cli.console import log
from cinn_clusters.schema import COLLISION_TIME, column


def print_stages(told: dict[str, dict[str, str]], as_json: bool) -> None:
    """Print what was made and what was unchanged, then where the reports are."""
    if as_json:
        print(json.dumps(told))
        return
    for folder, stages in told.items():
        for how in ("made", "unchanged"):
            if names := [name for name, state in stages.items() if state == how]:
                print(f"{how:<12}{', '.join(names)}")
        print(f"{'report':<12}{folder}/report.html")


def print_overlaps(overlaps: Iterable[Any], as_json: bool) -> None:
    """Print how much of the test set stands in training, a line a kind."""
    shares = ("total", "shared", "percent", "shared_with_validation", "percent_with_validation")
    if as_json:
        print(
            json.dumps({o.what: {share: getattr(o, share) for share in shares} for o in overlaps})
        )
        return
    for o in overlaps:
        told = f"{o.percent:>6.1f} % in training, {o.percent_with_validation:.1f} % in training or validation"
        print(f"{o.what:<42}{o.shared:>5} of {o.total:<5}{told}")


def print_account(record: dict[str, Any], as_json: bool) -> None:
    """Print what was read, dropped and kept."""
    rows = {part: len(numbers) for part, numbers in record["rows"].items()}
    if as_json:
        told = {
            key: record[key]
            for key in (
                "protocol",
                "rows_read",
                "num_missing",
                "dropped",
                "num_clusters",
                "table_sha256",
            )
        }
        print(json.dumps({**told, "num_rows": rows}))
        return
    if record["unknown_columns"]:
        log(
            f"note: columns unknown to the schema are left out: {', '.join(record['unknown_columns'])}"
        )
    if unmatched := record.get("unmatched_maps"):
        log(
            f"note: {len(unmatched)} maps without a row are left out, the first {unmatched[0]} (all in split.json)"
        )
    print(f"{record['rows_read']:>6} rows in both files")
    for entry in record["dropped"]:
        clusters = f", of {entry['clusters']} clusters" if entry["clusters"] >= 0 else ""
        print(f"{entry['rows']:>6} dropped: {entry['reason']}{clusters}")
    censored = column(COLLISION_TIME).absent_means
    is_censored = any(entry["reason"] == censored for entry in record["dropped"])
    condition = ": posteriors are conditional on a recorded collision" if is_censored else ""
    print(f"{sum(rows.values()):>6} rows used{condition}")
    for name, count in record["num_missing"].items():
        print(f"{count:>6} of them without {name}")
    for part, count in rows.items():
        print(f"{count:>6} {part}, {record['num_clusters'][part]} clusters")


def print_bundle(info: dict[str, Any], as_json: bool) -> None:
    """Print where a model comes from, then its columns with units."""
    if as_json:
        print(json.dumps(info))
        return
    for section in ("format_version", "num_parameters", "versions", "provenance", "config"):
        print(_indented(section, info[section]))
    for part in ("observables", "targets"):
        print(f"{part}:")
        for entry in info["transforms"][part]:
            described = info["columns"][entry["name"]]
            print(f"  {entry['name']:<24}{described['unit'] or '-':<20}{described['meaning']}")


def _indented(title: str, value: Any, depth: int = 0) -> str:
    pad = "  " * depth
    if isinstance(value, dict):
        return "\n".join(
            [f"{pad}{title}:", *(_indented(key, inner, depth + 1) for key, inner in value.items())]
        )
    return f"{pad}{title}: {value}"


def print_scores(scores: dict[str, Any], as_json: bool) -> None:
    """Print the scores beside those of the references, then target by target."""
    if as_json:
        print(json.dumps(scores))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    print(f"{scores['rows']} rows of {scores['clusters']} clusters, {scores['draws']} draws each")
    beside = Table("lower is better", "energy score", "skill", "CRPS", "skill")
    beside.add_row(
        "this model", _with_error(scores["energy_score"]), "", _with_error(scores["crps"]), ""
    )
    for name, reference in scores["skill"].items():
        energy, crps = f"{reference['energy_score']:.4f}", f"{reference['crps']:.4f}"
        beside.add_row(
            name,
            energy,
            f"{reference['energy_skill']:+.3f}",
            crps,
            f"{reference['crps_skill']:+.3f}",
        )
    console.print(beside)
    detail = Table("target", "CRPS", "68 % coverage", "contraction")
    for target, value in scores["crps_per_target"].items():
        coverage, contraction = scores["coverage_68"][target], scores["contraction"][target]
        detail.add_row(target, f"{value:.4f}", f"{coverage:.3f}", f"{contraction:.3f}")
    console.print(detail)
    print(f"NLL, dequantised, physical units  {_with_error(scores['nll'])}")
    print(f"calibration error                 {scores['calibration_error']:.4f}")
    print(f"levels outside their 99 % band    {scores['coverage_outside_99_band']:.3f}")
    print(f"unphysical draws                  {scores['unphysical']:.4f}")


def print_diagnosis(report: dict[str, Any], as_json: bool) -> None:
    """Print how each target is calibrated and what it says, the joint tests, then the verdict."""
    if as_json:
        print(json.dumps(report))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    print(f"{report['rows']} rows of {report['clusters']} clusters, {report['draws']} draws each")
    table = Table("calibrated if", "bias 0", "width 1", "coverage - level 0", "0.954", "0.997")
    told = Table(
        "target",
        "contraction",
        "CRPS",
        *(f"skill, {name}" for name in report["joint"]["energy_skill"]),
    )
    for name, of in report["targets"].items():
        signed = _value(of["signed_calibration_error"], "+.2f")
        tails = (f"{tail['found']['value']:.3f}" for tail in of["tails"])
        short = name.removeprefix("last_")
        table.add_row(short, _value(of["bias"], "+.2f"), _value(of["width"], ".2f"), signed, *tails)
        contraction = "-" if of["contraction"] is None else f"{of['contraction']:.3f}"
        skill = [_value(entry, "+.2f") for entry in of["crps_skill"].values()]
        told.add_row(short, contraction, f"{of['crps']['value']:.4f}", *skill)
    console.print(table)
    console.print(told)
    _print_parts(console, report["targets"])
    for line in _joint_lines(report["joint"]):
        print(line)
    for reason in [
        *report["skipped"],
        *(f"ignored variable: {name}" for name in report["ignored_variables"]),
    ]:
        print(f"note: {reason}")
    for found in report["findings"]:
        print(f"{found['subject']:<22}{found['name']:<16}{found['evidence']}")


def _print_parts(console: Any, targets: dict[str, Any]) -> None:
    """Coverage of the central 68 % where mass or redshift is low, middle and high."""
    from rich.table import Table

    properties = next(iter(targets.values()))["coverage_68_by_tertile"]
    short = {"mass": "M500", "redshift": "z"}
    heads = [
        f"{short[what]}\n{part['from']:.2f}\n{part['to']:.2f}"
        for what, parts in properties.items()
        for part in parts
    ]
    if not heads:
        return
    table = Table("68 % coverage", *heads)
    for name, of in targets.items():
        parts = [part for found in of["coverage_68_by_tertile"].values() for part in found]
        table.add_row(
            name.removeprefix("last_"), *(f"{part['coverage']['value']:.2f}" for part in parts)
        )
    console.print(table)


def _joint_lines(joint: dict[str, Any]) -> list[str]:
    lines = [f"energy score                  {_value(joint['energy_score'], '.4f')}"]
    lines += [
        f"  skill, {name:<21} {_value(skill, '+.3f')}"
        for name, skill in joint["energy_skill"].items()
    ]
    for key, name in (
        ("tarp", "TARP, references from x"),
        ("tarp_plain", "TARP, plain references"),
    ):
        lines.append(f"{name:<30}KS {joint[key]['ks']:.3f}, p = {joint[key]['p_value']:.4f}")
    local = joint["lc2st"]
    lines.append(f"{'L-C2ST':<30}{local['statistic']:.4f}, p = {local['p_value']:.4f}")
    if "hpd" in joint:
        lines.append(
            f"{'joint HPD coverage - level':<30}{_value(joint['hpd']['signed_calibration_error'], '+.3f')}"
        )
        outside = joint["nll"]["rows_outside"]
        told = (
            f"infinite: {outside} truths have no density"
            if outside
            else _value(joint["nll"]["mean"], ".3f")
        )
        lines.append(f"{'NLL, physical units':<30}{told}")
        gains = joint["nll"].get("nats_gained_on_gaussian", {})
        lines += [
            f"  nats gained, Gaussian {name:<20} {_value(gain, '+.2f')}"
            for name, gain in gains.items()
        ]
    return lines


def _value(band: dict[str, Any], form: str) -> str:
    if band["value"] is None:
        return "-"
    half = (band["upper"] - band["lower"]) / 2 if band["upper"] is not None else float("nan")
    return f"{band['value']:{form}} ± {half:{form.lstrip('+')}}"


def _with_error(score: dict[str, Any]) -> str:
    if score["mean"] is None:
        return f"infinite: {score['rows_outside']} truths have no density"
    return f"{score['mean']:.4f} +- {score['se']:.4f}"


def print_mae(report: dict[str, Any], as_json: bool) -> None:
    """Print the mean absolute error of each target beside that of the median of the training
    rows.
    """
    if as_json:
        print(json.dumps(report))
        return
    from rich.console import Console
    from rich.table import Table

    print(f"{report['rows']} rows of {report['clusters']} clusters")
    table = Table("target", "MAE", "standard error", "MAE of the median", "unit")
    for name, of in report["targets"].items():
        table.add_row(
            name,
            f"{of['mae']:.4f}",
            f"{of['se']:.4f}",
            f"{of['mae_of_the_median']:.4f}",
            of["unit"],
        )
    Console().print(table)
    print(f"predictions out of bounds  {report['unphysical']:.4f}")


def print_matrix(matrix: Any, errors: Any, as_json: bool) -> None:
    """Print increases of the mean absolute error, observables by targets."""
    if as_json:
        print(json.dumps({"matrix": matrix.to_dict("index"), "errors": errors.to_dict("index")}))
        return
    short = {
        "last_M_Crit500_coll": "M500_coll",
        "last_Subcluster_mass": "M_sub",
        "last_Mass_ratio": "ratio",
    }
    heads = [short.get(name, name.removeprefix("last_"))[:9] for name in matrix]
    print(f"{'MAE rises by':<22}" + "".join(f"{head:>10}" for head in heads))
    for name in matrix.index:
        print(f"{name:<22}" + "".join(f"{value:>+10.3f}" for value in matrix.loc[name]))


def print_probe(tables: Mapping[str, Any], as_json: bool) -> None:
    """Print what embeddings explain, quantity by embedding, and whether they are healthy."""
    if as_json:
        plain = {name: frame.to_dict("index") for name, frame in tables.items()}
        print(json.dumps(plain, default=float))
        return
    from rich.console import Console
    from rich.table import Table

    titles = {"knn": "explained by a k-NN probe", "linear": "explained by a linear probe"}
    for kind, title in titles.items():
        table = Table("quantity", *tables[kind].index, title=title)
        for name, values in tables[kind].items():
            table.add_row(name, *(f"{value:+.3f}" for value in values))
        Console().print(table)
    health = tables["health"]
    table = Table("health", *health.index)
    for name, values in health.astype(float).items():
        table.add_row(name, *(f"{value:.3f}".replace("nan", "") for value in values))
    Console().print(table)
