"""Bijections of one column onto the real line, exact in both directions, float64 torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
import torch
from pydantic import ConfigDict
from torch import Tensor
from torch.nn.functional import logsigmoid

from cinn_clusters import schema
from cinn_clusters.moments import binary_unit, robust_moments

SATURATION = 15.0
"""Largest |logit| that is inverted: beyond it single precision, in which samples are kept, would
round a value onto its bound or past it. The edge it spares is 3e-7 of the support."""


TargetBijection = Literal[schema.Bijection, "window"]
_REACH = 30.0
"""Standard deviations from the mean that samples reach."""
_LARGEST, _COARSEST = 1e30, 1e-3
"""Largest value that is kept in single precision, and the smallest range a part of its size: single
precision ends at 3e38 and 6e-8."""
_LARGEST_SPREAD = 1e3
"""Spread of a linear column beyond which (and below whose inverse) it gets a unit of its own."""


@dataclass(frozen=True)
class TargetMap:
    """Bijection of one target onto the real line, then standardisation: u = (raw - shift) / scale.

    Args:
        name: Column.
        bijection: ``identity``, ``logit`` between the bounds, ``window``: log(-W log s) with s =
            (theta - lower) / W and W = age - lower, the log of the time before observation where
            that is short; or ``age``: the logit of (age - theta) / age, in models up to format 2.
        is_log: The logarithm is what lies between the (log of the) bounds.
        lower: Lower bound, in the column's unit.
        upper: Upper bound, in the column's unit.
        shift: Mean of the raw values.
        scale: Standard deviation of the raw values.
        relative_to: Column of the inputs in log10 whose raw value is subtracted: the mass at a
            collision is close to, and for a recent one equal to, the mass today.
        reference_unit: log10 of the target's unit in that of the reference.

    Every method takes the anchor of a row (see ``Transforms.anchors``): the age for the bijections
    ``window`` and ``age``, the raw value of the reference for a relative target; otherwise it is not used.
    """

    name: str
    bijection: TargetBijection = "identity"
    is_log: bool = False
    lower: float = -math.inf
    upper: float = math.inf
    shift: float = 0.0
    scale: float = 1.0
    relative_to: str | None = None
    reference_unit: float = 0.0

    __pydantic_config__ = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        """Refuse bounds and a scale between which no number lies."""
        _demand_scale(self)
        is_ordered = self.lower < self.upper
        if self.is_log and self.bijection == "logit":
            is_ordered = 0.0 < self.lower < self.upper
        if not is_ordered:
            got = f"{self.lower:g} and {self.upper:g}"
            raise ValueError(f"bounds {got} are no interval")

    @property
    def is_before_observation(self) -> bool:
        """Whether the age at observation bounds the target."""
        return self.bijection in ("window", "age")

    @property
    def fits_single(self) -> bool:
        """Whether samples of the target may be kept in single precision."""
        if self.is_before_observation:
            return True
        reach = _REACH * self.scale
        lower, upper = self.shift - reach, self.shift + reach
        if self.bijection == "logit":
            lower, upper = self.lower, self.upper
        elif self.is_log:
            lower, upper = map(_bounded_exp, (lower, upper))
        size = max(abs(lower), abs(upper))
        is_resolved = upper - lower > _COARSEST * size
        return is_resolved and 1.0 / _LARGEST < size < _LARGEST

    def anchor(self, reference: Tensor) -> Tensor:
        """Raw value of the reference, given in log10 of its own unit."""
        return self._absolute(10.0 ** (reference - self.reference_unit))

    def raw(self, theta: Tensor, anchor: Tensor) -> Tensor:
        """Unbounded value of theta; +-inf on a bound, NaN outside."""
        if self.bijection == "window":
            width = anchor - self.lower
            depth = -torch.log1p((theta - anchor) / width)
            return torch.log(depth) + torch.log(width)
        if self.bijection == "age":
            # logit of s = (age - theta) / age: the age cancels
            log_since = torch.log(anchor - theta)
            return log_since - torch.log(theta)
        absolute = self._absolute(theta)
        return absolute - self._offset(anchor)

    def physical(self, raw: Tensor, anchor: Tensor) -> Tensor:
        """Value of the target that belongs to an unbounded value: always inside the bounds."""
        raw = raw + self._offset(anchor)
        if self.bijection == "identity":
            return self._linear(raw)
        if self.bijection == "window":
            width = anchor - self.lower
            depth = torch.exp(raw) / width
            share = torch.exp(-depth.clamp(math.exp(-SATURATION), SATURATION))
            return self.lower + width * share
        share = torch.sigmoid(raw.clamp(-SATURATION, SATURATION))
        if self.bijection == "age":
            return anchor * (1.0 - share)
        lower, upper = self._limits
        return self._linear(lower + (upper - lower) * share)

    def log_slope(self, raw: Tensor, anchor: Tensor) -> Tensor:
        """log|d theta / d raw|."""
        raw = raw + self._offset(anchor)
        if self.bijection == "identity":
            return torch.where(torch.tensor(self.is_log), raw, 0.0)
        if self.bijection == "window":
            # d theta / d raw = -W s depth
            return raw - torch.exp(raw) / (anchor - self.lower)
        # d sigmoid / d raw = sigmoid(raw) sigmoid(-raw)
        squeeze = logsigmoid(raw) + logsigmoid(-raw)
        if self.bijection == "age":
            return torch.log(anchor) + squeeze
        lower, upper = self._limits
        width = upper - lower
        slope = squeeze + math.log(width)
        if self.is_log:
            # theta = exp(value), and the log of that slope is the value
            slope = slope + lower + width * torch.sigmoid(raw)
        return slope

    @property
    def _limits(self) -> tuple[float, float]:
        if self.is_log:
            return math.log(self.lower), math.log(self.upper)
        return self.lower, self.upper

    def _absolute(self, theta: Tensor) -> Tensor:
        value = theta
        if self.is_log:
            value = torch.log(theta)
        if self.bijection == "identity":
            return value
        lower, upper = self._limits
        above, below = value - lower, upper - value
        return torch.log(above) - torch.log(below)

    def _offset(self, anchor: Tensor) -> Tensor | float:
        """What a relative target is measured from, as a raw value."""
        if self.relative_to is None:
            return 0.0
        return anchor

    def _linear(self, value: Tensor) -> Tensor:
        if self.is_log:
            return value.exp()
        return value


@dataclass(frozen=True)
class ObservableMap:
    """Scaling of one observable: x = (value or its log - reference column - shift) / scale.

    Args:
        name: Column.
        is_log: Take the natural logarithm of the value, floored at ``floor``.
        floor: Smallest value told apart.
        relative_to: Column subtracted first, or None.
        shift: Mean over training rows.
        scale: Standard deviation over training rows.
        clip: Largest |x|: a network is not asked further from its training rows than this many
            deviations.
        unit: What the value is divided by first, a power of two: squares of raw values are then
            neither too large nor too small for a number.
    """

    name: str
    is_log: bool = False
    floor: float = 0.0
    relative_to: str | None = None
    shift: float = 0.0
    scale: float = 1.0
    clip: float = math.inf
    unit: float = 1.0

    __pydantic_config__ = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        """Refuse a scale by which nothing can be divided."""
        _demand_scale(self)

    def in_unit_of(self, values: np.ndarray) -> ObservableMap:
        """The same map in a unit of the spread of its values, if that is far from one."""
        finite = np.asarray(values, dtype=float)
        finite = finite[np.isfinite(finite)]
        if self.is_log or self.relative_to is not None or not len(finite):
            return self
        _, spread = robust_moments(finite)
        if 1.0 / _LARGEST_SPREAD <= spread <= _LARGEST_SPREAD:
            return self
        return replace(self, unit=binary_unit(spread))

    def raw(self, value: np.ndarray) -> np.ndarray:
        """Return a column as the map takes it: its logarithm, where the map takes one."""
        if not self.is_log:
            return value / self.unit
        with np.errstate(divide="ignore", invalid="ignore"):
            logarithm: np.ndarray = np.log(np.maximum(value, self.floor))
        return logarithm

    def value(self, raw: np.ndarray) -> np.ndarray:
        """Return the column that belongs to raw values."""
        if not self.is_log:
            return raw * self.unit
        value: np.ndarray = np.exp(raw)
        return value


def _bounded_exp(logarithm: float) -> float:
    return math.exp(max(-700.0, min(logarithm, 700.0)))


def _demand_scale(entry: ObservableMap | TargetMap) -> None:
    if not (math.isfinite(entry.shift) and 0.0 < entry.scale < math.inf):
        scaling = f"shift {entry.shift:g}, scale {entry.scale:g}"
        raise ValueError(f"{scaling} are not finite and positive")


Map = TypeVar("Map", ObservableMap, TargetMap)
