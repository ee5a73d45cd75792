"""Every figure of a run, from the files that other stages wrote: PNG to look at, PDF to print."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from cinn_clusters import schema
from cinn_clusters.data.catalogue import Catalogue
from cinn_clusters.data.tables import read_csv
from cinn_clusters.errors import BundleError, DataError
from cinn_clusters.figures.calibration import Curve, coverage_curves, rank_curves, tarp_curves
from cinn_clusters.figures.correlations import corner, cross_correlations
from cinn_clusters.figures.error_bars import uncertainties
from cinn_clusters.figures.learning import Band, learning_curves, skill_bars
from cinn_clusters.figures.marginals import posterior_distribution
from cinn_clusters.figures.performance import prediction_heat_maps, truth_against_mode
from cinn_clusters.figures.sensitivity_matrix import sensitivity_analysis
from cinn_clusters.figures.style import Figure, rendered
from cinn_clusters.files import atomic_directory, demand_free, read_json, sha256_of
from cinn_clusters.pipeline.simulation.judged import Judged, read_judged
from cinn_clusters.storage.run import ResultPaths, Run, open_run

FIRST = "1.posterior_distribution"
MATRICES = {
    "5.sensitivity_analysis": ("sensitivity_matrix", "increase of MAE when shuffled"),
    "5.sensitivity_grouped": ("grouped_matrix", "increase of MAE when a group is shuffled"),
    "5.sensitivity_ablation": ("ablation_matrix", "increase of MAE when left out and refitted"),
    "5.sensitivity_shapley": ("shapley_matrix", "Shapley share of the MAE saved"),
    "5.sensitivity_crps": ("crps_sensitivity_matrix", "increase of CRPS when shuffled"),
}
"""Figure of each matrix that the sensitivity stage writes."""
IN_SIGMA = ", in standard deviations of the target"
KINDS: tuple[Literal["png", "pdf"], ...] = ("png", "pdf")
Drawn = Callable[[str], None]


@dataclass(frozen=True)
class Figures:
    """What was drawn.

    Args:
        path: Their folder.
        names: Files without suffix.
        skipped: What could not be drawn, and the command that would change it.
    """

    path: Path
    names: tuple[str, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class Shown:
    """Judged posteriors and their joint modes, ready to be drawn."""

    judged: Judged
    mode: np.ndarray
    run: Run

    @property
    def targets(self) -> tuple[str, ...]:
        """Columns of theta."""
        return self.judged.catalogue.targets


def draw_figures(
    path: str | Path,
    *,
    posterior: str | Path | None = None,
    halos: Sequence[str] = (),
    num_rows: int = 4,
    seed: int = 0,
    out: str | Path | None = None,
    overwrite: bool = False,
    on_figure: Drawn | None = None,
) -> Figures:
    """Draw what is known of a run; writes ``figures/`` beside the posterior.

    Args:
        path: The run.
        posterior: Posterior file of rows of the run; default: that of its test clusters.
        halos: Rows of figure 1 and of the corner: ``HaloID`` or ``Snapshot:HaloID``; default: drawn
            at random.
        num_rows: How many are drawn.
        seed: Seed of that.
        out: Folder to make.
        overwrite: Replace figures that stand there.
        on_figure: Called with the name of each figure when it is done.

    Returns:
        What was drawn, and what could not be.

    Raises:
        BundleError: If the run or the posterior is missing or damaged.
        DataError: If a halo is not among those that are shown.
        OutputError: If figures stand there already or cannot be written.
    """
    run = open_run(path)
    posterior = run.paths.posterior if posterior is None else Path(posterior)
    out = ResultPaths(posterior.parent).figures if out is None else Path(out)
    demand_free(out, overwrite)
    judged = read_judged(posterior, run=run)
    shown = Shown(judged, _modes(posterior, judged), run)
    places = chosen_rows(judged.rows, halos, num_rows=num_rows, seed=seed)
    names, skipped = [], []
    with atomic_directory(out, overwrite=overwrite, markers=(f"{FIRST}.png",)) as scratch:
        for name, drawn in _all_figures(shown, posterior, places):
            if isinstance(drawn, str):
                skipped.append(drawn)
                continue
            for kind in KINDS:
                (scratch / f"{name}.{kind}").write_bytes(rendered(drawn, kind))
                drawn.set_layout_engine("none")  # laid out once is enough
            names.append(name)
            if on_figure is not None:
                on_figure(name)
    return Figures(out, tuple(names), tuple(skipped))


def chosen_rows(rows: Catalogue, halos: Sequence[str], *, num_rows: int, seed: int) -> np.ndarray:
    """Find rows by HaloID or Snapshot:HaloID, or draw some, one a cluster.

    Raises:
        DataError: If an id is not one, stands in no row, or in several.
    """
    if halos:
        return np.array([_row_of(rows.table, halo) for halo in halos])
    rng = np.random.default_rng(seed)
    names = np.unique(rows.clusters)
    clusters = rng.permutation(names)[: min(num_rows, len(names))]
    return np.array([rng.choice(np.flatnonzero(rows.clusters == name)) for name in clusters])


def _row_of(table: pd.DataFrame, halo: str) -> int:
    snapshot, _, number = halo.rpartition(":")
    if not (number.isdecimal() and (snapshot.isdecimal() or not snapshot)):
        raise DataError("--halo", "HaloID or Snapshot:HaloID", halo)
    is_it = table[schema.KEYS[0]] == int(number)
    if snapshot:
        is_it &= table[schema.KEYS[1]] == int(snapshot)
    found = np.flatnonzero(is_it)
    if not len(found):
        known = f"{table[schema.KEYS[1]].iloc[0]}:{table[schema.KEYS[0]].iloc[0]}"
        raise DataError(
            "--halo",
            f"a halo of the judged rows, such as {known}",
            halo,
            "",
            "see summary.csv for all",
        )
    if len(table.iloc[found][list(schema.KEYS)].drop_duplicates()) > 1:
        several = ", ".join(f"{table[schema.KEYS[1]].iloc[row]}:{number}" for row in found)
        raise DataError(
            "--halo", "one row", f"{halo}, which stands for {several}", "", "pass one of them"
        )
    return int(found[0])


def _modes(posterior: Path, judged: Judged) -> np.ndarray:
    """Joint modes (N, D): of the summary beside the posterior, else the densest draw of each
    object.
    """
    summary, targets = ResultPaths(posterior.parent).summary, judged.catalogue.targets
    if summary.is_file():
        table = read_csv(summary)
        columns = [f"{name}_map" for name in targets]
        keys = [key for key in schema.ROW_KEYS if key in table and key in judged.rows.table]
        if set(columns) <= set(table) and len(keys) >= len(schema.KEYS):
            found = judged.rows.table[keys].merge(
                table, on=keys, how="left", validate="many_to_one"
            )
            if found[columns].notna().all(axis=None):
                return found[columns].to_numpy(float)
    if judged.log_prob is None:
        expected = f"joint modes in {summary.name} beside it, or densities of its draws"
        raise BundleError(
            str(posterior), expected, "none", "", "write it with cinn-clusters evaluate or crossval"
        )
    densest = np.nanargmax(judged.log_prob[0], axis=0)
    return np.asarray(judged.samples[densest, np.arange(len(densest))])


def _all_figures(
    shown: Shown, posterior: Path, places: np.ndarray
) -> Iterator[tuple[str, Figure | str]]:
    """Yield each name with its figure, or with the reason why there is none."""
    rows, samples, targets = shown.judged.rows, shown.judged.samples, shown.targets
    truth, mode, few = rows.theta, shown.mode, rows.rows(places)
    prior = shown.run.catalogue.theta[shown.run.split.train]
    names = [row_name(line) for _, line in few.table.iterrows()]
    yield (
        FIRST,
        posterior_distribution(
            samples[:, places], truth[places], mode[places], prior, targets, names, age=few.age
        ),
    )
    yield "2.prediction_performance1", prediction_heat_maps(samples, truth, targets)
    yield "2.prediction_performance2", truth_against_mode(truth, mode, targets)
    yield "3.uncertainties", uncertainties(samples, truth, mode, targets)
    if len(targets) > 1:
        yield "4.cross_correlations", cross_correlations(samples, truth, mode, targets)
    first = places[0]
    title = names[0].replace("\n", ", ")
    yield (
        "corner",
        corner(
            samples[:, first],
            targets,
            truth=truth[first],
            mode=mode[first],
            age=float(few.age[0]),
            title=title,
        ),
    )
    yield from _sensitivity(shown.run)
    yield from _calibration(posterior)
    yield from _learning(shown.run)


def row_name(line: pd.Series) -> str:
    """Snapshot and halo of a row, and its projection where there are several."""
    side = f"\nprojection {line[schema.PROJECTION]:.0f}" if schema.PROJECTION in line else ""
    return f"snapshot {line[schema.KEYS[1]]:.0f}\nhalo {line[schema.KEYS[0]]:.0f}{side}"


def _sensitivity(run: Run) -> Iterator[tuple[str, Figure | str]]:
    folder = run.paths.sensitivity.root
    if not folder.is_dir():
        yield "", "5.sensitivity_analysis: run cinn-clusters baseline and sensitivity first"
        return
    for name, (stem, what) in MATRICES.items():
        path = folder / f"{stem}.csv"
        if not path.is_file():
            continue
        matrix = pd.read_csv(path, index_col=0)
        targets = [str(target) for target in matrix]
        other = path.with_name(f"{stem.replace('matrix', 'errors')}.csv")
        errors = pd.read_csv(other, index_col=0)[targets].to_numpy() if other.is_file() else None
        scale = run.catalogue.inputs(targets).std(0)
        observables = [str(observable) for observable in matrix.index]
        yield (
            name,
            sensitivity_analysis(
                matrix.to_numpy(),
                observables,
                targets,
                errors=errors,
                what=what + IN_SIGMA,
                scale=scale,
            ),
        )


def _calibration(posterior: Path) -> Iterator[tuple[str, Figure | str]]:
    path = ResultPaths(posterior.parent).diagnostics
    hint = f"run cinn-clusters diagnose {posterior} --overwrite first"
    if not path.is_file():
        yield "", f"sbc_ecdf, coverage, tarp, skill: {hint}"
        return
    report = read_json(path)
    if report.get("posterior_sha256") != sha256_of(posterior):
        yield "", f"sbc_ecdf, coverage, tarp, skill: {path.name} tells of another posterior: {hint}"
        return
    of = report["targets"]
    yield "sbc_ecdf", rank_curves({name: _uniform(entry["pit"]) for name, entry in of.items()})
    covered = {name: entry["coverage"] for name, entry in of.items()}
    yield (
        "coverage",
        coverage_curves(
            {
                name: Curve(entry["level"], entry["found"], entry["lower"], entry["upper"])
                for name, entry in covered.items()
            }
        ),
    )
    tests = {"references from x": "tarp", "plain references": "tarp_plain"}
    yield "tarp", tarp_curves({name: _uniform(report["joint"][key]) for name, key in tests.items()})
    references = report["joint"]["energy_skill"]
    yield (
        "skill",
        skill_bars(
            {
                reference: {
                    **{name: _band(entry["crps_skill"][reference]) for name, entry in of.items()},
                    "joint\n(energy score)": _band(references[reference]),
                }
                for reference in references
            }
        ),
    )


def _uniform(entry: dict[str, Any]) -> Curve:
    return Curve(entry["grid"], entry["ecdf"], entry["lower"], entry["upper"])


def _band(entry: dict[str, Any]) -> Band:
    return tuple(
        np.nan if entry[key] is None else entry[key] for key in ("value", "lower", "upper")
    )  # type: ignore[return-value]


def _learning(run: Run) -> Iterator[tuple[str, Figure | str]]:
    path = run.paths.history
    if not path.is_file():
        yield "", "learning_curves: run cinn-clusters train first"
        return
    history = read_csv(path)
    columns = (history[name].tolist() for name in ("epoch", "train_nll", "validation_nll"))
    yield "learning_curves", learning_curves(*columns)
