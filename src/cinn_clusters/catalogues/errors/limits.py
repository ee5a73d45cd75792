"""Upper and lower limits of a published catalogue, by a column of flags or by ``<`` and ``>``."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.table import Column, MaskedColumn, Table

from cinn_clusters.catalogues.mapping import Mapping, Quantity
from cinn_clusters.errors import DataError

UPPER, LOWER = -1, 1
_SIDES = {
    **dict.fromkeys(("<", "upper", "true", "t", "yes", "y", "1", "1.0"), UPPER),
    **dict.fromkeys((">", "lower"), LOWER),
    **dict.fromkeys(("", "=", "false", "f", "no", "n", "0", "0.0", "--"), 0),
}
_SIGNS = {"<": UPPER, "≤": UPPER, ">": LOWER, "≥": LOWER}
_NO_ERRORS = dict.fromkeys(
    [
        "error",
        "error_low",
        "error_high",
        "error_scale",
        "error_unit",
        "error_value",
        "low",
        "high",
    ]
)


def read_limits(table: Table, mapping: Mapping) -> tuple[Table, dict[str, np.ndarray]]:
    """A table of plain numbers, and which values are limits: -1 upper, 1 lower, (N,) by quantity.

    Raises:
        DataError: If a flag is none, or its column is missing.
    """
    plain, limits = table.copy(copy_data=False), {}
    for name, quantity in mapping.limitable.items():
        if quantity.column not in table.colnames:
            continue  # which the conversion refuses
        side = _signs(plain, quantity.column)
        if quantity.limit is not None:
            side = np.where(side != 0, side, _flags(table, quantity.limit))
        if side.any():
            limits[name] = side
    return plain, limits


def detections(table: Table, mapping: Mapping, limits: dict[str, np.ndarray]) -> Table:
    """The table without the values that are limits."""
    return _masked(
        table, {mapping.quantities[name].column: side for name, side in limits.items()}
    )


def only_limits(
    table: Table, mapping: Mapping, limits: dict[str, np.ndarray]
) -> tuple[Table, Mapping]:
    """The table without the values of limited quantities that are none, and without their errors."""
    detected = {
        mapping.quantities[name].column: side == 0 for name, side in limits.items()
    }
    plain = {**_NO_ERRORS, "limit": None, "missing": ()}
    quantities = {
        name: mapping.quantities[name].model_copy(update=plain) for name in limits
    }
    return _masked(table, detected), mapping.model_copy(update=quantities)


def without_limits(mapping: Mapping) -> Mapping:
    """The mapping of the detections."""
    quantities: dict[str, Quantity] = {
        name: quantity.model_copy(update={"limit": None})
        for name, quantity in mapping.limitable.items()
    }
    return mapping.model_copy(update=quantities)


def _masked(table: Table, columns: dict[str, np.ndarray]) -> Table:
    result = table.copy(copy_data=False)
    for name, rows in columns.items():
        mask = np.ma.getmaskarray(np.ma.asarray(result[name])) | (rows != 0)
        result[name] = MaskedColumn(result[name], mask=mask)
    return result


def _signs(table: Table, name: str) -> np.ndarray:
    """Sides that the texts of a column say, (N,); their signs are taken off the column."""
    entries: Any = np.ma.asarray(table[name])
    side = np.zeros(len(table), dtype=np.int8)
    if entries.dtype.kind not in "OSU" or entries.ndim != 1:
        return side
    texts = [_text(entry).strip() for entry in entries.filled("")]
    side[:] = [_SIGNS.get(text[:1], 0) for text in texts]
    if side.any():
        mask = np.ma.getmaskarray(entries)
        table[name] = _without_signs(table[name], texts, mask)
    return side


def _without_signs(column: Column, texts: list[str], mask: np.ndarray) -> MaskedColumn:
    """The column of its texts without their signs, masked where nothing is left."""
    plain = [text.lstrip("<≤>≥= ") for text in texts]
    is_empty = np.array([not text for text in plain])
    unsigned = Column(plain, unit=column.unit, description=column.description)
    return MaskedColumn(unsigned, mask=mask | is_empty)


def _flags(table: Table, name: str) -> np.ndarray:
    """Sides that a column of flags says, (N,)."""
    if name not in table.colnames:
        raise DataError(f"column '{name}'", "a column of flags of limits", "none")
    entries = np.ma.asarray(table[name])
    mask = np.ma.getmaskarray(entries)
    texts = [
        "" if is_masked else _text(entry).strip().lower()
        for entry, is_masked in zip(entries.data, mask, strict=True)
    ]
    for row, text in enumerate(texts):
        if text not in _SIDES and text != "nan":
            expected = "'<', '>', true, false or nothing"
            hint = "make it a column of '<' for upper and '>' for lower limits"
            subject, got = f"flag of limits '{name}'", f"'{text}' in row {row}"
            raise DataError(subject, expected, got, "", hint)
    return np.array([_SIDES.get(text, 0) for text in texts], dtype=np.int8)


def _text(entry: object) -> str:
    if isinstance(entry, bytes):
        return entry.decode("utf-8", "replace")
    return str(entry)
