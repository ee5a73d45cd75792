"""Summaries on disk: ECSV with units, or CSV."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cinn_clusters.files import atomic_file
from cinn_clusters.posterior.summary import TIME_SINCE_COLLISION
from cinn_clusters.schema import DEFAULT, Schema, fits_unit
from cinn_clusters.storage.run import csv_text


def write_summary(
    frame: pd.DataFrame,
    path: Path,
    schema: Schema = DEFAULT,
    *,
    overwrite: bool = False,
) -> None:
    """Write a summary as ECSV (with the units of a schema) if the name ends so, as CSV otherwise.

    Raises:
        OutputError: If the file is taken or cannot be written.
    """
    with atomic_file(path, overwrite=overwrite) as scratch:
        if path.suffix.lower() == ".ecsv":
            _write_ecsv(frame, scratch, schema)
        else:
            scratch.write_text(csv_text(frame), encoding="utf-8")


def summary_unit(name: str, schema: Schema = DEFAULT) -> str:
    """Return the unit of a column of a summary.

    Examples:
        >>> summary_unit("time_since_collision_Gyr_median"), summary_unit("last_d_peri_map")
        ('Gyr', 'log10 kpc')
    """
    quantity = name.rsplit("_", 1)[0]
    if quantity == TIME_SINCE_COLLISION:
        return "Gyr"
    return schema.column(quantity).unit or schema.column(name).unit


def _write_ecsv(frame: pd.DataFrame, path: Path, schema: Schema) -> None:
    from astropy.table import Table

    table = Table.from_pandas(frame)
    for name in table.colnames:
        quantity = name.rsplit("_", 1)[0]
        meaning = schema.column(quantity).meaning or schema.column(name).meaning
        table[name].unit = fits_unit(summary_unit(name, schema))
        table[name].description = meaning or None
    table.write(path, format="ascii.ecsv")
