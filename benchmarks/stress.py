"""Does the model notice when it does not apply? Detection of spoilt catalogues, and disturbed against relaxed clusters.

    python benchmarks/stress.py ../shared/data/tng_cluster --observed ../shared/data/observed --cache cache

Five folds by cluster: every cluster is looked at by a model and a domain that have not seen it (kept
in the cache, which benchmarks/injected.py shares). The first three columns set alarms of their own,
where 5 % of the untouched clusters would be flagged; ``shipped flag`` is that of ``infer`` (alarms at
99 % of the training clusters, and ranges); then the p-value of the sample test on 100 objects, in how
many folds the relations of those 100 are asked about, and the coverage of the central 68 % of M500 at
the collision and of all targets, with its error over clusters.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from astropy.table import Table
from scipy.stats import mannwhitneyu

from cinn_clusters import InferenceOptions, infer, load_model, read_catalogue, schema
from cinn_clusters.catalogues.mapping import Mapping, read_preset
from cinn_clusters.cosmology import HUBBLE_H
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.data.split import folds_by_cluster
from cinn_clusters.diagnostics.scores import bootstrap_weights, central_coverage
from cinn_clusters.evaluation.ground_truth import dequantised_ground_truth
from cinn_clusters.ood.relations import relations
from cinn_clusters.ood.sample_test import two_sample_test
from cinn_clusters.posterior.disagreement import disagreement
from injected import fold_model

GAS, STARS, HOLE, HALO = (
    "GroupGasMass",
    "bcg_StellarMass",
    "bcg_SubhaloBHMass",
    "bcg_SubhaloMass",
)
MASSES = (schema.MASS, GAS, STARS, HALO)


def moved(
    transforms: MeasurementTransforms, inputs: np.ndarray, shifts: dict[str, float]
) -> np.ndarray:
    """Inputs with some columns shifted [dex; Gyr for the time]."""
    result = inputs.copy()
    for name, shift in shifts.items():
        place = transforms.names.index(name)
        is_log = transforms.observables[place].is_log
        result[:, place] = (
            result[:, place] * 10.0**shift if is_log else result[:, place] + shift
        )
    return result


def noisy(
    transforms: MeasurementTransforms, inputs: np.ndarray, width: float
) -> np.ndarray:
    rng = np.random.default_rng(0)
    result = inputs.copy()
    for name in MASSES:
        result[:, transforms.names.index(name)] += width * rng.standard_normal(
            len(inputs)
        )
    return result


STRESSES = {
    "untouched": lambda t, x: x,
    "gas mass -0.2 dex": lambda t, x: moved(t, x, {GAS: -0.2}),
    "gas mass +0.2 dex": lambda t, x: moved(t, x, {GAS: 0.2}),
    "hydrostatic mass bias 0.8": lambda t, x: moved(t, x, {schema.MASS: np.log10(0.8)}),
    "M500 in Msun/h": lambda t, x: moved(t, x, {schema.MASS: np.log10(HUBBLE_H)}),
    "M500 ten times too large": lambda t, x: moved(t, x, {schema.MASS: 1.0}),
    "stars of 50 kpc as of the whole": lambda t, x: moved(t, x, {STARS: -0.85}),
    "time 3 Gyr too long (cosmology)": lambda t, x: moved(t, x, {schema.LOOKBACK: 3.0}),
    "groups: all masses -1 dex": lambda t, x: moved(
        t, x, dict.fromkeys((*MASSES, HOLE), -1.0)
    ),
    "noise of 0.2 dex not told": lambda t, x: noisy(t, x, 0.2),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path)
    parser.add_argument("--observed", type=Path)
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--folds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.cache.mkdir(parents=True, exist_ok=True)
    if args.observed is not None:
        disturbed(args.observed)
    catalogue = read_catalogue(
        args.table / "observables1.csv", args.table / "unobservables1.csv"
    )
    found: dict[str, list[np.ndarray]] = {name: [] for name in STRESSES}
    chances: dict[str, list[float]] = {name: [] for name in STRESSES}
    shipped: dict[str, list[bool]] = {name: [] for name in STRESSES}
    noted: dict[str, list[bool]] = {name: [] for name in STRESSES}
    inside: dict[str, list[np.ndarray]] = {name: [] for name in STRESSES}
    clusters: dict[str, list[np.ndarray]] = {name: [] for name in STRESSES}
    truth = dequantised_ground_truth(catalogue)
    for k, split in enumerate(folds_by_cluster(catalogue.clusters, 5, 0)):
        if k not in args.folds:
            continue
        model = load_model(fold_model(catalogue, split, args.cache / f"model.{k}"))
        posterior = model.posterior
        support, transforms = model.support, posterior.transforms
        inputs = catalogue.rows(split.test).inputs(transforms.inputs)
        rng = np.random.default_rng(k)
        for name, spoil in STRESSES.items():
            spoilt = spoil(transforms, inputs)
            usable = np.flatnonzero(transforms.is_usable(spoilt).numpy())
            given, rows = spoilt[usable], split.test[usable]
            clusters[name].append(catalogue.clusters[rows])
            shipped[name] += [True] * (len(spoilt) - len(usable))  # refused
            squared, _ = transforms.mahalanobis(support.robust, given)
            doubt = disagreement(posterior, given)
            found[name].append(np.stack([squared, doubt]))
            shipped[name] += [
                bool(reasons) for reasons in support.reasons(given, doubt)
            ]
            some = given[rng.choice(len(given), min(100, len(given)), replace=False)]
            test = two_sample_test(model.populations, transforms, some, seed=k)
            chances[name].append(test.p_value)
            questions = [one.notes for one in relations(transforms, some)]
            noted[name].append(any(questions))
            samples = posterior.sample(given, 300).astype(float)
            of_rows = central_coverage(samples, truth[rows], np.array([0.68]))[0]
            inside[name].append(of_rows)
    alarms = np.quantile(np.concatenate(found["untouched"], 1), [0.95, 0.975], axis=1)
    mass = catalogue.targets.index(schema.COLLISION_MASS)

    def coverage(name: str, of_rows: np.ndarray) -> str:
        weights = bootstrap_weights(np.concatenate(clusters[name]))
        return f"{of_rows.mean():.3f} ± {(weights @ of_rows).std():.3f}"

    print(
        "| catalogue | distance | disagreement | either | shipped flag | sample test, median p "
        "| relations | coverage of 68 %, M500 then | all targets |"
    )
    print("|---" * 9 + "|")
    for name in STRESSES:
        distance, doubt = np.concatenate(found[name], 1)
        either = ((distance > alarms[1, 0]) | (doubt > alarms[1, 1])).mean()
        alone = f"{(distance > alarms[0, 0]).mean():.2f} | {(doubt > alarms[0, 1]).mean():.2f}"
        covered = np.concatenate(inside[name]).astype(float)
        print(
            f"| {name} | {alone} | {either:.2f} | {np.mean(shipped[name]):.3f} "
            f"| {np.median(chances[name]):.3f} | {sum(noted[name])} of {len(noted[name])} "
            f"| {coverage(name, covered[:, mass])} | {coverage(name, covered.mean(1))} |"
        )


def disturbed(folder: Path) -> None:
    """Say whether clusters that look disturbed are given other histories than relaxed ones."""
    from presets import lines, rexcess

    rows = [row for row in lines(folder / "vikhlinin_v09.txt") if len(row) >= 13]
    vikhlinin = Table(
        {
            name: [row[i] for row in rows]
            for i, name in ((0, "name"), (2, "z"), (6, "m"), (7, "e"))
        }
    )
    vikhlinin["disturbed"] = [row[12] for row in rows]
    mapping = Mapping.model_validate(
        {
            "object_name": "name",
            "cosmology": {"H0": 72.0, "Om0": 0.3},
            "redshift": {"column": "z"},
            "mass": {
                "column": "m",
                "unit": "1e14 Msun",
                "error": "e",
                "calibration": "hydrostatic",
            },
        }
    )
    compare("REXCESS, centre shift", rexcess(folder), read_preset("rexcess"))
    compare("Vikhlinin+09, merger flag", vikhlinin, mapping)


def compare(title: str, table: Table, mapping: Mapping) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "own.vot")
        table.write(path, format="votable")
        options = InferenceOptions(table=Path(scratch, "own.ecsv"))
        done = infer(path, Path(scratch, "own.nc"), mapping=mapping, options=options)
        answer = Table.read(done.table, format="ascii.ecsv")
    flag = np.array([str(value) == "1" for value in answer["disturbed"]])
    redshift = np.asarray(answer[mapping.quantities["redshift"].column], dtype=float)
    since = np.asarray(answer["time_since_collision_Gyr_median"], dtype=float)
    rest = since - np.polyval(np.polyfit(redshift, since, 2), redshift)
    chances = [
        mannwhitneyu(values[flag], values[~flag]).pvalue for values in (since, rest)
    ]
    for name, group in (("disturbed", flag), ("others", ~flag)):
        middle = np.median(since[group]), np.median(redshift[group])
        print(
            f"{title}: {group.sum()} {name}, median time since collision {middle[0]:.2f} Gyr, redshift {middle[1]:.2f}"
        )
    print(
        f"{title}: Mann-Whitney p = {chances[0]:.4f}; with the trend with redshift taken out {chances[1]:.2f}"
    )


if __name__ == "__main__":
    main()
