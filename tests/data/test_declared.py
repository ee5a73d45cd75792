"""A simulator's declarations become a schema and back, or one line says what is wrong with them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from cinn_clusters.data.declared import declared_schema, read_schema
from cinn_clusters.errors import ConfigError
from cinn_clusters.schema import DEFAULT, Keys

DOCUMENT: dict[str, Any] = {
    "keys": {"halo": "number", "cluster": "tree"},
    "observables": ["m", "z"],
    "targets": ["hit", "push"],
    "columns": {
        "m": {"unit": "log10 Msun", "bounds": [10, 15], "role": "mass", "symbol": "M"},
        "z": {"role": "redshift"},
        "hit": {"unit": "Gyr", "role": "collision_time", "resolution": 0.1},
        "push": {"log": True, "bounds": [0, math.inf]},
        "share": {"bounds": [0, 1]},
    },
}


def test_declared_columns_stand_beside_the_default_ones() -> None:
    schema = declared_schema(DOCUMENT)
    assert schema.mass == "m"
    assert (schema.time, schema.having("redshift")) == (DEFAULT.time, "z")
    assert schema.collision_time == schema.bounded_time == "hit"
    assert schema.column("hit").bijection == "age"
    assert schema.column("m").label == "$M$ [$\\log_{10}$ M$_\\odot$]"
    assert (schema.column("share").bijection, schema.column("push").bijection) == (
        "logit",
        "identity",
    )
    assert schema.keys == Keys("number", None, "tree")
    assert (schema.observables, schema.targets) == (("m", "z"), ("hit", "push"))
    assert schema.column("last_d_peri") == DEFAULT.column("last_d_peri")
    assert schema.column(str(DEFAULT.mass)).role is None, "another column is the mass"
    assert schema.bounded(["hit", "push", "free", "share"]) == ("hit", "push", "share")


def test_a_schema_survives_json() -> None:
    schema = declared_schema(DOCUMENT)
    text = json.dumps(schema.to_dict(), allow_nan=False)
    assert declared_schema(json.loads(text)) == schema
    assert declared_schema(json.loads(json.dumps(DEFAULT.to_dict()))) == DEFAULT
    assert declared_schema({}) == DEFAULT


def test_a_collision_time_without_a_time_keeps_to_its_bounds() -> None:
    columns = {"hit": {"role": "collision_time", "bounds": [0, 13]}}
    schema = declared_schema({"columns": columns})
    assert schema.column("hit").bijection == "logit"
    assert schema.collision_time == "hit"
    assert schema.bounded_time is None


def test_choices_change_columns_and_keys() -> None:
    schema = declared_schema(DOCUMENT).choose(
        ["m"], halo="none", snapshot="snap", cluster=None
    )
    assert schema.observables == ("m",)
    assert schema.targets == ("hit", "push")
    assert schema.keys == Keys(None, "snap", "tree")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"column": {}}, "'column'; did you mean 'columns'"),
        (
            {"columns": {"m": {"units": "x"}}},
            "column 'm': .*got 'units'; did you mean 'unit'",
        ),
        ({"columns": {"m": {"unit": 3}}}, "column 'm': .*valid string; got 3 for unit"),
        (
            {"columns": {"m": {"role": "mas"}}},
            "column 'm': .*'mass', .*got 'mas' for role",
        ),
        (
            {"columns": {"m": {"role": ["mass"]}}},
            r"column 'm': .*got \['mass'\] for role",
        ),
        (
            {"columns": {"m": {"bounds": [3, 1]}}},
            r"bounds = \[lower, upper\].*got \[3, 1\]",
        ),
        ({"columns": {"m": {"bounds": 3}}}, r"bounds = \[lower, upper\].*got 3"),
        ({"columns": {"m": {"bounds": ["a", 1]}}}, r"bounds = \[lower, upper\]"),
        ({"columns": {"m": 3}}, "column 'm': expected a table; got 3"),
        ({"keys": {"halos": "x"}}, r"\[keys\].*did you mean 'halo'"),
        ({"keys": {"halo": 3}}, r"\[keys\]: expected names of columns"),
        ({"targets": "m"}, "targets: expected a list of column names"),
        (
            {"columns": {"a": {"role": "mass"}, "b": {"role": "mass"}}},
            "role 'mass': expected one column; got several",
        ),
        (
            {"columns": {"a": {"role": "time"}, "b": {"role": "redshift"}}},
            "roles: expected one of time and redshift; got both",
        ),
    ],
)
def test_wrong_declarations_are_refused(document: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        declared_schema(document)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[columns", "mine.toml: expected valid TOML"),
        (b"\xff", "mine.toml: expected valid TOML"),
        (b"column = 1", "the declaration: .*mine.toml"),
        (None, "mine.toml: expected a readable TOML file; got No such file"),
    ],
)
def test_files_that_declare_nothing_are_refused(
    content: bytes | None, message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "mine.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_schema(tmp_path / "mine.toml")
