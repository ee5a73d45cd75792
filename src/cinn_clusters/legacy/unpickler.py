"""A restricted unpickler: names of a pickle become inert records, and other names are refused.

Unpickling calls what a file names. Here ``find_class`` knows the few names that a scaler needs and
returns classes that only keep their arguments, so that no code of the file runs, and no more memory
is taken than the file has bytes. Arrays are made afterwards, from the records.
"""

from __future__ import annotations

import pickle
import re
import struct
from io import BytesIO
from typing import Any, ClassVar

import numpy as np

_PLAIN_DTYPE = re.compile(r"[fiuSUO]\d+")


class RefusedError(Exception):
    """The file asks for something that a scaler does not need."""


class Record:
    """What a pickle wants made of some arguments, and with which state."""

    arguments: tuple[Any, ...] = ()
    state: Any = None

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state


class ScalerRecord(Record):
    """A scaler of scikit-learn; its state is the dictionary of its attributes."""

    kind: ClassVar[str] = ""


class _Encoded(Record):
    """``_codecs.encode(text, "latin1")``: bytes in a pickle of protocol 2."""

    def content(self) -> bytes:
        return bytes(self.arguments[0].encode("latin1"))


class _Dtype(Record):
    def dtype(self) -> np.dtype:
        if not _PLAIN_DTYPE.fullmatch(self.arguments[0]):
            raise RefusedError(f"the dtype '{self.arguments[0]}'")
        native: np.dtype = np.dtype(self.arguments[0])
        return native.newbyteorder(self.state[1] if self.state else "=")


class _Array(Record):
    """``numpy.ndarray`` by ``_reconstruct``."""

    def array(self) -> np.ndarray:
        _, shape, dtype, is_fortran, content = self.state
        if isinstance(content, list):
            return _texts(content)
        return _from_bytes(content, dtype, shape, "CF"[bool(is_fortran)])


class _Buffer(Record):
    """``numpy.ndarray`` by ``_frombuffer``, of protocol 5."""

    def array(self) -> np.ndarray:
        content, dtype, shape, order = self.arguments
        return _from_bytes(content, dtype, shape, order)


class _JoblibArray(Record):
    """An array whose content joblib writes into the stream, right after its description."""

    stream: ClassVar[BytesIO]

    def __setstate__(self, state: dict[str, Any]) -> None:
        dtype = state["dtype"].dtype()
        if dtype.hasobject:
            self.state = restricted_load(self.stream)
            return
        if state.get("numpy_array_alignment_bytes") is not None:
            self.stream.read(self.stream.read(1)[0])
        num_bytes = int(np.prod(state["shape"])) * dtype.itemsize
        content = self.stream.read(num_bytes)
        self.state = np.frombuffer(content, dtype).reshape(
            state["shape"], order=state["order"]
        )

    def array(self) -> np.ndarray:
        return array_of(self.state)


_STAND_INS: dict[tuple[str, str], type[Record]] = {
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): _JoblibArray,
    ("_codecs", "encode"): _Encoded,
    ("numpy", "ndarray"): Record,
    ("numpy", "dtype"): _Dtype,
}
for _kind in ("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler"):
    _record = type(_kind, (ScalerRecord,), {"kind": _kind})
    _STAND_INS["sklearn.preprocessing._data", _kind] = _record
    _STAND_INS["sklearn.preprocessing.data", _kind] = _record
for _core in ("numpy.core", "numpy._core"):
    _STAND_INS[f"{_core}.multiarray", "_reconstruct"] = _Array
    _STAND_INS[f"{_core}.multiarray", "scalar"] = Record
    _STAND_INS[f"{_core}.numeric", "_frombuffer"] = _Buffer


class _RestrictedUnpickler(pickle._Unpickler):
    """The unpickler in Python: the memo of the one in C takes as much memory as a file says."""

    def __init__(self, stream: BytesIO) -> None:
        super().__init__(stream)
        self._stream = stream

    def find_class(self, module: str, name: str) -> type[Record]:
        stand_in = _STAND_INS.get((module, name))
        if stand_in is None:
            raise RefusedError(
                f"a reference to '{module}.{name}', which no scaler needs"
            )
        if stand_in is _JoblibArray:
            return type(
                "_JoblibArrayOfStream", (_JoblibArray,), {"stream": self._stream}
            )
        return stand_in


def restricted_load(stream: BytesIO) -> Any:
    """Read one pickle as plain values and records.

    Args:
        stream: At the beginning of a pickle; it is left behind its end.

    Raises:
        RefusedError: If the pickle names anything but a scaler and its arrays.
        ValueError: If it is damaged, as well as other errors of Python.
    """
    try:
        return _RestrictedUnpickler(stream).load()
    except (pickle.UnpicklingError, struct.error) as error:
        raise ValueError(str(error)) from error


def array_of(value: Any) -> np.ndarray:
    """Return the array that a record describes."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, _Array | _Buffer | _JoblibArray):
        return value.array()
    raise RefusedError(f"a {type(value).__name__} instead of an array")


def tuple_of(value: Any) -> tuple[float, ...]:
    """Return the numbers of a range."""
    if isinstance(value, tuple | list) and all(
        isinstance(end, int | float) for end in value
    ):
        return tuple(value)
    raise RefusedError(f"a {type(value).__name__} instead of a range")


def _from_bytes(
    content: Any, dtype: _Dtype, shape: tuple[int, ...], order: Any
) -> np.ndarray:
    encoded = content.content() if isinstance(content, _Encoded) else content
    return np.frombuffer(encoded, dtype.dtype()).reshape(shape, order=order)


def _texts(content: list[Any]) -> np.ndarray:
    """An array of objects, which may be text only: nested lists could grow without bound."""
    if not all(isinstance(item, str) for item in content):
        raise RefusedError("objects other than text in an array")
    return np.array(content, dtype=object)
