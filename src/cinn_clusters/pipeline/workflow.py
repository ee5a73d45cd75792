"""All stages of a run in one go; what is there already and made from the same inputs is not made
again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cinn_clusters.errors import OutputError
from cinn_clusters.files import read_json, sha256_of, write_json
from cinn_clusters.pipeline.report.draw import FIGURES, draw_figures
from cinn_clusters.pipeline.report.page import REPORT, report
from cinn_clusters.pipeline.simulation.baseline import BASELINE, baseline
from cinn_clusters.pipeline.simulation.diagnose import diagnose
from cinn_clusters.pipeline.simulation.evaluate import evaluate
from cinn_clusters.pipeline.simulation.prepare import prepare
from cinn_clusters.pipeline.simulation.sensitivity import SENSITIVITY, sensitivity
from cinn_clusters.pipeline.simulation.train import train
from cinn_clusters.settings.config import Config
from cinn_clusters.storage.run import (
    CHECKPOINT,
    DIAGNOSTICS,
    HISTORY,
    MODEL,
    POSTERIOR,
    SCORES,
    SPLIT,
    SUMMARY,
    TABLES,
    TRANSFORMS,
    versions,
)

STAGES, COMBINED = "stages.json", "combined"
PREPARED = (*TABLES, SPLIT, TRANSFORMS)
OnStep = Callable[[str, float], None]
"""(stage, share of it that is done)."""
Tick = Callable[[float], None]


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Args:
        name: What it is called.
        reads: Files and folders it reads.
        settings: What else decides its result.
        writes: Files and folders of the run it makes.
        make: Does it, calling back with the share that is done.
    """

    name: str
    reads: tuple[Path, ...]
    settings: Any
    writes: tuple[str, ...]
    make: Callable[[Tick], Any]


@dataclass(frozen=True)
class Inputs:
    """What a run is made from.

    Args:
        observables: CSV file.
        targets: CSV file.
        embeddings: Vectors of maps and their names, or None.
        config: Settings of the posterior.
        num_draws: Posterior draws a row.
        refit_members: See ``sensitivity``.
        combined: Settings of the posterior given scalars and embeddings; those of the other when
            absent.
        prepared: Further arguments of ``prepare``.
    """

    observables: Path
    targets: Path
    embeddings: tuple[Path, Path] | None = None
    config: Config = field(default_factory=Config)
    num_draws: int = 1000
    refit_members: int = 3
    combined: Config | None = None
    prepared: tuple[tuple[str, Any], ...] = ()


def run_everything(
    inputs: Inputs,
    out: str | Path,
    *,
    device: str = "auto",
    overwrite: bool = False,
    on_step: OnStep | None = None,
) -> dict[str, dict[str, str]]:
    """Prepare, train, evaluate, diagnose, draw and report; with embeddings of maps a second time, beside the first.

    Args:
        inputs: Files and settings.
        out: Folder of the run; that of scalars and embeddings is ``out/combined``.
        device: See ``fit``.
        overwrite: Make everything anew, even in a folder that another command made.
        on_step: Called when something was done.

    Returns:
        ``made`` or ``unchanged`` for each stage of each run, by folder.

    Raises:
        CinnError: Whatever a stage raises; what was made before stays, and the same command goes on
            from there.
    """
    out = Path(out)
    told: dict[str, dict[str, str]] = {}
    plans = [(out, None)] + ([(out / COMBINED, inputs.embeddings)] if inputs.embeddings else [])
    for folder, embeddings in plans:
        _demand_ours(folder, overwrite)
        prefix = "" if embeddings is None else f"{COMBINED}: "
        told[str(folder)] = {}
        for stage in stages(inputs, folder, embeddings, device):
            is_due = overwrite or not is_unchanged(folder, stage)
            if is_due:
                _make(folder, stage, prefix, on_step)
            told[str(folder)][stage.name] = "made" if is_due else "unchanged"
            if on_step is not None:
                on_step(prefix + stage.name, 1.0)
    return told


