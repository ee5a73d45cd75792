"""How often the shipped checks fire on clusters of the simulation itself: flags of single objects, and the sample test.

    cinn-clusters prepare --observables observables1.csv --targets unobservables1.csv --out run
    python benchmarks/false_alarms.py run

The model is that of the package, the run its own table and split. ``labelled``: rows with a usable
history, nine in ten of them training rows; ``held out``: those of the test clusters alone; ``all``:
every row of the table. The sample test warns below p = 0.01: of subsets drawn at random from the
labelled rows it should do so in at most 1 %.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cinn_clusters import schema
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.ood.sample_test import two_sample_test
from cinn_clusters.posterior.disagreement import disagreement
from cinn_clusters.storage.model import load_model
from cinn_clusters.storage.run import open_run

GIVEN = {
    "all six": None,
    "M500, gas": (schema.MASS, "GroupGasMass"),
    "M500": (schema.MASS,),
}
SIZES = (50, 100, 200, 500, 1000)
WARNING = 0.01


def keeping(
    transforms: MeasurementTransforms, inputs: np.ndarray, kept: tuple[str, ...] | None
) -> np.ndarray:
    """Inputs without the observables that are not given."""
    result = inputs.copy()
    for name in transforms.optional:
        if kept is not None and name not in kept:
            result[:, transforms.names.index(name)] = np.nan
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--subsets", type=int, default=100)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, run = load_model(), open_run(args.run)
    transforms = model.posterior.transforms
    labelled = run.catalogue.inputs(transforms.inputs)
    left_out = run.left_out()
    others = np.zeros((len(left_out), len(transforms.inputs)))
    others[:, : len(transforms.names)] = left_out[list(transforms.names)].to_numpy(
        float
    )
    rows = {
        "labelled": labelled,
        "held out": labelled[run.split.test],
        "all": np.concatenate([labelled, others]),
    }
    print(
        "| rows | given | flagged | outside a range | unlike 99 % | members disagree |\n|---|---|---|---|---|---|"
    )
    for told, inputs in rows.items():
        for name, kept in GIVEN.items():
            given = keeping(transforms, inputs, kept)
            reasons = pd.Series(
                model.support.reasons(given, disagreement(model.posterior, given))
            )
            kinds = ("all training clusters (", "unlike", "disagree")
            shares = [
                np.mean([any(kind in reason for reason in one) for one in reasons])
                for kind in kinds
            ]
            told_shares = " | ".join(
                f"{share:.1%}" for share in (np.mean(reasons.map(bool)), *shares)
            )
            print(f"| {told}, {len(given)} | {name} | {told_shares} |")
    print(
        "\n| objects | "
        + " | ".join(f"warned, {name}" for name in GIVEN)
        + " |\n|---"
        + "|---" * len(GIVEN)
        + "|"
    )
    for size in SIZES:
        shares = []
        for kept in GIVEN.values():
            chances = []
            for seed in range(args.subsets):
                chosen = np.random.default_rng(seed).choice(
                    len(labelled), size, replace=False
                )
                given = keeping(transforms, labelled[chosen], kept)
                chances.append(
                    two_sample_test(
                        model.populations, transforms, given, seed=seed
                    ).p_value
                )
            shares.append(f"{np.mean(np.array(chances) < WARNING):.0%}")
        print(f"| {size} | {' | '.join(shares)} |")
    for name, kept in GIVEN.items():
        distance, chance = two_sample_test(
            model.populations, transforms, keeping(transforms, rows["all"], kept)
        )
        print(f"the whole table, {name}: MMD^2 {distance:.4f}, p {chance:.3f}")


if __name__ == "__main__":
    main()
