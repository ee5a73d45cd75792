"""One reader of tables: what people's files hold is read as it is meant, or named in one line."""

from __future__ import annotations

import datetime
import decimal
import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from cinn_clusters.catalogues.table_files import numbers, read_table, write_table
from cinn_clusters.data.reading.tables import read_csv
from cinn_clusters.errors import DataError
from support import Command

MAPPING = (
    'object_name = "name"\n[redshift]\ncolumn = "z"\n'
    '[mass]\ncolumn = "M"\nunit = "1e14 Msun"\n'
)
PLAIN = "name,z,M\nA2142,0.09,14.5\nBullet,0.296,11.25\n"
BIG = 2**53 + 1
LOGICAL = [True, False, True]
Infer = Callable[..., Any]


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.fixture
def infer(tmp_path: Path, command: Command) -> Infer:
    """Ask the packaged model about a file, through the command line."""

    def run(path: Path, ending: str = "ecsv", mapping: str = MAPPING) -> Any:
        written(tmp_path / "own.toml", mapping)
        return command(
            f"infer --catalogue {path} --mapping {tmp_path / 'own.toml'} --samples 2 "
            f"--out {tmp_path / 'p.nc'} --table {tmp_path / f'answer.{ending}'} --overwrite"
        )

    return run


def answer(folder: Path, ending: str = "ecsv") -> Table:
    return read_table(folder / f"answer.{ending}")


def refused(path: Path, *told: str, read: dict[str, Any] | None = None) -> None:
    """A file is refused in one line that says all of this, without a library's words."""
    with pytest.raises(DataError) as caught:
        read_table(path, read)
    line = str(caught.value)
    assert "\n" not in line
    assert "is it complete" not in line
    for part in told:
        assert part in line, line


DRESSES: dict[str, tuple[bytes, str]] = {
    "01": (b"\xef\xbb\xbf" + PLAIN.encode(), ""),
    "03": (PLAIN.replace(",", ";").replace(".", ",").encode(), "decimal marks"),
    "05": (b"# by me\n# z is spectroscopic\n" + PLAIN.encode(), ""),
    "09": (PLAIN.replace(",", "\t").encode("utf-16"), "utf-16"),
    "UTF-16 without a mark": (PLAIN.encode("utf-16-le"), "utf-16-le"),
    "UTF-32": (PLAIN.encode("utf-32"), "utf-32"),
    "old Macintosh": (PLAIN.replace("\n", "\r").encode(), ""),
    "tabs": (PLAIN.replace(",", "\t").encode(), "tabs"),
    "bars": (PLAIN.replace(",", "|").encode(), "vertical bars"),
    "blanks": (PLAIN.replace(",", "   ").encode(), "blanks"),
    "TOPCAT": (b"# " + PLAIN.replace(",", " ").encode(), "blanks"),
    "numpy.savetxt": (b"# made today\n# " + PLAIN.encode(), ""),
    "Excel": (b"sep=;\n" + PLAIN.replace(",", ";").encode(), "semicolons"),
    "single quotes": (PLAIN.replace("A2142", "'A2142'").encode(), ""),
    "delimiter at the end": (b"name,z,M\nA2142,0.09,14.5,\nBullet,0.296,11.25,\n", ""),
    "empty rows of Excel": (PLAIN.encode() + b",,\n,,\n", "without any value"),
    "minus of typesetting": (PLAIN.replace("14.5", "1.45E+1").encode(), ""),
    "compressed": (gzip.compress(PLAIN.encode()), ""),
    "VizieR": (
        b"#RESOURCE=yCat\n\nname\tz\tM\n \t \t10+14Msun\n-----\t---\t---\n"
        + PLAIN.split("\n", 1)[1].replace(",", "\t").encode()
        + b"\n#END\n",
        "units",
    ),
    "psql": (
        b"name|z|M\n----+---+---\n"
        + PLAIN.split("\n", 1)[1].replace(",", "|").encode(),
        "",
    ),
}


