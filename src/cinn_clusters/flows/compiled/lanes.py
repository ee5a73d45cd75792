"""DrawArrays side by side in one vector register: a number type of numba, ``Lanes``.

A kernel reads like arithmetic on one draw and acts on ``WIDTH`` of them. Values stay in registers
until they are stored, which a compiler does not find out from loops over arrays. ``NUM_UNITS`` rows at
once are a tuple of lanes: enough independent sums to hide the latency of an addition.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, models, register_model

WIDTH = 16 if binding.get_host_cpu_features().get("avx512f") else 8
"""DrawArrays in a register; lanes never mix, so that the width does not change a result."""
NUM_UNITS = 8
"""Rows at once."""

_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_FLOATS = ir.VectorType(_FLOAT, WIDTH)
_INTS = ir.VectorType(_INT, WIDTH)
_ALIGNMENT = 4 * WIDTH


class _Vector(types.Type):
    """Type of a vector of numba."""


lanes = _Vector(f"lanes{WIDTH}")
mask = _Vector(f"mask{WIDTH}")
rows = types.Tuple((lanes,) * NUM_UNITS)
_ELEMENTS = {lanes: _FLOAT, mask: ir.IntType(1)}


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: _Vector) -> None:
        vector = ir.VectorType(_ELEMENTS[fe_type], WIDTH)
        super().__init__(dmm, fe_type, vector)


def _splat(builder: Any, value: Any) -> Any:
    """Repeat a number in all lanes."""
    if value.type == _FLOATS:
        return value
    undefined = ir.Constant(_FLOATS, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(_INT, 0))
    order = ir.Constant(_INTS, [0] * WIDTH)
    return builder.shuffle_vector(first, undefined, order)


def _constant(value: int) -> Any:
    return ir.Constant(_INTS, [value] * WIDTH)


def _operator(
    symbol: Callable[..., Any], result: types.Type, emit: Callable[..., Any]
) -> None:
    """Define an operator between lanes, and between lanes and a number."""
    number = types.float32
    pairs = (lanes, lanes), (lanes, number), (number, lanes)
    cases = [signature(result, *pair) for pair in pairs]
    template = type("_Template", (ConcreteTemplate,), {"key": symbol, "cases": cases})
    infer_global(symbol)(template)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        left, right = (_splat(builder, value) for value in args)
        return emit(builder, left, right)

    for pair in pairs:
        lower_builtin(symbol, *pair)(lower)


_operator(operator.add, lanes, ir.IRBuilder.fadd)
_operator(operator.sub, lanes, ir.IRBuilder.fsub)
_operator(operator.mul, lanes, ir.IRBuilder.fmul)
_operator(operator.truediv, lanes, ir.IRBuilder.fdiv)
_operator(operator.lt, mask, lambda builder, a, b: builder.fcmp_ordered("<", a, b))
_operator(operator.gt, mask, lambda builder, a, b: builder.fcmp_ordered(">", a, b))
_operator(operator.le, mask, lambda builder, a, b: builder.fcmp_ordered("<=", a, b))


@intrinsic
def choose(typingctx: Any, condition: Any, yes: Any, no: Any) -> Any:
    """``yes`` in the lanes where a mask is true, else ``no``."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        condition, *values = args
        return builder.select(condition, *(_splat(builder, value) for value in values))

    return lanes(condition, yes, no), emit


@intrinsic
def maximum(typingctx: Any, value: Any, least: Any) -> Any:
    """Larger one of lanes and another; not-a-number stays."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value, least = args[0], _splat(builder, args[1])
        is_below = builder.fcmp_ordered("<", value, least)
        return builder.select(is_below, least, value)

    return lanes(value, least), emit


@intrinsic
def minimum(typingctx: Any, value: Any, most: Any) -> Any:
    """Smaller one of lanes and another; not-a-number stays."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value, most = args[0], _splat(builder, args[1])
        is_above = builder.fcmp_ordered(">", value, most)
        return builder.select(is_above, most, value)

    return lanes(value, most), emit


def _function_of_lanes(name: str) -> Any:
    @intrinsic
    def function(typingctx: Any, value: Any) -> Any:
        def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            suffix = f"v{WIDTH}f32"
            kind = ir.FunctionType(_FLOATS, (_FLOATS,))
            declared = builder.module.globals.get(f"{name}.{suffix}")
            declared = declared or ir.Function(builder.module, kind, f"{name}.{suffix}")
            return builder.call(declared, args)

        return lanes(value), emit

    return function


sqrt = _function_of_lanes("llvm.sqrt")
absolute = _function_of_lanes("llvm.fabs")


@intrinsic
def splat(typingctx: Any, value: Any) -> Any:
    """Repeat a number in all lanes."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _splat(builder, args[0])

    return lanes(types.float32), emit


@intrinsic
def power_of_two(typingctx: Any, shifted: Any) -> Any:
    """2^n for n + 1.5 * 2^23, whose last bits are those of the integer n."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = builder.bitcast(args[0], _INTS)
        exponent = builder.shl(bits, _constant(23))
        one = _constant(0x3F800000)
        return builder.bitcast(builder.add(exponent, one), _FLOATS)

    return lanes(shifted), emit


_ROOT_HALF = int(np.sqrt(np.float32(0.5)).view(np.int32))
_MANTISSA = 0x7FFFFF


