"""Arithmetic that writes an ONNX graph instead of computing.

An expression stands for a tensor of the graph; its operators and methods add nodes. Shapes broadcast
as those of numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from cinn_clusters.errors import ConfigError

try:
    import onnx
    from onnx import helper, numpy_helper
except ImportError as error:
    _HINT = "pip install 'cinn-clusters[onnx]'"
    raise ConfigError("export", "onnx to be installed", "none", "", _HINT) from error

OPSET = 18
IR_VERSION = 8
"""Versions of the standard and of its files that ONNX Runtime reads since 1.14 (2023)."""
Axes: TypeAlias = Sequence[str | int]
"""Lengths of axes, or names of lengths that are free."""
_NO_SHIFT = np.zeros(1, np.int64)


@dataclass(eq=False)
class Graph:
    """Nodes, constants, inputs and outputs of a graph that grows."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    outputs: list[onnx.ValueInfoProto] = field(default_factory=list)

    def input(self, name: str, dtype: DTypeLike, axes: Axes) -> Expression:
        """Add an input."""
        self.inputs.append(_value_info(name, dtype, axes))
        return Expression(self, name, np.dtype(dtype))

    def output(self, name: str, value: Expression, axes: Axes) -> None:
        """Name an expression as an output."""
        node = helper.make_node("Identity", [value.name], [name])
        self.nodes.append(node)
        self.outputs.append(_value_info(name, value.dtype, axes))

    def constant(self, values: np.ndarray) -> Expression:
        """Add a constant tensor."""
        number = len(self.constants)
        name = f"constant_{number}"
        contiguous = np.asarray(values, order="C")
        self.constants.append(numpy_helper.from_array(contiguous, name))
        return Expression(self, name, values.dtype)

    def node(
        self,
        operator: str,
        operands: Sequence[Expression],
        dtype: DTypeLike,
        **attributes: int | Sequence[int],
    ) -> Expression:
        """Add a node of one output."""
        number = len(self.nodes)
        name = f"{operator}_{number}"
        names = [operand.name for operand in operands]
        node = helper.make_node(operator, names, [name], name=name, **attributes)  # type: ignore[arg-type]
        self.nodes.append(node)
        return Expression(self, name, np.dtype(dtype))

    def model(self, name: str, facts: dict[str, str], text: str) -> onnx.ModelProto:
        """Return the checked model, with facts in its metadata."""
        parts = self.nodes, name, self.inputs, self.outputs, self.constants
        graph = helper.make_graph(*parts, doc_string=text)
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
        helper.set_model_props(model, facts)
        onnx.checker.check_model(model, full_check=True)
        return model


def _value_info(name: str, dtype: DTypeLike, axes: Axes) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, kind, axes)


