"""CSV in: the same numbers to the last bit, or one line that says where it is no table."""

from __future__ import annotations

import csv
import struct
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cinn_clusters.data.reading.keys import key_values
from cinn_clusters.data.reading.numbers import with_decimal_mark
from cinn_clusters.data.reading.tables import (
    demand_columns,
    demand_unique,
    read_csv,
    to_numbers,
)
from cinn_clusters.errors import DataError
from cinn_clusters.storage.run import csv_text

DOUBLES = st.floats(allow_nan=False, allow_infinity=False)
NUMBERS = "a,b\n1,2\n3,4\n"


def read_text(folder: Path, content: str | bytes) -> pd.DataFrame:
    path = folder / "table.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_csv(path)


@given(st.lists(st.tuples(DOUBLES, DOUBLES), min_size=1, max_size=20))
def test_doubles_go_round_to_the_last_bit(rows: list[tuple[float, float]]) -> None:
    frame = pd.DataFrame(rows, columns=["a", "b"])
    with tempfile.TemporaryDirectory() as folder:
        text = csv_text(frame)
        again = read_text(Path(folder), text)
    bits = [
        [struct.pack("<d", float(value)) for value in row]
        for row in again.to_numpy(float)
    ]
    assert bits == [[struct.pack("<d", value) for value in row] for row in rows]
    assert [
        tuple(map(float, row)) for row in list(csv.reader(text.splitlines()))[1:]
    ] == rows, "for any other reader"


@given(st.lists(st.integers(-(2**53), 2**53), min_size=1, max_size=20))
def test_whole_numbers_stay_whole(values: list[int]) -> None:
    frame = pd.DataFrame({"HaloID": values, "Snapshot": 99})
    with tempfile.TemporaryDirectory() as folder:
        again = read_text(Path(folder), csv_text(frame))
    ids = key_values(again["HaloID"], "HaloID", "here")
    assert ids.tolist() == values
    assert ids.dtype == np.int64


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + NUMBERS.encode(),
        NUMBERS.encode("utf-16"),
        NUMBERS.encode("utf-16-le"),
        NUMBERS.replace("\n", "\r\n"),
        NUMBERS.replace("\n", "\r"),
        NUMBERS.replace(",", " , "),
        "\n" + NUMBERS + "\n  \n",
        '"a","b"\n"1","2"\n3,"4"',
    ],
    ids=[
        "byte-order mark",
        "UTF-16",
        "UTF-16 without a mark",
        "Windows",
        "old Mac",
        "blanks",
        "blank lines",
        "quotes, no newline at the end",
    ],
)
def test_the_same_table_in_another_dress(content: str | bytes, tmp_path: Path) -> None:
    frame = to_numbers(read_text(tmp_path, content), ["a", "b"], "here")
    pd.testing.assert_frame_equal(
        frame, pd.DataFrame({"a": [1.0, 3.0], "b": [2.0, 4.0]})
    )


def test_columns_of_names_keep_every_character(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("id, name,z\n007,NA,0.1\n1e5,None,0.2\n1E0657,,0.3\n")
    frame = read_csv(path, text=("id", "name", "absent"))
    assert frame["id"].tolist() == ["007", "1e5", "1E0657"]
    assert frame["name"].tolist() == ["NA", "None", ""]
    assert frame["z"].tolist() == [0.1, 0.2, 0.3]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "a header and rows of equal length"),
        (b"\n\n\n", "a header and rows of equal length"),
        (b"a,b\n", "at least one row below the header; got none"),
        (b"\xef\xbb\xbf", "expected"),
        ("Пуля,b\n1,2\n".encode("cp1251"), "UTF-8 text; got byte 0xcf; line 1"),
        (NUMBERS.encode() * 5000 + b"\xff,1\n", "UTF-8 text; got byte 0xff"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "a table; got a PNG picture"),
        ("a,b\n1,2\n1,2,3\n", "rows of equal length, 2 values a row .*; got 3; line 3"),
        ("a,b\n1,2,3\n4,5,6\n", "2 values a row as in the header; got 3; line 2"),
        ("a,b\n1,2\n3\n5,6\n", "2 values a row as in the header; got 1; line 3"),
        ("a,b,c\n1,2,3\n\n3,4", "3 values a row as in the header; got 2; line 4"),
        ("a,a\n1,2\n", "each name once in the header; got it twice"),
        ("a, a \n1,2\n", "each name once in the header; got it twice"),
        ('a,b\n"1,2\n', "expected"),
    ],
)
def test_what_is_no_table_is_told(
    content: str | bytes, told: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=told) as caught:
        read_text(tmp_path, content)
    assert "table.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "told"), [("none.csv", "No such file"), ("", "Is a directory")]
)
def test_a_file_that_cannot_be_read_is_told(
    name: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=f"a readable CSV file; got {told}"):
        read_csv(tmp_path / name)


def test_a_missing_column_names_one_that_looks_alike() -> None:
    frame = pd.DataFrame({"GroupGasmass": [1.0]})
    with pytest.raises(
        DataError,
        match=r"'GroupGasMass'.*no such column; here; did you mean 'GroupGasmass'\?",
    ):
        demand_columns(frame, ["GroupGasMass"], "here")
    with pytest.raises(DataError, match=r"2 columns missing: b, c; here$"):
        demand_columns(
            pd.DataFrame({"GroupGasMass": [1.0]}), ["GroupGasMass", "b", "c"], "here"
        )
    demand_columns(frame, ["GroupGasmass"], "here")


def test_repeated_keys_are_told_with_the_line_of_the_second() -> None:
    frame = pd.DataFrame({"HaloID": [4, 5, 5, 5], "Snapshot": [99, 99, 91, 99]})
    with pytest.raises(
        DataError, match=r"1 repeated; here, line 5 \(HaloID 5, Snapshot 99\)"
    ):
        demand_unique(frame, ["HaloID", "Snapshot"], "here")
    demand_unique(frame.iloc[:3], ["HaloID", "Snapshot"], "here")


def test_text_among_numbers_is_told_with_its_line() -> None:
    frame = pd.DataFrame({"a": ["1", None, "n/k", "<14.5"]})
    with pytest.raises(
        DataError,
        match=r"column 'a': expected numbers; got 'n/k' and 1 more; here, line 4",
    ):
        to_numbers(frame, ["a"], "here")
    assert to_numbers(frame.head(2), ["a"], "here")["a"].tolist() == pytest.approx(
        [1.0, np.nan], nan_ok=True
    )
    assert frame["a"].iloc[0] == "1", "the table given is left alone"


@pytest.mark.parametrize("value", [1.5, np.inf])
def test_a_key_is_a_whole_number(value: float) -> None:
    with pytest.raises(
        DataError,
        match=r"column 'HaloID': expected whole numbers.*; got .*; here.csv, line 3",
    ):
        key_values(np.array([1.0, value]), "HaloID", "here.csv")


@pytest.mark.parametrize("text", ["13," + "9" * 20_000, "9" * 20_000, "1." * 20_000])
def test_texts_of_any_length_take_no_time(text: str) -> None:
    # a pattern that could split digits in two ways took minutes for the first one
    assert with_decimal_mark([text, "1,5"], ",")[1] == "1.5"


def test_a_first_line_longer_than_is_looked_at_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("z," + "A" * 2_000_000)
    with pytest.raises(DataError):
        read_csv(path)
