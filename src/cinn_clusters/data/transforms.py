"""Maps between catalogue values and what a network sees, fitted on training rows.

``theta`` (physical targets) <-> ``u`` (unbounded, standardised), with the log-Jacobian; ``inputs``
-> ``x``. All of it runs in float64 torch, so that densities in physical units can be
differentiated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cinn_clusters.cosmology import age_at_lookback
from cinn_clusters.data.bijections import Map, ObservableMap, TargetMap
from cinn_clusters.data.declared import declared_schema
from cinn_clusters.errors import DataError
from cinn_clusters.schema import DEFAULT, LOOKBACK, Column, Schema


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
        names += [self.time for target in self.targets if target.bijection == "age"]
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
    def shift(self) -> Tensor:
        """Mean of each raw target, (D,)."""
        return torch.tensor(
            [target.shift for target in self.targets], dtype=torch.float64
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
        """Whether a row can be answered, (N,): every value is finite."""
        return torch.from_numpy(
            np.isfinite(inputs).all(1)
        )  # a clip hides an infinity in x

    def augment(self, inputs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return inputs as a catalogue may have them, for training: here, as they are."""
        return inputs

    def age(self, inputs: np.ndarray) -> Tensor:
        """Cosmic age at each row [Gyr], (N,); NaN where no target needs it."""
        if self.time not in self.inputs:
            return torch.full((len(inputs),), math.nan, dtype=torch.float64)
        return torch.from_numpy(
            age_at_lookback(inputs[:, self.inputs.index(self.time)])
        )

    def anchors(self, inputs: np.ndarray) -> Tensor:
        """What each target is measured from at each row, (N, D); zero where it stands alone."""
        age = self.age(inputs)
        anchors = [
            age if target.bijection == "age" else torch.zeros_like(age)
            for target in self.targets
        ]
        for d, target in enumerate(self.targets):
            if target.relative_to:
                reference = inputs[:, self.inputs.index(target.relative_to)]
                anchors[d] = target.anchor(
                    torch.from_numpy(np.asarray(reference, dtype=float))
                )
        return torch.stack(anchors, -1)

    def standardise_inputs(self, inputs: np.ndarray) -> Tensor:
        """Turn catalogue values (N, len(inputs)) into x (N, L), float64."""
        self._demand_width(inputs, self.inputs, "inputs")
        columns = dict(zip(self.inputs, np.asarray(inputs, dtype=float).T, strict=True))
        return torch.from_numpy(
            np.stack(
                [_scaled(observable, columns) for observable in self.observables], 1
            )
        )

    def num_clipped(self, inputs: np.ndarray) -> np.ndarray:
        """Count the observables of each row that lie beyond what was trained on, (N,)."""
        x = self.standardise_inputs(inputs)
        limits = torch.tensor(
            [observable.clip for observable in self.observables], dtype=torch.float64
        )
        return np.asarray((x.abs() >= limits).sum(1))

    def standardise_targets(
        self, theta: np.ndarray | Tensor, anchors: Tensor
    ) -> Tensor:
        """Turn physical theta (..., D) into u (..., D)."""
        theta = torch.as_tensor(theta, dtype=torch.float64)
        raw = [
            target.raw(theta[..., d], anchors[..., d])
            for d, target in enumerate(self.targets)
        ]
        return (torch.stack(raw, -1) - self.shift) / self.scale

    def physical_targets(self, u: Tensor, anchors: Tensor) -> Tensor:
        """Turn u (..., D) into physical theta (..., D), always inside the bounds."""
        raw = u.double() * self.scale + self.shift
        return torch.stack(
            [
                target.physical(raw[..., d], anchors[..., d])
                for d, target in enumerate(self.targets)
            ],
            -1,
        )

    def log_jacobian(self, u: Tensor, anchors: Tensor) -> Tensor:
        """log|det d theta / d u|, (...)."""
        raw = u.double() * self.scale + self.shift
        slopes = [
            target.log_slope(raw[..., d], anchors[..., d])
            for d, target in enumerate(self.targets)
        ]
        return torch.stack(slopes, -1).sum(-1) + self.scale.log().sum()

    def _demand_width(
        self, values: np.ndarray, names: Sequence[str], subject: str
    ) -> None:
        if np.ndim(values) != 2 or np.shape(values)[1] != len(names):
            expected = f"shape (N, {len(names)}) holding {', '.join(names)}"
            raise DataError(subject, expected, f"shape {np.shape(values)}")

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
            tuple(
                ObservableMap(**_without_none(entry)) for entry in values["observables"]
            ),
            tuple(TargetMap(**_without_none(entry)) for entry in values["targets"]),
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
    observable_maps = [
        _observable_map(schema.column(name), observables) for name in observables
    ]
    target_maps = [_target_map(schema.column(name), observables) for name in targets]
    free = Transforms(tuple(observable_maps), tuple(target_maps), schema=schema)
    table = np.stack([np.asarray(inputs[name], dtype=float) for name in free.inputs], 1)
    raw_x, anchors = free.standardise_inputs(table), free.anchors(table)
    raw_theta = free.standardise_targets(theta, anchors)
    is_anchored = ~torch.isnan(anchors)
    fitted_observables = [
        replace(_standardised(entry, raw_x[~torch.isnan(raw_x[:, i]), i]), clip=clip)
        for i, entry in enumerate(observable_maps)
    ]
    fitted_targets = [
        _standardised(entry, raw_theta[is_anchored[:, d], d])
        for d, entry in enumerate(target_maps)
    ]
    return replace(
        free, observables=tuple(fitted_observables), targets=tuple(fitted_targets)
    )


def _target_map(column: Column, observables: Sequence[str]) -> TargetMap:
    if column.bijection == "identity":
        return TargetMap(column.name, is_log=column.is_log and not column.floor)
    entry = TargetMap(column.name, column.bijection, column.is_log, *column.bounds)
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
    shift, scale = float(raw.mean()), float(raw.std(correction=0))
    if not (math.isfinite(shift) and math.isfinite(scale)):
        raise DataError(
            subject, "training values inside its bounds", "values on or outside them"
        )
    if scale < 1e-9 * max(1.0, abs(shift)):
        got = f"the one value {shift:g}"
        raise DataError(subject, "training values that differ", got, "", "leave it out")
    return replace(entry, shift=shift, scale=scale)


def _scaled(entry: ObservableMap, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    value = columns[entry.name]
    if entry.is_log:
        with np.errstate(divide="ignore", invalid="ignore"):
            value = np.log(np.maximum(value, entry.floor))
    if entry.relative_to is not None:
        value = value - columns[entry.relative_to]
    return np.clip((value - entry.shift) / entry.scale, -entry.clip, entry.clip)


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(v, float) and math.isinf(v) else v
        for key, v in values.items()
    }


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
