"""What a table holds that a model can be fitted to, but perhaps should not be: said, not refused.

One value far beyond all others of its column, a positive column that spans decades and is not
declared a logarithm, a target of a few values only. A target that is far beyond all others, or that
has two values only, is refused: no density can be fitted to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.errors import DataError
from cinn_clusters.moments import FAR, far_values, robust_moments
from cinn_clusters.schema import KEYS, Column, is_embedding

_FEW_VALUES, _ROWS_A_VALUE = 20, 3
"""Values of a discrete target at most, and clusters each stands for at least."""
_NUM_LISTED = 6
_DECADES = 1.5
"""Decades that nine tenths of a positive column span, if its logarithm describes it better."""
_TAILS = 0.05, 0.95


def find_cautions(catalogue: Catalogue, transforms: Transforms) -> tuple[str, ...]:
    """Say what may be wrong with the values of a table, a sentence a column and kind.

    Raises:
        DataError: If a target has two values only, or one far beyond all others.
    """
    _demand_near_targets(catalogue, transforms)
    for column in catalogue.target_columns:
        _demand_continuous(catalogue, column)
    cautions = list(_far_observables(catalogue, transforms))
    for column in _scalar_columns(catalogue):
        cautions += _wide(catalogue, column)
    for column in catalogue.target_columns:
        cautions += [*_wide(catalogue, column), *_discrete(catalogue, column)]
    return tuple(cautions)


def _scalar_columns(catalogue: Catalogue) -> tuple[Column, ...]:
    names = (name for name in catalogue.observables if not is_embedding(name))
    return tuple(map(catalogue.schema.column, names))


def _far_observables(catalogue: Catalogue, transforms: Transforms) -> Iterator[str]:
    """Observables with values far beyond all others, as their maps take them."""
    maps = tuple(replace(entry, clip=np.inf) for entry in transforms.observables)
    unclipped = replace(transforms, observables=maps)
    x = unclipped.standardise_inputs(catalogue.inputs(unclipped.inputs)).numpy()
    for entry, values in zip(maps, x.T, strict=True):
        is_far = far_values(values)
        if is_far.any():
            description = _far_description(catalogue, entry.name, is_far)
            yield (
                f"column '{entry.name}': {description}; it counts in no mean or spread, and a "
                "network sees it at the edge of its range: mend it, leave it empty, or remove the row"
            )


def _demand_near_targets(catalogue: Catalogue, transforms: Transforms) -> None:
    anchors = transforms.anchors(catalogue.inputs(transforms.inputs))
    u = transforms.standardise_targets(catalogue.theta, anchors).numpy()
    for name, values in zip(catalogue.targets, u.T, strict=True):
        is_far = far_values(values)
        if is_far.any():
            expected = f"values within {FAR:.0f} robust deviations of each other"
            hint = (
                "mend or remove the row, or declare missing_mark, or log = true for a "
                f"positive quantity, in [columns.{name}] of a --columns file"
            )
            got = _far_description(catalogue, name, is_far)
            raise DataError(f"target '{name}'", expected, got, "", hint)


def _far_description(catalogue: Catalogue, name: str, is_far: np.ndarray) -> str:
    """Number, value and place of values far off, beside those of the others."""
    values = catalogue.table[name].to_numpy(float)
    is_near = ~is_far & np.isfinite(values)
    median, spread = robust_moments(values[is_near])
    row = int(np.argmax(is_far))
    place = ", ".join(f"{key} {catalogue.table[key].iloc[row]}" for key in KEYS)
    scale = f"median {median:.4g}, robust deviation {spread:.2g}"
    first = f"first {values[row]:.6g} at {place} ({scale})"
    count = f"{int(is_far.sum())} of {len(values)} values"
    return f"{count} beyond {FAR:.0f} robust deviations, {first}"


def _wide(catalogue: Catalogue, column: Column) -> Iterator[str]:
    """A positive column over decades that no map takes the logarithm of."""
    values = catalogue.table[column.name].to_numpy(float)
    values = values[np.isfinite(values)]
    is_linear = not column.is_log and column.bijection == "identity"
    if not is_linear or not len(values) or values.min() <= 0.0:
        return
    lower, upper = np.quantile(values, _TAILS)
    if np.log10(upper) - np.log10(lower) > _DECADES:
        yield (
            f"column '{column.name}': positive values over decades ({values.min():.3g} to "
            f"{values.max():.3g}) are taken as they are; declare log = true in "
            f"[columns.{column.name}] of a --columns file, and their logarithm is taken"
        )


def _distinct(catalogue: Catalogue, column: Column) -> np.ndarray | None:
    """Values of a discrete target without a declared resolution; None for a continuous one."""
    distinct = np.unique(catalogue.table[column.name])
    num_values, num_clusters = len(distinct), len(np.unique(catalogue.clusters))
    if column.resolution or num_values > _FEW_VALUES or num_values == num_clusters:
        return None
    is_whole = bool((distinct == np.round(distinct)).all())
    is_repeated = num_values * _ROWS_A_VALUE <= num_clusters
    if is_whole or is_repeated:
        return distinct
    return None


def _demand_continuous(catalogue: Catalogue, column: Column) -> None:
    """Refuse a logical target: a density of two points is none."""
    distinct = _distinct(catalogue, column)
    if distinct is None or len(distinct) != 2:
        return
    first, second = distinct
    hint = (
        f"declare resolution = {second - first:g} in [columns.{column.name}] of a --columns file, so "
        "that training spreads them, and the share of samples nearer to one is its probability"
    )
    got = f"the two values {first:g} and {second:g}"
    raise DataError(f"target '{column.name}'", "a continuous quantity", got, "", hint)


def _discrete(catalogue: Catalogue, column: Column) -> Iterator[str]:
    distinct = _distinct(catalogue, column)
    if distinct is None:
        return
    step = float(np.diff(distinct).min())
    listed = ", ".join(f"{value:g}" for value in distinct[:_NUM_LISTED])
    if len(distinct) > _NUM_LISTED:
        listed += ", ..."
    yield (
        f"target '{column.name}': {len(distinct)} values only ({listed}) are modelled as "
        f"a continuous quantity; declare resolution = {step:g} in [columns.{column.name}] "
        "of a --columns file, and training spreads them over it"
    )
