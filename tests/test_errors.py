"""An error is one line: subject, what was expected, what came, where, what to do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cinn_clusters import errors
from cinn_clusters.errors import CinnError, DataError


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        (("s", "e", "g", "w", "h"), "s: expected e; got g; w; h"),
        (("s", "e", "g"), "s: expected e; got g"),
        (("s", "", "g", "", "h"), "s: got g; h"),
        (("s", "e", "", "w"), "s: expected e; w"),
        (("s",), "s"),
        (("s", "e\nf", "g\t\tx"), "s: expected e f; got g x"),
    ],
)
def test_line(parts: tuple[str, ...], line: str) -> None:
    assert str(CinnError(*parts)) == line


@given(st.lists(st.text(min_size=1), min_size=2, max_size=5))
def test_always_one_line(parts: list[str]) -> None:
    assert len(str(CinnError(*parts)).splitlines()) <= 1


def test_place_is_added_in_front_and_the_kind_kept() -> None:
    error = DataError("column 'x'", "numbers", "text", "row 3", "mend it")
    assert (
        str(error.at("a.csv"))
        == "column 'x': expected numbers; got text; a.csv, row 3; mend it"
    )
    assert str(DataError("s", "e", "g").at("a.csv")) == "s: expected e; got g; a.csv"
    assert type(error.at("a.csv")) is DataError
    assert error.where == "row 3"


@pytest.mark.parametrize(
    "name", ["DataError", "ConfigError", "BundleError", "OutputError", "TrainingError"]
)
def test_one_base_for_all(name: str) -> None:
    assert issubclass(getattr(errors, name), CinnError)
    assert issubclass(CinnError, ValueError)


def test_no_part_of_a_line_is_endless() -> None:
    endless = "x" * 5_000
    line = str(CinnError(endless, endless, endless, endless, endless))
    assert len(line) < 2_000
