"""Is P(a collision is recorded | x) calibrated? Out of fold, over all rows with and without one.

python benchmarks/selection_probability.py ../shared/data/tng_cluster
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cinn_clusters import read_catalogue, schema
from cinn_clusters.data.missing_values import accept_missing_values
from cinn_clusters.data.split import folds_by_cluster
from cinn_clusters.ood.selection import fit_classifier
from cinn_clusters.posterior.fit import fit_catalogue_transforms


def log_loss(chance: np.ndarray, answer: np.ndarray) -> float:
    return float(
        -np.log(np.clip(np.where(answer, chance, 1.0 - chance), 1e-3, 1.0)).mean()
    )


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    catalogue = read_catalogue(
        folder / "observables1.csv", folder / "unobservables1.csv"
    )
    assert catalogue.left_out is not None
    every = pd.concat(
        [catalogue.table.assign(is_recorded=1), catalogue.left_out], ignore_index=True
    )
    answer, clusters = (
        every.is_recorded.to_numpy(bool),
        every[schema.CLUSTER_COLUMN].to_numpy(),
    )
    chance, by_snapshot = np.full((2, len(every)), np.nan)
    for split in folds_by_cluster(catalogue.clusters, 5, 0):
        seen = catalogue.rows(split.train)
        plain = fit_catalogue_transforms(catalogue, split)
        names = [one.name for one in plain.observables]
        transforms = accept_missing_values(
            plain, dict(zip(names, seen.inputs(names).T, strict=True))
        )
        inputs = np.zeros((len(every), len(transforms.inputs)))
        inputs[:, : len(transforms.names)] = every[list(transforms.names)].to_numpy(
            float
        )
        test = np.isin(clusters, catalogue.clusters[split.test])
        classifier = fit_classifier(
            transforms, inputs[~test], answer[~test], clusters[~test]
        )
        chance[test] = classifier.probability(inputs[test])
        rate = every[~test].groupby("Snapshot").is_recorded.mean()
        by_snapshot[test] = rate.reindex(every.Snapshot[test]).to_numpy()
    judged = np.isfinite(
        chance
    )  # clusters without any recorded collision are in no fold
    chance, by_snapshot, answer = chance[judged], by_snapshot[judged], answer[judged]
    shares = {
        "this": chance,
        "share of the snapshot": by_snapshot,
        "share of all": np.full(len(answer), answer.mean()),
    }
    told = ", ".join(
        f"{name} {log_loss(values, answer):.3f}" for name, values in shares.items()
    )
    print(
        f"{judged.sum()} rows; log loss: {told}\n\n| said | rows | mean said | found |\n|---|---|---|---|"
    )
    for low in np.arange(0.0, 1.0, 0.1):
        inside = (chance >= low) & (chance < low + 0.1)
        if inside.any():
            means = f"{chance[inside].mean():.2f} | {answer[inside].mean():.2f}"
            print(f"| {low:.1f} to {low + 0.1:.1f} | {inside.sum()} | {means} |")


if __name__ == "__main__":
    main()
