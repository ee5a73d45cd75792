"""The tables of docs/peers.md, docs/baseline.md and README from the fits that are kept.

    python benchmarks/peers/table.py ../shared/data/tng_cluster --out peers --score ../shared/score.py

The protocol's own script judges every out-of-fold answer; what it needs a row for (differences
between two models on the same rows, with whole clusters resampled) is taken from its functions.
Coverage stands twice: of dequantised times, as in all of this package, and of recorded ones, as
the script has it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from folds import NUM_DRAWS, fit_path, read_answer, slug, units
from run import read_table

from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.diagnostics.scores import (
    COVERAGE_LEVELS,
    bootstrap_weights,
    central_coverage,
)
from cinn_clusters.evaluation.ground_truth import dequantised_ground_truth

REPOSITORY = Path(__file__).parents[2]
KEYS = ["HaloID", "Snapshot"]
SEEDS = (0, 1, 2)
NUM_FOLDS = 5
FAR = 100.0
"""A sample explodes that is further than this from the mean of a target, in its scales."""
LARGEST_MEAN = 10.0
"""A mean score beyond this is that of exploding samples."""


@dataclass(frozen=True)
class Row:
    """A line of the table: fits of one name, of which the first members are mixed."""

    fit: str
    members: int = 1


DEFAULT = "this package, default preset (10 members)"
ROWS = {
    DEFAULT: Row("default preset"),
    "this package: raw, single": Row("ours raw"),
    "this package: transforms, single": Row("ours single"),
    "this package: transforms, 5 members": Row("ours five"),
    "zuko NSF: raw, single": Row("zuko raw"),
    "zuko NSF: transforms, single": Row("zuko transforms"),
    "zuko NSF: transforms, 5 members": Row("zuko transforms", 5),
    "sbi NPE maf: raw, single": Row("sbi maf raw"),
    "sbi NPE maf: transforms, single": Row("sbi maf transforms"),
    "sbi NPE maf: transforms, 5 members": Row("sbi maf transforms", 5),
    "sbi NPE nsf: raw, single": Row("sbi nsf raw"),
    "BayesFlow: raw, single": Row("BayesFlow raw"),
    "BayesFlow: transforms, single": Row("BayesFlow transforms"),
    "BayesFlow: transforms, 5 members": Row("BayesFlow transforms", 5),
    "the published network (FrEIA)": Row("original"),
    "kernel ridge, residuals of neighbours": Row("ridge"),
    "forest, masses relative to M500": Row("relative forest"),
    "forest, raw columns": Row("forest"),
    "prior given M500 and z (forest)": Row("prior given M500, z"),
    "prior": Row("prior"),
}
STEPS = [
    *(
        pair
        for library in ("this package", "zuko NSF", "sbi NPE maf", "BayesFlow")
        for pair in (
            (f"{library}: transforms, single", f"{library}: raw, single"),
            (f"{library}: transforms, 5 members", f"{library}: transforms, single"),
        )
    ),
    ("this package: raw, single", "zuko NSF: raw, single"),
    ("this package: raw, single", "sbi NPE maf: raw, single"),
    ("this package: raw, single", "BayesFlow: raw, single"),
    ("this package: transforms, single", "zuko NSF: transforms, single"),
    ("this package: transforms, single", "sbi NPE maf: transforms, single"),
    ("this package: transforms, single", "BayesFlow: transforms, single"),
    ("this package: transforms, 5 members", "zuko NSF: transforms, 5 members"),
    ("this package: transforms, 5 members", "sbi NPE maf: transforms, 5 members"),
    ("this package: transforms, 5 members", "BayesFlow: transforms, 5 members"),
]
REFERENCES = [
    DEFAULT,
    "kernel ridge, residuals of neighbours",
    "forest, masses relative to M500",
    "forest, raw columns",
    "prior given M500 and z (forest)",
]
RIVALS_OF_PRESET = [
    "zuko NSF: transforms, 5 members",
    "sbi NPE maf: transforms, 5 members",
    "BayesFlow: raw, single",
    "kernel ridge, residuals of neighbours",
]
IN_README = [
    "prior",
    "prior given M500 and z (forest)",
    "the published network (FrEIA)",
    "sbi NPE maf: raw, single",
    "BayesFlow: raw, single",
    "kernel ridge, residuals of neighbours",
    "zuko NSF: transforms, 5 members",
    DEFAULT,
]


@dataclass(frozen=True, eq=False)
class Judged:
    """One out-of-fold answer, judged.

    Args:
        numbers: What the protocol's script says, and coverage of dequantised times.
        scores: CRPS, energy score and NLL of every row, (3, N); NaN where no fold is kept.
        folds: Folds that are kept.
    """

    numbers: dict[str, Any]
    scores: np.ndarray
    folds: int


class Judge:
    """The protocol's script, asked in this process."""

    def __init__(self, script: Path, folder: Path, catalogue: Catalogue) -> None:
        self.script, self.catalogue = load(script), catalogue
        targets = pd.read_csv(folder / "unobservables1.csv").set_index(KEYS)
        keys = pd.MultiIndex.from_frame(catalogue.table[KEYS])
        self.targets = targets.loc[keys].reset_index()  # in the order of the catalogue
        self.observables = pd.read_csv(folder / "observables1.csv")
        self.truth = dequantised_ground_truth(catalogue)

    def __call__(
        self, samples: np.ndarray, rows: np.ndarray
    ) -> tuple[dict[str, Any], np.ndarray]:
        """Numbers, and CRPS and energy score (2, n) of samples (S, n, D) of rows."""
        script, kept = self.script, {}
        for name in ("crps", "energy"):
            setattr(script, name, keeping(getattr(script, name), kept, name))
        table = self.catalogue.table.iloc[rows]
        coordinates = {key: ("cluster", table[key].to_numpy()) for key in KEYS}
        variables = {
            name: (("chain", "draw", "cluster"), samples[None, :, :, d])
            for d, name in enumerate(self.catalogue.targets)
        }
        posterior = xr.Dataset(variables, coords=coordinates)
        numbers = script.score(posterior, self.targets, self.observables)
        for name in ("crps", "energy"):
            setattr(script, name, getattr(script, name).__wrapped__)
        numbers |= self.of_spread_times(samples, rows)
        numbers["exploding"] = self.share_far(samples)
        return numbers, np.stack([np.mean(kept["crps"], axis=0), kept["energy"][0]])

    def of_spread_times(self, samples: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
        """Calibration error and share of levels outside their band, as the script defines them."""
        weights = bootstrap_weights(self.catalogue.clusters[rows])
        inside = central_coverage(samples, self.truth[rows])
        levels = COVERAGE_LEVELS[:, None]
        resampled = np.einsum("bn,lnd->bld", weights, inside.astype(float))
        low, high = np.percentile(resampled, [0.5, 99.5], axis=0)
        return {
            "calibration": np.abs(inside.mean(1) - levels).mean(),
            "outside_band": ((levels < low) | (levels > high)).mean(),
        }

    def share_far(self, samples: np.ndarray) -> float:
        """Share of samples (S, n, D) that are far off in any target."""
        scale = np.array([self.script.SCALES[name] for name in self.catalogue.targets])
        offset = np.abs(samples - self.catalogue.theta.mean(0)) / scale
        return float((offset > FAR).any(-1).mean())


def load(script: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("judge", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def keeping(
    function: Callable[..., np.ndarray], kept: dict[str, list[np.ndarray]], name: str
) -> Callable[..., np.ndarray]:
    """The same function, which also keeps what it returns."""

    def wrapped(*arguments: Any) -> np.ndarray:
        result = function(*arguments)
        kept.setdefault(name, []).append(result)
        return result

    wrapped.__wrapped__ = function  # type: ignore[attr-defined]
    return wrapped


def mixed(out: Path, row: Row, seed: int, fold: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples (1000, n, D) and log-density (n,) of a fold, members with equal weights."""
    answers = [
        read_answer(fit_path(out, row.fit, seed, fold, member))
        for member in range(row.members)
    ]
    each = NUM_DRAWS // row.members
    samples = np.concatenate([answer.samples[:each] for answer in answers])
    with np.errstate(invalid="ignore"):  # NaN: a rival without a density
        log_prob = np.logaddexp.reduce([answer.log_prob for answer in answers])
    return samples, log_prob - np.log(row.members)


def kept_folds(out: Path, row: Row, seed: int) -> list[int]:
    """Folds of which every member is kept."""
    return [
        fold
        for fold in range(NUM_FOLDS)
        if all(
            fit_path(out, row.fit, seed, fold, member).exists()
            for member in range(row.members)
        )
    ]


def judge_row(judge: Judge, out: Path, name: str, seed: int) -> Judged | None:
    """Judge one answer, or read what was judged before with as many folds."""
    row, path = ROWS[name], out / "judged" / f"{slug(name).replace(':', '')}_s{seed}"
    numbers, table = path.with_suffix(".json"), path.with_suffix(".npy")
    folds = kept_folds(out, row, seed)
    if not folds:
        return None
    if numbers.exists() and json.loads(numbers.read_text())["folds"] == len(folds):
        return Judged(json.loads(numbers.read_text()), np.load(table), len(folds))
    rows, parts = [], []
    for unit in units(judge.catalogue, seed, 0):
        if unit.fold in folds:
            rows.append(unit.split.test)
            parts.append(mixed(out, row, seed, unit.fold))
    order = np.argsort(np.concatenate(rows))
    index = np.concatenate(rows)[order]
    samples = np.concatenate([part[0] for part in parts], 1)[:, order].astype(float)
    log_prob = np.concatenate([part[1] for part in parts])[order]
    answer, scores = judge(samples, index)
    by_row = np.full((3, len(judge.catalogue.table)), np.nan)
    by_row[:, index] = [*scores, -log_prob]
    path.parent.mkdir(exist_ok=True)
    answer["folds"] = len(folds)
    np.save(table, by_row)
    numbers.write_text(json.dumps(answer, default=float))
    return Judged(answer, by_row, len(folds))


Answers = dict[str, list[Judged]]


def spread(values: list[float], digits: int = 4) -> str:
    """Mean over seeds, and their standard deviation where there are several."""
    mean = np.mean(values)
    if not np.isfinite(mean):
        return ""
    if abs(mean) >= 100:
        return f"{mean:.2g}"
    text = f"{mean:.{digits}f}"
    if len(values) < 2:
        return text
    return f"{text} ± {np.std(values, ddof=1):.{digits}f}"


def numbers_of(answers: list[Judged], key: str, digits: int = 4) -> str:
    return spread([answer.numbers[key] for answer in answers], digits)


def medians(answers: list[Judged], score: int, digits: int = 4) -> str:
    """Median of a score over rows, where the model has it."""
    scores = [answer.scores[score] for answer in answers]
    there = [values[~np.isnan(values)] for values in scores]
    if not all(map(len, there)):
        return ""
    return spread([float(np.median(values)) for values in there], digits)


def extent(answers: list[Judged]) -> str:
    """How many seeds of how many folds."""
    return f"{len(answers)} x {min(answer.folds for answer in answers)}"


def scores_table(answers: Answers) -> list[str]:
    head = [
        "| | energy score | CRPS | median row: energy | NLL | median row: NLL | calibration error | of recorded times "
        "| outside band | exploding | unphysical | seeds x folds |",
        "|---" * 12 + "|",
    ]
    lines = []
    for name, judged in answers.items():
        nll = [mean_of_rows(answer.scores[2]) for answer in judged]
        is_exploding = (
            np.mean([a.numbers["energy_score"] for a in judged]) > LARGEST_MEAN
        )
        means = [numbers_of(judged, key) for key in ("energy_score", "crps")]
        cells = [
            *(["explodes", "explodes"] if is_exploding else means),
            medians(judged, 1),
            spread(nll, 2),
            medians(judged, 2, 2),
            numbers_of(judged, "calibration"),
            numbers_of(judged, "calibration_error"),
            numbers_of(judged, "outside_band", 3),
            f"{np.mean([answer.numbers['exploding'] for answer in judged]):.2g}",
            f"{np.mean([answer.numbers['unphysical'] for answer in judged]):.4f}",
            extent(judged),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return head + lines


def mean_of_rows(values: np.ndarray) -> float:
    """Mean over the rows that have a value; NaN if none has."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else float("nan")


def difference(
    first: list[Judged],
    second: list[Judged],
    clusters: np.ndarray,
    is_judged: np.ndarray,
) -> str:
    """First minus second: CRPS and energy score, and what may be said of it."""
    cells, are_better = [], []
    for score in (0, 1):
        pairs = [answers_of(part, score) for part in (first, second)]
        gap = pairs[0].mean(0) - pairs[1].mean(0)
        is_common = np.isfinite(gap) & is_judged
        weights = bootstrap_weights(clusters[is_common], 4000, 1)
        low, high = np.percentile(weights @ gap[is_common], [0.5, 99.5])
        deviations = [
            part[:, is_common].mean(1).var(ddof=1) / len(part)
            for part in pairs
            if len(part) > 1
        ]
        error = np.sqrt(sum(deviations))
        mean = gap[is_common].mean()
        if abs(mean) > LARGEST_MEAN:
            cells.append(f"explodes; median row {np.median(gap[is_common]):+.4f}")
            are_better.append(np.sign(mean))
            continue
        of_seeds = f" ± {error:.4f}" if deviations else ""
        cells.append(f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]{of_seeds}")
        beyond_seeds = abs(mean) > 3.0 * error
        are_better.append(np.sign(mean) * (low * high > 0) * beyond_seeds)
    return f"{' | '.join(cells)} | {verdict(*are_better)}"


def answers_of(judged: list[Judged], score: int) -> np.ndarray:
    return np.stack([answer.scores[score] for answer in judged])


def verdict(crps: float, energy: float) -> str:
    """What may be said of a first model against a second."""
    words = {-1.0: "better", 1.0: "worse", 0.0: "not told apart"}
    if crps == energy:
        return words[crps]
    return f"CRPS {words[crps]}, energy {words[energy]}"


def differences_table(
    answers: Answers,
    pairs: list[tuple[str, str]],
    clusters: np.ndarray,
    is_judged: np.ndarray | None = None,
) -> list[str]:
    """Differences of pairs of models on the rows that are judged, all of them when absent."""
    if is_judged is None:
        is_judged = np.ones(len(clusters), bool)
    lines = ["| | minus | CRPS | energy score | the first is |", "|---" * 5 + "|"]
    for first, second in pairs:
        if {first, second} <= answers.keys():
            cells = difference(answers[first], answers[second], clusters, is_judged)
            lines.append(f"| {first} | {second} | {cells} |")
    return lines


def readme_table(answers: Answers) -> list[str]:
    lines = [
        "| model | energy score | CRPS | median row | unphysical samples |",
        "|---" * 5 + "|",
    ]
    for name in IN_README:
        if name in answers:
            judged = answers[name]
            means = [numbers_of(judged, key) for key in ("energy_score", "crps")]
            if np.mean([a.numbers["energy_score"] for a in judged]) > LARGEST_MEAN:
                means = ["explodes", "explodes"]
            bad = np.mean([answer.numbers["unphysical"] for answer in judged])
            cells = [*means, medians(judged, 1), f"{bad:.3f}".replace("0.000", "0")]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def references_table(answers: Answers, catalogue: Catalogue) -> list[str]:
    names = [name.removeprefix("last_") for name in catalogue.targets]
    lines = [
        f"| | energy score | CRPS | {' | '.join(names)} |",
        "|---" * (len(names) + 3) + "|",
    ]
    for name in REFERENCES:
        if name in answers:
            judged = answers[name]
            errors = [
                np.mean([answer.numbers["mae_of_median"][target] for answer in judged])
                for target in catalogue.targets
            ]
            means = [numbers_of(judged, key) for key in ("energy_score", "crps")]
            cells = [*means, *(f"{error:.3f}" for error in errors)]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def put(page: Path, mark: str, lines: list[str]) -> None:
    """Write lines between the marks of a page."""
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    text = page.read_text(encoding="utf-8")
    if begin not in text:
        print(f"{page} has no {begin}")
        return
    before, after = text.split(begin)[0], text.split(end)[1]
    body = "\n".join(lines)
    page.write_text(f"{before}{begin}\n{body}\n{end}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("peers"))
    parser.add_argument("--score", type=Path, default=Path("../shared/score.py"))
    args = parser.parse_args()
    catalogue = read_table(args.folder)
    judge = Judge(args.score, args.folder, catalogue)
    answers: Answers = {}
    for name in ROWS:
        judged = [judge_row(judge, args.out, name, seed) for seed in SEEDS]
        whole = [answer for answer in judged if answer is not None]
        most = max((answer.folds for answer in whole), default=0)
        if whole:
            answers[name] = [answer for answer in whole if answer.folds == most]
            print(name, extent(answers[name]), flush=True)
    against = [(name, DEFAULT) for name in answers if name != DEFAULT]
    clusters, first_fold = catalogue.clusters, np.zeros(len(catalogue.table), bool)
    first_fold[units(catalogue, 0, 0)[0].split.test] = True
    searched = [pair for pair in against if pair[0] in RIVALS_OF_PRESET]
    tables = {
        "scores": scores_table(answers),
        "steps": differences_table(answers, STEPS, clusters),
        "differences": differences_table(answers, against, clusters),
        "first fold": differences_table(answers, searched, clusters, first_fold),
    }
    for mark, lines in tables.items():
        put(REPOSITORY / "docs/peers.md", mark, lines)
        print("\n".join(lines), "\n")
    put(
        REPOSITORY / "docs/baseline.md",
        "references",
        references_table(answers, catalogue),
    )
    put(REPOSITORY / "README.md", "comparison", readme_table(answers))


if __name__ == "__main__":
    main()
