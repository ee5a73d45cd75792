"""A catalogue of any size to a folder of answers, partition by partition.

The catalogue is one sequence of rows, cut into partitions of equal length. Each is answered by the
steps of ``answer`` and laid down as a part, whole or not at all; who starts the same job again goes
on where it was killed. Bytes do not depend on the engine, the workers or the order of work.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cinn_clusters.catalogues.partitions.hats import is_hats, primary_catalogue
from cinn_clusters.claims import is_free, reserving
from cinn_clusters.errors import DataError, OutputError
from cinn_clusters.files import Destination, demand_free, read_json, resolved
from cinn_clusters.pipeline.inference.answer import InferenceRequest
from cinn_clusters.pipeline.inference.infer import SAMPLE_TEST
from cinn_clusters.pipeline.scale.build import HATS, build_result
from cinn_clusters.pipeline.scale.engines import PartitionOptions, run_all
from cinn_clusters.pipeline.scale.partition import PartitionedJob
from cinn_clusters.pipeline.scale.plan import job_record, plan_job
from cinn_clusters.progress import OnProgress, Progress, ignore_progress
from cinn_clusters.storage.answer_parts import SUMMARY, PartCounts, PartFolder
from cinn_clusters.storage.model import load_model

PARQUET = ".parquet"
"""Ending of a folder of answers."""


@dataclass(frozen=True)
class PartitionedAnswers:
    """Result of an inference partition by partition.

    Args:
        path: Folder of Parquet files: the catalogue with columns appended.
        counts: What became of the rows.
        conversions: Log of conversions; its counts are those of the exemplars.
        sample_test: MMD^2 of a random sample and the training clusters, and its p-value.
    """

    path: Path
    counts: PartCounts
    conversions: tuple[str, ...] = ()
    sample_test: tuple[float, float] = (float("nan"), float("nan"))


@reserving()
def infer_partitions(
    catalogue: str | Path,
    out: str | Path | Destination,
    request: InferenceRequest | None = None,
    *,
    model: str | Path | None = None,
    partitions: PartitionOptions | None = None,
    on_progress: OnProgress = ignore_progress,
) -> PartitionedAnswers:
    """Infer the merger history of every object of a catalogue of any size, in bounded memory.

    Only summaries are kept. If the process is killed, the same call goes on where it was.

    Args:
        catalogue: Parquet, FITS or CSV; a folder of Parquet files, or a HATS catalogue. Other
            formats are read whole.
        out: Folder to make: ``NAME.parquet``, or ``NAME.hats`` for a HATS catalogue of answers.
        request: What is asked of every row.
        model: A trained model; None: the one that comes with the package.
        partitions: How the work is cut and shared out.
        on_progress: Called with the number of rows done.

    Returns:
        The folder, and what became of the rows.

    Raises:
        DataError: If the catalogue cannot be read, a column or unit is wrong, or no row can be
            answered.
        BundleError: If the model is missing or damaged.
        OutputError: If the place is taken, holds parts of another job, or cannot be written.

    Examples:
        >>> import cinn_clusters as cc
        >>> request = cc.InferenceRequest(sampling=cc.Sampling(20))
        >>> answers = cc.infer_partitions("mock/observables1.csv", "answers.parquet", request)
        >>> answers.counts.rows
        192
    """
    request = request or InferenceRequest()
    partitions = partitions or PartitionOptions()
    destination = out if isinstance(out, Destination) else Destination(Path(out))
    catalogue = Path(catalogue)
    _demand_ending(destination.path, catalogue)
    trained = load_model(model, device=request.sampling.device)
    record = job_record(catalogue, request, trained, partitions)
    folder = PartFolder(resolved(destination.path))
    if not folder.is_finished(record):
        _demand_place(destination)
        folder.begin(record, overwrite=destination.overwrite)
        with folder.discarded_without_parts():
            job, attributes = plan_job(catalogue, folder, request, trained, partitions)
        counts = _run(job, partitions, on_progress)
        _demand_answered(counts, catalogue, folder)
        summary = {"job": record, "counts": counts.to_dict(), "attributes": attributes}
        folder.finish(build_result(job, catalogue, destination.path), summary)
    return read_answers(destination.path)


def read_answers(path: Path) -> PartitionedAnswers:
    """Read what a folder of answers says of itself.

    Raises:
        BundleError: If it says nothing.
    """
    summary = read_json(path / SUMMARY)
    counts = PartCounts.from_dict(summary["counts"])
    attributes = summary["attributes"]
    distance, p_value = (float(attributes.get(name, "nan")) for name in SAMPLE_TEST)
    log = tuple(attributes["conversions"].splitlines())
    return PartitionedAnswers(path, counts, log, (distance, p_value))


def _demand_ending(out: Path, catalogue: Path) -> None:
    if out.suffix == PARQUET:
        return
    if out.suffix != HATS:
        expected = f"a folder of answers that ends in {PARQUET} or {HATS}"
        raise OutputError(out, expected, f"'{out.suffix}'")
    if not is_hats(primary_catalogue(catalogue)):
        hint = f"name the result *{PARQUET}"
        raise OutputError(
            out, "a catalogue in HATS to answer", str(catalogue), "", hint
        )


def _demand_place(out: Destination) -> None:
    """Refuse to replace what is no folder of answers."""
    demand_free(out.path, out.overwrite)
    if (
        out.path.exists()
        and not (out.path / SUMMARY).is_file()
        and not is_free(out.path)
    ):
        hint = "it is not ours to replace"
        raise OutputError(out.path, "a folder of answers", "something else", "", hint)


def _run(
    job: PartitionedJob, partitions: PartitionOptions, on_progress: OnProgress
) -> PartCounts:
    counts = PartCounts()
    for of_part in run_all(job, list(range(len(job))), partitions):
        counts = counts + of_part
        on_progress(Progress(counts.rows, len(job.rows), "infer"))
    return counts


def _demand_answered(counts: PartCounts, catalogue: Path, folder: PartFolder) -> None:
    if counts.answered:
        return
    folder.discard()
    first = ", ".join(reason for reason, _ in counts.reasons.most_common(1))
    expected, got = "a row that can be answered", f"none of {counts.rows}"
    raise DataError(catalogue, expected, got, f"most often: {first}")
