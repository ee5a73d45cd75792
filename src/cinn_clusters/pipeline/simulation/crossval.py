"""Out-of-fold posteriors: every cluster is judged by a model that has not seen it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cinn_clusters import schema
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.embeddings import demand_unseen
from cinn_clusters.data.split import Split, folds_by_cluster
from cinn_clusters.files import atomic_directory, demand_free, write_json
from cinn_clusters.pipeline.inference.write_posterior import densities
from cinn_clusters.pipeline.simulation.evaluate import (
    Evaluation,
    reference_samples,
    score_report,
    scored_truth,
)
from cinn_clusters.pipeline.simulation.prepare import standard_transforms
from cinn_clusters.pipeline.simulation.recalibrate import recalibrated
from cinn_clusters.posterior.fit import fit_catalogue_transforms, prepare_job
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.posterior.query import Query, Sampling
from cinn_clusters.progress import OnProgress, ignore_progress
from cinn_clusters.settings.config import Config
from cinn_clusters.storage.posterior_file import (
    NUM_DENSITIES,
    SampleLayout,
    library_attributes,
    sample_writer,
)
from cinn_clusters.storage.run import open_run
from cinn_clusters.storage.run_paths import ResultPaths
from cinn_clusters.training.fit import FitState


def crossval(
    path: str | Path,
    config: Config | None = None,
    *,
    num_folds: int = 5,
    num_draws: int = 1000,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> dict[str, Any]:
    """Train on all folds but one, answer for that one, in turn; writes crossval/posterior.nc and scores.json.

    The folds permute the sorted clusters with ``default_rng(seed)``; scalers, early stopping and
    all else see the other folds only.

    Args:
        path: A prepared run; its own split plays no part.
        config: Settings; the default preset when absent.
        num_folds: Folds.
        num_draws: Draws a row.
        seed: Seed of folds and draws.
        device: See ``fit``.
        overwrite: Replace results that stand there.
        on_progress: Called after each epoch of each fold.

    Returns:
        The scores over all rows.

    Raises:
        BundleError: If the run is damaged.
        DataError: If there are fewer clusters than folds, or the run holds vectors of an encoder
            that was trained on some of its clusters: every fold wants an encoder of its own
            (benchmarks/maps.py).
        OutputError: If results stand there already.
        TrainingError: If the loss is not finite.
    """
    config = config or Config()
    run = open_run(path)
    demand_free(run.paths.crossval.root, overwrite)
    catalogue = run.catalogue
    hint = "every fold wants an encoder of its own, as in benchmarks/maps.py; evaluate judges the test clusters"
    demand_unseen(run.record.get("encoder_clusters") or (), catalogue.clusters, str(run.path), hint)
    folds = list(folds_by_cluster(catalogue.clusters, num_folds, seed))
    shape = (num_draws, len(catalogue.table), len(catalogue.targets))
    samples = np.empty(shape, np.float32)
    references: dict[str, np.ndarray] = {}
    log_prob = np.empty(len(catalogue.table))
    log_prob_draws = np.empty((min(NUM_DENSITIES, num_draws), len(catalogue.table)), np.float32)
    for k, split in enumerate(folds):

        def report(state: FitState, fold: int = k) -> None:
            on_progress(state.progress(config.train.epochs, f"fold {fold + 1}/{num_folds}"))

        posterior = _fit_fold(catalogue, split, config, device, run.is_original, report)
        inputs = catalogue.inputs(posterior.inputs)[split.test]
        query = Query(inputs, split.test)
        for objects, draws in posterior.sample_batches(query, Sampling(num_draws, seed)):
            samples[:, split.test[objects]] = draws
        log_prob_draws[:, split.test], log_prob[split.test] = densities(
            posterior, samples[:, split.test], scored_truth(catalogue, split.test), inputs
        )
        seen = np.concatenate([split.train, split.validation])
        for name, draws in reference_samples(catalogue, seen, split.test, num_draws, seed).items():
            references.setdefault(name, np.empty(shape, np.float32))[:, split.test] = draws
    scores = score_report(Evaluation(catalogue, samples, log_prob, references))
    scores |= {"folds": num_folds, "config": config.model_dump()}
    keys = [
        name
        for name in dict.fromkeys([catalogue.cluster_column, *schema.ROW_KEYS])
        if name in catalogue.table
    ]
    coordinates = catalogue.table[keys]
    attributes = {
        **library_attributes(seed),
        "folds": num_folds,
        "table_sha256": run.record["table_sha256"],
    }
    inputs = posterior.inputs
    layout = SampleLayout(
        catalogue.targets,
        num_draws,
        coordinates,
        attributes,
        dict(zip(inputs, catalogue.inputs(inputs).T, strict=True)),
        catalogue.theta,
        has_densities=True,
        schema=catalogue.schema,
    )
    with atomic_directory(
        run.paths.crossval.root, overwrite=overwrite, markers=(run.paths.scores.name,)
    ) as folder:
        paths = ResultPaths(folder)
        with sample_writer(paths.posterior, layout) as writer:
            writer.put(slice(0, len(coordinates)), samples)
            writer.put_log_prob(slice(0, len(coordinates)), log_prob_draws, log_prob)
        write_json(paths.scores, scores)
    return scores


def _fit_fold(
    catalogue: Catalogue,
    split: Split,
    config: Config,
    device: str,
    is_original: bool,
    on_epoch: Callable[[FitState], None],
) -> Posterior:
    if is_original:
        transforms = standard_transforms(catalogue, split.train)
    else:
        transforms = fit_catalogue_transforms(catalogue, split, seed=config.seed)
    job = prepare_job(catalogue, split, transforms, config, device)
    for state in job.epochs():
        on_epoch(state)
    return recalibrated(job.posterior(), catalogue, split, config, device)[0]
