"""Maps between catalogue values and what a network sees, fitted on training rows.

``theta`` (physical targets) <-> ``u`` (unbounded, standardised), with the log-Jacobian; ``inputs``
-> ``x``. All of it runs in float64 torch, so that densities in physical units can be
differentiated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from cinn_clusters.cosmology import age_at_lookback
from cinn_clusters.data.bijections import Map, ObservableMap, TargetMap
from cinn_clusters.data.declared import declared_schema
from cinn_clusters.errors import DataError
from cinn_clusters.moments import ROUNDING, binary_unit, far_values
from cinn_clusters.schema import DEFAULT, LOOKBACK, Column, Schema

_SMALLEST_RATIO = 1e-9
"""Spread of the logarithm of a ratio below which it is constant [dex]."""


@dataclass(frozen=True)
class Transforms:
    """All maps of a model, as kept in ``transforms.json`` and in a bundle.

    Args:
        observables: One map an observable, in the order of x.
        targets: One map a target, in the order of theta.
        schema: What the columns are.
    """

    observables: tuple[ObservableMap, ...]
    targets: tuple[TargetMap, ...]
    schema: Schema = field(default=DEFAULT, kw_only=True, repr=False)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns a catalogue must hold: the observables, and what anchors a target (a lookback
        time, a mass).
        """
        names = [observable.name for observable in self.observables]
        names += [self.time for target in self.targets if target.is_before_observation]
        names += [target.relative_to for target in self.targets if target.relative_to]
        return tuple(dict.fromkeys(names))

    @property
    def time(self) -> str:
        """Column of the lookback time at observation [Gyr]."""
        return self.schema.time or LOOKBACK

    @property
    def is_bounded(self) -> bool:
        """Whether any target is kept inside bounds."""
        return any(target.bijection != "identity" for target in self.targets)

    @property
    def sample_dtype(self) -> np.dtype:
        """Type of posterior samples: single precision, where it can tell the targets apart."""
        if all(target.fits_single for target in self.targets):
            return np.dtype(np.float32)
        return np.dtype(np.float64)

    @property
    def target_names(self) -> tuple[str, ...]:
        """Columns of theta, in order."""
        return tuple(target.name for target in self.targets)

    @property
    def scale(self) -> Tensor:
        """Standard deviation of each raw target, (D,)."""
        return torch.tensor(
            [target.scale for target in self.targets], dtype=torch.float64
        )

    @property
    def num_features(self) -> int:
        """Numbers that a network sees of a row."""
        return len(self.observables)

    @property
    def accepts_missing(self) -> bool:
        """Whether observables may be missing or have errors."""
        return False

    def is_usable(self, inputs: np.ndarray) -> Tensor:
        """Whether a row can be answered, (N,): every value is finite, and a record exists."""
        is_finite = np.isfinite(inputs)  # of the inputs: a clip hides an infinity in x
        return torch.from_numpy(is_finite.all(1)) & ~self.is_before_record(inputs)

    def is_before_record(self, inputs: np.ndarray) -> Tensor:
        """Whether a row is observed before the record of its targets begins, (N,)."""
        return self.age(inputs) <= self.record_begin

    @property
    def record_begin(self) -> float:
        """Cosmic age at which the record of the targets begins [Gyr]; 0 where none is declared."""
        windows = [target for target in self.targets if target.bijection == "window"]
        begins = [target.lower for target in windows]
        return max([0.0, *begins])

    def augment(self, inputs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return inputs as a catalogue may have them, for training: here, as they are."""
        return inputs

    def age(self, inputs: np.ndarray) -> Tensor:
        """Cosmic age at each row [Gyr], (N,); NaN where no target needs it."""
        if self.time not in self.inputs:
            return torch.full((len(inputs),), math.nan, dtype=torch.float64)
        lookback = inputs[:, self.inputs.index(self.time)]
        return torch.from_numpy(age_at_lookback(lookback))

    def anchors(self, inputs: np.ndarray) -> Tensor:
        """What each target is measured from at each row, (N, D); zero where it stands alone."""
        age = self.age(inputs)
        anchors = []
        for target in self.targets:
            anchor = torch.zeros_like(age)
            if target.relative_to:
                column = inputs[:, self.inputs.index(target.relative_to)]
                reference = np.asarray(column, dtype=float)
                anchor = target.anchor(torch.from_numpy(reference))
            elif target.is_before_observation:
                anchor = age
            anchors.append(anchor)
        return torch.stack(anchors, -1)

    def standardise_inputs(self, inputs: np.ndarray) -> Tensor:
        """Turn catalogue values (N, len(inputs)) into x (N, L), float64."""
        self._demand_width(inputs, self.inputs, "inputs")
        values = np.asarray(inputs, dtype=float)
        columns = dict(zip(self.inputs, values.T, strict=True))
        scaled = [_scaled(observable, columns) for observable in self.observables]
        return torch.from_numpy(np.stack(scaled, 1))

    def num_clipped(self, inputs: np.ndarray) -> np.ndarray:
        """Count the observables of each row that lie beyond what was trained on, (N,)."""
        x = self.standardise_inputs(inputs)
        limits = torch.tensor(
            [observable.clip for observable in self.observables], dtype=torch.float64
        )
        is_clipped = x.abs() >= limits
        counts: np.ndarray = is_clipped.sum(1).numpy()
        return counts

    def standardise_targets(
        self, theta: np.ndarray | Tensor, anchors: Tensor
    ) -> Tensor:
        """Turn physical theta (..., D) into u (..., D)."""
        theta = torch.as_tensor(theta, dtype=torch.float64)
        columns = zip(self.targets, theta.unbind(-1), anchors.unbind(-1), strict=True)
        u = [
            (target.raw(value, anchor) - target.shift) / target.scale
            for target, value, anchor in columns
        ]
        return _columns(u)

    def physical_targets(self, u: Tensor, anchors: Tensor) -> Tensor:
        """Turn u (..., D) into physical theta (..., D), always inside the bounds."""
        theta = [
            target.physical(raw, anchor)
            for target, raw, anchor in self._raw_columns(u, anchors)
        ]
        return _columns(theta)

    def log_jacobian(self, u: Tensor, anchors: Tensor) -> Tensor:
        """log|det d theta / d u|, (...)."""
        # The map acts on each target alone: its Jacobian is diagonal.
        slopes = [
            target.log_slope(raw, anchor)
            for target, raw, anchor in self._raw_columns(u, anchors)
        ]
        log_det_of_maps = torch.stack(slopes, -1).sum(-1)
        log_det_of_scaling = self.scale.log().sum()
        return log_det_of_maps + log_det_of_scaling

    def _raw_columns(
        self, u: Tensor, anchors: Tensor
    ) -> Iterator[tuple[TargetMap, Tensor, Tensor]]:
        """Each target with its raw values (...) and its anchors (...)."""
        columns = zip(self.targets, u.unbind(-1), anchors.unbind(-1), strict=True)
        for target, value, anchor in columns:
            raw = value.double() * target.scale + target.shift
            yield target, raw, anchor

    def _demand_width(
        self, values: np.ndarray, names: Sequence[str], subject: str
    ) -> None:
        shape = np.shape(values)
        width = len(names)
        if len(shape) != 2 or shape[1] != width:
            expected = f"shape (N, {width}) holding {', '.join(names)}"
            raise DataError(subject, expected, f"shape {shape}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with a schema that is not the default; infinities become None."""
        maps = {
            "observables": [
                _finite(asdict(observable)) for observable in self.observables
            ],
            "targets": [_finite(asdict(target)) for target in self.targets],
        }
        if self.schema == DEFAULT:
            return maps
        return {**maps, "schema": self.schema.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Transforms:
        """Inverse of ``to_dict``."""
        return cls(
            tuple(_read_map(ObservableMap, entry) for entry in values["observables"]),
            tuple(_read_map(TargetMap, entry) for entry in values["targets"]),
            schema=declared_schema(values.get("schema", {})),
        )


def fit_transforms(
    inputs: Mapping[str, np.ndarray],
    theta: np.ndarray,
    observables: Sequence[str],
    targets: Sequence[str],
    *,
    clip: float = 4.0,
    schema: Schema = DEFAULT,
) -> Transforms:
    """Fit bijections and scalers on training rows; a missing observable counts in no mean.

    Args:
        inputs: Columns by name, (N,) each; holds every observable, and the lookback time if an age
            bounds a target.
        theta: Physical targets (N, D), dequantised.
        observables: Columns of x.
        targets: Columns of theta.
        clip: Largest |x| shown to a network.
        schema: What the columns are.

    Returns:
        The transforms.

    Raises:
        DataError: If a column is constant or lies on its bounds.
    """
    # Maps of shift 0 and scale 1 give the raw values, whose moments are then put in.
    observable_maps = [
        _observable_map(schema.column(name), observables).in_unit_of(inputs[name])
        for name in observables
    ]
    target_maps = [_target_map(schema.column(name), observables) for name in targets]
    free = Transforms(tuple(observable_maps), tuple(target_maps), schema=schema)
    arrays = [np.asarray(inputs[name], dtype=float) for name in free.inputs]
    table = np.stack(arrays, 1)
    raw_x = free.standardise_inputs(table)  # (N, L)
    anchors = free.anchors(table)
    raw_theta = free.standardise_targets(theta, anchors)  # (N, D)

    fitted_observables = []
    for entry, raw in zip(observable_maps, raw_x.T, strict=True):
        is_missing = torch.isnan(raw)
        fitted = _standardised(entry, raw[~is_missing])
        fitted_observables.append(replace(fitted, clip=clip))

    is_anchored = ~torch.isnan(anchors)
    fitted_targets = [
        _standardised(target, raw[is_measurable])
        for target, raw, is_measurable in zip(
            target_maps, raw_theta.T, is_anchored.T, strict=True
        )
    ]
    return replace(
        free, observables=tuple(fitted_observables), targets=tuple(fitted_targets)
    )


def _columns(values: Sequence[Tensor]) -> Tensor:
    """Join columns (...) to (..., D), each of which stays one block of memory."""
    return torch.stack(list(values)).movedim(0, -1)


def _target_map(column: Column, observables: Sequence[str]) -> TargetMap:
    if column.bijection == "identity":
        return TargetMap(column.name, is_log=column.is_log and not column.floor)
    entry = TargetMap(column.name, column.bijection, column.is_log, *column.bounds)
    if column.bijection == "age":
        return replace(entry, bijection="window", lower=column.record_begin)
    if column.anchor not in observables:
        return entry
    return replace(entry, relative_to=column.anchor, reference_unit=column.anchor_unit)


def _observable_map(column: Column, observables: Sequence[str]) -> ObservableMap:
    entry = ObservableMap(column.name, column.is_log, column.floor)
    if column.relative_to not in observables:
        return entry
    return replace(entry, relative_to=column.relative_to)


def _standardised(entry: Map, raw: Tensor) -> Map:
    """Shift and scale by the mean and standard deviation of the values that are there."""
    subject = f"column '{entry.name}'"
    if not len(raw):
        raise DataError(subject, "values in training rows", "none", "", "leave it out")
    if not torch.isfinite(raw).all():
        expected = "training values inside its bounds"
        raise DataError(subject, expected, "values on or outside them")
    raw = raw[torch.from_numpy(~far_values(raw.numpy()))]
    shift, scale = _mean_and_deviation(raw)
    # The rounding of a reference in log10 gives a constant ratio a scale just above zero.
    smallest = ROUNDING * float(raw.abs().max())
    if entry.relative_to is not None:
        smallest = max(smallest, _SMALLEST_RATIO)
    if scale <= smallest:
        got = f"the one value {shift * _unit_of(entry):g}"
        hint = "leave it out with --x-columns or --y-columns"
        raise DataError(subject, "training values that differ", got, "", hint)
    return replace(entry, shift=shift, scale=scale)


def _unit_of(entry: Map) -> float:
    """Unit that raw values of a map are in."""
    if isinstance(entry, ObservableMap):
        return entry.unit
    return 1.0


def _mean_and_deviation(raw: Tensor) -> tuple[float, float]:
    """Mean and standard deviation of raw values (N,) of any size."""
    unit = binary_unit(float(raw.abs().max()))
    scaled = raw / unit
    mean = unit * float(scaled.mean())
    deviation = unit * float(scaled.std(correction=0))
    return mean, deviation


def _scaled(entry: ObservableMap, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    value = entry.raw(columns[entry.name])
    if entry.relative_to is not None:
        value = value - columns[entry.relative_to]
    x = (value - entry.shift) / entry.scale
    return np.clip(x, -entry.clip, entry.clip)


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(v, float) and math.isinf(v) else v
        for key, v in values.items()
        if (key, v) != ("unit", 1.0)
    }


def _read_map(kind: type[Map], values: Mapping[str, Any]) -> Map:
    """Read a map from plain values, whose types are checked; None stands for no bound."""
    stated = {key: value for key, value in values.items() if value is not None}
    try:
        return TypeAdapter(kind).validate_python(stated)
    except ValidationError as error:
        first, *_ = error.errors()
        key = ".".join(map(str, first["loc"]))
        subject, got = f"map of '{values.get('name')}'", f"{first['input']!r} {key}"
        raise DataError(subject, first["msg"].lower(), got) from error
