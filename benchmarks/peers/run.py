"""Ours beside every rival on the same folds; one table, and paired differences.

    pip install -e '.[benchmark]'
    python benchmarks/peers/run.py ../shared/data/tng_cluster --out peers --score ../shared/score.py

Answers are kept in --out, one netCDF file a rival (ArviZ layout), so that a second run does what is
missing only; ``--again ours`` does one anew, ``--table`` rewrites the tables of docs/peers.md from
what is there. BayesFlow switches torch's autograd off on import, so it lives in an environment and
a process of its own: see ``bayesflow_rival.py``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from rivals import NUM_DRAWS, RIVALS, SEED, Answer, Fold

from cinn_clusters import read_catalogue
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.split import folds_by_cluster
from cinn_clusters.diagnostics.scores import bootstrap_weights, crps, energy_score
from cinn_clusters.evaluation.ground_truth import dequantised_ground_truth, score_scales
from cinn_clusters.storage.posterior_file import (
    SampleLayout,
    read_samples,
    sample_writer,
)

DOCS = Path(__file__).parents[2] / "docs/peers.md"
BAYESFLOW = "BayesFlow"
MARKS = ("<!-- tables -->", "<!-- /tables -->")


def folds(catalogue: Catalogue) -> list[Fold]:
    """The five folds of the protocol."""
    return [
        Fold(catalogue, split, dequantised_ground_truth(catalogue, split.test))
        for split in folds_by_cluster(catalogue.clusters)
    ]


def answer_all(name: str, catalogue: Catalogue, path: Path, changes: list[str]) -> None:
    """Run a rival on every fold and keep its out-of-fold answer."""
    shape = (NUM_DRAWS, *catalogue.theta.shape)
    samples, log_prob = np.empty(shape, np.float32), np.full(shape[1], np.nan)
    train_seconds = draw_seconds = 0.0
    for number, fold in enumerate(folds(catalogue)):
        torch.manual_seed(SEED + number)
        answer: Answer = RIVALS[name](fold, changes)
        samples[:, fold.split.test] = answer.samples
        if answer.log_prob is not None:
            log_prob[fold.split.test] = answer.log_prob
        train_seconds, draw_seconds = (
            train_seconds + answer.train_seconds,
            draw_seconds + answer.draw_seconds,
        )
        print(
            f"{name}: fold {number + 1} of 5, {answer.train_seconds:.0f} s", flush=True
        )
    write_answer(path, catalogue, samples, log_prob, train_seconds, draw_seconds)


def write_answer(
    path: Path,
    catalogue: Catalogue,
    samples: np.ndarray,
    log_prob: np.ndarray,
    train: float,
    draw: float,
) -> None:
    """Keep an out-of-fold answer in the ArviZ layout."""
    keys = catalogue.table[["HaloOrigID", "HaloID", "Snapshot"]]
    speed = samples.shape[0] * samples.shape[1] / draw if draw > 0 else float("nan")
    notes = {
        "train_seconds": f"{train:.3f}",
        "draws_per_second": f"{speed:.6g}",
        "made": time.strftime("%Y-%m-%d"),
    }
    layout = SampleLayout(
        catalogue.targets,
        len(samples),
        keys,
        notes,
        ground_truth=catalogue.theta,
        has_densities=True,
    )
    with sample_writer(path, layout, overwrite=True) as writer:
        writer.put(slice(0, len(keys)), samples)
        writer.put_log_prob(
            slice(0, len(keys)), np.full((1, len(keys)), np.nan, np.float32), log_prob
        )


def judged(path: Path, folder: Path, score: Path) -> dict[str, float]:
    """Score a file with the protocol's own script."""
    command = [
        sys.executable,
        str(score),
        str(path),
        str(folder / "unobservables1.csv"),
        str(folder / "observables1.csv"),
    ]
    done = subprocess.run(
        [*command, "--json"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        return {}
    return dict(json.loads(done.stdout))


def by_row(path: Path, catalogue: Catalogue) -> dict[str, np.ndarray]:
    """CRPS, energy score and NLL of every row."""
    samples, scale = (
        read_samples(path, catalogue.targets).astype(float),
        score_scales(catalogue),
    )
    with xr.open_dataset(path, group="sample_stats") as stats:
        nll = -stats["lp_truth"].to_numpy()
    truth = catalogue.theta / scale
    return {
        "crps": crps(samples / scale, truth).mean(1),
        "energy": energy_score(samples / scale, truth),
        "nll": nll,
    }


def cell(value: float, digits: int) -> str:
    """A number for a table."""
    if not np.isfinite(value):
        return "not finite" if np.isinf(value) else ""
    return f"{value:.{digits}f}" if abs(value) < 1e4 else f"{value:.2g}"


def tables(
    names: list[str], catalogue: Catalogue, folder: Path, out: Path, score: Path
) -> str:
    """Both tables in markdown."""
    weights = bootstrap_weights(catalogue.clusters, 4000, 1)
    rows = {name: by_row(out / f"{slug(name)}.nc", catalogue) for name in names}
    first = [
        "| | energy score | CRPS | NLL | calibration error | outside band | unphysical | train s | draws/s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    second = ["| minus ours | CRPS | energy score | NLL |", "|---|---|---|---|"]
    for name in names:
        path = out / f"{slug(name)}.nc"
        told, nll = judged(path, folder, score), rows[name]["nll"]
        with xr.open_dataset(path, group="posterior") as data:
            notes = dict(data.attrs)
        numbers = [
            cell(told.get(key, np.nan), digits)
            for key, digits in (("energy_score", 4), ("crps", 4))
        ]
        numbers.append(cell(float(nll.mean()), 3))
        numbers += [
            cell(told.get(key, np.nan), digits)
            for key, digits in (
                ("calibration_error", 4),
                ("coverage_outside_99_band", 3),
                ("unphysical", 4),
            )
        ]
        numbers.append(cell(float(notes["train_seconds"]), 0))
        numbers.append(cell(float(notes["draws_per_second"]), 0))
        first.append(f"| {name} | {' | '.join(numbers)} |")
        if name != "ours":
            second.append(
                f"| {name} | {' | '.join(difference(rows[name], rows['ours'], weights))} |"
            )
    return "\n".join([*first, "", *second])


def difference(
    theirs: dict[str, np.ndarray], own: dict[str, np.ndarray], weights: np.ndarray
) -> list[str]:
    """Paired differences with 99 % intervals, whole clusters resampled."""
    told = []
    for score in ("crps", "energy", "nll"):
        gap = theirs[score] - own[score]
        if not np.isfinite(gap).all():
            told.append("not finite" if np.isinf(gap).any() else "")
            continue
        low, high = np.percentile(weights @ gap, [0.5, 99.5])
        told.append(f"{cell(gap.mean(), 4)} [{cell(low, 4)}, {cell(high, 4)}]")
    return told


def slug(name: str) -> str:
    """File name of a rival."""
    return "_".join(name.lower().replace(",", "").split())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", type=Path, help="holds observables1.csv and unobservables1.csv"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("peers"), help="where answers are kept"
    )
    parser.add_argument(
        "--score",
        type=Path,
        default=Path("../shared/score.py"),
        help="the protocol's script",
    )
    parser.add_argument("--only", nargs="*", choices=list(RIVALS), help="these rivals")
    parser.add_argument(
        "--again", nargs="*", default=[], choices=list(RIVALS), help="do these anew"
    )
    parser.add_argument(
        "--set",
        nargs="*",
        default=[],
        dest="changes",
        help="settings of ours, section.key=value",
    )
    parser.add_argument(
        "--table", action="store_true", help="only rewrite the tables from what is kept"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    catalogue = read_catalogue(
        args.folder / "observables1.csv", args.folder / "unobservables1.csv"
    )
    for name in [] if args.table else (args.only or list(RIVALS)):
        path = args.out / f"{slug(name)}.nc"
        if name in args.again or not path.exists():
            answer_all(name, catalogue, path, args.changes)
    kept = [
        name
        for name in [*RIVALS, BAYESFLOW]
        if (args.out / f"{slug(name)}.nc").exists()
    ]
    if "ours" in kept:
        text = tables(kept, catalogue, args.folder, args.out, args.score)
        print(text)
        if DOCS.exists():
            page = DOCS.read_text(encoding="utf-8")
            before, after = page.split(MARKS[0])[0], page.split(MARKS[1])[1]
            DOCS.write_text(
                f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}", encoding="utf-8"
            )


if __name__ == "__main__":
    main()
