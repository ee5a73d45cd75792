"""A published catalogue to posteriors: converted, answered, flagged, and given back with columns
appended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from astropy.table import Column, MaskedColumn, Table

from cinn_clusters import schema
from cinn_clusters.catalogues.convert import Converted, convert
from cinn_clusters.catalogues.files import FORMATS, demand_writable, read_table, write_table
from cinn_clusters.catalogues.mapping import Mapping, named_as_simulated
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.measurement import MeasurementTransforms
from cinn_clusters.data.tables import demand_columns, read_csv
from cinn_clusters.errors import BundleError, DataError, OutputError
from cinn_clusters.files import atomic_file, demand_free, sha256_of
from cinn_clusters.ood.sample_test import two_sample_test
from cinn_clusters.ood.support import TrainingSupport, nearest_analogues
from cinn_clusters.pipeline.inference.infer import OBJECT, ROW, write_posterior
from cinn_clusters.posterior.disagreement import disagreement
from cinn_clusters.posterior.monte_carlo import MonteCarlo
from cinn_clusters.posterior.posterior import Posterior
from cinn_clusters.posterior.query import Query
from cinn_clusters.posterior.summary import TIME_SINCE_COLLISION, summary_columns
from cinn_clusters.posterior.trained import TrainedModel
from cinn_clusters.storage.model import load_model, packaged_model
from cinn_clusters.storage.provenance import SAMPLE_KEYS, with_provenance

Ood = Literal["keep", "flag", "refuse"]
Errors = Literal["network", "monte-carlo"]
STATUS, REASONS = "cinn_status", "cinn_reasons"
RECORDED, STRANGENESS, ANALOGUES = "p_recorded", "strangeness", "analogues"
NUM_ANALOGUES = 5
CONDITIONAL = (
    "posteriors are conditional on a collision being recorded in the simulation since about z = 1.2"
)
UCDS = {
    schema.COLLISION_TIME: "time.age",
    TIME_SINCE_COLLISION: "time.interval",
    "last_V_coll": "phys.veloc",
    schema.COLLISION_MASS: "phys.mass",
    "last_Subcluster_mass": "phys.mass",
    "last_Mass_ratio": "phys.mass;arith.ratio",
    "last_d_peri": "pos.distance",
    RECORDED: "stat.probability",
    STRANGENESS: "stat.percentile",
    STATUS: "meta.code.status",
    REASONS: "meta.note",
}
"""What the appended columns are, in the vocabulary of the Virtual Observatory (IVOA UCD1+ 1.5)."""
STATISTICS = {"median": ";stat.median", "p16": ";stat.percentile", "p84": ";stat.percentile"}
STATISTICS |= dict.fromkeys(("lower68", "upper68", "lower95", "upper95"), ";stat.interval")
DESCRIPTIONS = {
    STATUS: "ok, flagged (a value not used, or the model may not apply), refused, or unusable (no redshift)",
    REASONS: "what was wrong with the row, and why the model may not apply",
    RECORDED: "chance that a collision is recorded, on which the posterior is conditional",
    STRANGENESS: "percentile of the robust distance among training clusters",
    ANALOGUES: "snapshot:halo of the most similar simulated clusters",
    "disagreement_nats": "mean divergence between members of the ensemble [nat]",
    "num_extrapolated": "observables beyond four standard deviations of the training clusters",
    ROW: "row of the catalogue, from 0",
}


@dataclass
class Observed:
    """What an inference on a published catalogue came to.

    Args:
        posterior: netCDF file of the samples.
        table: The catalogue with columns appended.
        num_objects: Rows of the catalogue.
        num_answered: Those with a posterior.
        num_flagged: Those to which the model may not apply.
        account: What was converted.
        reasons: How often each reason was given, values left out.
        discrepancy: MMD^2 of the sample and the training clusters, and its p-value.
    """

    posterior: Path
    table: Path
    num_objects: int
    num_answered: int
    num_flagged: int
    account: tuple[str, ...]
    reasons: Counter[str] = field(default_factory=Counter)
    discrepancy: tuple[float, float] = (float("nan"), float("nan"))


def observe(
    catalogue: str | Path,
    out: str | Path,
    *,
    mapping: Mapping | None = None,
    model: str | Path | None = None,
    table: str | Path | None = None,
    num_draws: int = 1000,
    seed: int = 0,
    ood: Ood = "flag",
    errors: Errors = "network",
    with_mode: bool = False,
    analogues: str | Path | None = None,
    device: str = "auto",
    overwrite: bool = False,
    on_objects: Callable[[int], None] | None = None,
) -> Observed:
    """Answer for the objects of a published catalogue.

    Args:
        catalogue: CSV, ECSV, FITS, VOTable or Parquet.
        out: netCDF file for the samples of the objects that are answered.
        mapping: What the columns mean; default: the names of the simulation's table, of which any
            may be absent.
        model: A bundle trained with ``train.augment``; default: the one of the package.
        table: The catalogue with columns appended, in the format of its ending; default: beside
            ``out``, the catalogue's own.
        num_draws: Draws an object.
        seed: Draws of an object depend on the seed and its row.
        ood: ``keep`` answers without looking, ``flag`` answers and says why the model may not
            apply, ``refuse`` does not answer where it may not.
        errors: ``network``: the network is told the errors; ``monte-carlo``: true values are drawn
            given the measured ones, and each gives a part of the draws.
        with_mode: Find the joint mode, too.
        analogues: A table of the simulation, whose nearest rows are listed for each object.
        device: See ``fit``.
        overwrite: Replace files that stand there.
        on_objects: Called with the number of objects done.

    Returns:
        What it came to.

    Raises:
        DataError: If the catalogue cannot be read, a column or unit is wrong, or no row can be
            answered.
        BundleError: If the model is damaged or no model for observers.
        OutputError: If a file is taken or cannot be written.
    """
    out, catalogue = Path(out), Path(catalogue)
    target = (
        Path(table) if table is not None else out.with_name(f"{out.stem}_table{_ending(catalogue)}")
    )
    for path in (out, target):
        demand_free(path, overwrite)
    if len({path.resolve() for path in (out, target, catalogue)}) < 3:
        raise OutputError(str(out), "three files: catalogue, posterior and table", "one name twice")
    trained = _demand_any(load_model(model, device=device))
    transforms, support = trained.posterior.transforms, trained.support
    assert isinstance(transforms, MeasurementTransforms)
    assert support is not None
    simulated = None if analogues is None else _simulated(transforms, Path(analogues))
    rows = read_table(catalogue, mapping.read if mapping else None)
    mapping = mapping or named_as_simulated(rows.colnames)
    _demand_room(rows, trained.posterior.targets, catalogue, target)
    found = convert(rows, mapping)
    inputs = found.inputs(transforms.inputs)
    usable = np.flatnonzero(~found.unusable)
    doubt, strangeness = np.full((2, len(rows)), np.nan)
    doubt[usable] = disagreement(trained.posterior, Query(inputs[usable], usable), seed=seed)
    strangeness[usable] = support.ood_score(inputs[usable])
    flags = _flags(support, inputs, found, doubt) if ood != "keep" else [[] for _ in inputs]
    refused = np.array([bool(reasons) for reasons in flags]) & (ood == "refuse")
    places = np.flatnonzero(~found.unusable & ~refused)
    if len(places) == 0:
        first = next(
            iter(found.reasons.values()),
            [next((reasons[0] for reasons in flags if reasons), "nothing")],
        )
        raise DataError(
            str(catalogue),
            "a row that can be answered",
            f"none of {len(rows)}",
            f"first: {first[0]}",
        )
    coordinates = pd.DataFrame({OBJECT: found.names[places]})
    attributes: dict[str, str | float] = {
        "catalogue_sha256": sha256_of(catalogue),
        "model_sha256": sha256_of((trained.path or packaged_model()) / "manifest.json"),
        "conditional": CONDITIONAL,
        "mapping": mapping.name,
    }
    discrepancy = two_sample_test(trained.populations, transforms, inputs[usable], seed=seed)
    attributes |= {
        name: value
        for name, value in zip(SAMPLE_KEYS.values(), discrepancy, strict=True)
        if value == value
    }
    with atomic_file(out, overwrite=overwrite) as samples:
        summary = write_posterior(
            _answering(trained.posterior, errors, found),
            inputs[places],
            coordinates,
            samples,
            num_draws,
            seed,
            places=places,
            with_mode=with_mode,
            attributes=attributes,
            disagreements=doubt[places],
            on_objects=on_objects,
        )
        if trained.selection is not None:
            summary[RECORDED] = trained.selection.probability(inputs[places])
        summary[STRANGENESS] = strangeness[places]
        if simulated is not None:
            nearest = nearest_analogues(transforms, inputs[places], simulated[1], NUM_ANALOGUES)
            summary[ANALOGUES] = [" ".join(simulated[0][rows]) for rows in nearest]
        result = _appended(rows, summary, places, _status(found, flags, refused), found, flags)
        result.meta = with_provenance(rows.meta, attributes, num_draws, seed, errors, found.account)
        write_table(result, target, overwrite=overwrite)
    told, flagged = _counted(_all_reasons(found, flags)), sum(map(bool, flags))
    return Observed(
        out, target, len(rows), len(places), flagged, tuple(found.account), told, discrepancy
    )


def _demand_any(trained: TrainedModel) -> TrainedModel:
    """Refuse a model of exact, complete observables."""
    if not trained.accepts_missing or trained.support is None:
        hint = "train one with train.augment=true, or leave --model out"
        expected = "a model that takes missing values and errors"
        raise BundleError(str(trained.path), expected, "one that does not", "", hint)
    return trained


def _demand_room(rows: Table, targets: tuple[str, ...], catalogue: Path, target: Path) -> None:
    """Refuse a catalogue that has a column of the answer, such as an answer itself, or that
    cannot be written.
    """
    answer = [name for name in (*DESCRIPTIONS, *summary_columns(targets)) if name != ROW]
    if taken := [name for name in answer if name in rows.colnames]:
        got = "an answer given before" if STATUS in taken else "one of the catalogue"
        hint = "give the catalogue without it" if STATUS in taken else "rename it"
        raise DataError(
            f"column '{taken[0]}'", "a name that no result has", got, str(catalogue), hint
        )
    demand_writable(rows, target)


def _ending(catalogue: Path) -> str:
    """The format of the catalogue, for its answer; compressed or without a known ending: ECSV."""
    return catalogue.suffix if catalogue.suffix.lower() in FORMATS else ".ecsv"


def _flags(
    support: TrainingSupport, inputs: np.ndarray, found: Converted, doubt: np.ndarray
) -> list[list[str]]:
    """Why to doubt each answer: values not used, contradictions, a cluster unlike those of the
    training.
    """
    usable = np.flatnonzero(~found.unusable)
    flags: list[list[str]] = [[] for _ in inputs]
    told = support.reasons(inputs[usable], doubt[usable])
    for row, reasons in zip(usable, told, strict=True):
        flags[row] = found.reasons.get(int(row), []) + reasons
    return flags


def _all_reasons(found: Converted, flags: list[list[str]]) -> list[list[str]]:
    """What was wrong with each row, and why the model may not apply to it, each reason once."""
    return [
        list(dict.fromkeys([*found.reasons.get(row, []), *flags[row]])) for row in range(len(flags))
    ]


def _answering(posterior: Posterior, errors: Errors, found: Converted) -> Posterior:
    if errors == "network":
        return posterior
    assert isinstance(posterior.transforms, MeasurementTransforms)
    sides = found.both_sides(posterior.transforms.optional)
    parts = (posterior.flow, posterior.transforms, posterior.device, posterior.recalibration)
    return MonteCarlo(*parts, two_sided=sides)


def _simulated(transforms: MeasurementTransforms, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Snapshot and halo of the complete rows of a table of the simulation, (M,), and their
    inputs.
    """
    table = read_csv(path)
    names = transforms.names
    demand_columns(table, [*schema.KEYS, *names], str(path))
    table = table.dropna(subset=list(names))
    if len(table) < NUM_ANALOGUES:
        raise DataError(str(path), f"at least {NUM_ANALOGUES} complete rows", str(len(table)))
    told = np.array(
        [f"{snapshot}:{halo}" for halo, snapshot in table[list(schema.KEYS)].to_numpy(int)]
    )
    return told, Catalogue(table, names, ()).inputs(transforms.inputs)


