"""How good the model of a run is on clusters it has never seen, next to references."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cinn_clusters import schema
from cinn_clusters.claims import reserving
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.evaluation.ground_truth import dequantised_ground_truth
from cinn_clusters.evaluation.reference_posteriors import reference_samples
from cinn_clusters.evaluation.score_report import (
    SampledObjects,
    Scores,
    ScoresWithoutMaps,
    score_report,
)
from cinn_clusters.files import atomic_file, demand_free, sha256_of
from cinn_clusters.pipeline.inference.write_posterior import (
    PosteriorContent,
    describe_ensemble,
    write_posterior,
)
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.posterior.query import Query, Sampling
from cinn_clusters.progress import OnProgress, ignore_progress
from cinn_clusters.storage.model import demand_own_model, load_posterior
from cinn_clusters.storage.posterior_file import read_log_prob, read_samples
from cinn_clusters.storage.run import Run, model_hash, open_run
from cinn_clusters.storage.summary import write_summary


@reserving()
def evaluate(
    path: str | Path,
    sampling: Sampling | None = None,
    *,
    with_map: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> Scores:
    """Score the model of a run on its test clusters; writes posterior, summary and scores.

    Where the run has embeddings of maps, the model is asked without them, too.

    Args:
        path: A run with a model.
        sampling: How posterior samples are drawn.
        with_map: Find and score the mode, too.
        overwrite: Replace results that stand there.
        on_progress: Called with the number of objects done.

    Returns:
        The scores, as in ``scores.json``.

    Raises:
        BundleError: If the run or its model is missing or damaged.
        OutputError: If results stand there already.

    Examples:
        >>> import cinn_clusters as cc
        >>> cc.evaluate("run", cc.Sampling(20), overwrite=True).draws
        20
    """
    run, sampling = open_run(path), sampling or Sampling()
    paths = run.paths
    companions = paths.summary, paths.scores, paths.without_maps
    demand_free(paths.posterior, overwrite, *companions)
    demand_own_model(run)
    test = _TestRows.of(run, sampling)
    with ExitStack() as stack:  # all results or none
        posterior_path, summary_path, scores_path = (
            stack.enter_context(atomic_file(result))
            for result in (paths.posterior, paths.summary, paths.scores)
        )
        summary = test.answer(posterior_path, with_map, on_progress)
        write_summary(summary, summary_path, test.objects.schema)
        modes = [f"{name}_map" for name in test.objects.targets]
        estimates = {"map": summary[modes].to_numpy()} if with_map else {}
        scores = test.score(posterior_path, estimates, with_references=True)
        origin = {
            "model_sha256": model_hash(paths.model),
            "summary_sha256": sha256_of(summary_path),
        }
        scores = scores.model_copy(update=origin)
        if test.embedding_columns:
            without_path = stack.enter_context(atomic_file(paths.without_maps))
            without_maps = test.without_maps()
            without_maps.answer(without_path)
            section = ScoresWithoutMaps.of(without_maps.score(without_path))
            scores = scores.model_copy(update={"without_maps": section})
        scores.write(scores_path)
    return scores


@dataclass(frozen=True, eq=False)
class _TestRows:
    """N test rows of a run as its model is asked about them.

    Args:
        run: The run.
        posterior: The model of the run.
        rows: Numbers of the rows in the catalogue, (N,).
        query: Inputs and keys of the rows.
        sampling: How posterior samples are drawn.
    """

    run: Run
    posterior: Posterior
    rows: np.ndarray
    query: Query
    sampling: Sampling

    @classmethod
    def of(cls, run: Run, sampling: Sampling) -> _TestRows:
        posterior = load_posterior(run.paths.model, device=sampling.device)
        rows = answerable_rows(posterior, run.catalogue, run.split.test)
        keys = (run.catalogue.cluster_column, *schema.ROW_KEYS)
        query = posterior.query(run.catalogue.rows(rows).table, keys)
        return cls(run, posterior, rows, query, sampling)

    @property
    def objects(self) -> Catalogue:
        return self.run.catalogue.rows(self.rows)

    @property
    def embedding_columns(self) -> list[str]:
        """Inputs that stand for a map and may be missing."""
        if not self.posterior.transforms.accepts_missing:
            return []
        return [name for name in self.posterior.inputs if schema.is_embedding(name)]

    def without_maps(self) -> _TestRows:
        """The same clusters and snapshots, once for all projections, their embedding missing."""
        is_repeated = self.query.keys.duplicated(list(schema.KEYS)).to_numpy()
        chosen = np.flatnonzero(~is_repeated)
        masked = mask_columns(
            self.posterior, self.query.rows(chosen), self.embedding_columns
        )
        keys = masked.keys.drop(columns=schema.PROJECTION, errors="ignore").reset_index(
            drop=True
        )
        query = Query(masked.inputs, masked.places, keys)
        return replace(self, rows=self.rows[chosen], query=query)

    def answer(
        self,
        path: Path,
        with_map: bool = False,
        on_progress: OnProgress = ignore_progress,
    ) -> pd.DataFrame:
        """Write the posterior and return its summary with keys."""
        run, posterior, query = self.run, self.posterior, self.query
        model_sha256, table_sha256 = (
            model_hash(run.paths.model),
            run.record["table_sha256"],
        )
        content = PosteriorContent(
            {"model_sha256": model_sha256, "table_sha256": table_sha256},
            ground_truth=self.objects.theta,
            dequantised=dequantised_ground_truth(run.catalogue, self.rows),
            with_map=with_map,
        )
        sampling = self.sampling.for_job(len(query))
        summary = write_posterior(
            posterior, query, path, sampling, content=content, on_progress=on_progress
        )
        ensemble = describe_ensemble(posterior, query, sampling)
        return pd.concat([query.keys, summary, ensemble], axis=1)

    def score(
        self,
        path: Path,
        estimates: Mapping[str, np.ndarray] | None = None,
        *,
        with_references: bool = False,
    ) -> Scores:
        """Score a posterior that was written, beside references drawn from training rows."""
        samples, densities = (
            read_samples(path, self.posterior.targets),
            read_log_prob(path),
        )
        assert densities is not None
        references: dict[str, np.ndarray] = {}
        if with_references:
            catalogue, train, sampling = (
                self.run.catalogue,
                self.run.split.train,
                self.sampling,
            )
            references = reference_samples(
                catalogue, train, self.rows, sampling.num_samples, sampling.seed
            )
        log_prob = densities[1]
        dequantised = dequantised_ground_truth(self.run.catalogue, self.rows)
        sampled = SampledObjects(
            self.objects, samples, dequantised, log_prob, references, estimates or {}
        )
        return score_report(sampled)


def answerable_rows(
    posterior: Posterior, catalogue: Catalogue, rows: np.ndarray
) -> np.ndarray:
    """Those of some rows that a model can answer: an exact one needs every observable."""
    inputs = catalogue.inputs(posterior.inputs)[rows]
    return np.asarray(rows[posterior.transforms.is_usable(inputs).numpy()])


def mask_columns(posterior: Posterior, query: Query, names: list[str]) -> Query:
    """Return the query with some inputs missing."""
    inputs = query.inputs.copy()
    inputs[:, [posterior.inputs.index(name) for name in names]] = np.nan
    return Query(inputs, query.places, query.keys)