@pytest.mark.parametrize("dress", DRESSES)
def test_a_table_in_another_dress_is_read_alike(dress: str, tmp_path: Path) -> None:
    content, note = DRESSES[dress]
    notes: list[str] = []
    table = read_table(written(tmp_path / "own.csv", content), notes=notes)
    names = [str(name).strip("'") for name in table["name"]]
    assert names == ["A2142", "Bullet"]
    assert numbers(table, "z")[0].tolist() == [0.09, 0.296]
    assert numbers(table, "M")[0].tolist() == [14.5, 11.25]
    assert note in " ".join(notes)


@pytest.mark.parametrize("dress", ["01", "03", "05", "09"])
def test_the_same_file_for_infer_and_prepare(
    dress: str, tmp_path: Path, infer: Infer
) -> None:
    path = written(tmp_path / "own.csv", DRESSES[dress][0])
    assert infer(path).code == 0
    assert answer(tmp_path)["name"].tolist() == ["A2142", "Bullet"]
    frame = read_csv(path)
    assert frame["M"].tolist() == [14.5, 11.25]
    assert frame["z"].tolist() == [0.09, 0.296]


def test_case_01_byte_order_mark_before_the_first_name(tmp_path: Path) -> None:
    table = read_table(written(tmp_path / "own.csv", DRESSES["01"][0]))
    assert table.colnames == ["name", "z", "M"]


def test_case_03_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    text = "name;z;M\nA;0,35;1.234,5\nB;0,4;1,234\n"
    table = read_table(written(tmp_path / "own.csv", text))
    assert table["z"].tolist() == [0.35, 0.4]
    assert numbers(table, "M")[0].tolist() == [1234.5, 1.234]


def test_case_03_decimal_commas_between_commas_are_named(tmp_path: Path) -> None:
    path = written(tmp_path / "own.csv", "name,z,M\nA,0,35,14,5\nB,0,4,13,1\n")
    refused(
        path, "3 values a row", "got 5", "line 2", "'A,0,35,14,5'", "decimal commas"
    )


def test_case_05_comments_above_and_a_row_behind_a_mark(tmp_path: Path) -> None:
    notes: list[str] = []
    text = "# one\n# two\n" + PLAIN + "#A85,0.05,5.0\n"
    table = read_table(written(tmp_path / "own.csv", text), notes=notes)
    assert len(table) == 2
    assert "rows behind a # left out: 1, as '#A85,0.05,5.0'" in notes[0]
    own = read_table(written(tmp_path / "own.csv", "name,z\n#1,0.1\n#2,0.2\n"))
    assert own["name"].tolist() == ["#1", "#2"], "names that all begin with the mark"


