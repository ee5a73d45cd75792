"""What the answer is conditional on, and whether the selection probability is calibrated.

    python benchmarks/selection_probability.py ../shared/data/tng_cluster
    python benchmarks/selection_probability.py ../shared/data/tng_cluster --posteriors

**Record.** Mass ratios of the recorded collisions, the longest possible time since collision at
each snapshot, and the shares of its clusters with a recorded and with a usable history.

**Calibration.** P(recorded | x) and P(usable | x) of clusters that the classifier has not seen:
five folds of all clusters, with a history or without. The slope is that of a logistic regression
on the predicted log-odds (1: calibrated; more: too timid); its error resamples clusters.

**Posteriors** (minutes). The default posterior is trained on the same folds and asked of all rows
of its test clusters: p_major_recent beside what happened, and the share of the clusters whose last
collision lies within the unconditional quantiles of the time since collision.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression

from cinn_clusters import read_catalogue, read_config, schema
from cinn_clusters.cosmology import (
    age_at_lookback,
    lookback_at_redshift,
    redshift_at_lookback,
)
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.data.missing_values import accept_missing_values
from cinn_clusters.data.split import Split
from cinn_clusters.diagnostics.scores import bootstrap_weights
from cinn_clusters.ood.selection import UNCALIBRATED, MergerRecord, fit_classifier
from cinn_clusters.posterior.collision import MajorMerger, unconditional_quantiles
from cinn_clusters.posterior.fit import fit, fit_catalogue_transforms

NUM_FOLDS, NUM_RESAMPLES, NUM_SAMPLES, NUM_COPIES = 5, 200, 1000, 8
RATIO = "last_Mass_ratio"
BEGIN = schema.DEFAULT.column(schema.COLLISION_TIME).record_begin
LEVELS = (0.16, 0.5, 0.84)


@dataclass
class Everything:
    """All rows with observables, whether their history is usable or not."""

    catalogue: Catalogue
    table: pd.DataFrame
    record: MergerRecord
    since: np.ndarray
    ratio: np.ndarray

    @property
    def snapshots(self) -> dict[int, np.ndarray]:
        """Rows of each snapshot, (N,) bool."""
        numbers = self.table.Snapshot.to_numpy()
        return {int(number): numbers == number for number in np.unique(numbers)}

    def folds(self) -> list[np.ndarray]:
        """Whether a row is one of the test clusters of each fold."""
        names = np.unique(self.record.clusters)
        groups = np.array_split(np.random.default_rng(0).permutation(names), NUM_FOLDS)
        return [np.isin(self.record.clusters, group) for group in groups]


def read(folder: Path) -> Everything:
    paths = folder / "observables1.csv", folder / "unobservables1.csv"
    catalogue = read_catalogue(*paths)
    assert catalogue.left_out is not None
    usable = catalogue.table.assign(is_recorded=1, is_usable=1)
    parts = [usable, catalogue.left_out.assign(is_usable=0)]
    table = pd.concat(parts, ignore_index=True)
    recorded, is_usable = table[["is_recorded", "is_usable"]].to_numpy(bool).T
    record = MergerRecord(recorded, is_usable, table[schema.CLUSTER_COLUMN].to_numpy())
    # also of collisions whose host mass was not measured
    keys = list(schema.KEYS)
    columns = pd.read_csv(paths[1])[[*keys, schema.COLLISION_TIME, RATIO]]
    histories = table[keys].merge(columns, "left", on=keys)
    age = age_at_lookback(table[schema.LOOKBACK].to_numpy())
    since = age - histories[schema.COLLISION_TIME].to_numpy()
    return Everything(catalogue, table, record, since, histories[RATIO].to_numpy())


def print_windows() -> None:
    """Windows of redshifts by the clock of the table."""
    redshifts = np.array([1.0, 0.87, 0.7, 0.5])
    windows = age_at_lookback(lookback_at_redshift(redshifts)) - BEGIN
    pairs = zip(redshifts, windows, strict=True)
    text = ", ".join(f"{window:.2f} at z = {z:g}" for z, window in pairs)
    print(f"longest possible time since collision [Gyr]: {text}")


def print_record(everything: Everything) -> None:
    record = everything.record
    ratio = everything.ratio[record.is_usable]
    shares = [(ratio < 0.1).mean(), (ratio < 0.25).mean(), (ratio > 1 / 3).mean()]
    print(
        f"{len(everything.table)} rows of {len(np.unique(record.clusters))} clusters, "
        f"{record.is_recorded.sum()} with a recorded collision, {record.is_usable.sum()} usable"
    )
    print(
        "ratio below 0.1: {:.0%}, below 0.25: {:.0%}, above 1/3: {:.0%}".format(*shares)
    )
    masses = everything.catalogue.table.last_Subcluster_mass
    print(f"subcluster: 1 % below {1e14 * masses.quantile(0.01):.1e} Msun")
    is_marked = record.is_recorded & ~record.is_usable
    major = MajorMerger()
    happened = major.is_so(everything.since, everything.ratio)
    print(
        f"ratio > {major.ratio:g} within {major.recent_gyr:g} Gyr: {happened[record.is_usable].mean():.1%} "
        f"of the usable, {happened[is_marked].mean():.1%} of the {is_marked.sum()} not measured\n"
    )
    print(
        "| z | age [Gyr] | record window [Gyr] | recorded | usable |\n|---|---|---|---|---|"
    )
    for inside in everything.snapshots.values():
        lookback = everything.table[schema.LOOKBACK][inside].to_numpy()[:1]
        (age,), (z,) = age_at_lookback(lookback), redshift_at_lookback(lookback)
        print(
            f"| {z:.2f} | {age:.2f} | {age - BEGIN:.2f} | {record.is_recorded[inside].mean():.3f} "
            f"| {record.is_usable[inside].mean():.3f} |"
        )


@dataclass
class Predictions:
    """Of clusters that the classifier has not seen: P(recorded | x) and P(usable | x), (N,).

    ``augmented`` is P(recorded | x) of masked copies with errors, (C, N), as training makes them,
    ``uncalibrated`` that of the ensemble without Platt scaling.
    """

    recorded: np.ndarray
    usable: np.ndarray
    augmented: np.ndarray
    uncalibrated: np.ndarray


def out_of_fold(everything: Everything) -> Predictions:
    record, num_rows = everything.record, len(everything.table)
    rng = np.random.default_rng(0)
    recorded, usable, uncalibrated = np.full((3, num_rows), np.nan)
    augmented = np.full((NUM_COPIES, num_rows), np.nan)
    for is_test in everything.folds():
        transforms = fitted_transforms(everything, is_test)
        inputs = exact_inputs(everything, transforms)
        train, test = inputs[~is_test], inputs[is_test]
        classifier = fit_classifier(transforms, train, record.rows(~is_test))
        recorded[is_test] = classifier.record_probability(test)
        plain = replace(classifier, calibration=UNCALIBRATED)
        uncalibrated[is_test] = plain.record_probability(test)
        usable[is_test] = classifier.probability(test)
        copies = [transforms.augment(test, rng) for _ in range(NUM_COPIES)]
        augmented[:, is_test] = [classifier.record_probability(copy) for copy in copies]
    return Predictions(recorded, usable, augmented, uncalibrated)


def split_of(everything: Everything, is_test: np.ndarray) -> Split:
    """The rows with a usable history, for training and test."""
    of_usable = is_test[everything.record.is_usable]  # they stand first
    train, test = np.flatnonzero(~of_usable), np.flatnonzero(of_usable)
    return Split(train, train, test)


def fitted_transforms(
    everything: Everything, is_test: np.ndarray
) -> MeasurementTransforms:
    catalogue, split = everything.catalogue, split_of(everything, is_test)
    plain = fit_catalogue_transforms(catalogue, split)
    names = [entry.name for entry in plain.observables]
    columns = catalogue.rows(split.train).inputs(names).T
    return accept_missing_values(plain, dict(zip(names, columns, strict=True)))


def exact_inputs(
    everything: Everything, transforms: MeasurementTransforms
) -> np.ndarray:
    inputs = np.zeros((len(everything.table), len(transforms.inputs)))
    values = everything.table[list(transforms.names)].to_numpy(float)
    inputs[:, : len(transforms.names)] = values
    return inputs


def log_loss(probability: np.ndarray, answer: np.ndarray) -> float:
    of_answer = np.where(answer, probability, 1.0 - probability)
    return float(-np.log(np.clip(of_answer, 1e-3, 1.0)).mean())


def slope(
    probability: np.ndarray, answer: np.ndarray, weights: np.ndarray | None = None
) -> float:
    clipped = np.clip(probability, 1e-6, 1.0 - 1e-6)
    log_odds = np.log(clipped / (1.0 - clipped))[:, None]
    regression = LogisticRegression(C=np.inf).fit(log_odds, answer, weights)
    return float(regression.coef_[0, 0])


def with_error(score: Callable[[np.ndarray], float], weights: np.ndarray) -> str:
    """A weighted score, and its spread over resampled clusters."""
    spread = np.std([score(row) for row in weights])
    return f"{score(np.ones(weights.shape[1])):.3f} +- {spread:.3f}"


def print_slope(name: str, probability: np.ndarray, everything: Everything) -> None:
    record = everything.record
    weights = bootstrap_weights(record.clusters, NUM_RESAMPLES) * len(probability)
    steepness = with_error(
        lambda row: slope(probability, record.is_recorded, row), weights
    )
    loss = log_loss(probability, record.is_recorded)
    print(f"P(recorded | x) {name}: slope {steepness}, log loss {loss:.3f}")


def print_calibration(
    name: str, probability: np.ndarray, answer: np.ndarray, everything: Everything
) -> None:
    weights = bootstrap_weights(everything.record.clusters, NUM_RESAMPLES)
    weights = weights * len(answer)
    steepness = with_error(lambda row: slope(probability, answer, row), weights)
    print(f"\n{name}: slope {steepness}, log loss {log_loss(probability, answer):.3f}")
    print("\n| predicted | rows | mean predicted | observed |\n|---|---|---|---|")
    for low in np.arange(0.0, 1.0, 0.1):
        inside = (probability >= low) & (probability < low + 0.1)
        if inside.any():
            means = f"{probability[inside].mean():.3f} | {answer[inside].mean():.3f}"
            print(f"| {low:.1f} to {low + 0.1:.1f} | {inside.sum()} | {means} |")
    print("\n| snapshot | mean predicted | observed |\n|---|---|---|")
    for number, inside in everything.snapshots.items():
        observed = with_error(
            lambda row, inside=inside: np.average(answer[inside], weights=row[inside]),
            weights,
        )
        print(f"| {number} | {probability[inside].mean():.3f} | {observed} |")


def print_references(everything: Everything) -> None:
    """Log loss of the share of each snapshot and of all rows, on the same folds."""
    answer = everything.record.is_recorded
    snapshots = everything.table.Snapshot
    by_snapshot, overall = np.full((2, len(answer)), np.nan)
    for is_test in everything.folds():
        rates = pd.Series(answer[~is_test]).groupby(snapshots[~is_test].values).mean()
        by_snapshot[is_test] = rates.reindex(snapshots[is_test]).to_numpy()
        overall[is_test] = answer[~is_test].mean()
    losses = [log_loss(values, answer) for values in (by_snapshot, overall)]
    print(
        "\nlog loss: share of the snapshot {:.3f}, share of all {:.3f}".format(*losses)
    )


def print_measured(everything: Everything) -> None:
    """Whether observables tell which of the recorded collisions were measured."""
    record = everything.record
    rows = np.flatnonzero(record.is_recorded)
    answer = record.is_usable
    of_measured = MergerRecord(answer, answer, record.clusters)
    by_share, by_network = np.full((2, len(answer)), np.nan)
    for is_test in everything.folds():
        train = rows[~is_test[rows]]
        transforms = fitted_transforms(everything, is_test)
        inputs = exact_inputs(everything, transforms)
        network = fit_classifier(transforms, inputs[train], of_measured.rows(train))
        by_network[is_test] = network.record_probability(inputs[is_test])
        by_share[is_test] = answer[train].mean()
    losses = [log_loss(values[rows], answer[rows]) for values in (by_share, by_network)]
    text = "\nmeasured, of the recorded: log loss of their share {:.4f}, of a classifier {:.4f}"
    print(text.format(*losses))


def print_posteriors(everything: Everything, recorded: np.ndarray) -> None:
    major, since, ratio = MajorMerger(), everything.since, everything.ratio
    chance = np.full(len(since), np.nan)
    ends = np.full((len(LEVELS), len(since)), np.nan)
    catalogue = everything.catalogue
    for is_test in everything.folds():
        posterior = fit(catalogue, split_of(everything, is_test), read_config())
        samples = posterior.sample(everything.table[is_test], NUM_SAMPLES)
        targets = posterior.targets
        age = age_at_lookback(everything.table[schema.LOOKBACK][is_test].to_numpy())
        times = age - samples[..., targets.index(schema.COLLISION_TIME)]
        share = major.is_so(times, samples[..., targets.index(RATIO)]).mean(0)
        chance[is_test] = share * recorded[is_test]
        ends[:, is_test] = unconditional_quantiles(times, recorded[is_test], LEVELS)
    print_calibration("p_major_recent", chance, major.is_so(since, ratio), everything)
    print("\nof clusters whose quantile lies in the window, the share below it:\n")
    beyond = np.where(np.isnan(since), np.inf, since)  # longer than the window
    print("| snapshot | p16 | median | p84 |\n|---|---|---|---|")
    for number, inside in {"all": slice(None), **everything.snapshots}.items():
        is_finite = np.isfinite(ends[:, inside])
        is_below = is_finite & (beyond[inside] < ends[:, inside])
        below = is_below.sum(1) / is_finite.sum(1)
        print(f"| {number} | " + " | ".join(f"{share:.3f}" for share in below) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--posteriors", action="store_true", help="train the posteriors, too"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    everything = read(args.folder)
    print_record(everything)
    print_windows()
    print_references(everything)
    predictions, record = out_of_fold(everything), everything.record
    recorded = predictions.recorded
    print_slope("before calibration", predictions.uncalibrated, everything)
    print_calibration("P(recorded | x)", recorded, record.is_recorded, everything)
    answers = np.broadcast_to(record.is_recorded, predictions.augmented.shape)
    steepness = slope(predictions.augmented.ravel(), answers.ravel())
    print(f"\nP(recorded | x), masked and with errors: slope {steepness:.3f}")
    usable = predictions.usable
    print_calibration("P(usable | x)", usable, record.is_usable, everything)
    print_measured(everything)
    if args.posteriors:
        print_posteriors(everything, recorded)


if __name__ == "__main__":
    main()
