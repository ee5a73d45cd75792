"""Bijections of targets as expressions: the formulas of ``data.bijections.TargetMap``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np

from cinn_clusters.data.bijections import SATURATION, TargetMap
from cinn_clusters.data.transforms import Transforms
from cinn_clusters.storage.onnx.expressions import Expression, stacked

_Columns: TypeAlias = Iterator[tuple[TargetMap, Expression, Expression]]


def physical(transforms: Transforms, u: Expression, anchors: Expression) -> Expression:
    """Turn u (..., D) into physical theta (..., D), in double precision."""
    columns = _raw_columns(transforms, u, anchors)
    return stacked([_physical(*column) for column in columns])


def unbounded(
    transforms: Transforms, theta: Expression, anchors: Expression
) -> Expression:
    """Turn physical theta (..., D) into u (..., D); not finite on or outside the bounds."""
    u = []
    for target, value, anchor in _columns(transforms, theta, anchors):
        centred = _raw(target, value, anchor) - target.shift
        u.append(centred / target.scale)
    return stacked(u)


def log_jacobian(
    transforms: Transforms, u: Expression, anchors: Expression
) -> Expression:
    """log|det d theta / d u|, (...)."""
    columns = _raw_columns(transforms, u, anchors)
    log_slopes = stacked([_log_slope(*column) for column in columns])
    log_det_of_scaling = transforms.scale.log().sum()
    return log_slopes.sum() + float(log_det_of_scaling)


def anchor_of(target: TargetMap, reference: Expression) -> Expression:
    """Raw value of the reference of a target, given in log10 of its own unit."""
    shifted = reference - target.reference_unit
    natural = shifted * math.log(10.0)
    return _absolute(target, natural.exp)


def _columns(
    transforms: Transforms, values: Expression, anchors: Expression
) -> _Columns:
    """Each target with its values (...) and its anchors (...)."""
    for d, target in enumerate(transforms.targets):
        yield target, values.take(d), anchors.take(d)


def _raw_columns(
    transforms: Transforms, u: Expression, anchors: Expression
) -> _Columns:
    """Each target with its raw values (...) and its anchors (...)."""
    for target, value, anchor in _columns(transforms, u.cast(np.float64), anchors):
        scaled = value * target.scale
        yield target, scaled + target.shift, anchor


def _physical(target: TargetMap, raw: Expression, anchor: Expression) -> Expression:
    raw = _from_origin(target, raw, anchor)
    if target.bijection == "identity":
        return _linear(target, raw)
    if target.bijection == "window":
        width = anchor - target.lower
        depth = raw.exp / width
        clamped = depth.clip(math.exp(-SATURATION), SATURATION)
        share = (-clamped).exp
        return width * share + target.lower
    clamped = raw.clip(-SATURATION, SATURATION)
    share = clamped.sigmoid
    if target.bijection == "age":
        remainder = -share + 1.0
        return anchor * remainder
    lower, upper = _limits(target)
    rise = share * (upper - lower)
    return _linear(target, rise + lower)


def _raw(target: TargetMap, theta: Expression, anchor: Expression) -> Expression:
    if target.bijection == "window":
        width = anchor - target.lower
        share = (theta - target.lower) / width
        depth = -share.log
        return depth.log + width.log
    if target.bijection == "age":
        since = anchor - theta
        return since.log - theta.log
    absolute = _absolute(target, theta)
    if target.relative_to is None:
        return absolute
    return absolute - anchor


def _log_slope(target: TargetMap, raw: Expression, anchor: Expression) -> Expression:
    """log|d theta / d raw|."""
    raw = _from_origin(target, raw, anchor)
    if target.bijection == "identity":
        return raw * float(target.is_log)
    if target.bijection == "window":
        width = anchor - target.lower
        return raw - raw.exp / width

    # d sigmoid / d raw = sigmoid(raw) sigmoid(-raw)
    opposite = -raw
    squeeze = -(raw.softplus + opposite.softplus)
    if target.bijection == "age":
        return squeeze + anchor.log
    lower, upper = _limits(target)
    width_of_limits = upper - lower
    slope = squeeze + math.log(width_of_limits)
    if not target.is_log:
        return slope

    # theta = exp(value), and the log of that slope is the value
    rise = raw.sigmoid * width_of_limits
    return slope + rise + lower


def _absolute(target: TargetMap, theta: Expression) -> Expression:
    value = theta
    if target.is_log:
        value = theta.log
    if target.bijection == "identity":
        return value
    lower, upper = _limits(target)
    above = value - lower
    below = -value + upper
    return above.log - below.log


def _from_origin(target: TargetMap, raw: Expression, anchor: Expression) -> Expression:
    """Raw values that count from zero, not from the reference of a relative target."""
    if target.relative_to is None:
        return raw
    return raw + anchor


def _limits(target: TargetMap) -> tuple[float, float]:
    if target.is_log:
        return math.log(target.lower), math.log(target.upper)
    return target.lower, target.upper


def _linear(target: TargetMap, value: Expression) -> Expression:
    if target.is_log:
        return value.exp
    return value
