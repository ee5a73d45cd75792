"""All stages of a run in one go: a result that is there already and was made from the same inputs
is not made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cinn_clusters.claims import clean_up, reserving
from cinn_clusters.errors import OutputError
from cinn_clusters.files import (
    JsonObject,
    discard,
    read_json,
    resolved,
    sha256_of,
    write_json,
)
from cinn_clusters.pipeline.stage import STAGES, Inputs, Stage
from cinn_clusters.progress import OnProgress, Progress, ignore_progress
from cinn_clusters.storage.run import json_hash, open_run, versions
from cinn_clusters.storage.run_paths import RunPaths


@reserving()
def run_workflow(
    inputs: Inputs,
    out: str | Path,
    *,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> dict[str, dict[str, str]]:
    """Take all routine stages: prepare, train, evaluate, diagnose, compare, draw and report.

    A folder that ``prepare`` made of the same tables is gone on in.

    Args:
        inputs: Files and settings.
        out: Folder of the run.
        overwrite: Make everything anew, even in a folder that another command made.
        on_progress: Called with the name of the stage and what is done of it.

    Returns:
        ``made`` or ``unchanged`` for each stage, under the folder of the run.

    Raises:
        CinnError: Whatever a stage raises; what was made before stays, and the same command goes on
            from there.
    """
    log = _StageLog(RunPaths(Path(out)), inputs)
    if not overwrite:
        log.adopt()
    states: dict[str, str] = {}
    for stage in STAGES:
        if stage.is_routine:
            is_due = overwrite or not log.is_current(stage)
            if is_due:
                log.make(stage, _of_stage(on_progress, stage.name))
            states[stage.name] = "made" if is_due else "unchanged"
            on_progress(Progress(1, 1, stage.name))
    clean_up(resolved(log.run.stages))
    return {str(out): states}


def _of_stage(on_progress: OnProgress, name: str) -> OnProgress:
    """Pass on the progress of a stage under its name; it is done when its files are whole."""

    def on_stage(progress: Progress) -> None:
        on_progress(Progress(min(progress.share, 0.99), 1, name, progress.note))

    return on_stage


@dataclass(frozen=True)
class _StageLog:
    """What each stage of a run was made from and came to, kept in ``stages.json``."""

    run: RunPaths
    inputs: Inputs

    def entries(self) -> JsonObject:
        if not self.run.stages.is_file():
            return {}
        return dict(read_json(self.run.stages))

    def is_current(self, stage: Stage) -> bool:
        """Whether the results of a stage are whole and made from what it would read now."""
        expected = {
            "from": self._source(stage),
            "made": _fingerprint(stage.writes(self.run)),
        }
        return bool(self.entries().get(stage.name) == expected)

    def make(self, stage: Stage, on_progress: OnProgress) -> None:
        begun = {"from": self._source(stage), "made": ""}
        if stage.name == "train" and self.entries().get(stage.name) not in (
            None,
            begun,
        ):
            discard(self.run.checkpoint)  # of other settings
        if stage.name != "prepare":  # which replaces the folder
            self._note(stage, begun)
        on_progress(Progress(0, 1, stage.name))
        stage.make(self.inputs, self.run, on_progress)
        self._note(stage, {**begun, "made": _fingerprint(stage.writes(self.run))})

    def adopt(self) -> None:
        """Go on in a folder that is empty, ours, or prepared from the same tables."""
        root = self.run.root
        is_empty = not root.exists() or not any(root.iterdir())
        if is_empty or self.run.stages.is_file():
            return
        if not self.run.split.is_file():
            expected = "an empty folder or one that this command or prepare made"
            hint = "name another folder, or pass --overwrite to replace all of it"
            raise OutputError(root, expected, "another", "", hint)
        record = open_run(root).record
        prepared = {entry["name"]: entry["sha256"] for entry in record["files"]}
        named = {path.name: sha256_of(path) for path in self.inputs.files}
        options = {key: record.get(key) for key in ("protocol", "seed")}
        expected_options = {
            key: getattr(self.inputs.preparation, key) for key in options
        }
        if prepared != named or options != expected_options:
            got = f"one of {', '.join(prepared)} with {_listed(options)}"
            expected = (
                f"a run prepared from these tables with {_listed(expected_options)}"
            )
            hint = "name another folder, or pass --overwrite to replace all of it"
            raise OutputError(root, expected, got, "", hint)
        prepare = next(stage for stage in STAGES if stage.name == "prepare")
        made = _fingerprint(prepare.writes(self.run))
        self._note(prepare, {"from": self._source(prepare), "made": made})

    def _note(self, stage: Stage, entry: dict[str, str]) -> None:
        write_json(self.run.stages, {**self.entries(), stage.name: entry})

    def _source(self, stage: Stage) -> str:
        files = _fingerprint(stage.reads(self.inputs, self.run))
        return json_hash(
            [files, stage.settings(self.inputs), versions()["cinn-clusters"]]
        )


def _listed(options: dict[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in options.items())


def _fingerprint(paths: Iterable[Path]) -> str:
    """One sha256 for files and folders; what is missing counts as such."""
    digest = hashlib.sha256()
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if not file.is_dir():
                content = sha256_of(file) if file.is_file() else "missing"
                digest.update(
                    f"{path.name}/{file.relative_to(path)} {content}\n".encode()
                )
    return digest.hexdigest()
