"""How good the model of a run is on clusters it has never seen, next to references."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd

from cinn_clusters import schema
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
    """
    run, sampling = open_run(path), sampling or Sampling()
    paths = run.paths
    for result in (paths.posterior, paths.summary, paths.scores, paths.without_maps):
        demand_free(result, overwrite)
    demand_own_model(run)
    posterior = load_posterior(paths.model, device=sampling.device)
    rows = answerable_rows(posterior, run.catalogue, run.split.test)
    test = run.catalogue.rows(rows)
    keys = (run.catalogue.cluster_column, *schema.ROW_KEYS)
    query = posterior.query(test.table, keys)
    model_sha256 = model_hash(paths.model)
    content = PosteriorContent(
        {"model_sha256": model_sha256, "table_sha256": run.record["table_sha256"]},
        ground_truth=test.theta,
        dequantised=dequantised_ground_truth(run.catalogue, rows),
        with_map=with_map,
    )
    with ExitStack() as stack:  # all results or none
        samples_path, summary_path, scores_path = (
            stack.enter_context(atomic_file(result, overwrite=overwrite))
            for result in (paths.posterior, paths.summary, paths.scores)
        )
        summary = write_posterior(
            posterior,
            query,
            samples_path,
            sampling,
            content=content,
            on_progress=on_progress,
        )
        ensemble = describe_ensemble(posterior, query, sampling.seed)
        write_summary(
            pd.concat([query.keys, summary, ensemble], axis=1),
            summary_path,
            test.schema,
        )
        references = reference_samples(
            run.catalogue, run.split.train, rows, sampling.num_samples, sampling.seed
        )
        modes = [f"{name}_map" for name in test.targets]
        scores = score_report(
            SampledObjects(
                test,
                read_samples(samples_path, posterior.targets),
                _log_prob(samples_path),
                references,
                {"map": summary[modes].to_numpy()} if with_map else {},
            )
        )
        origin = {
            "model_sha256": model_sha256,
            "summary_sha256": sha256_of(summary_path),
        }
        scores = scores.model_copy(update=origin)
        if embedding_columns(posterior):
            without_path = stack.enter_context(atomic_file(paths.without_maps))
            without_maps = _without_maps(run, posterior, rows, sampling, without_path)
            scores = scores.model_copy(update={"without_maps": without_maps})
        scores.write(scores_path)
    return scores


def answerable_rows(
    posterior: Posterior, catalogue: Catalogue, rows: np.ndarray
) -> np.ndarray:
    """Those of some rows that a model can answer: an exact one needs every observable."""
    inputs = catalogue.inputs(posterior.inputs)[rows]
    return np.asarray(rows[posterior.transforms.is_usable(inputs).numpy()])


def embedding_columns(posterior: Posterior) -> list[str]:
    """Inputs that stand for a map and may be missing."""
    if not posterior.transforms.accepts_missing:
        return []
    return [name for name in posterior.inputs if schema.is_embedding(name)]


def mask_columns(posterior: Posterior, query: Query, names: list[str]) -> Query:
    """Return the query with some inputs missing."""
    inputs = query.inputs.copy()
    inputs[:, [posterior.inputs.index(name) for name in names]] = np.nan
    return Query(inputs, query.places, query.keys)


def _without_maps(
    run: Run, posterior: Posterior, rows: np.ndarray, sampling: Sampling, path: Path
) -> ScoresWithoutMaps:
    """Ask the same model without embeddings, once for all projections of a cluster."""
    is_repeated = (
        run.catalogue.table.iloc[rows].duplicated(list(schema.KEYS)).to_numpy()
    )
    rows = rows[~is_repeated]
    objects = run.catalogue.rows(rows)
    query = posterior.query(objects.table, (run.catalogue.cluster_column, *schema.KEYS))
    query = mask_columns(posterior, query, embedding_columns(posterior))
    content = PosteriorContent(
        {"model_sha256": model_hash(run.paths.model), "without_maps": 1},
        ground_truth=objects.theta,
        dequantised=dequantised_ground_truth(run.catalogue, rows),
    )
    write_posterior(posterior, query, path, sampling, content=content)
    samples = read_samples(path, posterior.targets)
    scores = score_report(SampledObjects(objects, samples, _log_prob(path)))
    return ScoresWithoutMaps.of(scores)


def _log_prob(path: Path) -> np.ndarray:
    """Log-density (N,) of the dequantised ground truth, as written."""
    densities = read_log_prob(path)
    assert densities is not None
    return densities[1]
