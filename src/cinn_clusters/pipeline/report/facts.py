"""What a report is made of: results of other stages, refused where they are stale."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cinn_clusters.errors import BundleError
from cinn_clusters.files import JsonObject, read_json, sha256_of
from cinn_clusters.pipeline.report.draw import ESTIMATE_NAMES, FIGURES_RECORD
from cinn_clusters.storage.run import Run


@dataclass(frozen=True)
class RunFacts:
    """Results of a run; those of a stage that was not taken are empty.

    Args:
        run: The run.
        scores: Content of ``scores.json``.
        diagnosis: Content of ``diagnostics.json``.
        baseline: Errors of the MLP ensemble and of point estimates, by target.
        crossval: Scores out of fold.
        estimate: Name of the point estimate in the figures.
    """

    run: Run
    scores: JsonObject
    diagnosis: JsonObject
    baseline: JsonObject
    crossval: JsonObject
    estimate: str

    @property
    def findings(self) -> list[JsonObject]:
        """Verdicts of the diagnostics."""
        return list(self.diagnosis.get("findings", []))

    @property
    def problems(self) -> list[JsonObject]:
        """Verdicts that speak against the posterior."""
        return [finding for finding in self.findings if finding["name"] != "calibrated"]


def read_facts(run: Run) -> RunFacts:
    """Read the results of a run.

    Raises:
        BundleError: If there are no scores or figures, or a result was made from other files.
    """
    paths = run.paths
    for result, command in ((paths.scores, "evaluate"), (paths.figures, "figures")):
        if not result.exists():
            hint = f"run cinn-clusters {command} first"
            raise BundleError(
                str(run.path), f"{result.name} of the run", "none", "", hint
            )
    figures = _optional(paths.figures / FIGURES_RECORD)
    _demand_current(run, paths.figures, figures.get("sources"), "figures")
    diagnosis = _optional(paths.diagnostics)
    if diagnosis:
        sources = {paths.posterior.name: diagnosis["posterior_sha256"]}
        _demand_current(run, paths.diagnostics, sources, f"diagnose {paths.posterior}")
    return RunFacts(
        run,
        scores=read_json(paths.scores),
        diagnosis=diagnosis,
        baseline=_optional(paths.baseline.mae).get("targets", {}),
        crossval=_optional(paths.crossval.scores),
        estimate=ESTIMATE_NAMES[figures["estimate"]],
    )


def _demand_current(
    run: Run, result: Path, sources: dict[str, str] | None, command: str
) -> None:
    """Refuse a result whose sources, by path in the run, have other hashes now."""
    hint = f"run cinn-clusters {command} --overwrite"
    if sources is None:
        raise BundleError(
            str(result), "results of this version", "older ones", "", hint
        )
    for name, recorded in sources.items():
        source = run.path / name
        if source.is_file() and sha256_of(source) != recorded:
            got = f"one of another {name}"
            raise BundleError(
                str(result), "the result of the run's own files", got, "", hint
            )


def _optional(path: Path) -> JsonObject:
    return dict(read_json(path)) if path.is_file() else {}
