"""The faces: help with examples, names that resolve, results as JSON."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from rich.text import Text

import cinn_clusters
from cinn_clusters import cli
from cinn_clusters.bundle import FORMAT_VERSION
from cinn_clusters.cli.options import ORDER, app, set_threads
from support import Command

STAGES = ORDER


@pytest.mark.parametrize("stage", STAGES)
def test_help_of_every_stage_shows_an_example(stage: str, command: Command) -> None:
    result = command(f"{stage} --help")
    assert result.code == 0
    assert f"cinn-clusters {stage}" in " ".join(result.out.split())


def helps(command: Any) -> Iterator[str]:
    for parameter in command.params:
        yield getattr(parameter, "help", None) or ""
    for part in getattr(command, "commands", {}).values():
        yield from helps(part)


def test_no_word_of_a_help_is_taken_for_markup() -> None:
    texts = list(helps(typer.main.get_command(app)))
    assert len(texts) > 100
    assert [text for text in texts if Text.from_markup(text).plain != text] == []


def test_help_names_every_stage(command: Command) -> None:
    out = command("--help").out
    named = [
        line.split()[1]
        for line in out.splitlines()
        if re.match(r". [a-z-]+  +[A-Z]", line)
    ]
    assert named == list(STAGES)


@pytest.mark.parametrize("name", [*cinn_clusters.__all__, "__version__"])
def test_public_names_resolve(name: str) -> None:
    assert getattr(cinn_clusters, name) is not None
    assert name in dir(cinn_clusters)


@pytest.mark.parametrize("name", cinn_clusters.__all__)
def test_public_names_have_an_example(name: str) -> None:
    text = getattr(cinn_clusters, name).__doc__
    assert ">>>" in text
    assert "+SKIP" not in text


def test_type_checkers_know_the_public_names() -> None:
    stub = Path(cinn_clusters.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    names = {
        name for line in stub.splitlines() for name in re.findall(r"(\w+) as \1", line)
    }
    assert names == set(cinn_clusters.__all__)


def test_an_unknown_name_is_none_of_ours() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fly'"):
        _ = cinn_clusters.fly


def test_results_come_as_json(trained: Path, command: Command) -> None:
    audit = json.loads(command(f"audit {trained} --json").out)
    assert {entry["shared_with_validation"] for entry in audit.values()} == {0}
    info = json.loads(command(f"show {trained / 'model'} --json").out)
    assert info["format_version"] == FORMAT_VERSION
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


def test_exit_codes_of_a_process(tmp_path: Path) -> None:
    def run(*line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cinn_clusters", *line],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )

    refused = run("audit", "nothing")
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert len(refused.stderr.splitlines()) == 1
    assert refused.stderr.startswith("error: nothing: expected a prepared run")
    assert run("fly").returncode == 2


def test_the_installed_command_is_ours() -> None:
    (entry,) = entry_points(group="console_scripts", name="cinn-clusters")
    assert entry.load() is cli.main


def test_an_interrupt_is_one_line(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(
        "cinn_clusters.pipeline.simulation.mock.write_mock", interrupted
    )
    result = command(f"mock --out {tmp_path / 'm'}")
    assert result.code == 130
    last = result.err.strip().splitlines()[-1]
    assert last.startswith("error: interrupted; the same line goes on")


AT_ONCE = [
    "prepare --observables none.csv --targets none.csv --out new",
    "mock --out taken",
    "train none",
    "train run --set train.epochs=many",
    "train run --config nothing.toml",
    "train run",
    "evaluate run",
    "crossval run",
    "diagnose none.nc",
    "baseline run",
    "tune none",
    "sensitivity none",
    "figures run --posterior none.nc",
    "report none",
    "run --observables none.csv --targets none.csv --out new",
    "show none",
    "infer --catalogue none.csv --out new.nc",
    "infer --catalogue table.csv --model none --out new.nc",
    "infer --catalogue table.csv --mapping none.toml --out new.nc",
    "infer --catalogue table.csv --out taken",
    "demo observed --out taken",
    "fetch tng-cluster --out taken",
    "embed train run --maps none.h5 --out new",
    "embed train run --maps table.csv --set embed.epochs=many --out new",
    "embed encode --model none --maps table.csv --out new",
    "maps table.csv --out taken",
    "import-original none.pt --processed-dir taken --out new",
]


def test_what_is_missing_or_taken_is_told_before_anything_slow_is_imported(
    tmp_path: Path,
) -> None:
    for name in ("taken", "run/model", "run/crossval", "run/baseline"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").touch()
    (tmp_path / "run/split.json").touch()
    (tmp_path / "table.csv").touch()
    code = (
        "import sys\nfrom cinn_clusters import cli\n"
        f"for line in {AT_ONCE}:\n"
        "    sys.argv = ['cinn-clusters', *line.split()]\n"
        "    try:\n        cli.main()\n"
        "    except SystemExit as stop:\n"
        "        print(line, stop.code, 'torch' in sys.modules, 'pandas' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.splitlines() == [f"{line} 1 False False" for line in AT_ONCE]
    assert len(done.stderr.splitlines()) == len(AT_ONCE)


SLOW_IMPORTS = "matplotlib sklearn numba scipy.stats scipy.interpolate scipy.optimize astropy.cosmology jinja2 rich.progress"


def test_the_answer_for_one_cluster_imports_nothing_slow_that_it_does_not_need(
    tmp_path: Path,
) -> None:
    table = "Group_M_Crit500,Group_R_Crit500,lookback_time_Gyr\n14.7,3.05,2.0\n"
    (tmp_path / "one.csv").write_text(table)
    code = (
        "import sys\nfrom cinn_clusters import cli\n"
        "sys.argv = 'cinn-clusters infer --catalogue one.csv --out one.nc --samples 10'.split()\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        f"print(sorted({set(SLOW_IMPORTS.split())} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert (tmp_path / "one.nc").is_file(), done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "line",
    [
        "evaluate run --draws 1",
        "train run --threads 0",
        "mock --out m --seed -1",
        "prepare --protocol mine",
    ],
)
def test_values_out_of_range_are_usage_errors(line: str, command: Command) -> None:
    assert command(line).code == 2


@pytest.mark.parametrize("option", ["--x-columns", "--y-columns"])
def test_no_columns_are_not_the_default_columns(
    option: str, files: tuple[Path, Path], tmp_path: Path, command: Command
) -> None:
    line = f"prepare --observables {files[0]} --targets {files[1]} --out {tmp_path / 'run'} {option} ','"
    command(line).demand_error("one or more columns")


def test_a_device_that_holds_no_numbers_is_none(
    trained: Path, command: Command
) -> None:
    command(f"train {trained} --overwrite --device meta").demand_error("device 'meta'")


def test_no_more_threads_are_started_than_there_are_processors() -> None:
    before = torch.get_num_threads()
    try:
        set_threads(1000)
        assert torch.get_num_threads() == os.cpu_count()
    finally:
        torch.set_num_threads(before)
