"""What the numbers of a map mean: their unit, logarithms, and marks of what was not observed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from cinn_clusters.errors import DataError
from cinn_clusters.xray.image import MapUnit, ValueScale, XrayMap

_START, _STOP = r"(?:^|(?<=[^a-z0-9]))", r"(?![a-z0-9])"
_LOG10 = re.compile(
    rf"{_START}(?:log|lg|dex)[ _]?(?:10)?{_STOP}|{_START}log10|{_START}10log{_STOP}"
    rf"|{_START}log(?=erg|counts?|cts?|ph|sb|lx)",
    re.IGNORECASE,
)
"""Of a decimal logarithm: log10, dex, dex(ct/s), log(erg/s/cm2), counts (log10), ..."""
_OTHER_FUNCTION = re.compile(
    rf"{_START}(?:ln|log[ _]?e|log[ _]?2|mag|dB|sqrt|a(?:rc)?sinh){_STOP}",
    re.IGNORECASE,
)
_COUNTS = re.compile(rf"{_START}(?:counts?|cts?|photons?|ph|events?){_STOP}", re.I)
_PER_TIME = re.compile(
    r"(?:/|\bper\b) *\(?[^/]*?\b[kM]?s(?:ec(?:onds?)?)?\b"
    r"|\b[kM]?s(?:ec)?(?:\^|\*\*)?[({ ]*-1"
)
_LOG_NAME = re.compile(
    r"(?:^|[^A-Za-z])log(?:10)?(?=[^a-z]|$)|(?:^|_)LOG(?:10)?(?=_|$)"
)
"""In the name of a data set: log_xray, xray_log10, logSB."""
_MARKS = np.array(
    [
        *(99.0, 999.0, 9999.0, 99999.0, 32768.0, 2147483648.0, 1e10, 1e15, 1e20),
        *(1e30, 1.6375e30, 1e31, 1e36, 9.969209968386869e36, 1e37, 1e38),
        *(3.4028234663852886e38, 1e99, 1e300, 1.7976931348623157e308),
    ]
)
"""What software writes, with either sign, where it has no value."""
GAP = "were taken as not observed"
"""End of the notes on gaps."""
_LEAST_LARGE = 1e20
"""Smaller values may be those of a bright pixel."""
_LARGEST_LOG10 = 100.0
_DARK = -300.0
"""log10 of no light."""
_ENOUGH = 2**22
"""Pixels that tell logarithms from others; of larger maps some rows are looked at."""
_FEW = 4
"""Pixels; fewer are not called repeated."""


def stated_unit(text: str) -> MapUnit | None:
    """Return what values of a unit (BUNIT) are, or None where there is no unit.

    Raises:
        DataError: If they are another function of a brightness than its log10.

    Examples:
        >>> stated_unit("dex(ct/s)"), stated_unit("counts"), stated_unit("ct s-1")
        ('log10', 'counts', 'rate')
    """
    text = text.strip().strip("'\"")
    if not text:
        return None
    if _OTHER_FUNCTION.search(text):
        expected = "the unit (BUNIT) of a brightness or of its log10"
        hint = "write the brightness itself"
        raise DataError("unit", expected, f"'{text}'", "", hint)
    if _LOG10.search(text):
        return "log10"
    if not _COUNTS.search(text):
        return "brightness"
    return "rate" if _PER_TIME.search(text) else "counts"


def unit_in_name(name: str) -> MapUnit | None:
    """Return ``log10`` where the name of a data set says so."""
    return "log10" if _LOG_NAME.search(name) else None


def is_logarithm(unit: str, name: str) -> bool:
    """Return whether a unit, or the name of a data set, is that of a log10.

    Raises:
        DataError: As ``stated_unit``.
    """
    return (stated_unit(unit) or unit_in_name(name)) == "log10"


def interpreted(
    image: XrayMap, unit: MapUnit | None = None, *, may_be_flat: bool = False
) -> XrayMap:
    """Return a map whose scale is known, NaN where a mark stands for no value.

    Args:
        image: Map as its file gives it.
        unit: What its values are, of the user, who is believed.
        may_be_flat: Whether it is an exposure, a background or a mask.

    Raises:
        DataError: If the unit is none of a map, or nothing says whether values are logarithms
            that may be.
    """
    if image.is_picture:
        _demand_no_unit(image, unit)
        return image
    stated = _stated(image)
    quantity = unit or stated
    scale: ValueScale = "log10" if quantity == "log10" else "brightness"
    values, marks = _without_marks(image.values, scale == "log10")
    notes = (*image.notes, *_notes(image, unit, stated, marks))
    if scale == "log10":
        _demand_logarithm(image, values)
    elif unit is None and not may_be_flat:
        _demand_no_logarithm(image, values)
    return replace(image, values=values, scale=scale, quantity=quantity, notes=notes)


def _notes(
    image: XrayMap,
    unit: MapUnit | None,
    stated: MapUnit | None,
    marks: list[tuple[float, int]],
) -> Iterator[str]:
    """Yield what was decided against the unit of the file, and on pixels that hold marks."""
    title = _title(image)
    if unit and stated and (unit == "log10") != (stated == "log10"):
        yield f"{title}: taken as {unit}, though its unit is {stated}"
    if stated == "log10" and not (unit or image.unit):
        yield f"{title}: taken as log10, as its name says"
    for mark, count in marks:
        yield f"{title}: {count} pixels of {mark:g} {GAP}"


def _stated(image: XrayMap) -> MapUnit | None:
    """Return what the file says that values are."""
    try:
        return stated_unit(image.unit) or _unit_in_name(image)
    except DataError as error:
        place = f"'{image.name}'"
        raise DataError(
            image.source, error.expected, error.got, place, error.hint
        ) from error


def _unit_in_name(image: XrayMap) -> MapUnit | None:
    """Return what the name of a map says of its values, where they bear it out."""
    unit = unit_in_name(image.name)
    if unit is None or _largest(image.values) <= 0.0:
        return unit
    if may_be_logarithm(_some_rows(image.values)):
        return unit
    return None


def _some_rows(values: np.ndarray) -> np.ndarray:
    """Return enough rows of a large map to tell what its values are."""
    step = 1 + values.size // _ENOUGH
    return values[::step]


def _title(image: XrayMap) -> str:
    """Return the file of a map, and its name where the file has several."""
    if image.name in image.source.name:
        return str(image.source)
    return f"{image.source}: '{image.name}'"


def _demand_no_unit(image: XrayMap, unit: MapUnit | None) -> None:
    if unit is not None:
        expected = f"a brightness, since --unit {unit} was given"
        got = "a picture, of grey levels or colours"
        hint = "leave --unit out"
        raise DataError(image.source, expected, got, f"'{image.name}'", hint)


def _demand_logarithm(image: XrayMap, values: np.ndarray) -> None:
    """Refuse logarithms that no brightness has."""
    highest = _largest(values)
    if highest > _LARGEST_LOG10:
        hint = "pass --unit brightness if they are no logarithms"
        got = f"up to {highest:g}"
        raise DataError(image.source, "values of log10", got, f"'{image.name}'", hint)


def _demand_no_logarithm(image: XrayMap, values: np.ndarray) -> None:
    """Ask what values are that may be logarithms, where no unit of photons is stated."""
    states_photons = bool(_COUNTS.search(image.unit))
    is_photons = states_photons or image.quantity in ("counts", "rate")
    if is_photons or not may_be_logarithm(_some_rows(values)):
        return
    expected = "a unit (BUNIT, attribute unit), since values may be logarithms"
    finite = values[np.isfinite(values)]
    unit = "no unit"
    if image.unit:
        unit = f"the unit '{image.unit}'"
    lowest, highest = finite.min(), finite.max()
    got = f"{lowest:.4g} to {highest:.4g} and {unit}"
    hint = "pass --unit log10, or --unit brightness if they are none"
    raise DataError(image.source, expected, got, f"'{image.name}'", hint)


def may_be_logarithm(values: np.ndarray) -> bool:
    """Return whether values (H, W) may be the log10 of a brightness.

    They are if all lie within some decades: far from 0, or smooth below it, or at the logarithms of
    whole numbers. A brightness is many times its background at the peak, and negative by noise only.
    """
    is_finite = np.isfinite(values)
    if not is_finite.any():
        return False
    finite = _above_floor(values[is_finite])
    low = finite.min()
    high = finite.max()
    has_decades = 0.5 <= high - low <= 15.0
    if high <= 0.0 or not has_decades or _is_whole(finite):
        return False
    if low < 0.0:
        return _is_smooth_below_zero(values)
    if high < 2.0 * low:
        return True

    middle = np.median(finite)
    tail = high - middle
    has_no_tail = tail < 10.0 * (middle - low)
    is_far_from_zero = high < 10.0 * low
    return (is_far_from_zero and has_no_tail) or _is_log_of_counts(finite)


def _above_floor(finite: np.ndarray) -> np.ndarray:
    """Return values above the smallest where that is repeated: a floor, or a mark."""
    floor = finite.min()
    above: np.ndarray = finite[finite > floor]
    num_at_floor = finite.size - above.size
    if num_at_floor >= _FEW and above.size >= _FEW:
        return above
    return finite


def _is_whole(finite: np.ndarray) -> bool:
    is_whole = finite == np.rint(finite)
    return bool(is_whole.all())


def _is_log_of_counts(finite: np.ndarray) -> bool:
    """Return whether values are logarithms of small whole numbers."""
    if finite.max() > 5.0:
        return False
    counts = 10.0**finite
    faint = counts[counts < 100.0]
    if faint.size < _FEW:
        return False
    distance = np.abs(faint - np.rint(faint))
    is_count = distance < 1e-3
    distinct = np.unique(faint)
    return bool(is_count.all() and distinct.size > 2)


def _is_smooth_below_zero(values: np.ndarray) -> bool:
    """Return whether neighbours below zero are alike, which noise is not."""
    is_negative = values < 0.0
    are_negative = is_negative[:, 1:] & is_negative[:, :-1]
    if are_negative.mean() < 0.05:
        return False
    differences = np.diff(values, axis=1)
    steps = np.abs(differences[are_negative])
    depths = np.abs(values[is_negative])
    typical_step = np.median(steps)
    return bool(typical_step < 0.1 * np.median(depths))


def _without_marks(
    values: np.ndarray, is_log: bool
) -> tuple[np.ndarray, list[tuple[float, int]]]:
    """Return values, NaN where a mark stands or nothing is finite, and the marks with their number.

    Of logarithms -inf is that of 0, no light.
    """
    marks: list[tuple[float, int]] = []
    is_finite = np.isfinite(values)
    is_plain = bool(is_finite.all()) and not is_log
    if is_plain and values.min() >= 0.0 and values.max() < _LEAST_LARGE:
        return values, marks  # not copied: it may be large
    clean: np.ndarray = np.where(is_finite, values, np.nan)
    low_marks = list(_low_marks(clean, is_log))
    high_marks = list(_high_marks(clean, is_log))
    for mark, is_mark in (*low_marks, *high_marks):
        num_marked = int(is_mark.sum())
        marks.append((mark, num_marked))
        clean[is_mark] = np.nan
    if is_log:
        is_zero = np.isneginf(values)
        clean[is_zero] = _DARK
    return clean, marks


def _low_marks(values: np.ndarray, is_log: bool) -> Iterator[tuple[float, np.ndarray]]:
    """Yield marks among the smallest values, and where they stand."""
    remaining = values.copy()
    fewest = max(_FEW, 1e-3 * remaining.size)
    while np.isfinite(remaining).any():
        lowest = float(np.nanmin(remaining))
        if not is_log and lowest >= 0.0:
            return
        is_lowest = remaining == lowest
        remaining[is_lowest] = np.nan
        is_repeated = bool(is_lowest.sum() >= fewest)
        gap = _smallest(remaining) - lowest
        if not _is_far(lowest, gap, is_log, is_repeated):
            return
        yield lowest, is_lowest


def _high_marks(values: np.ndarray, is_log: bool) -> Iterator[tuple[float, np.ndarray]]:
    """Yield marks among the largest values, and where they stand."""
    remaining = values.copy()
    least = 99.0 if is_log else _LEAST_LARGE
    while (highest := _largest(remaining)) >= least:
        is_highest = remaining == highest
        remaining[is_highest] = np.nan
        next_highest = _largest(remaining)
        is_alone = next_highest < highest - 10.0
        if not is_log:
            is_alone = next_highest < 1e-3 * highest
        if not (is_alone and _is_known(highest)):
            return
        yield highest, is_highest


def _is_far(lowest: float, gap: float, is_log: bool, is_repeated: bool) -> bool:
    """Return whether a smallest value is too far from the next to be a value itself."""
    if not np.isfinite(gap):
        return False
    if is_log:
        return gap > 10.0 if _is_known(lowest) else is_repeated and gap > 3.0
    is_isolated = gap > 0.5 * abs(lowest)
    return is_isolated and (is_repeated or _is_known(lowest))


def _is_known(value: float) -> bool:
    magnitude = abs(value)
    is_close = np.isclose(magnitude, _MARKS, rtol=1e-6)
    return bool(is_close.any())


def _smallest(values: np.ndarray) -> float:
    return -_largest(-values)


def _largest(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max(initial=-np.inf))
