"""Any catalogue to posteriors: rows that cannot be used are reported, the others answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cinn_clusters import schema
from cinn_clusters.catalogues.files import FORMATS
from cinn_clusters.data.checks import demand_typical, problems
from cinn_clusters.data.tables import FIRST_LINE, demand_columns, read_csv
from cinn_clusters.errors import DataError, OutputError
from cinn_clusters.files import atomic_file, demand_free, sha256_of
from cinn_clusters.posterior.disagreement import disagreement
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.posterior.query import Query, Sampling
from cinn_clusters.posterior.summary import summarise
from cinn_clusters.storage.model import load_posterior
from cinn_clusters.storage.posterior_file import (
    NUM_DENSITIES,
    SampleLayout,
    library_attributes,
    sample_writer,
)
from cinn_clusters.storage.summary import write_summary

ROW = "catalogue_row"
"""Row of an object in its catalogue, counted from 0 below the header; the ``cluster`` coordinate
of the samples."""
EXTRAPOLATED = "num_extrapolated"
"""Observables of an object that lie beyond all that was trained on, where they are clipped;
beside its summary."""
DISAGREEMENT = "disagreement_nats"
"""How far the members of the ensemble disagree on an object: large where the training table says
little."""
OBJECT = "object"
"""Name of an observed cluster, along the ``cluster`` dimension of the samples."""
KEYS = (schema.CLUSTER_COLUMN, *schema.ROW_KEYS)
OnObjects = Callable[[int], None]


@dataclass(frozen=True)
class Rejected:
    """A row that cannot be answered."""

    line: int
    reason: str


@dataclass(frozen=True)
class Inferred:
    """What an inference came to."""

    posterior: Path
    summary: Path
    num_objects: int
    num_extrapolated: int
    rejected: tuple[Rejected, ...]


def infer(
    model: str | Path,
    catalogue: str | Path,
    out: str | Path,
    *,
    summary: str | Path | None = None,
    num_draws: int = 1000,
    seed: int = 0,
    strict: bool = False,
    with_mode: bool = True,
    allow_atypical: bool = False,
    device: str = "auto",
    overwrite: bool = False,
    on_objects: OnObjects | None = None,
) -> Inferred:
    """Answer for every usable row of a catalogue.

    Args:
        model: A bundle.
        catalogue: CSV holding the model's inputs; other columns pass through to the summary.
        out: netCDF file for the samples.
        summary: CSV or ECSV file; default: beside ``out``, ``<name>_summary.csv``.
        num_draws: Draws an object.
        seed: Draws of an object depend on the seed and its row in the catalogue.
        strict: Refuse the catalogue if a row cannot be used.
        with_mode: Find the joint mode, too.
        allow_atypical: Accept medians that tell of another unit (asked of 20 rows or more).
        device: See ``fit``.
        overwrite: Replace files that stand there.
        on_objects: Called with the number of objects done.

    Returns:
        What it came to, rejected rows with line and reason.

    Raises:
        DataError: If a column is missing or in another unit, no row is usable, or ``strict`` and
            one is not.
        BundleError: If the model is damaged.
        OutputError: If a file is taken or cannot be written.
    """
    out = Path(out)
    summary_path = (
        Path(summary) if summary is not None else out.with_name(f"{out.stem}_summary.csv")
    )
    demand_places(out, summary_path, Path(catalogue), overwrite)
    posterior = load_posterior(model, device=device)
    _demand_csv(Path(catalogue))
    table = read_csv(catalogue)
    demand_columns(table, posterior.inputs, str(catalogue))
    inputs, rejected = usable_rows(table, posterior.inputs)
    _demand_usable(rejected, len(table), strict, str(catalogue))
    places = np.flatnonzero(
        ~np.isin(np.arange(len(table)) + FIRST_LINE, [row.line for row in rejected])
    )
    attributes: dict[str, str | int] = {
        "catalogue_sha256": sha256_of(Path(catalogue)),
        "model_sha256": sha256_of(Path(model) / "manifest.json"),
        "num_rejected": len(rejected),
    }
    if not allow_atypical:
        demand_typical(pd.DataFrame(inputs[places], columns=posterior.inputs), posterior.inputs)
    rows = table.iloc[places].reset_index(drop=True)
    with (
        atomic_file(out, overwrite=overwrite) as samples,
        atomic_file(summary_path, overwrite=overwrite) as lines,
    ):
        frame = write_posterior(
            posterior,
            inputs[places],
            rows,
            samples,
            num_draws,
            seed,
            places=places,
            with_mode=with_mode,
            attributes=attributes,
            on_objects=on_objects,
        )
        if twice := [str(name) for name in rows if name in frame or name == ROW]:
            raise DataError(
                f"column '{twice[0]}'",
                "a name that no result has",
                "one of the summary",
                str(catalogue),
            )
        write_summary(pd.concat([pd.Series(places, name=ROW), rows, frame], axis=1), lines)
    return Inferred(
        out, summary_path, len(places), int((frame[EXTRAPOLATED] > 0).sum()), tuple(rejected)
    )


def write_posterior(
    posterior: Posterior,
    inputs: np.ndarray,
    rows: pd.DataFrame,
    out: Path,
    num_draws: int,
    seed: int,
    *,
    places: np.ndarray | None = None,
    with_mode: bool = True,
    attributes: Mapping[str, str | float] | None = None,
    truth: np.ndarray | None = None,
    ground_truth: np.ndarray | None = None,
    disagreements: np.ndarray | None = None,
    on_objects: OnObjects | None = None,
) -> pd.DataFrame:
    """Draw, write and summarise in pieces of bounded memory.

    Args:
        posterior: The density.
        inputs: Catalogue values, (N, L).
        rows: Their table; its key columns become coordinates.
        out: netCDF file.
        num_draws: Draws an object.
        seed: Seed.
        places: Row of each object in its catalogue, (N,).
        with_mode: Find the joint mode.
        attributes: Further global attributes of the file.
        truth: Known histories, (N, D): their densities and those of the first draws are written,
            too.
        ground_truth: Known histories as they stand in the table, (N, D), for a group of their own.
        disagreements: Of the members on each object, (N,), where they are known already.
        on_objects: Called with the number of objects done.

    Returns:
        The summary, N rows.
    """
    coordinates = rows[[name for name in (*KEYS, OBJECT) if name in rows]]
    if places is not None:
        coordinates = coordinates.set_axis(places)
    query = Query(inputs, np.arange(len(inputs)) if places is None else places)
    pieces = []
    layout = SampleLayout(
        posterior.targets,
        num_draws,
        coordinates,
        {**library_attributes(seed), **(attributes or {})},
        dict(zip(posterior.inputs, inputs.T, strict=True)),
        ground_truth,
        has_densities=truth is not None,
    )
    with sample_writer(out, layout) as writer:
        for objects, draws in posterior.sample_batches(query, Sampling(num_draws, seed)):
            writer.put(objects, draws)
            if truth is not None:
                writer.put_log_prob(
                    objects, *densities(posterior, draws, truth[objects], inputs[objects])
                )
            piece = summarise(posterior, query.rows(objects), draws, with_map=with_mode)
            pieces.append(piece)
            if on_objects is not None:
                on_objects(objects.stop - objects.start)
    summary = pd.concat(pieces, ignore_index=True)
    if disagreements is None:
        disagreements = disagreement(posterior, query, seed=seed)
    summary[DISAGREEMENT] = disagreements
    summary[EXTRAPOLATED] = posterior.transforms.num_clipped(inputs)
    return summary


def densities(
    posterior: Posterior, draws: np.ndarray, truth: np.ndarray, inputs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return log-densities of the first draws, at most (200, N), and of the truths, (N,)."""
    return posterior.log_prob(draws[:NUM_DENSITIES], inputs), posterior.log_prob(truth, inputs)


