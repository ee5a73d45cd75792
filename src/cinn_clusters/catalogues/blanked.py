"""A published catalogue without its marks of absence, those that it states and those it shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from astropy.table import Column, MaskedColumn, Table

from cinn_clusters.catalogues.mapping import Mapping, Quantity
from cinn_clusters.catalogues.table_files import numbers
from cinn_clusters.catalogues.units import scale_of
from cinn_clusters.data.reading.absence import (
    Mark,
    column_marks,
    find_marks,
    stated_marks,
)
from cinn_clusters.schema import ERROR_PREFIX, Schema

_SMALLEST_OF_ERRORS = 9.0
"""0 and -1 among errors have rules of their own: no error, no lower error, a sign."""


def blank_mapped(table: Table, mapping: Mapping) -> tuple[Table, list[str]]:
    """Return a table whose mapped columns are masked where they hold marks, and a note of each.

    Marks are those that the mapping names, for the whole file or a quantity, and those that a
    column shows; ``missing = []`` of a quantity says that it has none.
    """
    return _blanked(table, _mapped_marks(table, mapping))


def blank_named(
    table: Table, names: Sequence[str], schema: Schema
) -> tuple[Table, list[str]]:
    """Do the same for columns under the names of the simulation, and their errors."""
    return _blanked(table, _named_marks(table, names, schema))


_Marked = Iterator[tuple[str, Mark]]


def _blanked(table: Table, marked: _Marked) -> tuple[Table, list[str]]:
    blanked, notes = table.copy(copy_data=False), []
    for name, mark in marked:
        blanked[name] = _masked(blanked[name], mark.rows)
        notes.append(mark.note(name))
    return blanked, notes


def _masked(column: Column, rows: np.ndarray) -> MaskedColumn:
    mask = np.ma.getmaskarray(np.ma.asarray(column)) | rows
    return MaskedColumn(column, mask=mask)


def _mapped_marks(table: Table, mapping: Mapping) -> _Marked:
    for name, quantity in mapping.quantities.items():
        marks = (*mapping.missing, *(quantity.missing or ()))
        for column in quantity.columns:
            for mark in _marks_stated(table, column, marks):
                yield column, mark
        if quantity.shows_marks:
            yield from _shown_marks(table, name, quantity)


def _marks_stated(
    table: Table, column: str, marks: tuple[float | str, ...]
) -> Iterator[Mark]:
    texts = [mark for mark in marks if isinstance(mark, str)]
    stated_numbers = [mark for mark in marks if not isinstance(mark, str)]
    values, _ = numbers(table, column)
    yield from stated_marks(values, stated_numbers)
    entries = np.array([str(entry).strip() for entry in table[column]], dtype=object)
    for text in texts:
        is_marked = entries == text
        if np.any(is_marked):
            yield Mark(text, is_marked)


def _shown_marks(table: Table, name: str, quantity: Quantity) -> _Marked:
    column = quantity.column
    is_time = name in (
        "redshift",
        "lookback_time",
    )  # which may be 0, or have a rule for it
    is_positive = not (is_time or scale_of(table, quantity, name).is_log)
    for mark in find_marks(numbers(table, column)[0], is_positive=is_positive):
        yield column, mark
    for bound in filter(None, (quantity.low, quantity.high)):
        for mark in find_marks(numbers(table, bound)[0]):
            yield bound, mark
    for error in filter(
        None, (quantity.error, quantity.error_low, quantity.error_high)
    ):
        for mark in _error_marks(table, error):
            yield error, mark


def _named_marks(table: Table, names: Sequence[str], schema: Schema) -> _Marked:
    for name in names:
        if name in table.colnames:
            values = numbers(table, name)[0]
            for mark in column_marks(values, schema.column(name)):
                yield name, mark
        error = ERROR_PREFIX + name
        if error in table.colnames:
            for mark in _error_marks(table, error):
                yield error, mark


def _error_marks(table: Table, name: str) -> list[Mark]:
    values, _ = numbers(table, name)
    marks = find_marks(values)
    return [mark for mark in marks if abs(float(mark.value)) >= _SMALLEST_OF_ERRORS]
