"""Ways to answer for errors that one sigma a value does not describe, on clusters that no model has seen.

    python benchmarks/error_models.py ../shared/data/tng_cluster --cache cache

``cache`` is that of ``benchmarks/injected.py``, which trains a model for each of five folds by cluster.
M500 and gas of the held-out clusters are measured with injected errors. Coverage of the central 68 %,
mean of the targets, with its error over clusters; CRPS in units of the spread of each target.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from cinn_clusters import read_catalogue, schema
from cinn_clusters.cosmology import redshift_at_lookback, time_of_redshift
from cinn_clusters.data.error_models.error_model import (
    ErrorModel,
    MeasuredLimits,
    RedshiftErrors,
)
from cinn_clusters.data.error_models.two_piece import mean_shift, standard_deviation
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.data.split import folds_by_cluster
from cinn_clusters.diagnostics.scores import bootstrap_weights, central_coverage, crps
from cinn_clusters.evaluation.ground_truth import dequantised_ground_truth
from cinn_clusters.posterior.monte_carlo import MonteCarlo
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.posterior.query import Query
from cinn_clusters.storage.model import load_model

OBSERVABLES = (schema.MASS, "GroupGasMass")
NUM_SAMPLES = 200
COEFFICIENT, MASS_ERROR, REDSHIFT_ERROR = 0.9, 0.1, 0.03


@dataclass(frozen=True)
class Answer:
    """One way to answer for some rows of a fold."""

    name: str
    posterior: Posterior
    inputs: np.ndarray
    rows: np.ndarray
    later: np.ndarray | None = None
    """How much later the objects are observed than they were [Gyr]: times since are judged."""


@dataclass(frozen=True)
class Fold:
    """Held-out clusters, exactly measured, and a model that has not seen them."""

    posterior: Posterior
    exact: np.ndarray
    rng: np.random.Generator

    @property
    def transforms(self) -> MeasurementTransforms:
        """Those of the model."""
        transforms = self.posterior.transforms
        assert isinstance(transforms, MeasurementTransforms)
        return transforms

    @property
    def all_rows(self) -> np.ndarray:
        """Numbers of all rows."""
        return np.arange(len(self.exact))

    @property
    def columns(self) -> list[int]:
        """Columns among the inputs."""
        return [self.transforms.names.index(name) for name in OBSERVABLES]

    @property
    def numbers(self) -> list[int]:
        """Columns among the optional scalars."""
        return [self.transforms.optional.index(name) for name in OBSERVABLES]

    def realised(self, errors: ErrorModel) -> MonteCarlo:
        """The model averaged over realisations."""
        one = self.posterior
        parts = (one.flow, one.transforms, one.device, one.recalibration)
        return MonteCarlo(*parts, error_model=errors)

    def stated(self, values: np.ndarray, errors: float) -> np.ndarray:
        """Inputs with measured values and one error for both."""
        result = values.copy()
        places = len(self.transforms.names) + np.array(self.numbers)
        result[:, places] = errors
        return result


def two_sided(fold: Fold) -> Iterator[Answer]:
    num_rows = len(fold.exact)
    for below, above in ((0.05, 0.3), (0.3, 0.05)):
        measured = fold.exact.copy()
        sides = np.zeros((2, num_rows, len(fold.transforms.optional)))
        for column, number in zip(fold.columns, fold.numbers, strict=True):
            is_below = fold.rng.random(num_rows) < below / (below + above)
            size = np.abs(fold.rng.standard_normal(num_rows))
            measured[:, column] -= np.where(is_below, -below * size, above * size)
            sides[0, :, number], sides[1, :, number] = below, above
        both = np.array([below, above])
        title = f"two-sided, {below} and {above} dex"
        middle = fold.stated(measured, 0.5 * (below + above))
        told = measured.copy()
        told[:, fold.columns] += mean_shift(both)
        told = fold.stated(told, float(standard_deviation(both)))
        answer = partial(Answer, rows=fold.all_rows)
        yield answer(f"{title} | mean of both errors", fold.posterior, middle)
        yield answer(f"{title} | two-piece moments", fold.posterior, told)
        errors = ErrorModel(two_sided=sides)
        yield answer(f"{title} | realisations", fold.realised(errors), told)


class CorrelatedFeatures(MeasurementTransforms):
    """A network that is told features of the full covariance, which it was not trained on."""

    def condition(
        self, inputs: np.ndarray, correlation: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance under the covariance of the errors."""
        matrix = np.eye(len(self.optional))
        first, second = (self.optional.index(name) for name in OBSERVABLES)
        matrix[first, second] = matrix[second, first] = COEFFICIENT
        return super().condition(inputs, np.tile(matrix, (len(inputs), 1, 1)))


def correlated(fold: Fold) -> Iterator[Answer]:
    num_rows, maps = len(fold.exact), fold.transforms
    covariance = [[1.0, COEFFICIENT], [COEFFICIENT, 1.0]]
    matrices = np.tile(np.eye(len(maps.optional)), (num_rows, 1, 1))
    first, second = fold.numbers
    matrices[:, first, second] = matrices[:, second, first] = COEFFICIENT
    told = CorrelatedFeatures(
        maps.observables, maps.targets, maps.prior, schema=maps.schema
    )
    features = replace(fold.posterior, transforms=told)
    for size in (0.1, 0.2, 0.3):
        noise = fold.rng.multivariate_normal([0.0, 0.0], covariance, num_rows)
        measured = fold.exact.copy()
        measured[:, fold.columns] += size * noise
        inputs = fold.stated(measured, size)
        answer = partial(Answer, inputs=inputs, rows=fold.all_rows)
        title = f"correlated {COEFFICIENT}, {size} dex"
        yield answer(f"{title} | as independent", fold.posterior)
        yield answer(f"{title} | features of the full covariance", features)
        errors = ErrorModel(correlation=matrices)
        yield answer(f"{title} | realisations", fold.realised(errors))


