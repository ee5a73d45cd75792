"""One line an object: median, intervals and joint mode of its posterior."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cinn_clusters import schema
from cinn_clusters.diagnostics.regions import shortest_interval
from cinn_clusters.files import atomic_file
from cinn_clusters.storage.run import csv_text

SINCE = "time_since_collision_Gyr"
LEVELS = (0.68, 0.95)


def summarise(
    samples: np.ndarray,
    targets: tuple[str, ...],
    *,
    age: np.ndarray | None = None,
    mode: np.ndarray | None = None,
) -> pd.DataFrame:
    """Summarise posterior samples.

    Args:
        samples: (S, N, D) in catalogue units.
        targets: Their D columns.
        age: Cosmic age at each observation [Gyr], (N,); adds the time since collision where T_coll
            is a target.
        mode: Joint mode, (N, D); adds ``_map`` columns.

    Returns:
        N rows; for each quantity ``_median``, ``_p16``, ``_p84``, ``_lower68``, ``_upper68``,
        ``_lower95``, ``_upper95`` (shortest intervals) and ``_map``.

    Examples:
        >>> draws = np.random.default_rng(0).normal(size=(500, 2, 1))
        >>> summarise(draws, ("last_d_peri",)).columns[:3].tolist()
        ['last_d_peri_median', 'last_d_peri_p16', 'last_d_peri_p84']
    """
    columns: dict[str, np.ndarray] = {}
    for d, name in enumerate(targets):
        columns |= _described(name, samples[:, :, d], None if mode is None else mode[:, d])
    if age is not None and schema.COLLISION_TIME in targets:
        d = targets.index(schema.COLLISION_TIME)
        columns |= _described(
            SINCE, age - samples[:, :, d], None if mode is None else age - mode[:, d]
        )
    return pd.DataFrame(columns)


def summary_columns(targets: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns that a summary may have.

    Examples:
        >>> summary_columns(("last_d_peri",))[:2]
        ('last_d_peri_median', 'last_d_peri_p16')
    """
    anything = np.ones((2, 1, len(targets)))
    return tuple(map(str, summarise(anything, targets, age=np.ones(1), mode=anything[0])))


def _described(name: str, draws: np.ndarray, mode: np.ndarray | None) -> dict[str, np.ndarray]:
    middle, lower, upper = np.quantile(draws, [0.5, 0.16, 0.84], axis=0)
    columns = {f"{name}_median": middle, f"{name}_p16": lower, f"{name}_p84": upper}
    for level in LEVELS:
        ends = shortest_interval(draws[:, :, None], level)
        for side, end in zip(("lower", "upper"), ends, strict=True):
            columns[f"{name}_{side}{level * 100:.0f}"] = end[:, 0]
    return columns if mode is None else {**columns, f"{name}_map": mode}


def write_summary(frame: pd.DataFrame, path: Path, *, overwrite: bool = False) -> None:
    """Write a summary as ECSV (with units) if the name ends so, as CSV otherwise.

    Raises:
        OutputError: If the file is taken or cannot be written.
    """
    with atomic_file(path, overwrite=overwrite) as scratch:
        if path.suffix.lower() == ".ecsv":
            _write_ecsv(frame, scratch)
        else:
            scratch.write_text(csv_text(frame), encoding="utf-8")


def _write_ecsv(frame: pd.DataFrame, path: Path) -> None:
    from astropy.table import Table

    table = Table.from_pandas(frame)
    for name in table.colnames:
        quantity = name.rsplit("_", 1)[0]
        unit = (
            "Gyr" if quantity == SINCE else schema.column(quantity).unit or schema.column(name).unit
        )
        table[name].unit = schema.fits_unit(unit)
        table[name].description = (
            schema.column(quantity).meaning or schema.column(name).meaning or None
        )
    table.write(path, format="ascii.ecsv")
