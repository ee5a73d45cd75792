"""Exponential, logarithm, arctangent and softplus of lanes, to a few units of the last place.

Each reduces its argument to a short interval and evaluates a polynomial there, the least-squares
fit on Chebyshev's nodes: no table and no branch, so that all lanes do the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cinn_clusters.flows.compiled.lanes import (
    absolute,
    choose,
    exponent_of,
    mantissa_of,
    maximum,
    minimum,
    power_of_two,
    splat,
)
from cinn_clusters.jit import inlined

_F32 = np.float32
_NUM_NODES = 2001
_LOG2_E = _F32(1.0 / np.log(2.0))
_LN_2 = _F32(np.log(2.0))
_HALF_PI = _F32(np.pi / 2.0)
_ZERO = _F32(0.0)
_ONE = _F32(1.0)
_ROUNDER = _F32(1.5 * 2.0**23)
"""Added to a small number, it leaves no bits behind the point."""
_MOST_BITS = _F32(126.0)


def _coefficients(
    function: Callable[[np.ndarray], np.ndarray],
    interval: tuple[float, float],
    degree: int,
) -> tuple[Any, ...]:
    """Coefficients of a polynomial, highest first."""
    angle = np.linspace(0.0, np.pi, _NUM_NODES)
    nodes = np.interp(np.cos(angle), (-1.0, 1.0), interval)
    fit = np.polynomial.Chebyshev.fit(nodes, function(nodes), degree, domain=interval)
    polynomial = fit.convert(kind=np.polynomial.Polynomial)
    return tuple(map(_F32, polynomial.coef[::-1]))


def _log_tail(offset: np.ndarray) -> np.ndarray:
    """(log(1 + f) - f) / f^2, whose limit at zero is -1/2."""
    f = np.where(np.abs(offset) < 1e-5, 1e-5, offset)
    tail: np.ndarray = np.log1p(f) - f
    return np.asarray(tail / f**2)


def _atan_ratio(square: np.ndarray) -> np.ndarray:
    """atan(w) / w of w^2."""
    w: np.ndarray = np.sqrt(np.maximum(square, 1e-12))
    return np.asarray(np.arctan(w) / w)


_EXP = _coefficients(np.exp2, (-0.5, 0.5), 6)
_LOG = _coefficients(_log_tail, (np.sqrt(0.5) - 1.0, np.sqrt(2.0) - 1.0), 8)
_ATAN = _coefficients(_atan_ratio, (0.0, 1.0), 8)


@inlined
def _polynomial(coefficients, value):
    """Horner's scheme."""
    total = splat(coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * value + coefficient
    return total


@inlined
def exp(value):
    """Return 2^n 2^r = e^v with n the integer next to v / ln 2."""
    power = minimum(value * _LOG2_E, _MOST_BITS)
    power = maximum(power, -_MOST_BITS)
    shifted = power + _ROUNDER
    n = shifted - _ROUNDER
    series = _polynomial(_EXP, power - n)
    return series * power_of_two(shifted)


@inlined
def natural_log(value):
    """Return n ln 2 + f + f^2 p(f) of v = 2^n (1 + f), for v > 0."""
    f = mantissa_of(value) - _ONE
    tail = f * f * _polynomial(_LOG, f)
    n = exponent_of(value)
    return n * _LN_2 + (f + tail)


@inlined
def atan(value):
    """Return w p(w^2) for |v| <= 1, pi/2 less that of 1/v beyond."""
    size = absolute(value)
    is_large = size > _ONE
    w = choose(is_large, _ONE / size, size)
    series = w * _polynomial(_ATAN, w * w)
    angle = choose(is_large, _HALF_PI - series, series)
    is_negative = value < _ZERO
    return choose(is_negative, _ZERO - angle, angle)


@inlined
def softplus(value):
    """log(1 + e^v) without overflow."""
    smaller = exp(_ZERO - absolute(value))
    rest = natural_log(_ONE + smaller)
    return maximum(value, _ZERO) + rest
