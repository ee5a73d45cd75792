"""Every figure of a run, from the files of other stages: PNG for the screen, PDF for print."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd

from cinn_clusters import schema
from cinn_clusters.claims import reserving
from cinn_clusters.data.reading.keys import key_types, typed_keys
from cinn_clusters.data.reading.tables import read_csv
from cinn_clusters.errors import BundleError, DataError
from cinn_clusters.evaluation.matched import (
    MIN_CLUSTERS,
    MatchedPosterior,
    match_ground_truth,
)
from cinn_clusters.figures.calibration import (
    ConditionalMatrix,
    conditional_calibration,
    coverage_curves,
    rank_curves,
    tarp_curves,
)
from cinn_clusters.figures.correlations import corner, cross_correlations
from cinn_clusters.figures.error_bars import uncertainties
from cinn_clusters.figures.inference import TRUTH_LABEL, Inference
from cinn_clusters.figures.learning import learning_curves, skill_bars
from cinn_clusters.figures.marginals import posterior_distribution
from cinn_clusters.figures.performance import (
    prediction_heat_maps,
    truth_against_estimate,
)
from cinn_clusters.figures.sensitivity_matrix import (
    SensitivityMatrix,
    sensitivity_analysis,
)
from cinn_clusters.figures.style import DPI, Figure, place_panels, rendered
from cinn_clusters.files import (
    JsonObject,
    atomic_directory,
    demand_free,
    read_json,
    sha256_of,
    write_json,
)
from cinn_clusters.moments import deviation
from cinn_clusters.pipeline.origin import demand_one_model
from cinn_clusters.pipeline.report.entries import (
    coverage_curve,
    ecdf_curve,
    largest_t,
    score_band,
)
from cinn_clusters.pipeline.report.rows import choose_rows, row_names
from cinn_clusters.progress import OnProgress, Progress, ignore_progress
from cinn_clusters.storage.run import Run, open_run
from cinn_clusters.storage.run_paths import ResultPaths

FIRST_FIGURE = "1.posterior_distribution"
FIGURES_RECORD = "figures.json"
"""What the figures beside it were drawn from."""
PointEstimate = Literal["median", "map"]
ESTIMATE_NAMES = {"median": "posterior median", "map": "MAP"}
SENSITIVITY_FIGURES = {
    "5.sensitivity_analysis": ("sensitivity", "increase of MAE when shuffled"),
    "5.sensitivity_grouped": ("grouped", "increase of MAE when a group is shuffled"),
    "5.sensitivity_ablation": ("ablation", "increase of MAE when left out"),
    "5.sensitivity_shapley": ("shapley", "Shapley share of the MAE saved"),
    "5.sensitivity_crps": ("crps_sensitivity", "increase of CRPS when shuffled"),
}
"""Kind of matrix of the sensitivity stage, and its meaning, by figure."""
_TARP_TESTS = {"references from x": "tarp", "plain references": "tarp_plain"}


@dataclass(frozen=True)
class FigureOptions:
    """What to draw.

    Args:
        halos: Rows of figure 1 and of the corner, each ``HaloID`` or ``Snapshot:HaloID``; none: drawn
            at random, one a cluster.
        num_rows: Number of rows that are drawn at random.
        seed: Seed of that.
        estimate: Point estimate of figures 1 to 4: the ``median`` of each marginal, or the ``map``
            of the summary.
    """

    halos: Sequence[str] = ()
    num_rows: int = 4
    seed: int = 0
    estimate: PointEstimate = "median"


@dataclass(frozen=True)
class DrawnFigures:
    """Figures on disk.

    Args:
        path: Their folder.
        names: Files without suffix.
        skipped: Figures that could not be drawn, with the command that would change it.
    """

    path: Path
    names: tuple[str, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class _Sources:
    """What figures are drawn from."""

    run: Run
    posterior: Path
    matched: MatchedPosterior
    options: FigureOptions

    @property
    def columns(self) -> Callable[[str], schema.Column]:
        """Description of a column by name."""
        return self.run.catalogue.schema.column

    def labels(self, names: Iterable[str]) -> list[str]:
        """Labels of columns by name."""
        return [self.columns(name).label for name in names]


class _NotDrawnError(Exception):
    """A figure lacks its source."""


@reserving()
def draw_figures(
    path: str | Path,
    options: FigureOptions | None = None,
    *,
    posterior: str | Path | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> DrawnFigures:
    """Draw the figures of a run; writes ``figures/`` beside the posterior.

    Args:
        path: Folder of the run.
        options: Rows and point estimate to draw.
        posterior: Posterior file of rows of the run; default: that of its test clusters.
        out: Folder to make.
        overwrite: Whether to replace figures that stand there.
        on_progress: Called with the name of each figure that is done.

    Returns:
        Names of the figures, and of those that could not be drawn.

    Raises:
        BundleError: If the run or the posterior is missing or damaged, or there is no MAP to draw.
        DataError: If a halo is not among the rows of the posterior.
        OutputError: If figures stand there already or cannot be written.

    Examples:
        >>> import cinn_clusters as cc
        >>> drawn = cc.draw_figures("run", overwrite=True)
        >>> drawn.names[0]
        '1.posterior_distribution'
    """
    run, options = open_run(path), options or FigureOptions()
    posterior = Path(posterior or run.paths.posterior)
    out = Path(out or ResultPaths(posterior.parent).figures)
    demand_free(out, overwrite)
    is_of_run = posterior.resolve() == run.paths.posterior.resolve()
    products = [run.paths.sensitivity.root] + [posterior] * is_of_run
    demand_one_model(run.paths, products)
    sources = _Sources(run, posterior, match_ground_truth(posterior, run=run), options)
    names: list[str] = []
    skipped: list[str] = []
    with atomic_directory(
        out, overwrite=overwrite, markers=(f"{FIRST_FIGURE}.png",)
    ) as scratch:
        for name, figure in _figures(sources, skipped):
            place_panels(figure)
            _write(figure, scratch / name)
            names.append(name)
            on_progress(Progress(len(names), None, "figures", name))
        record = {"estimate": options.estimate, "sources": _source_hashes(sources)}
        write_json(scratch / FIGURES_RECORD, record)
    return DrawnFigures(out, tuple(names), tuple(skipped))


def _figures(sources: _Sources, skipped: list[str]) -> Iterator[tuple[str, Figure]]:
    """Yield each figure with its name; ``skipped`` gets the reasons why others are not drawn."""
    drawers = _draw_posteriors, _draw_sensitivity, _draw_calibration, _draw_learning
    for draw in drawers:
        try:
            yield from draw(sources)
        except _NotDrawnError as reason:
            skipped.append(str(reason))


def _write(figure: Figure, stem: Path) -> None:
    for kind in DPI:
        stem.with_name(f"{stem.name}.{kind}").write_bytes(rendered(figure, kind))


def _source_hashes(sources: _Sources) -> dict[str, str]:
    """Hashes of the files that figures are drawn from, by their path in the run."""
    results, run = ResultPaths(sources.posterior.parent), sources.run
    matrices = sorted(run.paths.sensitivity.root.glob("*.csv"))
    candidates = [sources.posterior, results.diagnostics, run.paths.history, *matrices]
    root, hashes = run.path.resolve(), {}
    for file in candidates:
        if file.is_file() and file.resolve().is_relative_to(root):
            hashes[str(file.resolve().relative_to(root))] = sha256_of(file)
    return hashes


def _inference(sources: _Sources) -> Inference:
    """Posterior samples with ground truth and point estimate."""
    matched, kind = sources.matched, sources.options.estimate
    if kind not in get_args(PointEstimate):
        raise DataError("--estimate", " or ".join(get_args(PointEstimate)), kind)
    estimate = np.median(matched.samples, axis=0)
    if kind == "map":
        estimate = _summary_modes(sources)
    targets = tuple(map(sources.columns, matched.catalogue.targets))
    truth = matched.objects.theta
    name = ESTIMATE_NAMES[kind]
    return Inference(matched.samples, truth, estimate, name, targets).in_plain_units()


def _summary_modes(sources: _Sources) -> np.ndarray:
    """MAP of each row (N, D), from the summary beside the posterior.

    Raises:
        BundleError: If the summary has none.
    """
    path = ResultPaths(sources.posterior.parent).summary
    rows = sources.matched.objects
    columns = [f"{name}_map" for name in rows.targets]
    if path.is_file():
        types = key_types(rows.table, schema.KEYS)
        summary = typed_keys(read_csv(path, text=types), types)
        keys = [key for key in schema.ROW_KEYS if key in summary and key in rows.table]
        if set(columns) <= set(summary) and set(schema.KEYS) <= set(keys):
            matched = rows.table[keys].merge(
                summary, on=keys, how="left", validate="many_to_one"
            )
            if matched[columns].notna().all(axis=None):
                return matched[columns].to_numpy(float)
    hint = "draw the median, or write the summary with the MAP"
    raise BundleError(str(path), "a _map column for every target", "none", "", hint)


def _draw_posteriors(sources: _Sources) -> Iterator[tuple[str, Figure]]:
    inference, rows, options = (
        _inference(sources),
        sources.matched.objects,
        sources.options,
    )
    chosen = choose_rows(rows, options.halos, options.num_rows, options.seed)
    some_rows, some_posteriors = rows.rows(chosen), inference.rows(chosen)
    prior = sources.run.catalogue.theta[sources.run.split.train]
    names = row_names(some_rows.table)
    ages = some_rows.age
    yield FIRST_FIGURE, posterior_distribution(some_posteriors, prior, names, age=ages)
    yield "2.prediction_performance1", prediction_heat_maps(inference)
    yield "2.prediction_performance2", truth_against_estimate(inference)
    yield "3.uncertainties", uncertainties(inference)
    if len(inference.targets) > 1:
        yield "4.cross_correlations", cross_correlations(inference)
    truth, estimate = some_posteriors.truth[0], some_posteriors.estimate[0]
    figure = corner(
        some_posteriors.samples[:, 0],
        inference.targets,
        points={TRUTH_LABEL: truth, inference.estimate_name: estimate},
        age=float(ages[0]),
        title=names[0].replace("\n", ", "),
    )
    yield "corner", figure


def _draw_sensitivity(sources: _Sources) -> Iterator[tuple[str, Figure]]:
    paths, catalogue = sources.run.paths.sensitivity, sources.run.catalogue
    if not paths.root.is_dir():
        hint = "run cinn-clusters baseline and sensitivity first"
        raise _NotDrawnError(f"5.sensitivity_analysis: {hint}")
    singles = {*catalogue.observables, schema.EMBEDDING}
    for name, (kind, meaning) in SENSITIVITY_FIGURES.items():
        if not paths.matrix(kind).is_file():
            continue
        values = pd.read_csv(paths.matrix(kind), index_col=0)
        targets, rows = list(map(str, values)), list(map(str, values.index))
        errors = pd.read_csv(paths.errors(kind), index_col=0)[targets].to_numpy()
        num_singles = len([row for row in rows if row in singles])
        matrix = SensitivityMatrix(
            values.to_numpy(),
            errors,
            scale=deviation(catalogue.inputs(targets)),
            observables=sources.labels(rows),
            targets=sources.labels(targets),
            num_singles=num_singles,
        )
        label = f"{meaning}, in standard deviations of the target"
        yield name, sensitivity_analysis(matrix, label)


def _own_diagnosis(sources: _Sources) -> JsonObject:
    """The diagnosis of the posterior that is drawn."""
    path = ResultPaths(sources.posterior.parent).diagnostics
    figures = "sbc_ecdf, coverage, tarp, conditional, skill"
    if sources.matched.num_clusters < MIN_CLUSTERS:
        needed = f"objects of {MIN_CLUSTERS} clusters or more (crossval asks all)"
        raise _NotDrawnError(f"{figures}: they need {needed}")
    hint = f"run cinn-clusters diagnose {sources.posterior} --overwrite first"
    if not path.is_file():
        raise _NotDrawnError(f"{figures}: {hint}")
    diagnosis = read_json(path)
    if diagnosis.get("posterior_sha256") != sha256_of(sources.posterior):
        problem = f"{path.name} is that of another posterior"
        raise _NotDrawnError(f"{figures}: {problem}: {hint}")
    return dict(diagnosis)


def _draw_calibration(sources: _Sources) -> Iterator[tuple[str, Figure]]:
    diagnosis = _own_diagnosis(sources)
    entries = diagnosis["targets"]
    targets = dict(zip(sources.labels(entries), entries.values(), strict=True))
    joint = diagnosis["joint"]
    yield (
        "sbc_ecdf",
        rank_curves(
            {label: ecdf_curve(entry["pit"]) for label, entry in targets.items()}
        ),
    )
    coverage = {
        label: coverage_curve(entry["coverage"]) for label, entry in targets.items()
    }
    yield "coverage", coverage_curves(coverage)
    yield (
        "tarp",
        tarp_curves(
            {name: ecdf_curve(joint[key]) for name, key in _TARP_TESTS.items()}
        ),
    )
    if matrix := _conditional_matrix(sources, diagnosis):
        yield "conditional", conditional_calibration(matrix)
    skills = {}
    for reference, energy_skill in joint["energy_skill"].items():
        crps_skills = {
            label: entry["crps_skill"][reference] for label, entry in targets.items()
        }
        bands = {**crps_skills, "joint\n(energy score)": energy_skill}
        skills[reference] = {label: score_band(skill) for label, skill in bands.items()}
    yield "skill", skill_bars(skills)


def _conditional_matrix(
    sources: _Sources, diagnosis: JsonObject
) -> ConditionalMatrix | None:
    """The largest t of each target and observable; None without an observable."""
    entries = diagnosis["targets"]
    by_target = [entry["conditional_t"] for entry in entries.values()]
    observables = list(by_target[0])
    if not observables:
        return None
    t = {
        kind: np.array(
            [
                [largest_t(forms[name], kind) for name in observables]
                for forms in by_target
            ]
        )
        for kind in ("width", "bias")
    }
    rows, columns = sources.labels(entries), sources.labels(observables)
    return ConditionalMatrix(t, diagnosis["conditional"]["critical"], rows, columns)


def _draw_learning(sources: _Sources) -> Iterator[tuple[str, Figure]]:
    path = sources.run.paths.history
    if not path.is_file():
        raise _NotDrawnError("learning_curves: run cinn-clusters train first")
    history = read_csv(path)
    epoch, train, held_out = (
        history[name].tolist() for name in ("epoch", "train_nll", "validation_nll")
    )
    yield "learning_curves", learning_curves(epoch, train, held_out)
