"""Tables in and out: every format keeps units, masks, names and provenance; what is broken is
refused in one line."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from astropy.time import Time

from cinn_clusters.catalogues.mapping import Quantity
from cinn_clusters.catalogues.table_files import (
    demand_writable,
    numbers,
    read_table,
    write_table,
)
from cinn_clusters.catalogues.units import read_unit, scale_of
from cinn_clusters.errors import DataError, OutputError

ENDINGS = ["csv", "ecsv", "fits", "vot", "parquet"]


def table() -> Table:
    result = Table({"name": ["A1", "A2", "A3"], "z": [0.1, 0.2, 0.3]})
    result["mass"] = MaskedColumn(
        [1.5, 2.5, 3.5], mask=[False, True, False], unit="solMass"
    )
    result["mass"].meta["ucd"] = "phys.mass"
    result.meta["CINNSEED"] = 7
    result.meta["comments"] = ["conditional on a recorded collision"]
    return result


@pytest.mark.parametrize("ending", ENDINGS)
def test_round_trip(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"own.{ending}"
    write_table(table(), path)
    again = read_table(path)
    assert [str(name) for name in again["name"]] == ["A1", "A2", "A3"]
    values, is_text = numbers(again, "mass")
    np.testing.assert_array_equal(values, [1.5, np.nan, 3.5])
    assert not is_text.any()
    if ending != "csv":
        assert str(again["mass"].unit) == "solMass"


def test_provenance_and_ucds_stand_in_the_files(tmp_path: Path) -> None:
    from astropy.io.votable import parse

    for ending in ("fits", "ecsv", "vot"):
        write_table(table(), tmp_path / f"own.{ending}")
    header = fits.getheader(tmp_path / "own.fits", 1)
    assert header["CINNSEED"] == 7
    assert header["TUCD3"] == "phys.mass"
    assert "conditional" in str(header["COMMENT"])
    assert "CINNSEED" in (tmp_path / "own.ecsv").read_text()
    fields = {
        field.name: field.ucd
        for field in parse(tmp_path / "own.vot").get_first_table().fields
    }
    assert fields["mass"] == "phys.mass"


@pytest.mark.parametrize("ending", ["ecsv", "vot", "parquet", "csv"])
def test_any_script_where_the_format_can(tmp_path: Path, ending: str) -> None:
    write_table(
        Table({"name": ["Пуля", "子弹"], "z": [0.3, 0.1]}), tmp_path / f"own.{ending}"
    )
    assert [str(name) for name in read_table(tmp_path / f"own.{ending}")["name"]] == [
        "Пуля",
        "子弹",
    ]


def test_fits_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="ASCII"):
        write_table(Table({"name": ["Пуля"], "z": [0.3]}), tmp_path / "own.fits")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
@pytest.mark.parametrize("ending", ["fits", "vot", "parquet"])
def test_a_file_cut_short_is_refused(tmp_path: Path, ending: str, share: float) -> None:
    whole = Table(
        {"name": [f"A{i}" for i in range(2000)], "z": np.linspace(0.0, 1.0, 2000)}
    )
    write_table(whole, tmp_path / f"own.{ending}")
    content = (tmp_path / f"own.{ending}").read_bytes()
    (tmp_path / f"own.{ending}").write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"own\."):
        read_table(tmp_path / f"own.{ending}")


@pytest.mark.parametrize(
    ("name", "content"),
    [("own.fits", b"no table"), ("own.ecsv", b""), ("own.xyz", b"z\n1\n")],
)
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        read_table(tmp_path / name)
    with pytest.raises(DataError, match="no such file"):
        read_table(tmp_path / "absent.fits")


def with_a_position(kind: str) -> Table:
    result = table()
    if kind == "sky":
        result["c"] = SkyCoord([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], unit="deg")
    elif kind == "time":
        result["c"] = Time([2450000.5, 2450001.5, 2450002.5], format="jd")
    else:
        result["c"] = np.arange(6.0).reshape(3, 2)
    return result


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", ["sky", "time", "array"])
def test_positions_times_and_arrays_come_back_or_are_refused_before_the_work(
    tmp_path: Path, kind: str, ending: str
) -> None:
    path = tmp_path / f"own.{ending}"
    if (kind, ending) == ("array", "csv"):
        with pytest.raises(
            OutputError,
            match=r"own\.csv: expected a table that csv holds; got column.*ask for \.ecsv",
        ):
            demand_writable(with_a_position(kind), path)
        return
    demand_writable(with_a_position(kind), path)
    assert not list(tmp_path.iterdir())
    write_table(with_a_position(kind), path)
    again = read_table(path)
    assert [str(name) for name in again["name"]] == ["A1", "A2", "A3"]
    assert any(name in again.colnames for name in ("c", "c.ra", "c.jd1"))
    if kind == "sky" and ending in ("fits", "ecsv"):
        np.testing.assert_allclose(again["c"].dec.deg, [4.0, 5.0, 6.0])
    if (kind, ending) == ("sky", "vot"):
        np.testing.assert_allclose(again["c.dec"], [4.0, 5.0, 6.0])


@pytest.mark.parametrize("kind", ["sky", "time", "array"])
def test_what_is_no_number_a_row_is_refused(kind: str) -> None:
    with pytest.raises(DataError, match="column 'c': expected one number a row"):
        numbers(with_a_position(kind), "c")


def test_a_ucd_stands_at_its_column_behind_a_position(tmp_path: Path) -> None:
    whole = with_a_position("sky")["c", "mass"]
    write_table(whole, tmp_path / "own.fits")
    header = fits.getheader(tmp_path / "own.fits", 1)
    places = {
        header[f"TTYPE{number}"]: number for number in range(1, header["TFIELDS"] + 1)
    }
    assert header[f"TUCD{places['mass']}"] == "phys.mass"
    again = read_table(tmp_path / "own.fits")
    assert again["mass"].info.meta["ucd"] == "phys.mass"
    assert not any(key.startswith("TUCD") for key in again.meta)


def test_a_negative_number_of_rows_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "own.fits"
    fits.table_to_hdu(Table({"x": np.arange(2000)})).writeto(place)
    content = place.read_bytes()
    rows = b"NAXIS2  =                 2000"
    assert content.count(rows) == 1
    place.write_bytes(content.replace(rows, b"NAXIS2  =                -2000"))
    with pytest.raises(
        DataError, match="expected a whole table in FITS; got a damaged"
    ):
        read_table(place)


def test_one_of_several_tables_has_to_be_chosen(tmp_path: Path) -> None:
    units = [
        fits.PrimaryHDU(),
        fits.table_to_hdu(Table({"x": [1]})),
        fits.table_to_hdu(Table({"z": [0.1, 0.2]})),
    ]
    units[2].name = "CLUSTERS"
    fits.HDUList(units).writeto(tmp_path / "own.fits")
    told = r"own\.fits: expected one table; got 2: HDU 1 \(unnamed\), 2 \(CLUSTERS\); .*\[read\] hdu = 1"
    with pytest.raises(DataError, match=told):
        read_table(tmp_path / "own.fits")
    assert read_table(tmp_path / "own.fits", {"hdu": 2}).colnames == ["z"]
    assert read_table(tmp_path / "own.fits", {"hdu": "CLUSTERS"}).colnames == ["z"]


@pytest.mark.parametrize("ending", ["fits", "ecsv", "vot", "parquet"])
def test_metadata_come_back(tmp_path: Path, ending: str) -> None:
    own = table()
    own["speed"] = [3.0, 3.1, 3.2]
    own["speed"].unit, own["speed"].description = (
        "dex(km / s)",
        "speed at the collision",
    )
    own.meta |= {
        "HISTORY": ["reduced"],
        "ORIGIN": "ESO",
        "a longer key": 3,
        "cuts": {"z": 1},
        "comments": ["Пуля", "two"],
    }
    write_table(own, tmp_path / f"own.{ending}")
    again = read_table(tmp_path / f"own.{ending}")
    assert again["speed"].description == "speed at the collision"
    assert str(again["speed"].unit) in ("dex(km / s)", "log(km / s)")
    assert str(scale_of(again, Quantity(column="mass"), "mass")) == "solMass"
    assert read_unit(again["speed"].unit, "speed", u.km).is_log
    assert again["mass"].info.meta["ucd"] == "phys.mass"
    assert (
        str(again.meta["CINNSEED"]),
        again.meta["ORIGIN"],
        str(again.meta["a longer key"]),
    ) == ("7", "ESO", "3")
    assert list(again.meta["HISTORY"]) == ["reduced"]
    comments = list(again.meta["comments"])
    assert comments[:2] == [
        "Пуля" if ending != "fits" else "\\u041f\\u0443\\u043b\\u044f",
        "two",
    ]
    assert "cuts" in again.meta or "cuts = {'z': 1}" in comments


def test_parameters_of_a_votable_are_metadata(tmp_path: Path) -> None:
    write_table(table(), tmp_path / "own.vot")
    text = (tmp_path / "own.vot").read_text()
    param = '<PARAM name="survey" datatype="char" arraysize="*" value="mine"/>'
    (tmp_path / "own.vot").write_text(text.replace("<FIELD", f"{param}<FIELD", 1))
    assert read_table(tmp_path / "own.vot").meta["survey"] == "mine"


def test_fits_states_logarithms_and_meanings_as_its_standard_does(
    tmp_path: Path,
) -> None:
    own = Table({"v": [3.0]})
    own["v"].unit, own["v"].description = "dex(km / s)", "speed"
    write_table(own, tmp_path / "own.fits")
    header = fits.getheader(tmp_path / "own.fits", 1)
    assert (header["TUNIT1"], header["TCOMM1"]) == ("log(km / s)", "speed")


def test_no_id_stands_twice_in_a_votable(tmp_path: Path) -> None:
    own = table()
    own.meta |= {"comments": ["one", "two"], "z": 3}
    write_table(own, tmp_path / "own.vot")
    ids = re.findall(r'\bID="([^"]*)"', (tmp_path / "own.vot").read_text())
    assert len(set(ids)) == len(ids)
    assert list(read_table(tmp_path / "own.vot").meta["comments"]) == ["one", "two"]


def test_the_first_row_below_units_in_a_comment_is_read(tmp_path: Path) -> None:
    """ACCEPT: ``data_start`` counts the line of units, which begins with a mark of comments."""
    path = tmp_path / "own.csv"
    path.write_text("Name,Tx\n#,keV\nBullet,11.64\nA2029,8.2\n")
    table = read_table(path, {"format": "ascii.csv", "data_start": 2})
    assert table["Name"].tolist() == ["Bullet", "A2029"]