@pytest.mark.parametrize("ending", ["csv", "ecsv"])
def test_case_05_more_comments_than_are_looked_at(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"own.{ending}"
    table = Table({"name": ["A", "B"], "z": [0.1, 0.2]})
    table.meta["comments"] = [f"line {number} of many" for number in range(8000)]
    write_table(table, path)
    if ending == "csv":
        written(path, "# a line of many\n" * 8000 + PLAIN)
    assert len(read_table(path)) == 2


def test_case_08_latin_1_names(tmp_path: Path, infer: Infer) -> None:
    path = written(
        tmp_path / "own.csv", PLAIN.replace("Bullet", "Größe 1°").encode("latin-1")
    )
    done = infer(path)
    assert done.code == 0
    assert "cp1252" in done.err
    assert answer(tmp_path)["name"].tolist() == ["A2142", "Größe 1°"]
    assert read_csv(path)["name"].tolist() == ["A2142", "Größe 1°"]


@pytest.mark.parametrize("encoding", ["cp1251", "koi8-r", "mac_roman", "shift_jis"])
def test_another_encoding_is_asked_for_and_obeyed(
    encoding: str, tmp_path: Path
) -> None:
    name = {"mac_roman": "Größe", "shift_jis": "銀河団"}.get(encoding, "Пуля")
    content = PLAIN.replace("Bullet", name).encode(encoding)
    path = written(tmp_path / "own.csv", content)
    refused(path, "UTF-8 text", "byte 0x", "line 3", "[read] encoding")
    table = read_table(path, {"encoding": encoding})
    assert table["name"].tolist() == ["A2142", name]


@pytest.mark.parametrize("ending", ["csv", "ecsv", "fits", "vot", "parquet"])
def test_case_11_a_column_that_stands_twice(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"own.{ending}"
    if ending == "csv":
        written(path, "name,z,M,M\nA,0.1,1.0,2.0\n")
    elif ending == "parquet":
        pa, parquet = (
            pytest.importorskip("pyarrow"),
            pytest.importorskip("pyarrow.parquet"),
        )
        parquet.write_table(
            pa.table([[0.1], [1.0], [2.0]], names=["z", "M", "M"]), path
        )
    else:
        write_table(Table({"z": [0.1], "M": [1.0], "X": [2.0]}), path)
        content = path.read_bytes()
        for old, new in (
            (b"TTYPE3  = 'X ", b"TTYPE3  = 'M "),
            (b"name: X", b"name: M"),
            (b"z M X", b"z M M"),
            (b'name="X"', b'name="M"'),
        ):
            content = content.replace(old, new)
        written(path, content)
    refused(path, "column 'M'", "each name once", "twice", f"own.{ending}")


def test_case_11_infer_refuses_it(tmp_path: Path, infer: Infer) -> None:
    path = written(tmp_path / "own.csv", "name,z,M,M\nA,0.1,1.0,2.0\n")
    infer(path).demand_error("column 'M'", "twice", "columns 3 and 4")


def test_case_49c_complex_and_logical_columns_are_no_quantity(
    tmp_path: Path, infer: Infer
) -> None:
    table = Table({"name": ["A", "B"], "z": [0.1, 0.2], "M": [5 + 1j, 6 + 0j]})
    write_table(table, tmp_path / "own.fits")
    infer(tmp_path / "own.fits").demand_error("column 'M'", "complex numbers")
    for ending in ("csv", "fits", "vot", "parquet"):
        table["M"] = [True, False]
        write_table(table, tmp_path / f"logical.{ending}")
        read = read_table(tmp_path / f"logical.{ending}")
        with pytest.raises(DataError, match=r"column 'M': .*got logical values"):
            numbers(read, "M")


def parquet_file(path: Path, **columns: Any) -> Path:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    arrays = {"name": ["A", None], "z": [0.1, 0.2], "M": [5.0, 6.0]} | columns
    parquet.write_table(pa.table(arrays), path)
    return path


def test_case_50d_null_strings_in_parquet(tmp_path: Path, infer: Infer) -> None:
    done = infer(parquet_file(tmp_path / "own.parquet"), "parquet")
    assert done.code == 0
    assert pd.read_parquet(tmp_path / "answer.parquet")["name"].tolist()[0] == "A"
    assert pd.read_parquet(tmp_path / "answer.parquet")["name"].isna().tolist()[1]


def test_case_50e_types_of_pandas_come_through(tmp_path: Path, infer: Infer) -> None:
    pa = pytest.importorskip("pyarrow")
    day = datetime.datetime(2020, 1, 2)
    path = parquet_file(
        tmp_path / "own.parquet",
        seen=[True, None],
        when=pa.array([day, None], pa.timestamp("ns")),
        kind=pa.array(["relaxed", "merger"]).dictionary_encode(),
        price=[decimal.Decimal("1.20"), None],
        long=[decimal.Decimal("12345678901234567890.25"), None],
        ids=pa.array([BIG, None], pa.int64()),
        nested=[[1, 2], [3]],
        struct=[{"a": 1}, None],
        junk=[b"\xff\xfe", b"\x80"],
        none=pa.nulls(2),
    )
    for ending in ("parquet", "ecsv", "csv", "fits", "vot"):
        done = infer(path, ending)
        assert done.code == 0, done.err
        assert "junk: left out" in done.err
        table = answer(tmp_path, ending)
        assert int(table["ids"][0]) == BIG
        assert table["ids"].mask.tolist() == [False, True]
        assert [str(kind) for kind in table["kind"]] == ["relaxed", "merger"]
        assert str(table["long"][0]) == "12345678901234567890.25"
        assert str(table["when"][0]).startswith("2020-01-02")
        assert [str(entry) for entry in table["nested"]] == ["[1, 2]", "[3]"]
        assert float(table["price"][0]) == 1.2
        assert bool(table["seen"][0])
        assert table["seen"].mask.tolist() == [False, True]


@pytest.mark.parametrize("ending", ["ecsv", "fits", "vot", "parquet", "csv"])
def test_ids_of_64_bits_survive_every_format_beside_gaps(
    ending: str, tmp_path: Path, infer: Infer
) -> None:
    table = Table({"name": ["A", "B", "C"], "z": [0.1, 0.2, 0.3], "M": [5.0, 6.0, 7.0]})
    gap = [False, True, False]
    table["id"] = MaskedColumn([BIG, 7, 999999], mask=gap)
    table["short"] = MaskedColumn(np.array([3, 0, 32767], dtype="i2"), mask=gap)
    table["flag"] = MaskedColumn(LOGICAL, mask=gap)
    table["label"] = ["007", "1E0657", "NA"]
    write_table(table, tmp_path / f"own.{ending}")
    done = infer(tmp_path / f"own.{ending}", ending)
    assert done.code == 0, done.err
    again = answer(tmp_path, ending)
    assert again["id"].tolist() == [BIG, None, 999999]
    assert again["short"].tolist() == [3, None, 32767]
    assert again["flag"].tolist() == [True, None, True]
    assert [str(label) for label in again["label"]] == ["007", "1E0657", "NA"]


def test_null_values_that_files_declare_are_masked(tmp_path: Path) -> None:
    columns = [
        fits.Column("id", "K", array=[BIG, -99], null=-99),
        fits.Column("flag", "L", array=[True, False]),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "own.fits")
    content = bytearray((tmp_path / "own.fits").read_bytes())
    content[2 * 2880 + 8] = (
        0  # the first logical value, behind two headers and an integer
    )
    written(tmp_path / "own.fits", bytes(content))
    table = read_table(tmp_path / "own.fits")
    assert table["id"].tolist() == [BIG, None]
    assert table["flag"].tolist() == [None, False]

    write_table(Table({"id": [BIG, 7]}), tmp_path / "own.vot")
    text = (tmp_path / "own.vot").read_text()
    field = text[text.index("<FIELD") : text.index("/>", text.index("<FIELD")) + 2]
    declared = field[:-2] + '><VALUES null="7"/></FIELD>'
    written(tmp_path / "own.vot", text.replace(field, declared))
    assert read_table(tmp_path / "own.vot")["id"].tolist() == [BIG, None]


def test_case_177i_one_text_id_far_down_a_wide_table(tmp_path: Path) -> None:
    columns = {f"c{number:02d}": np.arange(30_000) / 7.0 for number in range(3)}
    frame = pd.DataFrame({"id": np.arange(30_000).astype(object), **columns})
    frame.loc[29_990, "id"] = "A2142"
    frame.to_csv(tmp_path / "own.csv", index=False)
    again = read_csv(tmp_path / "own.csv")
    assert set(map(type, again["id"])) == {str}
    assert again["id"].iloc[[0, 29_990]].tolist() == ["0", "A2142"]
    assert again["c00"].dtype == float


def test_two_types_in_a_column_stay_text_and_read_as_numbers_where_they_are(
    tmp_path: Path,
) -> None:
    path = written(
        tmp_path / "own.csv", "name,z,M\n12,0.1,5\nA12,0.2,n/k\n3.0,0.3,--\n"
    )
    table = read_table(path)
    assert table["name"].tolist() == ["12", "A12", "3.0"]
    values, is_text = numbers(table, "M")
    np.testing.assert_array_equal(values, [5.0, np.nan, np.nan])
    assert is_text.tolist() == [False, True, False]


@pytest.mark.parametrize(("first", "second"), [("M", "m"), ("Mass", "MASS")])
def test_case_310b_names_that_differ_in_case_are_not_written_to_fits(
    first: str, second: str, tmp_path: Path, infer: Infer
) -> None:
    path = written(tmp_path / "own.csv", f"name,z,{first},{second}\nA,0.1,5.0,6.0\n")
    mapping = MAPPING.replace('"M"', f'"{first}"')
    infer(path, "fits", mapping).demand_error(
        "FITS ignores", f"'{first}' and '{second}'", ".ecsv"
    )
    assert not (tmp_path / "answer.fits").exists()
    assert infer(path, "ecsv", mapping).code == 0


NOTATIONS: dict[str, tuple[list[str], list[float]]] = {
    "Fortran": (["1.2D14", "3d-2"], [1.2e14, 0.03]),
    "minus of typesetting": (["\u22120.5", "0.5"], [-0.5, 0.5]),
    "decimal commas": (["0,35", "14,5"], [0.35, 14.5]),
    "thousands": (["1,234.5", "2,345,678"], [1234.5, 2345678.0]),
    "commas and points": (["1,234", "0.5"], [1234.0, 0.5]),
    "European": (["1.234,5", "1.234.567"], [1234.5, 1234567.0]),
    "thin blanks": (["1\u202f234", "12 345.5"], [1234.0, 12345.5]),
    "marks of none": (["", "--"], [np.nan, np.nan]),
}


@pytest.mark.parametrize("notation", NOTATIONS)
def test_numbers_in_any_notation(notation: str, tmp_path: Path) -> None:
    texts, values = NOTATIONS[notation]
    rows = "".join(f'A,"{text}"\n' for text in texts)
    table = read_table(written(tmp_path / "own.csv", f"name,M\n{rows}"))
    got, is_text = numbers(table, "M")
    np.testing.assert_array_equal(got, values)
    assert not is_text.any()


def test_a_comma_that_may_be_either_is_asked_about(tmp_path: Path) -> None:
    path = written(tmp_path / "own.csv", 'name,M\nA,"1,234"\nB,"2,345"\n')
    with pytest.raises(
        DataError, match=r"'1,234', which may be 1.234 or 1234; .*decimal"
    ):
        numbers(read_table(path), "M")
    assert numbers(read_table(path, {"decimal": ","}), "M")[0].tolist() == [
        1.234,
        2.345,
    ]
    assert numbers(read_table(path, {"decimal": "."}), "M")[0].tolist() == [
        1234.0,
        2345.0,
    ]


def workbook(path: Path) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return path.read_bytes()


FOREIGN: dict[str, tuple[bytes, str]] = {
    "HTML": (b"<!DOCTYPE html><html><title>VizieR</title>", "HTML), 'VizieR'"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(64), "an HDF5 file"),
    "SQLite": (b"SQLite format 3\x00" + bytes(64), "an SQLite database"),
    "pickle": (b"\x80\x04\x95\x10\x00\x00", "a pickle"),
    "PDF": (b"%PDF-1.7\n", "a PDF document"),
    "npy": (b"\x93NUMPY\x01\x00", "a NumPy array"),
    "JSON": (b'[{"name": "A", "z": 0.1}]', "JSON"),
    "LaTeX": (b"\\begin{tabular}{ll}\nname & z \\\\\n", "LaTeX"),
    "NUL": (b"name,z\nA,0.1\nB\x00,0.2\n", "a byte 0x00; line 3"),
    "cut gzip": (gzip.compress(PLAIN.encode() * 99)[:-30], "a damaged compressed one"),
    "no header": (b"0.1,14.5\n0.2,13.1\n", "a line of column names"),
    "no closing quote": (b'name,z\nA,"0.1\nB,0.2\nC,0.3\n', "closing quote"),
    "short row": (
        b"name,z\nA,0.1\nB\n",
        "2 values a row as in the header; got 1; line 3",
    ),
    "names with blanks": (b"name z M\nAbell 1 0.1 2.0\n", "between blanks"),
}


@pytest.mark.parametrize("ending", ["csv", "txt"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_no_table_is_named_for_infer_and_prepare(
    kind: str, ending: str, tmp_path: Path
) -> None:
    content, told = FOREIGN[kind]
    path = written(tmp_path / f"own.{ending}", content)
    refused(path, told)
    with pytest.raises(DataError) as caught:
        read_csv(path)
    assert told in str(caught.value)


def test_a_workbook_is_named_whatever_its_ending(tmp_path: Path) -> None:
    content = workbook(tmp_path / "own.xlsx")
    for name in ("own.xlsx", "renamed.csv", "renamed.fits"):
        refused(written(tmp_path / name, content), "an Excel workbook", "CSV UTF-8")


def test_content_counts_not_the_ending(tmp_path: Path) -> None:
    write_table(Table({"name": ["A"], "z": [0.1]}), tmp_path / "own.fits")
    notes: list[str] = []
    path = written(tmp_path / "own.csv", (tmp_path / "own.fits").read_bytes())
    assert read_table(path, notes=notes)["z"].tolist() == [0.1]
    assert "read as FITS" in notes[0]
    with pytest.raises(DataError, match=r"plain text; got one in the format fits"):
        read_csv(path)
    for ending in ("fits", "vot", "parquet", "ecsv"):
        text = written(tmp_path / f"text.{ending}", PLAIN)
        refused(text, f"'.{ending}'", "a text", '[read] format = "csv"')
        assert len(read_table(text, {"format": "csv"})) == 2
    refused(path, "FITS", '"votable"', read={"format": "votable"})


def test_rows_cut_short_in_formats_of_text_are_named_with_their_line(
    tmp_path: Path,
) -> None:
    write_table(Table({"name": ["A", "B"], "z": [0.1, 0.2]}), tmp_path / "own.ecsv")
    text = (tmp_path / "own.ecsv").read_text()
    written(tmp_path / "own.ecsv", text.replace("B 0.2", "B"))
    line = text.splitlines().index("B 0.2") + 1
    refused(tmp_path / "own.ecsv", "2 values a row", "got 1", f"line {line}, 'B'")

    write_table(Table({"name": ["A", "B"], "z": [0.1, 0.2]}), tmp_path / "own.vot")
    text = (tmp_path / "own.vot").read_text()
    written(tmp_path / "own.vot", text.replace("<TD>0.2</TD>", ""))
    refused(tmp_path / "own.vot", "VOTABLE", "line ")


def test_fits_without_a_table_or_with_another_hdu(tmp_path: Path) -> None:
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / "image.fits")
    refused(tmp_path / "image.fits", "a table", "images only")
    write_table(Table({"z": [0.1]}), tmp_path / "own.fits")
    refused(tmp_path / "own.fits", "hdu", "'7'", "1 (unnamed)", read={"hdu": 7})


def test_a_decimal_comma_before_an_exponent_is_no_thousand(tmp_path: Path) -> None:
    text = "name;z;M\nA;0,35;1,234E+14\nB;;5E14\n"
    table = read_table(written(tmp_path / "own.csv", text))
    assert numbers(table, "M")[0].tolist() == [1.234e14, 5e14]
    assert numbers(table, "z")[0][0] == 0.35


def test_an_error_of_a_service_and_damaged_fits_are_named(tmp_path: Path) -> None:
    text = (
        '<?xml version="1.0"?><VOTABLE version="1.3"><RESOURCE type="results">'
        '<INFO name="QUERY_STATUS" value="ERROR">no such table</INFO></RESOURCE></VOTABLE>'
    )
    refused(
        written(tmp_path / "own.vot", text), "an error of the service, 'no such table'"
    )
    write_table(Table({"z": np.linspace(0.1, 1.0, 999)}), tmp_path / "own.fits")
    content = (tmp_path / "own.fits").read_bytes()
    for size in (3000, 6000):
        refused(written(tmp_path / "cut.fits", content[:size]), "cut short")
    assert content.count(b"TFIELDS =                    1") == 1
    many = content.replace(
        b"TFIELDS =                    1", b"TFIELDS =        1000000000000"
    )
    refused(written(tmp_path / "many.fits", many), "TFIELDS from 0 to 999")
    columns = [
        fits.Column("name", "A5", array=["x", "y"]),
        fits.Column("N", "I5", array=[1, 2]),
    ]
    fits.TableHDU.from_columns(columns).writeto(tmp_path / "ascii.fits")
    assert read_table(tmp_path / "ascii.fits")["N"].tolist() == [1, 2]


def test_lines_are_those_of_the_file(tmp_path: Path, command: Command) -> None:
    text = "# by me\nHaloID,Snapshot,x\n1,99,0.1\n\n2,99,n/k\n"
    path = written(tmp_path / "own.csv", text)
    from cinn_clusters.data.reading.tables import to_numbers

    with pytest.raises(DataError, match=r"got 'n/k'; .*own.csv, line 5"):
        to_numbers(read_csv(path), ["x"], str(path))


@pytest.mark.parametrize("text", ["5.5±0.3", "~5.5", "5.5(3)", "5-May"])
def test_a_column_of_text_with_digits_is_no_quantity(
    tmp_path: Path, text: str, infer: Infer
) -> None:
    path = written(tmp_path / "a.csv", f"name,z,M\nA1,0.1,\nA2,0.2,{text}\n")
    result = infer(path)
    assert result.code == 1
    assert f"column 'M': expected numbers; got '{text}' in row 1" in result.err
    assert infer(written(path, f"name,z,M\nA1,0.1,5\nA2,0.2,{text}\n")).code == 0
    assert f"('{text}')" in answer(tmp_path)["cinn_reasons"][1]


def test_arrays_in_rows_are_numbers_where_they_hold_one(tmp_path: Path) -> None:
    name = fits.Column("name", "2A", array=["A1", "A2"])
    one = fits.Column("one", "E", dim="(1)", array=[5.5, 6.5])
    lists = np.array([np.array([5.5]), np.array([6.5, 7.0])], dtype=object)
    several = fits.Column("several", "PE()", array=lists)
    path = tmp_path / "a.fits"
    fits.BinTableHDU.from_columns([name, one, several]).writeto(path)
    table = read_table(path)
    table["one"] = np.reshape(table["one"], (2, 1))
    np.testing.assert_array_equal(numbers(table, "one")[0], [5.5, 6.5])
    with pytest.raises(DataError, match="'several': expected one number a row; got an"):
        numbers(table, "several")


def test_a_votable_of_several_tables_is_asked_about(tmp_path: Path) -> None:
    fields = '<FIELD name="z" datatype="float"/><DATA><TABLEDATA><TR><TD>{}</TD></TR></TABLEDATA></DATA>'
    tables = "".join(
        f'<TABLE name="{name}">{fields.format(z)}</TABLE>'
        for name, z in (("main", 0.5), ("notes", 0.25))
    )
    path = tmp_path / "a.vot"
    written(path, f'<VOTABLE version="1.3"><RESOURCE>{tables}</RESOURCE></VOTABLE>')
    refused(path, "one table; got 2: 0 (main), 1 (notes)", "[read] table_id = 0")
    assert read_table(path, {"table_id": 1})["z"].tolist() == [0.25]


def test_an_ecsv_file_of_two_headers_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.ecsv"
    Table({"M": [5.5]}).write(path)
    written(path, path.read_text().replace("name: M,", "name: mass,"))
    refused(path, "the names above the rows that its header", "rename columns in both")