@intrinsic
def exponent_of(typingctx: Any, value: Any) -> Any:
    """N of value = 2^n m with m in [sqrt(1/2), sqrt(2))."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = builder.bitcast(args[0], _INTS)
        offset = builder.sub(bits, _constant(_ROOT_HALF))
        exponent = builder.ashr(offset, _constant(23))
        return builder.sitofp(exponent, _FLOATS)

    return lanes(value), emit


@intrinsic
def mantissa_of(typingctx: Any, value: Any) -> Any:
    """M of value = 2^n m with m in [sqrt(1/2), sqrt(2))."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = builder.bitcast(args[0], _INTS)
        offset = builder.sub(bits, _constant(_ROOT_HALF))
        low = builder.and_(offset, _constant(_MANTISSA))
        return builder.bitcast(builder.add(low, _constant(_ROOT_HALF)), _FLOATS)

    return lanes(value), emit


def _pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """Pointer to a number of a contiguous array."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.gep(data, [index])


def _row_pointer(context: Any, builder: Any, sig: Any, args: Any, number: int) -> Any:
    """Pointer to row ``args[1] + number`` of an array (R, WIDTH)."""
    row = builder.add(args[1], ir.Constant(args[1].type, number))
    index = builder.mul(row, ir.Constant(row.type, WIDTH))
    first = _pointer(context, builder, sig.args[0], args[0], index)
    return builder.bitcast(first, _FLOATS.as_pointer())


@intrinsic
def load(typingctx: Any, array: Any, row: Any) -> Any:
    """Row of an array (R, WIDTH)."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _row_pointer(context, builder, sig, args, 0)
        return builder.load(pointer, align=_ALIGNMENT)

    return lanes(array, types.intp), emit


@intrinsic
def store(typingctx: Any, array: Any, row: Any, value: Any) -> Any:
    """Write a row of an array (R, WIDTH)."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _row_pointer(context, builder, sig, args, 0)
        builder.store(_splat(builder, args[2]), pointer, align=_ALIGNMENT)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), emit


@intrinsic
def load_rows(typingctx: Any, array: Any, row: Any) -> Any:
    """``NUM_UNITS`` rows of an array (R, WIDTH) from one on."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        values = ir.Constant(context.get_value_type(rows), ir.Undefined)
        for number in range(NUM_UNITS):
            pointer = _row_pointer(context, builder, sig, args, number)
            value = builder.load(pointer, align=_ALIGNMENT)
            values = builder.insert_value(values, value, number)
        return values

    return rows(array, types.intp), emit


@intrinsic
def store_rows(typingctx: Any, array: Any, row: Any, values: Any) -> Any:
    """Write ``NUM_UNITS`` rows of an array (R, WIDTH) from one on."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        for number in range(NUM_UNITS):
            pointer = _row_pointer(context, builder, sig, args, number)
            value = builder.extract_value(args[2], number)
            builder.store(value, pointer, align=_ALIGNMENT)
        return context.get_dummy_value()

    return types.void(array, types.intp, rows), emit


def _weight(context: Any, builder: Any, kind: Any, place: Any, number: int) -> Any:
    """Weight of a unit from a place (array, index) on, in all lanes."""
    array, index = place
    of_unit = builder.add(index, ir.Constant(index.type, number))
    pointer = _pointer(context, builder, kind, array, of_unit)
    return _splat(builder, builder.load(pointer))


@intrinsic
def load_weights(typingctx: Any, weights: Any, index: Any) -> Any:
    """``NUM_UNITS`` numbers from one on, each in all lanes of its row."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        values = ir.Constant(context.get_value_type(rows), ir.Undefined)
        for number in range(NUM_UNITS):
            weight = _weight(context, builder, sig.args[0], args, number)
            values = builder.insert_value(values, weight, number)
        return values

    return rows(weights, types.intp), emit


@intrinsic
def add_products(
    typingctx: Any, values: Any, weights: Any, index: Any, other: Any
) -> Any:
    """values_j + weights[index + j] * other, for ``NUM_UNITS`` rows j."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        values, *place, other = args
        for number in range(NUM_UNITS):
            weight = _weight(context, builder, sig.args[1], place, number)
            value = builder.extract_value(values, number)
            total = builder.fadd(value, builder.fmul(weight, other))
            values = builder.insert_value(values, total, number)
        return values

    return rows(rows, weights, types.intp, lanes), emit


@intrinsic
def add_sum(typingctx: Any, value: Any, weights: Any, index: Any, values: Any) -> Any:
    """Value + sum_j weights[index + j] * values_j over ``NUM_UNITS`` rows j."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        total, *place, values = args
        for number in range(NUM_UNITS):
            weight = _weight(context, builder, sig.args[1], place, number)
            factor = builder.extract_value(values, number)
            total = builder.fadd(total, builder.fmul(weight, factor))
        return total

    return lanes(lanes, weights, types.intp, rows), emit


@intrinsic
def rectify(typingctx: Any, values: Any) -> Any:
    """Larger one of each row and zero; not-a-number stays."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        (values,) = args
        zero = ir.Constant(_FLOATS, [0.0] * WIDTH)
        for number in range(NUM_UNITS):
            value = builder.extract_value(values, number)
            is_negative = builder.fcmp_ordered("<", value, zero)
            positive = builder.select(is_negative, zero, value)
            values = builder.insert_value(values, positive, number)
        return values

    return rows(rows), emit
