"""One column at a time, between its catalogue value and the real line: exact in both directions,
float64 torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from cinn_clusters import schema

SATURATION = 15.0
"""Largest |logit| that is inverted: beyond it single precision, in which draws are kept, would round a value onto its
bound or past it (a collision after the observation). The edge it spares is 3e-7 of the support."""


@dataclass(frozen=True)
class TargetMap:
    """Bijection of one target onto the real line, then standardisation: u = (raw - shift) / scale.

    Args:
        name: Column.
        bijection: ``identity``, ``logit`` between the bounds, or ``age``: the logit of (age -
            theta) / age.
        is_log: The logarithm is what lies between the (log of the) bounds.
        lower: Lower bound, in the column's unit.
        upper: Upper bound, in the column's unit.
        shift: Mean of the raw values.
        scale: Standard deviation of the raw values.
        relative_to: Column of the inputs in log10 whose raw value is subtracted: the mass at a
            collision is close to, and for a recent one equal to, the mass today.
        reference_unit: log10 of the target's unit in that of the reference.

    Every method takes the anchor of a row (see ``Transforms.anchors``): the age for the bijection
    ``age``, the raw value of the reference for a relative target; otherwise it is not used.
    """

    name: str
    bijection: schema.Bijection = "identity"
    is_log: bool = False
    lower: float = -math.inf
    upper: float = math.inf
    shift: float = 0.0
    scale: float = 1.0
    relative_to: str | None = None
    reference_unit: float = 0.0

    def _limits(self) -> tuple[float, float]:
        return (
            (math.log(self.lower), math.log(self.upper))
            if self.is_log
            else (self.lower, self.upper)
        )

    def _absolute(self, theta: Tensor) -> Tensor:
        value = torch.log(theta) if self.is_log else theta
        if self.bijection == "identity":
            return value
        lower, upper = self._limits()
        return torch.log(value - lower) - torch.log(upper - value)

    def anchor(self, reference: Tensor) -> Tensor:
        """Raw value of the reference, given in log10 of its own unit."""
        return self._absolute(10.0 ** (reference - self.reference_unit))

    def raw(self, theta: Tensor, anchor: Tensor) -> Tensor:
        """Unbounded value of theta; +-inf on a bound, NaN outside."""
        if self.bijection == "age":
            return torch.log(anchor - theta) - torch.log(theta)
        return self._absolute(theta) - anchor if self.relative_to else self._absolute(theta)

    def physical(self, raw: Tensor, anchor: Tensor) -> Tensor:
        """Value of the target that belongs to an unbounded value: always inside the bounds."""
        raw = raw + anchor if self.relative_to else raw
        if self.bijection == "identity":
            return raw.exp() if self.is_log else raw
        share = torch.sigmoid(raw.clamp(-SATURATION, SATURATION))
        if self.bijection == "age":
            return anchor * (1.0 - share)
        lower, upper = self._limits()
        value = lower + (upper - lower) * share
        return value.exp() if self.is_log else value

    def log_slope(self, raw: Tensor, anchor: Tensor) -> Tensor:
        """log|d theta / d raw|."""
        raw = raw + anchor if self.relative_to else raw
        if self.bijection == "identity":
            return raw if self.is_log else torch.zeros_like(raw)
        squeeze = logsigmoid(raw) + logsigmoid(-raw)
        if self.bijection == "age":
            return torch.log(anchor) + squeeze
        lower, upper = self._limits()
        slope = squeeze + math.log(upper - lower)
        return slope + lower + (upper - lower) * torch.sigmoid(raw) if self.is_log else slope


@dataclass(frozen=True)
class ObservableMap:
    """Scaling of one observable: x = (log or value, minus the reference column, minus shift) / scale.

    Args:
        name: Column.
        is_log: Take the natural logarithm of the value, floored at ``floor``.
        floor: Smallest value told apart.
        relative_to: Column subtracted first, or None.
        shift: Mean over training rows.
        scale: Standard deviation over training rows.
        clip: Largest |x|: a network is not asked further from its training rows than this many
            deviations.
    """

    name: str
    is_log: bool = False
    floor: float = 0.0
    relative_to: str | None = None
    shift: float = 0.0
    scale: float = 1.0
    clip: float = math.inf


Map = TypeVar("Map", ObservableMap, TargetMap)
