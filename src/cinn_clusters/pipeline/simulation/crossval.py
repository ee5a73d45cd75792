"""Out-of-fold posteriors: a model that has not seen a cluster answers for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cinn_clusters.claims import reserving
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.embeddings import demand_unseen
from cinn_clusters.data.split import Split, folds_by_cluster
from cinn_clusters.evaluation.ground_truth import dequantised_ground_truth
from cinn_clusters.evaluation.reference_posteriors import reference_samples
from cinn_clusters.evaluation.score_report import SampledObjects, Scores, score_report
from cinn_clusters.files import atomic_directory, demand_free
from cinn_clusters.pipeline.inference.write_posterior import densities
from cinn_clusters.pipeline.simulation.evaluate import answerable_rows
from cinn_clusters.pipeline.simulation.prepare import standard_transforms
from cinn_clusters.pipeline.simulation.recalibrate import recalibrated
from cinn_clusters.posterior.fit import Fold, fit_catalogue_transforms, fit_folds
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.posterior.query import Query, Sampling
from cinn_clusters.progress import OnProgress, ignore_progress
from cinn_clusters.schema import ROW_KEYS
from cinn_clusters.settings.config import Config
from cinn_clusters.storage.posterior_file import (
    NUM_DENSITIES,
    SampleLayout,
    library_attributes,
    sample_writer,
)
from cinn_clusters.storage.run import Run, open_run
from cinn_clusters.storage.run_paths import ResultPaths

_LEAKAGE_HINT = (
    "every fold wants an encoder of its own, as in benchmarks/maps.py; "
    "evaluate scores the test clusters"
)


@reserving()
def crossval(
    path: str | Path,
    config: Config | None = None,
    sampling: Sampling | None = None,
    *,
    num_folds: int = 5,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> Scores:
    """Answer for each fold by a model that was trained on all others; writes ``crossval/``.

    The models of all folds train at once, as further members of one ensemble. The folds permute the sorted clusters with ``default_rng(seed)`` of the sampling; scalers, early
    stopping and all else see the other folds only.

    Args:
        path: A prepared run; its own split plays no part.
        config: Settings; the default preset when absent.
        sampling: How posterior samples are drawn.
        num_folds: Folds.
        overwrite: Replace results that stand there.
        on_progress: Called after each epoch of the folds that train at once.

    Returns:
        The scores over all rows.

    Raises:
        BundleError: If the run is damaged.
        DataError: If there are fewer clusters than folds, or the run holds vectors of an encoder
            that was trained on some of its clusters: every fold wants an encoder of its own
            (benchmarks/maps.py).
        OutputError: If results stand there already.
        TrainingError: If the loss is not finite.

    Examples:
        >>> import cinn_clusters as cc
        >>> changes = ["train.epochs=1", "model.members=2", "train.held_out_groups=2"]
        >>> config = cc.read_config(changes=changes)
        >>> scores = cc.crossval("run", config, cc.Sampling(20), num_folds=2, overwrite=True)
        >>> scores.draws
        20
    """
    config, sampling = config or Config(), sampling or Sampling()
    run = open_run(path)
    demand_free(run.paths.crossval.root, overwrite)
    catalogue = run.catalogue
    encoder_clusters = run.record.get("encoder_clusters") or ()
    demand_unseen(encoder_clusters, catalogue.clusters, str(run.path), _LEAKAGE_HINT)
    answers = _Answers.empty(catalogue, sampling, run.transforms.sample_dtype)
    sampling = sampling.for_job(len(catalogue.table))
    splits = list(folds_by_cluster(catalogue.clusters, num_folds, sampling.seed))
    folds = [_fold(run, split, config) for split in splits]
    device = sampling.device
    posteriors = fit_folds(catalogue, folds, config, device, on_progress)
    for split, plain in zip(splits, posteriors, strict=True):
        posterior, _ = recalibrated(plain, catalogue, split, config, device)
        answers.put(posterior, split, sampling)
    rows = np.flatnonzero(answers.is_answered)
    sampled = SampledObjects(
        catalogue,
        answers.samples,
        dequantised_ground_truth(catalogue),
        answers.log_prob,
        answers.references,
    )
    scores = score_report(sampled.rows(rows)).model_copy(
        update={"folds": num_folds, "config": config.model_dump()}
    )
    attributes = {
        **library_attributes(sampling.seed),
        "folds": num_folds,
        "table_sha256": run.record["table_sha256"],
    }
    home = run.paths.crossval
    with atomic_directory(
        home.root, overwrite=overwrite, markers=(home.scores.name,)
    ) as folder:
        _write(
            ResultPaths(folder).posterior, answers, rows, posterior.inputs, attributes
        )
        scores.write(ResultPaths(folder).scores)
    return scores


@dataclass(frozen=True, eq=False)
class _Answers:
    """Out-of-fold posteriors of all rows of a table: S samples, N rows, D targets."""

    catalogue: Catalogue
    samples: np.ndarray  # (S, N, D)
    log_prob_samples: np.ndarray  # (S', N)
    log_prob: np.ndarray  # (N,), of the dequantised ground truth
    is_answered: np.ndarray  # (N,)
    references: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def empty(
        cls, catalogue: Catalogue, sampling: Sampling, dtype: np.dtype
    ) -> _Answers:
        num_samples, num_rows = sampling.num_samples, len(catalogue.table)
        num_densities = min(NUM_DENSITIES, num_samples)
        return cls(
            catalogue,
            np.empty((num_samples, num_rows, len(catalogue.targets)), dtype),
            np.empty((num_densities, num_rows), np.float32),
            np.empty(num_rows),
            np.zeros(num_rows, bool),
        )

    def put(self, posterior: Posterior, split: Split, sampling: Sampling) -> None:
        """Answer for the test rows of a fold."""
        rows = answerable_rows(posterior, self.catalogue, split.test)
        query = Query(self.catalogue.inputs(posterior.inputs)[rows], rows)
        for objects, samples in posterior.sample_batches(query, sampling):
            self.samples[:, rows[objects]] = samples
        truth = dequantised_ground_truth(self.catalogue, rows)
        samples = self.samples[:, rows]
        log_prob = densities(posterior, samples, truth, query, sampling.kernels)
        self.log_prob_samples[:, rows], self.log_prob[rows] = log_prob
        self.is_answered[rows] = True
        train = np.concatenate([split.train, split.validation])
        references = reference_samples(
            self.catalogue, train, rows, sampling.num_samples, sampling.seed
        )
        for name, samples in references.items():
            empty = np.empty_like(self.samples)
            self.references.setdefault(name, empty)[:, rows] = samples


def _fold(run: Run, split: Split, config: Config) -> Fold:
    if run.is_original:
        return Fold(split, standard_transforms(run.catalogue, split.train))
    return Fold(split, fit_catalogue_transforms(run.catalogue, split, seed=config.seed))


def _write(
    path: Path,
    answers: _Answers,
    rows: np.ndarray,
    inputs: tuple[str, ...],
    attributes: dict[str, str | float],
) -> None:
    objects = answers.catalogue.rows(rows)
    names = dict.fromkeys((objects.cluster_column, *ROW_KEYS))
    layout = SampleLayout(
        objects.targets,
        len(answers.samples),
        objects.table[[name for name in names if name in objects.table]],
        attributes,
        dict(zip(inputs, objects.inputs(inputs).T, strict=True)),
        objects.theta,
        has_densities=True,
        schema=objects.schema,
        dtype=answers.samples.dtype,
    )
    with sample_writer(path, layout) as writer:
        everything = slice(0, len(rows))
        writer.put(everything, answers.samples[:, rows])
        writer.put_log_prob(
            everything, answers.log_prob_samples[:, rows], answers.log_prob[rows]
        )
