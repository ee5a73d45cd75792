"""Whether a model applies to each object of a catalogue, and to the catalogue as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.errors import DataError
from cinn_clusters.ood.relations import relations
from cinn_clusters.ood.sample_test import two_sample_test
from cinn_clusters.pipeline.inference.catalogue_query import CatalogueQuery
from cinn_clusters.pipeline.inference.write_posterior import (
    DISAGREEMENT,
    EXTRAPOLATED,
    describe_ensemble,
)
from cinn_clusters.posterior.collision import record_window
from cinn_clusters.posterior.query import Query, Sampling
from cinn_clusters.posterior.trained import TrainedModel

Ood = Literal["keep", "flag", "refuse"]
OOD_SCORE, SELECTION = "ood_score", "selection_probability"
RECORD, WINDOW = "record_probability", "record_window_Gyr"
_REASONS = "reasons"


@dataclass(frozen=True, eq=False)
class Assessment:
    """What a model makes of the objects of a catalogue before it answers.

    Args:
        status: ``ok``, ``flagged``, ``refused`` or ``unusable``, (M,).
        reasons: Why, a list for each object.
        columns: Disagreement, extrapolated observables, record window, OOD score, probabilities of
            a record and of selection, M rows; NaN for unusable objects.
        sample_test: MMD^2 of the sample and the training clusters and its p-value; NaN for small
            samples and for models without a training population.
    """

    status: np.ndarray
    reasons: tuple[tuple[str, ...], ...]
    columns: pd.DataFrame
    sample_test: tuple[float, float] = (np.nan, np.nan)

    @property
    def is_answered(self) -> np.ndarray:
        """Whether an object gets a posterior, (M,)."""
        return np.isin(self.status, ("ok", "flagged"))


def assess(
    model: TrainedModel,
    catalogue: CatalogueQuery,
    ood: Ood,
    sampling: Sampling,
    *,
    is_sample: bool = True,
) -> Assessment:
    """Assess every object.

    Args:
        model: Its support, populations and selection probability are used where it has them.
        catalogue: The objects.
        ood: ``keep`` looks for no reason, ``flag`` says it, ``refuse`` leaves the object unanswered.
        sampling: Seed and kernels of the samples by which disagreement and the sample test are
            estimated.
        is_sample: Whether the objects are a sample of their own, not a part of one: something is
            said of the sample as a whole, too.
    """
    query, objects = catalogue.query, np.unique(catalogue.objects)
    is_usable = model.posterior.transforms.is_usable(query.inputs).numpy()
    views = query.rows(np.flatnonzero(is_usable))
    columns = _by_object(_assess_views(model, views, sampling)).reindex(objects)
    model_reasons = columns.pop(_REASONS)
    reasons, status = [], []
    for row, reasons_of_model in zip(catalogue.rows, model_reasons, strict=True):
        is_answerable = isinstance(
            reasons_of_model, list
        )  # NaN where no view is usable
        object_reasons = list(catalogue.converted.reasons.get(int(row), ()))
        if is_answerable and ood != "keep":
            object_reasons += reasons_of_model
        remarks = catalogue.converted.remarks.get(int(row), ())
        reasons.append(tuple(dict.fromkeys([*object_reasons, *remarks])))
        status.append(_status(is_answerable, bool(object_reasons), ood))
    of_rows = Assessment(np.array(status), tuple(reasons), columns)
    if not is_sample:
        return of_rows
    if ood != "keep":
        catalogue.converted.log.extend(_relation_notes(model, catalogue, views))
    return replace(of_rows, sample_test=_sample_test(model, views, sampling.seed))


def _status(is_usable: bool, has_reasons: bool, ood: Ood) -> str:
    if not is_usable:
        return "unusable"
    if not has_reasons or ood == "keep":
        return "ok"
    return "refused" if ood == "refuse" else "flagged"


def _assess_views(
    model: TrainedModel, views: Query, sampling: Sampling
) -> pd.DataFrame:
    columns = describe_ensemble(model.posterior, views, sampling)
    columns.index = views.keys.index
    transforms = model.posterior.transforms
    if transforms.schema.bounded_time in transforms.target_names:
        columns[WINDOW] = record_window(transforms, views.inputs)
    if model.support is not None:
        columns[OOD_SCORE] = model.support.ood_score(views.inputs)
        disagreement = columns[DISAGREEMENT].to_numpy()
        reasons = model.support.reasons(views.inputs, disagreement)
    else:
        counts = columns[EXTRAPOLATED]
        reasons = [
            [f"observables beyond the training support ({n})"] * (n > 0) for n in counts
        ]
    if model.selection is not None:
        columns[RECORD] = model.selection.record_probability(views.inputs)
        if model.selection.is_of_usable:
            columns[SELECTION] = model.selection.probability(views.inputs)
    columns[_REASONS] = pd.Series(reasons, columns.index, dtype=object)
    return columns


def _by_object(columns: pd.DataFrame) -> pd.DataFrame:
    """Join the views of each object: means, the largest scores, and all reasons."""
    if columns.index.is_unique:
        return columns
    joins = {
        DISAGREEMENT: "mean",
        EXTRAPOLATED: "max",
        OOD_SCORE: "max",
        **dict.fromkeys((WINDOW, RECORD, SELECTION), "mean"),
    }
    present = {name: join for name, join in joins.items() if name in columns}
    groups = columns.groupby(level=0)
    return groups.agg({**present, _REASONS: "sum"})


def _relation_notes(
    model: TrainedModel, catalogue: CatalogueQuery, views: Query
) -> list[str]:
    """What the sample as a whole says against its masses and errors."""
    transforms = model.posterior.transforms
    if not isinstance(transforms, MeasurementTransforms):
        return []
    first = ~views.keys.index.duplicated()
    of_sample = relations(transforms, views.inputs[first])
    if catalogue.converted.correlations:  # stated: a small scatter is no surprise
        of_sample = [relation._replace(error_share=0.0) for relation in of_sample]
    return [note for relation in of_sample for note in relation.notes]


def _sample_test(model: TrainedModel, views: Query, seed: int) -> tuple[float, float]:
    transforms = model.posterior.transforms
    if not model.populations or not isinstance(transforms, MeasurementTransforms):
        return np.nan, np.nan
    first = ~views.keys.index.duplicated()
    return two_sample_test(
        model.populations, transforms, views.inputs[first], seed=seed
    )


def demand_answers(
    assessment: Assessment, objects: CatalogueQuery, catalogue: Path, strict: bool
) -> None:
    """Refuse a catalogue of which no row can be answered, or not every row if ``strict``.

    Raises:
        DataError: With the reason of the first row that cannot be used.
    """
    num_objects, unusable = len(objects.table), assessment.status == "unusable"
    if strict and unusable.any():
        first = _first_reason(assessment, objects, unusable)
        got = f"{int(unusable.sum())} of {num_objects} rows that are not"
        raise DataError(catalogue, "every row to be usable (--strict)", got, first)
    if not assessment.is_answered.any():
        first = _first_reason(assessment, objects, ~assessment.is_answered)
        raise DataError(
            catalogue, "a row that can be answered", f"none of {num_objects}", first
        )


def _first_reason(
    assessment: Assessment, objects: CatalogueQuery, index: np.ndarray
) -> str:
    number = int(np.flatnonzero(index)[0])
    reasons = "; ".join(assessment.reasons[number]) or "nothing is known of it"
    return f"first: row {objects.rows[number]}, {reasons}"


def answered_views(objects: CatalogueQuery, assessment: Assessment) -> Query:
    """Views of the objects that get a posterior."""
    answered = np.flatnonzero(assessment.is_answered)
    return objects.query.rows(np.flatnonzero(np.isin(objects.objects, answered)))


def count_reasons(reasons: Iterable[Iterable[str]]) -> Counter[str]:
    """How often each reason was given; values of single rows stand in brackets and do not count."""
    return Counter(
        reason.split(" (")[0] for object_reasons in reasons for reason in object_reasons
    )