def _status(found: Converted, flags: list[list[str]], refused: np.ndarray) -> list[str]:
    return [
        "unusable"
        if found.unusable[row]
        else "refused"
        if refused[row]
        else "flagged"
        if flags[row]
        else "ok"
        for row in range(len(flags))
    ]


def _appended(
    rows: Table,
    summary: pd.DataFrame,
    places: np.ndarray,
    status: list[str],
    found: Converted,
    flags: list[list[str]],
) -> Table:
    """The catalogue with columns appended; rows without an answer keep theirs empty."""
    result = rows.copy()
    told = ["; ".join(reasons) for reasons in _all_reasons(found, flags)]
    columns: dict[str, Any] = {STATUS: Column(status), REASONS: Column(told)}
    for name in map(str, summary):
        values = summary[name].to_numpy()
        if values.dtype.kind not in "fiu":
            text = np.full(len(rows), "", dtype=object)
            text[places] = values
            columns[name] = Column([str(value) for value in text])
            continue
        filled = np.full(len(rows), np.nan, dtype=np.float32 if values.dtype.kind == "f" else float)
        filled[places] = values
        columns[name] = MaskedColumn(filled, mask=np.isnan(filled))
    for name, column in columns.items():
        _describe(column, name)
        result[name] = column
    return result


def _describe(column: Any, name: str) -> None:
    """Unit, meaning and UCD of an appended column."""
    quantity, _, statistic = name.rpartition("_")
    known = schema.column(quantity)
    unit = "Gyr" if quantity == TIME_SINCE_COLLISION else known.unit
    column.unit = schema.fits_unit(unit) if unit else None
    told = (
        f"{known.meaning} [{unit}]" if unit and known.meaning else known.meaning or quantity
    )  # FITS knows no dex
    column.description = DESCRIPTIONS.get(name) or f"{told}: {statistic}"
    if ucd := UCDS.get(name) or UCDS.get(quantity):
        column.meta["ucd"] = ucd + STATISTICS.get(statistic, "")


def _counted(reasons: list[list[str]]) -> Counter[str]:
    """How often each reason was given, without the values of its rows."""
    return Counter(reason.split(" (")[0] for told in reasons for reason in told)
