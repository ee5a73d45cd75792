"""The table of stages: what stands in it is what docs/run.md tells, and every file has a maker."""

from __future__ import annotations

import re
from pathlib import Path

from cinn_clusters.pipeline.stage import STAGES, Inputs
from cinn_clusters.storage.run_paths import RunPaths

PAGE = Path(__file__).parents[2] / "docs/run.md"
RUN = RunPaths(Path("run"))
OUTSIDE = {("checkpoint.safetensors", "train"), ("stages.json", "run")}
"""A file that is gone when its stage has ended, and the log of all stages."""


def written() -> set[tuple[str, str]]:
    return {
        (str(path.relative_to(RUN.root)), stage.name)
        for stage in STAGES
        for path in stage.writes(RUN)
    }


def described() -> set[tuple[str, str]]:
    table = PAGE.read_text(encoding="utf-8").split("\n## ")[0]
    lines = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    return {
        (name.rstrip("/"), line[2].strip())
        for line in lines
        for name in re.findall(r"`([^`]+)`", line[1])
    }


def test_every_file_of_a_stage_is_described_and_the_other_way_round() -> None:
    assert described() == written() | OUTSIDE


def test_a_stage_reads_what_the_stages_before_it_wrote() -> None:
    inputs = Inputs(Path("observables.csv"), Path("targets.csv"))
    there = set(inputs.files)
    for stage in STAGES:
        assert set(stage.reads(inputs, RUN)) <= there, stage.name
        there |= set(stage.writes(RUN))
