"""What a bias of a catalogue does to the answers, and what stating it mends: catalogues of held-out clusters.

    python benchmarks/injected.py ../shared/data/tng_cluster --cache cache

Five folds by cluster; each catalogue holds the clusters of a fold, measured with one bias, and goes
through ``infer`` with a mapping, once without and once with the bias stated, by a model that has not
seen them. The cache keeps the models and the scores of each run. CRPS in units of the fixed scales;
coverage of the central 68 % with its error over clusters; ``flagged``: rows that ``infer`` flags;
``sample``: catalogues of five about which the two-sample test warns (p < 0.01); ``log``: what the
log of conversions asks about how many of them.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from cinn_clusters import (
    InferenceOptions,
    Sampling,
    infer,
    read_catalogue,
    read_config,
    save_model,
    schema,
)
from cinn_clusters.catalogues.mapping import Mapping
from cinn_clusters.cosmology import age_at_lookback, time_of_redshift
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.split import Split, folds_by_cluster
from cinn_clusters.diagnostics.scores import bootstrap_weights, central_coverage, crps
from cinn_clusters.evaluation.ground_truth import (
    dequantised_ground_truth,
    score_scales,
    unphysical,
)
from cinn_clusters.pipeline.inference.result_table import STATUS
from cinn_clusters.posterior.fit import fit
from cinn_clusters.posterior.trained import add_checks
from cinn_clusters.storage.posterior_file import read_samples

GAS = "GroupGasMass"
NUM_FOLDS, NUM_SAMPLES, WARNING = 5, 300, 0.01
MASS_ERROR, GAS_ERROR = 0.10, 0.05
"""Standard errors of log10 M500 and of log10 of the gas, stated, where nothing else is said."""
SLOPE, LIMIT = -2.0, 14.5
"""Mass function d ln N / d ln M of the sample selected by mass, and its limit of the measured log10 M500."""
MAPPING: dict[str, Any] = {
    "object_name": "name",
    "redshift": {"column": "z"},
    "mass": {
        "column": "m500",
        "unit": "Msun",
        "scale": "log10",
        "error": "e_m500",
        "error_scale": "dex",
        "calibration": "true",
    },
    "gas_mass": {
        "column": "gas",
        "unit": "Msun",
        "scale": "log10",
        "error": "e_gas",
        "error_scale": "dex",
        "definition": "group",
    },
}
NOTES = ("calibration not stated", "biased?", "understated?", "correlated")
"""What the log of conversions may ask."""
Measure = Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]
"""True redshift, log10 M500 and log10 gas mass of some rows to a catalogue of them."""


@dataclass(frozen=True)
class Injection:
    """One bias.

    Args:
        name: Of the bias.
        measure: Makes the catalogue; rows may be left out or repeated.
        unstated: Changes of the mapping that does not state the bias; None takes a key away.
        stated: Changes of the mapping that does; none: there is nothing to state.
    """

    name: str
    measure: Measure
    unstated: dict[str, Any] = field(default_factory=dict)
    stated: dict[str, Any] | None = None


def measured(
    true: pd.DataFrame,
    rng: np.random.Generator,
    errors: tuple[float, float] = (MASS_ERROR, GAS_ERROR),
    correlation: float = 0.0,
) -> pd.DataFrame:
    """Masses with Gaussian errors, and those errors."""
    covariance = np.array([[1.0, correlation], [correlation, 1.0]])
    noise = rng.multivariate_normal(np.zeros(2), covariance, len(true)) * errors
    return true.assign(
        m500=true.m500 + noise[:, 0],
        gas=true.gas + noise[:, 1],
        e_m500=errors[0],
        e_gas=errors[1],
    )


def hydrostatic(ratio: float) -> Measure:
    """Masses of 1 - b = ``ratio``, with 20 % of scatter from cluster to cluster."""

    def measure(true: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        bias = np.log10(ratio) + 0.0869 * rng.standard_normal(len(true))
        table = measured(true, rng)
        return table.assign(m500=table.m500 + bias)

    return measure


def two_sided(true: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Masses from which the true ones deviate by a two-piece normal of 0.05 and 0.25 dex."""
    below, above = 0.05, 0.25
    is_above = rng.random(len(true)) < above / (below + above)
    size = np.abs(rng.standard_normal(len(true)))
    offset = np.where(is_above, above * size, -below * size)
    table = measured(true, rng)
    middle = 0.5 * (below + above)
    return table.assign(
        m500=true.m500 - offset, e_low=below, e_high=above, e_m500=middle
    )


