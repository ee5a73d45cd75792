"""Correlated errors of a published catalogue: mass and gas of one image, say."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated

import numpy as np
from astropy.table import Table
from pydantic import BaseModel, ConfigDict, Field

from cinn_clusters.catalogues.table_files import numbers
from cinn_clusters.errors import ConfigError, DataError

_ROUNDING = 1e-9
ColumnName = Annotated[str, Field(min_length=1)]
"""Column of a file; a name without a character names none."""


class Correlation(BaseModel):
    """Correlation coefficient of the errors of two quantities: a number, or a column of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    quantities: tuple[str, str]
    value: float | None = Field(default=None, ge=-1, le=1)
    column: ColumnName | None = None

    @property
    def subject(self) -> str:
        """What a complaint is about."""
        return f"[[correlation]] of {' and '.join(self.quantities)}"


def demand_correlations(
    correlations: Sequence[Correlation], mapped: Collection[str]
) -> None:
    """Refuse correlations of quantities that are not mapped or have none, and impossible ones.

    Raises:
        ConfigError: If a pair is no pair of mapped masses, stands twice, or has no coefficient, or
            if no distribution has all these coefficients.
    """
    pairs = [frozenset(correlation.quantities) for correlation in correlations]
    for correlation, pair in zip(correlations, pairs, strict=True):
        _demand_pair(correlation, mapped)
        if pairs.count(pair) > 1:
            raise ConfigError(correlation.subject, "one coefficient", "several")
    if correlations:
        _demand_together(correlations, mapped)


def _demand_pair(correlation: Correlation, mapped: Collection[str]) -> None:
    pair = set(correlation.quantities)
    if len(pair) < 2 or not pair <= set(mapped):
        expected = f"two of the mapped quantities {', '.join(mapped)}"
        got = " and ".join(correlation.quantities)
        raise ConfigError(correlation.subject, expected, got)
    if (correlation.value is None) == (correlation.column is None):
        raise ConfigError(correlation.subject, "value or column", "both or none")


def _demand_together(
    correlations: Sequence[Correlation], mapped: Collection[str]
) -> None:
    values = {one.quantities: np.array([one.value or 0.0]) for one in correlations}
    if not is_possible(coefficient_matrices(values, list(mapped), 1))[0]:
        expected = "coefficients that a distribution can have together"
        got = "a matrix that is not positive semidefinite"
        raise ConfigError("[[correlation]]", expected, got)


def coefficients(correlation: Correlation, table: Table) -> np.ndarray:
    """Coefficient of each row, (N,); NaN where its column holds none in [-1, 1].

    Raises:
        DataError: If the table lacks the column.
    """
    if correlation.column is None:
        return np.full(len(table), correlation.value)
    if correlation.column not in table.colnames:
        expected = "a column of correlation coefficients"
        raise DataError(f"column '{correlation.column}'", expected, "none")
    stated, _ = numbers(table, correlation.column)
    return np.where(np.abs(stated) <= 1.0, stated, np.nan)


def coefficient_matrices(
    values: dict[tuple[str, str], np.ndarray], names: Sequence[str], num_rows: int
) -> np.ndarray:
    """Correlation matrices (N, U, U) of coefficients (N,) of pairs of U names; others are 0."""
    matrices = np.tile(np.eye(len(names)), (num_rows, 1, 1))
    for (first, second), coefficient in values.items():
        if first in names and second in names:
            row, column = names.index(first), names.index(second)
            matrices[:, row, column] = coefficient
            matrices[:, column, row] = coefficient
    return matrices


def is_possible(matrices: np.ndarray) -> np.ndarray:
    """Whether matrices (N, U, U) are positive semidefinite, (N,)."""
    least = np.linalg.eigvalsh(matrices).min(-1)
    return np.asarray(least >= -_ROUNDING)
