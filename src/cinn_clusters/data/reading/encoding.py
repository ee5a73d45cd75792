"""Encodings of text: UTF-8, what a byte-order mark says, or Western European where that is clear."""

from __future__ import annotations

import re
from pathlib import Path

from cinn_clusters.data.reading.sniff import open_unpacked
from cinn_clusters.errors import DataError

_WESTERN = "cp1252"
"""Latin-1 with the quotes and dashes of Windows."""
_FOREIGN_RUN = re.compile("[^\x00-\x7f]{3}")
"""Three letters beyond ASCII in a row: another script than Latin."""
_LETTERS = {chr(code) for code in range(0xC0, 0xFF)} - {"\xd7", "\xf7"}
"""Letters of Latin-1; those that Windows has besides are others on a Macintosh."""
_SIGNS = set("°±µ²³·…§¹½¼¾«»€ª\xa0\xd7\u2013\u2014\u2018\u2019\u201c\u201d")


def decoded(path: Path, encoding: str, stated: str = "") -> tuple[str, str]:
    """Return a whole text and its encoding, of which the first bytes were looked at.

    Args:
        path: The file.
        encoding: By its first bytes.
        stated: What the user says; it is not doubted.

    Raises:
        DataError: If the encoding is none that can be told, or the file is no text.
    """
    with open_unpacked(path) as stream:
        content = stream.read()
    used = stated or encoding
    try:
        text = content.decode(used)
    except LookupError as error:
        raise DataError(path, "a known [read] encoding", f"'{used}'") from error
    except UnicodeDecodeError as error:
        if stated:
            raise _not_text(path, content, error, stated) from error
        text, used = _western(path, content, error), _WESTERN
    if "\0" in text:
        line = f"line {text[: text.index(chr(0))].count(chr(10)) + 1}"
        hint = "save the table as CSV UTF-8"
        raise DataError(path, "text", "a byte 0x00", line, hint)
    return text, used


def _western(path: Path, content: bytes, error: UnicodeDecodeError) -> str:
    """Text in Western European, where every character beyond ASCII is a letter or sign of it."""
    try:
        text = content.decode(_WESTERN)
    except UnicodeDecodeError:
        text = ""
    foreign = {character for character in text if not character.isascii()}
    if text and foreign <= _LETTERS | _SIGNS and not _FOREIGN_RUN.search(text):
        return text
    raise _not_text(path, content, error, "UTF-8") from error


def _not_text(
    path: Path, content: bytes, error: UnicodeDecodeError, encoding: str
) -> DataError:
    line = content[: error.start].count(b"\n") + 1
    got, where = f"byte 0x{content[error.start]:02x}", f"line {line}"
    hint = 'save it as CSV UTF-8, or name its [read] encoding, as in "mac_roman"'
    return DataError(path, f"{encoding} text", got, where, hint)