def usable_rows(table: pd.DataFrame, names: Sequence[str]) -> tuple[np.ndarray, list[Rejected]]:
    """Turn columns into numbers and say which rows cannot be used, and why.

    Args:
        table: As read.
        names: The columns needed.

    Returns:
        Values (N, L), NaN where there is no number; one entry a bad row, in order.
    """
    numbers = pd.DataFrame(
        {name: pd.to_numeric(table[name], errors="coerce").astype(float) for name in names}
    )
    reasons: dict[int, list[str]] = {}
    for name in names:
        for row in np.flatnonzero((numbers[name].isna() & table[name].notna()).to_numpy()):
            reasons.setdefault(int(row), []).append(
                f"{name}: expected a number; got '{table[name].iloc[row]}'"
            )
    for problem in problems(numbers, names):
        for row in np.flatnonzero(
            problem.rows & ~numbers.index.isin(list(_text_rows(reasons, problem.column)))
        ):
            value = numbers[problem.column].iloc[row]
            got = f"{value:g}" if np.isfinite(value) else problem.fault
            reasons.setdefault(int(row), []).append(
                f"{problem.column}: expected {problem.expected}; got {got}"
            )
    return numbers.to_numpy(), [
        Rejected(row + FIRST_LINE, "; ".join(reasons[row])) for row in sorted(reasons)
    ]


def demand_places(out: Path, summary: Path, catalogue: Path, overwrite: bool) -> None:
    """Refuse places of results that are taken, or one that is the catalogue."""
    for path in (out, summary):
        demand_free(path, overwrite)
    if len({path.resolve() for path in (out, summary, catalogue)}) < 3:
        raise OutputError(
            str(out), "three files: catalogue, posterior and summary", "one name twice"
        )


def _demand_csv(catalogue: Path) -> None:
    kind = FORMATS.get(catalogue.suffix.lower(), "ascii.csv")
    if kind != "ascii.csv":
        expected, hint = (
            "CSV, all that a model of exact, complete tables reads",
            "convert it, or leave --model out",
        )
        raise DataError(
            str(catalogue), expected, f"{kind.removeprefix('ascii.')} by its name", "", hint
        )


def _text_rows(reasons: dict[int, list[str]], column: str) -> set[int]:
    return {
        row
        for row, told in reasons.items()
        if any(reason.startswith(f"{column}:") for reason in told)
    }


def _demand_usable(rejected: list[Rejected], num_rows: int, strict: bool, where: str) -> None:
    if not rejected or (len(rejected) < num_rows and not strict):
        return
    first = f"{where}, line {rejected[0].line} ({rejected[0].reason})"
    expected = "every row to be usable (--strict)" if strict else "a row that can be used"
    raise DataError(
        "catalogue", expected, f"{len(rejected)} of {num_rows} rows that are not", first
    )
