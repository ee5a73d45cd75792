"""CRPS of the collision times by snapshot, of one posterior or of several against the first.

    python benchmarks/collision_times.py OBSERVABLES TARGETS POSTERIOR.nc [POSTERIOR.nc ...]

A gain is one minus the ratio of mean scores on the same rows, with its 95 % interval over
bootstrapped clusters. ``truncated`` is the first posterior without its samples before the record.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from cinn_clusters import schema
from cinn_clusters.diagnostics.scores import bootstrap_weights, crps, skill
from cinn_clusters.evaluation.matched import (
    MatchedPosterior,
    TruthFiles,
    match_ground_truth,
)

TIME = "last_T_coll"
BEGIN = schema.DEFAULT.column(TIME).record_begin


def scores(matched: MatchedPosterior, *, truncate: bool = False) -> np.ndarray:
    """CRPS [Gyr] of the collision time of each object, (N,)."""
    number = matched.catalogue.targets.index(TIME)
    samples = matched.samples[..., number]  # (S, N)
    truth = matched.objects.theta[:, number]
    result = []
    for of_object, value in zip(samples.T, truth, strict=True):
        if truncate:
            of_object = of_object[of_object >= BEGIN]
        result.append(crps(of_object[:, None, None], np.array([[value]]))[0, 0])
    return np.array(result)


def main() -> None:
    """Print a table a posterior: lookback time [Gyr], rows, CRPS [Gyr], gain on the first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("observables", type=Path)
    parser.add_argument("targets", type=Path)
    parser.add_argument("posteriors", type=Path, nargs="+")
    arguments = parser.parse_args()
    files = TruthFiles(arguments.targets, arguments.observables)
    matched = {
        str(path): match_ground_truth(path, files) for path in arguments.posteriors
    }
    first = next(iter(matched.values()))
    columns = {name: scores(entry) for name, entry in matched.items()}
    columns["truncated"] = scores(first, truncate=True)
    objects = first.objects
    lookback = objects.table[schema.LOOKBACK].to_numpy().round(2)
    reference = next(iter(columns.values()))
    for name, values in columns.items():
        print(name)
        for time in np.unique(lookback)[::-1]:
            rows = lookback == time
            weights = bootstrap_weights(objects.clusters[rows], 2000)
            gain = skill(values[rows], reference[rows], weights)
            interval = f"{gain.value:+.3f} [{gain.lower:+.3f}, {gain.upper:+.3f}]"
            print(f"{time:6.2f} {rows.sum():5d} {values[rows].mean():.4f} {interval}")


if __name__ == "__main__":
    main()
