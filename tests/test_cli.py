"""The faces: help with examples, names that resolve, results as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import cinn_clusters
from support import Command

STAGES = ("mock", "prepare", "audit", "train", "evaluate", "crossval", "infer", "show")


@pytest.mark.parametrize("stage", STAGES)
def test_help_of_every_stage_shows_an_example(stage: str, command: Command) -> None:
    result = command(f"{stage} --help")
    assert result.code == 0
    assert f"cinn-clusters {stage}" in " ".join(result.out.split())


def test_help_names_every_stage(command: Command) -> None:
    out = command("--help").out
    assert all(stage in out for stage in STAGES)


@pytest.mark.parametrize("name", [*cinn_clusters.__all__, "__version__"])
def test_public_names_resolve(name: str) -> None:
    assert getattr(cinn_clusters, name) is not None
    assert name in dir(cinn_clusters)


def test_an_unknown_name_is_none_of_ours() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fly'"):
        _ = cinn_clusters.fly


def test_results_come_as_json(trained: Path, command: Command) -> None:
    audit = json.loads(command(f"audit {trained} --json").out)
    assert {entry["shared_with_validation"] for entry in audit.values()} == {0}
    info = json.loads(command(f"show {trained / 'model'} --json").out)
    assert info["format_version"] == 1
    assert info["columns"]["last_d_peri"]["unit"] == "log10 kpc"


def test_show_prints_where_a_model_comes_from(trained: Path, command: Command) -> None:
    out = command(f"show {trained / 'model'}").out
    for told in (
        "table_sha256",
        "split_sha256",
        "seed: 42",
        "torch: ",
        "Group_M_Crit500",
        "1e14 Msun",
        "observables1.csv",
    ):
        assert told in out, told
