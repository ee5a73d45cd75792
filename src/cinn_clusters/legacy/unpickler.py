"""Pickles looked at without running them: a few instructions are interpreted, everything else is refused.

Unpickling executes what a file says. Here its instructions only move inert values about: numbers,
text, lists, and notes of the form "this class, these arguments, this state", for a short list of
names.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np

SCALER = {"sklearn.preprocessing._data StandardScaler", "sklearn.preprocessing.data StandardScaler"}
RECONSTRUCT = {f"numpy.{core}.multiarray _reconstruct" for core in ("_core", "core")}
FROM_BUFFER = {f"numpy.{core}.numeric _frombuffer" for core in ("_core", "core")}
NUMBER = {f"numpy.{core}.multiarray scalar" for core in ("_core", "core")}
WRAPPER, ENCODE, ARRAY, DTYPE = (
    "joblib.numpy_pickle NumpyArrayWrapper",
    "_codecs encode",
    "numpy ndarray",
    "numpy dtype",
)
KNOWN = {*SCALER, *RECONSTRUCT, *FROM_BUFFER, *NUMBER, WRAPPER, ENCODE, ARRAY, DTYPE}


class RefusedError(Exception):
    """The file asks for something that a scaler does not need."""


@dataclass(frozen=True)
class Name:
    """Name of a class or function that a pickle refers to."""

    name: str


@dataclass
class Note:
    """Note that a pickle wants something made: of what, from what, with which state."""

    of: Name
    given: tuple[Any, ...]
    state: Any = None


@dataclass
class _Machine:
    """Stack and memory of the interpreter."""

    stream: BytesIO
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def since_mark(self) -> list[Any]:
        """Take what was pushed since the last mark."""
        begin = self.marks.pop()
        taken = self.stack[begin:]
        del self.stack[begin:]
        return taken


def interpret(stream: BytesIO) -> Any:
    """Run the instructions of one pickle over inert values.

    Args:
        stream: At the begin of a pickle; left behind its end, with the arrays that joblib puts
            between read along.

    Returns:
        Plain values and notes.

    Raises:
        RefusedError: If it names what is not known, or holds an instruction that none of this
            needs.
    """
    machine = _Machine(stream)
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name == "STOP":
            return machine.stack.pop()
        if opcode.name in LITERALS:
            machine.stack.append(argument)
        elif opcode.name in STEPS:
            STEPS[opcode.name](machine, argument)
        else:
            raise RefusedError(f"instruction {opcode.name}")
    raise RefusedError("no end")


LITERALS = {
    "BININT",
    "BININT1",
    "BININT2",
    "LONG1",
    "LONG4",
    "BINFLOAT",
    "SHORT_BINUNICODE",
    "BINUNICODE",
    "BINUNICODE8",
    "SHORT_BINBYTES",
    "BINBYTES",
    "BINBYTES8",
    "BYTEARRAY8",
    "SHORT_BINSTRING",
    "BINSTRING",
}


def _memoize(machine: _Machine, _: Any) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _put(machine: _Machine, index: int) -> None:
    machine.memo[index] = machine.stack[-1]


def _mark(machine: _Machine, _: Any) -> None:
    machine.marks.append(len(machine.stack))


def _tuple_of(count: int) -> Callable[[_Machine, Any], None]:
    def step(machine: _Machine, _: Any) -> None:
        taken = machine.stack[-count:]
        machine.stack[-count:] = [tuple(taken)]

    return step


def _appends(machine: _Machine, _: Any) -> None:
    taken = machine.since_mark()
    machine.stack[-1].extend(taken)


def _append(machine: _Machine, _: Any) -> None:
    value = machine.stack.pop()
    machine.stack[-1].append(value)


def _setitems(machine: _Machine, _: Any) -> None:
    taken = machine.since_mark()
    machine.stack[-1].update(zip(taken[::2], taken[1::2], strict=True))


def _setitem(machine: _Machine, _: Any) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    machine.stack[-1][key] = value


def _global(machine: _Machine, name: str) -> None:
    if name not in KNOWN:
        raise RefusedError(f"a reference to '{name}', which no scaler needs")
    machine.stack.append(Name(name))


def _stack_global(machine: _Machine, _: Any) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    _global(machine, f"{module} {name}")


def _make(machine: _Machine, _: Any) -> None:
    given, of = machine.stack.pop(), machine.stack.pop()
    if not isinstance(of, Name):
        raise RefusedError("a call of something that is no known class")
    machine.stack.append(given[0].encode("latin1") if of.name == ENCODE else Note(of, tuple(given)))


def _build(machine: _Machine, _: Any) -> None:
    state = machine.stack.pop()
    if not isinstance(machine.stack[-1], Note):
        raise RefusedError("a state of something that is no known class")
    machine.stack[-1].state = state
    if machine.stack[-1].of.name == WRAPPER:  # joblib: the array itself follows in the stream
        machine.stack[-1] = _wrapped(machine, state)


def _wrapped(machine: _Machine, state: dict[str, Any]) -> Any:
    dtype = dtype_of(state["dtype"])
    if dtype.hasobject:
        return interpret(machine.stream)
    if state.get("numpy_array_alignment_bytes") is not None:
        machine.stream.read(machine.stream.read(1)[0])
    count = int(np.prod(state["shape"]))
    return np.frombuffer(machine.stream.read(count * dtype.itemsize), dtype).reshape(state["shape"])


STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "MEMOIZE": _memoize,
    "BINPUT": _put,
    "LONG_BINPUT": _put,
    "BINGET": lambda machine, index: machine.stack.append(machine.memo[index]),
    "LONG_BINGET": lambda machine, index: machine.stack.append(machine.memo[index]),
    "NONE": lambda machine, _: machine.stack.append(None),
    "NEWTRUE": lambda machine, _: machine.stack.append(True),
    "NEWFALSE": lambda machine, _: machine.stack.append(False),
    "EMPTY_TUPLE": lambda machine, _: machine.stack.append(()),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "MARK": _mark,
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "APPEND": _append,
    "APPENDS": _appends,
    "SETITEM": _setitem,
    "SETITEMS": _setitems,
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "NEWOBJ": _make,
    "REDUCE": _make,
    "BUILD": _build,
}


def dtype_of(note: Any) -> np.dtype:
    """Return the dtype that a note tells of."""
    if not (isinstance(note, Note) and note.of.name == DTYPE and isinstance(note.given[0], str)):
        raise RefusedError("a dtype that is none")
    order = note.state[1] if note.state else "="
    return np.dtype(note.given[0]).newbyteorder(
        ">" if order == ">" else "<" if order == "<" else "="
    )


def told(note: Any) -> str:
    """Return what a value is, in words."""
    return note.of.name.replace(" ", ".") if isinstance(note, Note) else type(note).__name__