@dataclass(frozen=True, eq=False)
class Expression:
    """A tensor of a graph."""

    graph: Graph
    name: str
    dtype: np.dtype

    def __add__(self, other: Operand) -> Expression:
        """Sum."""
        return self.apply("Add", other)

    def __sub__(self, other: Operand) -> Expression:
        """Difference."""
        return self.apply("Sub", other)

    def __mul__(self, other: Operand) -> Expression:
        """Product."""
        return self.apply("Mul", other)

    def __truediv__(self, other: Operand) -> Expression:
        """Quotient; of whole numbers, rounded down."""
        return self.apply("Div", other)

    def __matmul__(self, other: Operand) -> Expression:
        """Matrix product."""
        return self.apply("MatMul", other)

    def __neg__(self) -> Expression:
        """Negative."""
        return self.apply("Neg")

    def __and__(self, other: Operand) -> Expression:
        """Whether both hold."""
        return self.apply("And", other)

    def __or__(self, other: Operand) -> Expression:
        """Whether either holds."""
        return self.apply("Or", other)

    def __invert__(self) -> Expression:
        """Whether it does not hold."""
        return self.apply("Not")

    @property
    def exp(self) -> Expression:
        """Exponential."""
        return self.apply("Exp")

    @property
    def log(self) -> Expression:
        """Natural logarithm."""
        return self.apply("Log")

    @property
    def sqrt(self) -> Expression:
        """Square root."""
        return self.apply("Sqrt")

    @property
    def square(self) -> Expression:
        """Square."""
        return self.apply("Mul", self)

    @property
    def sigmoid(self) -> Expression:
        """1 / (1 + exp(-value))."""
        return self.apply("Sigmoid")

    @property
    def relu(self) -> Expression:
        """Value where it is positive, zero elsewhere."""
        return self.apply("Relu")

    @property
    def softplus(self) -> Expression:
        """log(1 + exp(value)), in the form that does not overflow."""
        size = self.apply("Abs")
        remainder = (-size).exp + 1.0
        return self.relu + remainder.log

    @property
    def is_nan(self) -> Expression:
        """Whether values are NaN."""
        return self.compare("IsNaN")

    @property
    def is_finite(self) -> Expression:
        """Whether values are neither NaN nor infinite."""
        difference = self - self
        return difference.compare("Equal", 0.0)

    def apply(
        self, operator: str, *operands: Operand, **attributes: int | Sequence[int]
    ) -> Expression:
        """Add a node of operands of one type."""
        expressions = [self, *map(self._like, operands)]
        return self.graph.node(operator, expressions, self.dtype, **attributes)

    def compare(self, operator: str, *operands: Operand) -> Expression:
        """Add a node that answers yes or no."""
        return replace(self.apply(operator, *operands), dtype=np.dtype(bool))

    def _like(self, operand: Operand) -> Expression:
        """An operand as an expression of the same type."""
        if isinstance(operand, Expression):
            return operand
        return self.graph.constant(np.asarray(operand, self.dtype))

    def cast(self, dtype: DTypeLike) -> Expression:
        """Tensor of another type."""
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.graph.node("Cast", [self], dtype, to=int(kind))

    def where(self, values: Operand, others: Operand) -> Expression:
        """Return values where it holds, and others elsewhere, in double precision."""
        double = replace(self, dtype=np.dtype(np.float64))
        return double.apply("Where", values, others)

    def clip(self, lower: Operand, upper: Operand) -> Expression:
        """Nearest value between two bounds, which may be arrays."""
        return self.apply("Max", lower).apply("Min", upper)

    def sum(self, axis: int = -1) -> Expression:
        """Sum along an axis, which vanishes."""
        return self._with_numbers("ReduceSum", axis, keepdims=0)

    def all(self, axis: int = -1) -> Expression:
        """Whether all along an axis hold."""
        numbers = self.cast(np.int32)
        smallest = numbers._with_numbers("ReduceMin", axis, keepdims=0)
        return smallest.cast(bool)

    def log_sum_exp(self, axis: int) -> Expression:
        """Logarithm of the sum of exponentials along an axis, which vanishes."""
        return self._with_numbers("ReduceLogSumExp", axis, keepdims=0)

    def unsqueezed(self, axis: int = -1) -> Expression:
        """Tensor with a new axis of length one."""
        return self._with_numbers("Unsqueeze", axis)

    def _with_numbers(
        self, operator: str, numbers: ArrayLike, **attributes: int
    ) -> Expression:
        """Add a node whose second operand is a list of whole numbers."""
        listed = np.atleast_1d(np.asarray(numbers, np.int64))
        operands = [self, self.graph.constant(listed)]
        return self.graph.node(operator, operands, self.dtype, **attributes)

    def reshaped(self, *parts: Expression | int) -> Expression:
        """Tensor of another shape, of numbers and expressions (n,) of them; -1 is what is left."""
        return self._shaped("Reshape", parts)

    def expanded(self, *parts: Expression | int) -> Expression:
        """Tensor broadcast to a shape."""
        return self._shaped("Expand", parts)

    def _shaped(self, operator: str, parts: Sequence[Expression | int]) -> Expression:
        numbers = replace(self, dtype=np.dtype(np.int64))
        sizes = [part if isinstance(part, Expression) else [part] for part in parts]
        shape = joined([numbers._like(size) for size in sizes], 0)
        return self.graph.node(operator, [self, shape], self.dtype)

    def take(self, index: ArrayLike, axis: int = -1) -> Expression:
        """Entries along an axis, which vanishes for a single number."""
        numbers = self.graph.constant(np.asarray(index, np.int64))
        return self.apply("Gather", numbers, axis=axis)

    def pick(self, index: Expression) -> Expression:
        """One entry (...) along the last axis by an index (..., 1)."""
        return self.apply("GatherElements", index, axis=-1).sum()

    def look_up(self, table: np.ndarray) -> Expression:
        """Entries of a table (T,) at these whole numbers."""
        values = self.graph.constant(table)
        return values.apply("Gather", self, axis=0)

    def padded(self, begin: Expression, end: Expression, value: float) -> Expression:
        """Tensor with a value before and after it: as often as two shapes say."""
        counts = joined((begin, end), 0)
        return self.apply("Pad", counts, value)

    def first(self, count: Expression) -> Expression:
        """First entries (count,) along the first axis."""
        begin = count._like(_NO_SHIFT)
        return self.apply("Slice", begin, count, begin)

    def transposed(self, *axes: int) -> Expression:
        """Tensor with its axes in another order."""
        return self.apply("Transpose", perm=axes)

    def size(self, axis: int) -> Expression:
        """Length of an axis, (1,)."""
        shape = self.graph.node("Shape", [self], np.int64)
        return shape.take([axis], 0)


Operand: TypeAlias = Expression | ArrayLike


def joined(parts: Sequence[Expression], axis: int = -1) -> Expression:
    """Tensors one after the other along an axis."""
    first = parts[0]
    return first.graph.node("Concat", parts, first.dtype, axis=axis)


def stacked(parts: Sequence[Expression]) -> Expression:
    """Tensors as entries of a new last axis."""
    entries = [part.unsqueezed() for part in parts]
    return joined(entries)
