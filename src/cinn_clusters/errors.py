"""The one error a user is meant to see: what was expected, what came, where, what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Self

_LONGEST = 400
"""Characters of a value that a message quotes."""


class CinnError(ValueError):
    """Base of every expected error; the command line prints it in one line and exits 1.

    Args:
        subject: What is wrong: a file, or for example ``column 'last_d_peri'``.
        expected: What a correct input would have been.
        got: What came instead.
        where: File, row or key of the first offence; empty when the subject says it.
        hint: What the user can do about it.

    Examples:
        >>> print(CinnError("column 'x'", "finite values", "3 NaN", "row 17", "pass --drop-incomplete"))
        column 'x': expected finite values; got 3 NaN; row 17; pass --drop-incomplete
    """

    def __init__(
        self,
        subject: str | Path,
        expected: str = "",
        got: object = "",
        where: str = "",
        hint: str = "",
    ) -> None:
        self.subject = str(subject)
        self.expected = expected
        self.got = str(got)
        self.where = where
        self.hint = hint
        super().__init__(self._line())

    def _line(self) -> str:
        expected = self.expected and f"expected {_shortened(self.expected)}"
        got = self.got and f"got {_shortened(self.got)}"
        where, hint = _shortened(self.where), _shortened(self.hint)
        facts = "; ".join(filter(None, (expected, got, where, hint)))
        if not facts:
            return _printable(self.subject)
        return _printable(f"{_shortened(self.subject)}: {facts}")

    def at(self, where: str) -> Self:
        """Return the same error with the place put in front of where it was raised."""
        place = ", ".join(filter(None, (where, self.where)))
        return type(self)(self.subject, self.expected, self.got, place, self.hint)


def _shortened(text: str) -> str:
    """Keep both ends of a long value."""
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST // 2]} [...] {text[-_LONGEST // 4 :]}"


def _printable(text: str) -> str:
    """Put text into one line that every terminal takes: no control characters, no half characters."""
    line = " ".join(text.split())
    if line.isprintable():
        return line
    return "".join(_escaped(character) for character in line)


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    return ascii(character)[1:-1]


class DataError(CinnError):
    """A table does not hold what it should."""


class ConfigError(CinnError):
    """A setting is unknown or out of range."""


class BundleError(CinnError):
    """A file on disk is missing, damaged, or of another version."""


class OutputError(CinnError):
    """A result cannot be written where it was asked for."""


class TrainingError(CinnError):
    """Training cannot go on."""
