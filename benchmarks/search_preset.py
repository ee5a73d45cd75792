"""Search settings inside the training clusters of one outer fold; the fold that is left out is never looked at.

    python benchmarks/search_preset.py ../shared/data/tng_cluster "train.batch=32" "train.batch=128
    train.noise=0.1"

Each argument after the folder is one candidate: changes to the preset, separated by blanks. The
tables of docs/decisions/0002 and 0003 are of --config exact, with the names that settings had then.
The clusters of outer fold 0 (the one the protocol would test first) are set aside; the others are
dealt into four inner folds.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from cinn_clusters import read_catalogue, read_config
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.split import folds_by_cluster
from cinn_clusters.evaluation.ground_truth import dequantised_ground_truth
from cinn_clusters.evaluation.score_report import SampledObjects, score_report
from cinn_clusters.posterior.fit import fit
from cinn_clusters.settings.config import Config

INNER_FOLDS = 4
INNER_SEED = 7
NUM_DRAWS = 1000


def training_clusters(catalogue: Catalogue) -> Catalogue:
    """Return the rows outside outer fold 0."""
    outer = next(folds_by_cluster(catalogue.clusters))
    return catalogue.rows(np.setdiff1d(np.arange(len(catalogue.table)), outer.test))


def inner_scores(catalogue: Catalogue, config: Config) -> dict[str, float]:
    """Return inner out-of-fold scores of one candidate."""
    samples = np.empty(
        (NUM_DRAWS, len(catalogue.table), len(catalogue.targets)), np.float32
    )
    log_prob = np.empty(len(catalogue.table))
    begin, truth = time.perf_counter(), dequantised_ground_truth(catalogue)
    for split in folds_by_cluster(catalogue.clusters, INNER_FOLDS, INNER_SEED):
        posterior = fit(catalogue, split, config)
        inputs = catalogue.inputs(posterior.inputs)[split.test]
        samples[:, split.test] = posterior.sample(inputs, NUM_DRAWS)
        log_prob[split.test] = posterior.log_prob(truth[split.test], inputs)
    report = score_report(SampledObjects(catalogue, samples, truth, log_prob))
    return {
        "crps": report.crps.mean,
        "energy": report.energy_score.mean,
        "calibration": report.calibration_error,
        "nll": report.nll.mean,
        "seconds": time.perf_counter() - begin,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", type=Path, help="holds observables1.csv and unobservables1.csv"
    )
    parser.add_argument(
        "candidates", nargs="*", default=[""], help="changes to the preset"
    )
    parser.add_argument("--config", help="the preset: a file, or a name such as exact")
    args = parser.parse_args()
    torch.set_num_threads(1)
    catalogue = training_clusters(
        read_catalogue(
            args.folder / "observables1.csv", args.folder / "unobservables1.csv"
        )
    )
    print(
        "| CRPS | energy score | calibration error | NLL | s | changes |\n|---|---|---|---|---|---|"
    )
    for candidate in args.candidates:
        scores = inner_scores(catalogue, read_config(args.config, candidate.split()))
        numbers = " | ".join(
            f"{scores[name]:.4f}" for name in ("crps", "energy", "calibration", "nll")
        )
        print(
            f"| {numbers} | {scores['seconds']:.0f} | {candidate or 'the preset'} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