def with_noisy_mass(fold: Fold, inputs: np.ndarray) -> np.ndarray:
    result = inputs.copy()
    result[:, fold.columns[0]] += MASS_ERROR * fold.rng.standard_normal(len(result))
    result[:, len(fold.transforms.names) + fold.numbers[0]] = MASS_ERROR
    return result


def limited(fold: Fold) -> Iterator[Answer]:
    (_, gas), (_, number) = fold.columns, fold.numbers
    limit = float(np.median(fold.exact[:, gas])) - 0.05
    rows = np.flatnonzero(fold.exact[:, gas] < limit)
    measured = with_noisy_mass(fold, fold.exact)
    detected, missing = measured.copy(), measured.copy()
    detected[rows, gas], missing[rows, gas] = limit, np.nan
    side, value = np.zeros((2, len(measured), len(fold.transforms.optional)))
    side[rows, number], value[rows, number] = -1, limit
    errors = ErrorModel(limits=MeasuredLimits(side, value, np.zeros_like(side)))
    title = "upper limits of gas"
    yield Answer(f"{title} | as detections", fold.posterior, detected, rows)
    yield Answer(f"{title} | as missing", fold.posterior, missing, rows)
    yield Answer(f"{title} | realisations", fold.realised(errors), missing, rows)


def photometric(fold: Fold) -> Iterator[Answer]:
    time = fold.transforms.names.index(fold.transforms.time)
    true = redshift_at_lookback(fold.exact[:, time])
    error = REDSHIFT_ERROR * (1.0 + true)
    redshift = true + error * fold.rng.standard_normal(len(true))
    rows = np.flatnonzero((redshift > 0.005) & (redshift < 0.95))
    redshift = np.clip(redshift, 0.005, 0.95)
    measured = fold.exact.copy()
    measured[:, time] = time_of_redshift(redshift)
    measured = with_noisy_mass(fold, measured)
    ages = [fold.transforms.age(one).numpy() for one in (measured, fold.exact)]
    slopes = np.zeros((len(true), len(fold.transforms.optional)))
    errors = ErrorModel(
        redshift=RedshiftErrors(redshift, np.stack([error, error]), slopes)
    )
    answer = partial(Answer, inputs=measured, rows=rows, later=ages[0] - ages[1])
    title = f"redshifts to {REDSHIFT_ERROR} (1 + z)"
    yield answer(f"{title} | as exact", fold.posterior)
    yield answer(f"{title} | realisations", fold.realised(errors))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--folds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    args = parser.parse_args()
    torch.set_num_threads(1)
    catalogue = read_catalogue(
        args.table / "observables1.csv", args.table / "unobservables1.csv"
    )
    scale = catalogue.theta.std(0)
    scores: dict[str, list[np.ndarray]] = {}
    clusters: dict[str, list[np.ndarray]] = {}
    for k, split in enumerate(folds_by_cluster(catalogue.clusters, 5, 0)):
        if k not in args.folds:
            continue
        posterior = load_model(args.cache / f"model.{k}", device="cpu").posterior
        maps = posterior.transforms
        known = catalogue.inputs(maps.inputs)[split.test]
        exact = np.full(known.shape, np.nan)
        exact[:, len(maps.observables) :] = 0.0
        for name in (*OBSERVABLES, maps.time):
            place = maps.inputs.index(name)
            exact[:, place] = known[:, place]
        fold = Fold(posterior, exact, np.random.default_rng(100 + k))
        truth = dequantised_ground_truth(catalogue, split.test)
        is_time = np.array([target.is_before_observation for target in maps.targets])
        for case in (two_sided, correlated, limited, photometric):
            for answer in case(fold):
                query = Query.from_inputs(answer.inputs)
                samples = answer.posterior.sample(query, NUM_SAMPLES).astype(float)
                later = np.zeros(len(truth)) if answer.later is None else answer.later
                shift = later[:, None] * is_time
                moved, theta = truth + shift, catalogue.theta[split.test] + shift
                inside = central_coverage(samples, moved, np.array([0.68]))[0].mean(1)
                of_rows = np.stack(
                    [inside, crps(samples / scale, theta / scale).mean(1)]
                )
                scores.setdefault(answer.name, []).append(of_rows[:, answer.rows])
                of_clusters = catalogue.clusters[split.test][answer.rows]
                clusters.setdefault(answer.name, []).append(of_clusters)
        print(f"fold {k}", flush=True)
    print("| injected | answered | coverage of 68 % | CRPS |\n|---|---|---|---|")
    for name, parts in scores.items():
        inside, score = np.concatenate(parts, 1)
        spread = (bootstrap_weights(np.concatenate(clusters[name])) @ inside).std()
        print(f"| {name} | {inside.mean():.3f} ± {spread:.3f} | {score.mean():.4f} |")


if __name__ == "__main__":
    main()
