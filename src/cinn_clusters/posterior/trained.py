"""A trained model: a posterior, and the checks of whether it applies to an object or a sample."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pandas as pd

from cinn_clusters import schema
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.files import JsonObject
from cinn_clusters.ood.sample_test import TrainingPopulation, fit_population
from cinn_clusters.ood.selection import (
    MergerRecord,
    SelectionClassifier,
    fit_classifier,
)
from cinn_clusters.ood.support import TrainingSupport, fit_support
from cinn_clusters.posterior.disagreement import disagreement
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.settings.config import Config


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """All that is loaded from a bundle.

    Args:
        posterior: Conditional density of the targets.
        config: Settings it was trained with.
        support: Training support, for the OOD score of an object; None for a model of exact,
            complete observables, for which the check is not available.
        populations: Training populations for the two-sample test: of rows with a usable history,
            and of all; none for a model of exact, complete observables.
        selection: Selection probability, or None where the training table held rows with a
            recorded collision only.
        provenance: Hashes, counts and scores of its training.
        path: Folder of the bundle, None before it is saved.
    """

    posterior: Posterior
    config: Config
    support: TrainingSupport | None = None
    populations: tuple[TrainingPopulation, ...] = ()
    selection: SelectionClassifier | None = None
    provenance: JsonObject = field(default_factory=dict)
    path: Path | None = None

    @property
    def accepts_missing(self) -> bool:
        """Whether observables may be missing or have errors."""
        return self.posterior.transforms.accepts_missing

    def __repr__(self) -> str:
        """Show where it comes from and what it takes and gives."""
        inputs, targets = self.posterior.inputs, self.posterior.targets
        return f"TrainedModel({str(self.path)!r}, inputs={inputs}, targets={targets})"


def add_checks(
    posterior: Posterior,
    config: Config,
    rows: Catalogue,
    left_out: pd.DataFrame | None = None,
    provenance: JsonObject | None = None,
) -> TrainedModel:
    """Fit what stands beside a posterior: training support, populations, selection probability.

    Args:
        posterior: Trained.
        config: Settings it was trained with.
        rows: Rows of training and validation.
        left_out: Rows of the same clusters without a usable history, with ``is_recorded``; None or
            only recorded ones: no selection probability.
        provenance: Hashes, counts and scores of the training.

    Returns:
        The model; a model of exact, complete observables has no checks.

    Raises:
        TrainingError: If the loss of the classifier is not finite.
    """
    transforms, provenance = posterior.transforms, provenance or {}
    if not isinstance(transforms, MeasurementTransforms):
        return TrainedModel(posterior, config, provenance=provenance)
    inputs = posterior.query(rows.table).inputs
    support = fit_support(
        transforms, inputs, partial(disagreement, posterior, seed=config.seed)
    )
    populations = [fit_population(transforms, inputs, rows.clusters)]
    selection = None
    if left_out is not None and len(left_out):
        table = _one_row_a_snapshot(rows, left_out)
        inputs = posterior.query(table).inputs
        record = _record(table, rows.cluster_column)
        populations.append(fit_population(transforms, inputs, record.clusters))
        if not record.is_recorded.all():
            selection = fit_classifier(transforms, inputs, record, seed=config.seed)
    return TrainedModel(
        posterior, config, support, tuple(populations), selection, provenance
    )


def _one_row_a_snapshot(rows: Catalogue, left_out: pd.DataFrame) -> pd.DataFrame:
    """All rows, one of all projections of a map; ``is_recorded``, ``is_usable``."""
    table = rows.table.assign(is_recorded=1, is_usable=1)
    if schema.PROJECTION in table:
        table = table.drop_duplicates(list(rows.schema.keys.names))
    unusable = left_out.assign(is_usable=0)
    return pd.concat([table, unusable], ignore_index=True)


def _record(table: pd.DataFrame, cluster_column: str) -> MergerRecord:
    recorded, usable = table[["is_recorded", "is_usable"]].to_numpy(bool).T
    return MergerRecord(recorded, usable, table[cluster_column].to_numpy())
