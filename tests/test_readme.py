"""The README runs: its commands in order, then its Python, in one folder."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from cinn_clusters import cli

README = Path(__file__).parents[1] / "README.md"
SMALLER = {"--clusters 350": "--clusters 50", "--folds 5": "--folds 2"}
QUICK = " --set train.epochs=3 --set model.members=2 --set train.held_out_groups=2"


def blocks(language: str) -> list[str]:
    return re.findall(
        rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL
    )


def commands() -> list[str]:
    lines = [
        line.split("#")[0].strip()
        for block in blocks("bash")
        for line in block.splitlines()
    ]
    for before, after in SMALLER.items():
        lines = [line.replace(before, after) for line in lines]
        lines = [
            line + QUICK if line.split()[1] in ("train", "crossval", "run") else line
            for line in lines
            if line
        ]
    return [
        line + " --refit-members 1"
        if line.split()[1] in ("sensitivity", "run")
        else line
        for line in lines
    ]


def test_readme_shows_both_faces() -> None:
    assert len(commands()) >= 8
    assert len(blocks("python")) == 1
    assert [line.split()[1] for line in blocks("sh")[0].splitlines()] == [
        "demo",
        "test",
    ]


def test_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for line in commands():
        monkeypatch.setattr(sys, "argv", shlex.split(line))
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert stop.value.code == 0, f"{line}\n{capsys.readouterr().err}"
    assert "0 of" in capsys.readouterr().out
    for name in (
        "all/report.html",
        "run/report.html",
        "run/model/manifest.json",
        "run/scores.json",
        "run/crossval/posterior.nc",
        "posterior.nc",
    ):
        assert Path(name).is_file(), name
    names: dict[str, object] = {}
    exec(compile(blocks("python")[0], "README.md", "exec"), names)
    assert Path("my_model/manifest.json").is_file()
    assert names["samples"].shape[2] == 6  # type: ignore[attr-defined]
    assert len(names["summary"]) == len(names["query"])  # type: ignore[arg-type]
