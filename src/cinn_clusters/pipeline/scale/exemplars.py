"""A few rows that stand for a whole catalogue, wherever a column is judged as a whole.

Marks of absence, units and notations are facts of a column, not of the rows that one partition
happens to hold. The exemplars hold the smallest and largest value of each column, some rows of
each value that may be a mark, and a random sample; they are read together with every partition.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from cinn_clusters.catalogues.formats.parquet import table_of_arrow
from cinn_clusters.catalogues.partitions.parquet_rows import ParquetRows
from cinn_clusters.data.reading.absence import are_known_marks

_NUM_RANDOM = 500
"""Rows of the random sample, as many as the two-sample test takes."""
_ROWS_A_MARK = 3
"""Rows of each possible mark: whether it repeats is all that counts."""


@dataclass(frozen=True, eq=False)
class Exemplars:
    """Rows that stand for a catalogue.

    Args:
        content: A table of pyarrow: the random sample, then the rows of extremes and marks.
        num_random: Rows of the random sample.
    """

    content: Any
    num_random: int

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.content)


def choose_exemplars(
    rows: ParquetRows, columns: Collection[str], bounds: np.ndarray
) -> Exemplars:
    """Choose the exemplars of a catalogue in one pass over its partitions.

    Args:
        rows: The catalogue, N rows.
        columns: Those that are judged, of which the catalogue may lack some.
        bounds: First row of each partition, and N.
    """
    import pyarrow

    rng = np.random.default_rng(0)
    num_random = min(_NUM_RANDOM, len(rows))
    random = np.sort(rng.choice(len(rows), num_random, replace=False))
    sample, extremes = [], []
    for start, stop in pairwise(bounds.tolist()):
        content = rows.read(start, stop)
        is_here = (random >= start) & (random < stop)
        sample.append(content.take(random[is_here] - start))
        extremes.append(content.take(_striking_rows(content, columns)))
    candidates = pyarrow.concat_tables(extremes)
    striking = candidates.take(_striking_rows(candidates, columns))
    return Exemplars(pyarrow.concat_tables([*sample, striking]), num_random)


def _striking_rows(content: Any, columns: Collection[str]) -> np.ndarray:
    """Rows of extremes and of possible marks of the columns of numbers, ascending."""
    names = [name for name in content.schema.names if name in columns]
    table = table_of_arrow(content.select(names), [])
    rows: set[int] = set()
    for name in table.colnames:
        column = table[name]
        if column.dtype.kind in "iuf" and column.ndim == 1:
            rows.update(_striking_values(np.ma.filled(column.astype(float), np.nan)))
    return np.array(sorted(rows), dtype=int)


def _striking_values(values: np.ndarray) -> list[int]:
    """Rows of the smallest and largest value (N,), and of possible marks."""
    present = np.flatnonzero(np.isfinite(values))
    if not len(present):
        return []
    distinct, first = np.unique(values[present], return_index=True)
    is_mark = are_known_marks(distinct)
    ordinary = present[first[~is_mark]]
    ends = np.concatenate([ordinary[:1], ordinary[-1:]])
    repeated = [
        np.flatnonzero(values == mark)[:_ROWS_A_MARK] for mark in distinct[is_mark]
    ]
    rows: list[int] = np.concatenate([ends, *repeated]).tolist()
    return rows
