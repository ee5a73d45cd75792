"""From the objects of a catalogue to a table of answers: what is asked, and what is appended."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from astropy.table import Table

from cinn_clusters.catalogues.mapping import Mapping
from cinn_clusters.data.embeddings import KNOWN_NAMING
from cinn_clusters.data.error_models.mass_prior import name_of, slope_of
from cinn_clusters.data.reading.map_names import MapNaming
from cinn_clusters.errors import DataError
from cinn_clusters.files import sha256_of
from cinn_clusters.pipeline.inference.analogues import Analogues
from cinn_clusters.pipeline.inference.assessment import (
    RECORD,
    Assessment,
    Ood,
    answered_views,
    assess,
)
from cinn_clusters.pipeline.inference.catalogue_query import CatalogueQuery
from cinn_clusters.pipeline.inference.error_models import (
    ErrorRule,
    with_error_model,
    with_mass_prior,
)
from cinn_clusters.pipeline.inference.mass_used import masses_used
from cinn_clusters.pipeline.inference.result_table import (
    NUM_VIEWS,
    append_columns,
    complete_summary,
    num_maps,
)
from cinn_clusters.pipeline.inference.write_posterior import group_views
from cinn_clusters.posterior.collision import (
    MAJOR_MERGER,
    MajorMerger,
    Unconditional,
    notes,
)
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.posterior.query import Query, Sampling
from cinn_clusters.posterior.trained import TrainedModel
from cinn_clusters.storage.model import packaged_model


@dataclass(frozen=True)
class InferenceOptions:
    """How the rows of a catalogue are treated.

    Args:
        table: Where the catalogue with columns appended goes, in the format of its ending; None:
            beside the posterior, in the catalogue's own.
        ood: ``keep`` answers without looking, ``flag`` answers and says why the model may not
            apply, ``refuse`` does not answer where it may not.
        errors: ``network``: the network is conditioned on the errors; ``monte-carlo``: posteriors
            of realisations of the true observables are mixed.
        mass_prior: Prior of the true masses: ``sample`` (the training clusters'), ``flat`` in log M,
            or a slope d ln N / d ln M; None: what the mapping says.
        projections: ``average`` mixes the posteriors of all maps of a row, ``each`` makes every map
            an object of its own.
        analogues: Table of the simulation, whose most similar rows are listed for each object.
        with_map: Find the maximum a posteriori (MAP) of each posterior, too.
        strict: Refuse the catalogue if a row cannot be used.
        allow_atypical: Accept medians that suggest another unit (columns by name, 20 rows or more).
        major: What counts as a recent major merger, for ``p_major_recent``.
        naming: How the names of maps say whose they are.

    Examples:
        >>> InferenceOptions(ood="refuse").errors
        'network'
    """

    table: str | Path | None = None
    ood: Ood = "flag"
    errors: ErrorRule = "network"
    mass_prior: str | float | None = None
    projections: Literal["average", "each"] = "average"
    analogues: str | Path | None = None
    with_map: bool = False
    strict: bool = False
    allow_atypical: bool = False
    naming: MapNaming = KNOWN_NAMING
    major: MajorMerger = MAJOR_MERGER

    def mass_slope(self, mapping: Mapping | None) -> float | None:
        """Slope of the prior of the masses; None: that of the training clusters."""
        if self.mass_prior is not None:
            return slope_of(self.mass_prior)
        if mapping is None:
            return None
        return mapping.mass_prior


@dataclass(frozen=True, eq=False)
class AnswerPlan:
    """Objects of a catalogue, assessed, and the posterior that answers them.

    Args:
        objects: The catalogue.
        posterior: With the prior of masses and the error model that are asked for.
        assessment: Of its M objects.
        query: Views of the objects that get a posterior.
        masses: True mass that each view is conditioned on.
        unconditional: Probability of a record of the answered objects, where the model knows it.
    """

    objects: CatalogueQuery
    posterior: Posterior
    assessment: Assessment
    query: Query
    masses: pd.DataFrame
    unconditional: Unconditional | None

    def since(self, first: int) -> AnswerPlan:
        """The plan of a catalogue without maps that answers no object before the first of some."""
        is_later = self.query.places >= first
        query = self.query.rows(np.flatnonzero(is_later))
        unconditional = self.unconditional
        if unconditional is not None:
            probability = unconditional.record_probability[is_later]
            unconditional = replace(unconditional, record_probability=probability)
        return replace(self, query=query, unconditional=unconditional)

    def answers(
        self, summary: pd.DataFrame, analogues: Analogues | None, *, has_maps: bool
    ) -> Table:
        """The catalogue with columns appended.

        Args:
            summary: Of the answered objects.
            analogues: Simulated clusters, of which the most similar are listed, or None.
            has_maps: Whether the number of maps of each object is said.
        """
        posterior, masses = self.posterior, self.masses
        summary = complete_summary(summary, self.query, self.assessment, analogues)
        is_repeated = masses.index.duplicated()
        summary = summary.join(masses[~is_repeated])
        if has_maps:
            summary[NUM_VIEWS] = num_maps(self.query, posterior.inputs)
        transforms = posterior.transforms
        return append_columns(
            self.objects.table,
            self.assessment,
            summary,
            transforms.schema,
            dtype=transforms.sample_dtype,
        )


def plan_answers(
    model: TrainedModel,
    objects: CatalogueQuery,
    options: InferenceOptions,
    slope: float | None,
    sampling: Sampling,
    *,
    is_sample: bool = True,
) -> AnswerPlan:
    """Assess the objects of a catalogue and prepare the posterior that answers them.

    Args:
        model: The trained model.
        objects: The catalogue.
        options: How its rows are treated.
        slope: Of the prior of the masses; None: that of the training clusters.
        sampling: Seed and kernels of samples.
        is_sample: Whether the objects are a sample of their own, not a part of one.

    Raises:
        DataError: If the model takes no prior of masses or no realisations that are asked for.
    """
    prior = with_mass_prior(model.posterior, slope)
    posterior = with_error_model(prior, objects, options.errors, sampling.seed)
    masses = masses_used(posterior, objects)
    assessment = assess(model, objects, options.ood, sampling, is_sample=is_sample)
    query = answered_views(objects, assessment)
    unconditional = _unconditional(assessment, query, options)
    return AnswerPlan(objects, posterior, assessment, query, masses, unconditional)


def _unconditional(
    assessment: Assessment, query: Query, options: InferenceOptions
) -> Unconditional | None:
    """Probability of a record of the answered objects, where the model knows it."""
    if RECORD not in assessment.columns:
        return None
    answered = query.keys.index.unique()
    probability = assessment.columns.loc[answered, RECORD]
    return Unconditional(probability.to_numpy(), options.major)


def demand_modes(query: Query, options: InferenceOptions) -> None:
    """Refuse the modes of mixtures over several maps.

    Raises:
        DataError: If they are asked for.
    """
    if options.with_map and len(query) > len(group_views(query)[0]):
        expected, hint = (
            "one map of each object",
            "leave out --map, or ask for --projections each",
        )
        raise DataError("modes", expected, "mixtures over several maps", "", hint)


def answer_attributes(
    model: TrainedModel,
    objects: CatalogueQuery,
    sampling: Sampling,
    options: InferenceOptions,
    slope: float | None,
) -> dict[str, str | float]:
    """Attributes that say how a catalogue was answered."""
    transforms = model.posterior.transforms
    columns = [transforms.schema.column(name) for name in transforms.target_names]
    return {
        "model_sha256": sha256_of((model.path or packaged_model()) / "manifest.json"),
        "mapping": objects.mapping_name,
        "num_samples": sampling.num_samples,
        "errors": options.errors,
        **objects.converted.choices,
        "conversions": "\n".join(objects.converted.log),
        "mass_prior": name_of(slope),
        "major_ratio": options.major.ratio,
        "recent_gyr": options.major.recent_gyr,
        **notes(columns),
    }