def stages(
    inputs: Inputs, run: Path, embeddings: tuple[Path, Path] | None, device: str
) -> Iterator[Stage]:
    """Yield the stages of a run in order; those before one have been made when it is asked for."""
    draws = inputs.num_draws
    config = (inputs.combined if embeddings else None) or inputs.config

    def of(*names: str) -> tuple[Path, ...]:
        return tuple(run / name for name in names)

    files = (inputs.observables, inputs.targets, *(embeddings or ()))
    yield Stage(
        "prepare",
        files,
        inputs.prepared,
        PREPARED,
        lambda tick: prepare(
            inputs.observables,
            inputs.targets,
            run,
            embeddings=embeddings,
            overwrite=True,
            **dict(inputs.prepared),
        ),
    )
    yield _training(run, config, device)
    yield Stage(
        "evaluate",
        of(SPLIT, MODEL),
        draws,
        (POSTERIOR, SUMMARY, SCORES),
        lambda tick: evaluate(run, num_draws=draws, device=device, overwrite=True),
    )
    yield Stage(
        "diagnose",
        of(POSTERIOR),
        0,
        (DIAGNOSTICS,),
        lambda tick: diagnose(run / POSTERIOR, overwrite=True),
    )
    yield Stage(
        "baseline",
        of(*PREPARED),
        0,
        (BASELINE,),
        lambda tick: baseline(run, overwrite=True, on_epoch=lambda epoch: tick(epoch / 150)),
    )
    yield Stage(
        "sensitivity",
        of(BASELINE, MODEL),
        inputs.refit_members,
        (SENSITIVITY,),
        lambda tick: sensitivity(run, refit_members=inputs.refit_members, overwrite=True),
    )
    drawn = of(POSTERIOR, SUMMARY, DIAGNOSTICS, SENSITIVITY, HISTORY)
    yield Stage("figures", drawn, 0, (FIGURES,), lambda tick: draw_figures(run, overwrite=True))
    shown = of(SPLIT, SCORES, DIAGNOSTICS, BASELINE, FIGURES, MODEL)
    yield Stage("report", shown, 0, (REPORT,), lambda tick: report(run, overwrite=True))


def _training(run: Path, config: Config, device: str) -> Stage:
    reads, settings = tuple(run / name for name in PREPARED), config.model_dump()
    idle = Stage("train", reads, settings, (MODEL, HISTORY), lambda tick: None)
    is_killed = (
        _is_begun(run, idle) and (run / CHECKPOINT).exists()
    )  # asked before _make takes note of a new beginning

    def make(tick: Tick) -> None:
        how: dict[str, Any] = {"resume": True} if is_killed else {"overwrite": True}
        train(
            run,
            config,
            device=device,
            on_epoch=lambda state: tick(state.epoch / config.train.epochs),
            **how,
        )

    return replace(idle, make=make)


def is_unchanged(run: Path, stage: Stage) -> bool:
    """Whether the results of a stage are there, whole, and made from what it would read now."""
    kept = _record(run).get(stage.name)
    return bool(kept and kept["from"] == _source(stage) and kept["made"] == _made(run, stage))


def _make(run: Path, stage: Stage, prefix: str, on_step: OnStep | None) -> None:
    def tick(share: float) -> None:
        if on_step is not None:
            on_step(prefix + stage.name, min(share, 0.99))

    tick(0.0)
    begun = {"from": _source(stage), "made": ""}
    if stage.name != "prepare":  # which replaces the folder
        write_json(run / STAGES, {**_record(run), stage.name: begun})
    stage.make(tick)
    write_json(run / STAGES, {**_record(run), stage.name: {**begun, "made": _made(run, stage)}})


def _is_begun(run: Path, stage: Stage) -> bool:
    """Whether a stage was killed while it did what it would do now."""
    return _record(run).get(stage.name) == {"from": _source(stage), "made": ""}


def _record(run: Path) -> dict[str, Any]:
    return dict(read_json(run / STAGES)) if (run / STAGES).is_file() else {}


def _made(run: Path, stage: Stage) -> str:
    return _fingerprint([run / name for name in stage.writes])


def _source(stage: Stage) -> str:
    told = [_fingerprint(list(stage.reads)), stage.settings, versions()["cinn-clusters"]]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def _fingerprint(paths: list[Path]) -> str:
    """One sha256 for files and folders; what is missing counts as such."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if not file.is_dir():
                told = sha256_of(file) if file.is_file() else "missing"
                digest.update(f"{path.name}/{file.relative_to(path)} {told}\n".encode())
    return digest.hexdigest()


def _demand_ours(run: Path, overwrite: bool) -> None:
    if run.exists() and any(run.iterdir()) and not (run / STAGES).is_file() and not overwrite:
        hint = "name another folder, or pass --overwrite to replace all of it"
        raise OutputError(
            str(run), "an empty folder or one that this command made", "another", "", hint
        )
