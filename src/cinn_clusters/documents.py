"""Documents of plain values, JSON and TOML: whatever is wrong with one is a ``ValueError`` of one line.

The parsers of Python raise other things where a document nests too deeply or a number has too many
digits, and let pass what no other reader takes: NaN in JSON, whole numbers beyond 64 bits, halves
of characters.
"""

from __future__ import annotations

import errno
import json
import math
import re
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

_LARGEST_DOCUMENT = 1 << 28
"""Bytes of a document at most, 256 MiB: the largest of ours has a thousandth of it."""
_DEEPEST = 50
"""Levels of nesting at most; ours have six."""
_BESIDE_KEYS = re.compile(r"""[,={}\[\]"']""")
_INTEGERS = range(-(2**63), 2**64)
"""Whole numbers that files and arrays can hold."""


def demand_regular(path: Path) -> None:
    """Refuse a pipe or a device, which may have no end; a folder is left to who opens it.

    Raises:
        OSError: If the path is neither a file nor a folder, or cannot be looked at.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        reason = "a pipe or a device; write its content to a file"
        raise OSError(errno.EINVAL, reason, str(path))


def read_bytes(path: Path, largest: int = _LARGEST_DOCUMENT) -> bytes:
    """Read a file whole.

    Raises:
        OSError: If it cannot be read, is no regular file, or is larger than ``largest`` bytes.
    """
    demand_regular(path)
    if path.stat().st_size > largest:
        raise OSError(errno.EFBIG, f"more than {largest} bytes", str(path))
    return path.read_bytes()


def read_text(path: Path) -> str:
    """Read a text file in UTF-8.

    Raises:
        OSError: If it cannot be read, or is no regular file.
        ValueError: If it is not UTF-8.
    """
    return read_bytes(path).decode("utf-8-sig")


def parse_json(text: str) -> Any:
    """Parse JSON without NaN, infinities, numbers beyond 64 bits and halves of characters.

    Raises:
        ValueError: If the text is anything else.

    Examples:
        >>> parse_json('{"a": [1, 2.5]}')
        {'a': [1, 2.5]}
    """
    return _parsed(_load_json, text)


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML without numbers beyond 64 bits.

    Raises:
        ValueError: If the text is anything else.

    Examples:
        >>> parse_toml("a.b = [1, 2.5]")
        {'a': {'b': [1, 2.5]}}
    """
    for line in text.splitlines():
        _demand_short_keys(line)
    values: dict[str, Any] = _parsed(tomllib.loads, text)
    return values


def reason(error: Exception) -> str:
    """Say in one line why a document, or what it describes, cannot be used."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, KeyError):
        return f"no {error}"
    return next(iter(str(error).splitlines()), type(error).__name__)


def _parsed(parse: Callable[[str], Any], text: str) -> Any:
    try:
        values = parse(text)
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        if "set_int_max_str_digits" in str(error):
            raise _too_long() from error
        raise
    _demand_plain(values, _DEEPEST)
    return values


def _demand_text(text: str) -> None:
    """Demand characters that files hold: whole ones, and not the one that ends text in C."""
    text.encode()
    if "\0" in text:
        raise ValueError("text with a character of number zero")


def _demand_short_keys(line: str) -> None:
    """Refuse a dotted key of TOML whose parser would take memory with the square of its depth."""
    compact = "".join(line.split()).partition("#")[0]
    if any(part.count(".") > _DEEPEST for part in _BESIDE_KEYS.split(compact)):
        raise _too_deep()


def _load_json(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"the number {name}")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"the number {digits[:20]}, which is infinite")
    return value


def _demand_plain(values: Any, levels: int) -> None:
    """Demand numbers and text that other software can hold, in so many levels at most."""
    if levels == 0:
        raise _too_deep()
    if isinstance(values, dict):
        for name, value in values.items():
            _demand_text(name)
            _demand_plain(value, levels - 1)
    elif isinstance(values, list):
        for value in values:
            _demand_plain(value, levels - 1)
    elif isinstance(values, str):
        _demand_text(values)
    elif isinstance(values, int) and values not in _INTEGERS:
        raise _too_long()


def _too_deep() -> ValueError:
    return ValueError(f"more than {_DEEPEST} levels of nesting")


def _too_long() -> ValueError:
    return ValueError("a whole number of more than 64 bits")