def correlated(true: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Errors of 0.15 dex of M500 and gas with a correlation of 0.9."""
    return measured(true, rng, (0.15, 0.15), 0.9)


def understated(true: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Errors four times as large as a column says; another says it right."""
    table = measured(true, rng, (0.2, 0.1))
    return table.assign(small_m500=0.05, small_gas=0.025)


def mass_selected(true: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Clusters of a steep mass function whose measured mass (0.2 dex) exceeds a limit."""
    inside = true[(true.m500 > 14.2) & (true.m500 < 15.2)]
    counts, edges = np.histogram(inside.m500, 10)
    bins = np.clip(np.searchsorted(edges, inside.m500) - 1, 0, 9)
    weight = 10.0 ** (SLOPE * (inside.m500 - 14.2)) / counts[bins]
    chosen = rng.choice(inside.index, 4 * len(true), p=weight / weight.sum())
    table = measured(true.loc[chosen], rng, (0.2, GAS_ERROR)).drop(columns="gas")
    return table[table.m500 > LIMIT][: len(true)]


def photometric(true: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Redshifts with errors of 0.05 (1 + z)."""
    table = measured(true, rng)
    error = 0.05 * (1.0 + true.z)
    redshift = np.abs(true.z + error * rng.standard_normal(len(true)))
    return table.assign(z=redshift, e_z=error)


def limited(true: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Gas masses, of which those below the median are upper limits at the median."""
    table = measured(true, rng)
    limit = float(table.gas.median())
    is_limit = table.gas < limit
    side = np.where(is_limit, "<", "")
    return table.assign(gas=np.maximum(table.gas, limit), gas_limit=side)


def symmetric(true: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Nothing is wrong."""
    return measured(true, rng)


INJECTIONS = (
    Injection("none", symmetric),
    Injection(
        "hydrostatic, 1-b = 0.8",
        hydrostatic(0.8),
        {"mass": {"calibration": None}},
        {"mass": {"calibration": "hydrostatic"}},
    ),
    Injection(
        "hydrostatic, 1-b = 0.7",
        hydrostatic(0.7),
        {"mass": {"calibration": None}},
        {"mass": {"calibration": "hydrostatic", "offset": -np.log10(0.7)}},
    ),
    Injection(
        "two-sided errors, 0.05 and 0.25 dex, told as their mean",
        two_sided,
        {},
        {"mass": {"error": None, "error_low": "e_low", "error_high": "e_high"}},
    ),
    Injection(
        "correlated errors, 0.9",
        correlated,
        {},
        {"correlation": [{"quantities": ["mass", "gas_mass"], "value": 0.9}]},
    ),
    Injection(
        "errors understated by 4",
        understated,
        {"mass": {"error": "small_m500"}, "gas_mass": {"error": "small_gas"}},
        {},
    ),
    Injection(
        f"selected by mass, slope {SLOPE:g}, M500 alone",
        mass_selected,
        {"gas_mass": None},
        {"gas_mass": None, "mass_prior": SLOPE},
    ),
    Injection(
        "photometric redshifts, 0.05 (1 + z)",
        photometric,
        {},
        {"redshift": {"error": "e_z"}},
    ),
    Injection(
        "upper limits of half of the gas, told as detections",
        limited,
        {},
        {"gas_mass": {"limit": "gas_limit"}},
    ),
)


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A mapping with changes of its parts; None takes a part away."""
    result = dict(base)
    for name, change in changes.items():
        if isinstance(change, dict):
            change = merged(result.get(name, {}), change)
        result[name] = change
    return {name: value for name, value in result.items() if value is not None}


def fold_model(catalogue: Catalogue, split: Split, path: Path) -> Path:
    """The default preset with its checks, trained on the other folds, from the cache where it is there."""
    if not path.exists():
        config = read_config()
        posterior = fit(catalogue, split, config)
        fitted = catalogue.rows(np.concatenate([split.train, split.validation]))
        others = catalogue.left_out
        is_test = others[catalogue.cluster_column].isin(catalogue.clusters[split.test])
        left_out = others[~is_test].reset_index(drop=True)
        save_model(add_checks(posterior, config, fitted, left_out), path)
    return path


def true_values(catalogue: Catalogue) -> pd.DataFrame:
    """Redshift, log10 M500 and log10 gas mass of all rows."""
    grid = np.linspace(0.0, 3.0, 30_001)
    redshift = np.interp(catalogue.table[schema.LOOKBACK], time_of_redshift(grid), grid)
    values = catalogue.table[[schema.MASS, GAS]].to_numpy(float)
    return pd.DataFrame({"z": redshift, "m500": values[:, 0], "gas": values[:, 1]})


def score(
    catalogue: Catalogue, table: pd.DataFrame, model: Path, mapping: dict[str, Any]
) -> pd.DataFrame:
    """Infer a catalogue (its index: rows of the simulation) and score it row by row."""
    named = table.assign(name=[f"{row}-{n}" for n, row in enumerate(table.index)])
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "catalogue.csv")
        named.to_csv(path, index=False)
        done = infer(
            path,
            Path(scratch, "own.nc"),
            model=model,
            mapping=Mapping.model_validate(mapping),
            sampling=Sampling(NUM_SAMPLES),
            options=InferenceOptions(table=Path(scratch, "own_table.csv")),
        )
        answer = pd.read_csv(done.table)
        samples = read_samples(done.posterior, catalogue.targets).astype(float)
    status = answer[STATUS].to_numpy(str)
    is_answered = np.isin(status, ("ok", "flagged"))
    rows = table.index.to_numpy()[is_answered]
    truth = dequantised_ground_truth(catalogue)[rows]
    theta = catalogue.theta[rows]

    # a time is that since the collision, counted back from the age at the redshift as observed
    age = age_at_lookback(time_of_redshift(table.z.to_numpy()[is_answered]))
    time = catalogue.targets.index(schema.COLLISION_TIME)
    for values in (truth, theta):
        values[:, time] += age - catalogue.age[rows]
    scale = score_scales(catalogue)
    inside = central_coverage(samples, truth, np.array([0.68]))[0]
    mass = catalogue.targets.index(schema.COLLISION_MASS)
    scores = crps(samples / scale, theta / scale)
    log = " ".join(done.conversions)
    return pd.DataFrame(
        {
            "cluster": catalogue.clusters[rows],
            "crps": scores.mean(1),
            "crps_mass": scores[:, mass],
            "inside": inside.mean(1),
            "inside_mass": inside[:, mass],
            "is_flagged": status[is_answered] == "flagged",
            "is_unphysical": unphysical(samples, catalogue.rows(rows)).mean(0),
            "p": done.sample_test[1],
            **{f"note_{note}": note in log for note in NOTES},
            "num_unanswered": int((~is_answered).sum()),
        }
    )


def line(name: str, bias: str, scores: list[pd.DataFrame]) -> str:
    """A row of the table."""
    rows = pd.concat(scores, ignore_index=True)
    weights = bootstrap_weights(rows.cluster.to_numpy())

    def coverage(column: str) -> str:
        inside = rows[column].to_numpy(float)
        return f"{inside.mean():.3f} ± {(weights @ inside).std():.3f}"

    warned = sum(bool(one.p.iloc[0] < WARNING) for one in scores)
    counts = {
        note: sum(one[f"note_{note}"].iloc[0] for one in scores) for note in NOTES
    }
    noted = ", ".join(f"{note} {count}" for note, count in counts.items() if count)
    return (
        f"| {name} | {bias} | {rows.crps.mean():.4f} | {rows.crps_mass.mean():.4f} | "
        f"{coverage('inside_mass')} | {coverage('inside')} | {rows.is_flagged.mean():.3f} | "
        f"{warned} of {len(scores)} | {noted} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--folds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--only", nargs="*", help="begin of the names of biases")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.cache.mkdir(parents=True, exist_ok=True)
    catalogue = read_catalogue(
        args.table / "observables1.csv", args.table / "unobservables1.csv"
    )
    true = true_values(catalogue)
    splits = list(folds_by_cluster(catalogue.clusters, NUM_FOLDS, 0))
    print(
        "| bias | in the mapping | CRPS | of M500 then | coverage of 68 %, M500 then | all targets "
        "| flagged | sample | log |\n" + "|---" * 9 + "|",
        flush=True,
    )
    for number, injection in enumerate(INJECTIONS):
        if args.only and not injection.name.startswith(tuple(args.only)):
            continue
        runs = {"not stated": merged(MAPPING, injection.unstated)}
        if injection.stated is not None:
            runs["stated"] = merged(MAPPING, injection.stated)
        for bias, mapping in runs.items():
            scores = []
            for k in args.folds:
                path = args.cache / f"{number}.{bias.replace(' ', '-')}.{k}.csv"
                if not path.exists():
                    model = fold_model(catalogue, splits[k], args.cache / f"model.{k}")
                    rng = np.random.default_rng([number, k])
                    table = injection.measure(true.loc[splits[k].test], rng)
                    score(catalogue, table, model, mapping).to_csv(path, index=False)
                scores.append(pd.read_csv(path))
            print(line(injection.name, bias, scores), flush=True)


if __name__ == "__main__":
    main()
