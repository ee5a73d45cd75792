"""Known clusters: what the model infers of them, beside published estimates."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.table import MaskedColumn, Row, Table

from cinn_clusters import schema
from cinn_clusters.catalogues.mapping import read_preset
from cinn_clusters.catalogues.masses.calibrations import CALIBRATIONS
from cinn_clusters.catalogues.table_files import read_table
from cinn_clusters.claims import reserving
from cinn_clusters.cosmology import age_at_lookback, lookback_at_redshift
from cinn_clusters.figures.known_clusters import PublishedEstimate, known_clusters
from cinn_clusters.figures.style import rendered
from cinn_clusters.files import atomic_directory, demand_free
from cinn_clusters.pipeline.inference.answering import InferenceOptions
from cinn_clusters.pipeline.inference.assessment import WINDOW
from cinn_clusters.pipeline.inference.infer import infer
from cinn_clusters.pipeline.inference.result_table import REASONS
from cinn_clusters.posterior.collision import MAJOR_MERGER, P_MAJOR_RECENT
from cinn_clusters.posterior.query import Sampling
from cinn_clusters.storage.posterior_file import read_samples

_POSTERIOR, _TABLE, _VALUES = "posterior.nc", "clusters.ecsv", "published.ecsv"
_FIGURE = "known_clusters.png"
_OBSERVABLES = ("z", "m500", "m500_error", "mgas500", "mgas500_error")
_UNKNOWN = (np.nan, np.nan, np.nan)
_UNVERIFIED = "from memory, not verified"


@dataclass(frozen=True)
class _Quantity:
    """A quantity with published estimates: its key in the file, unit, label and limits."""

    key: str
    unit: str
    label: str
    limits: tuple[float, float]


_QUANTITIES = (
    _Quantity("since", "Gyr", "time since collision [Gyr]", (0.0, 13.0)),
    _Quantity("speed", "km/s", "collision speed [km/s]", (0.0, 6000.0)),
    _Quantity("ratio", "", "mass ratio", (0.0, 1.0)),
)


@dataclass(frozen=True)
class KnownCluster:
    """A known cluster as ``known_clusters.toml`` has it: observables, estimates, references."""

    entries: dict[str, Any]

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.entries["name"])

    @property
    def is_verified(self) -> bool:
        """Whether its published estimates were checked against the publication."""
        return bool(self.entries.get("is_verified", True))

    @property
    def estimates(self) -> list[PublishedEstimate]:
        """Published value, lower and upper end of each quantity."""
        published = (self.entries.get(quantity.key) for quantity in _QUANTITIES)
        return [None if value is None else _as_range(value) for value in published]

    @property
    def source(self) -> str:
        """Where its published estimates come from, and what they assume."""
        if "estimate_from" not in self.entries:
            return "no estimate"
        source = f"{self.entries['estimate_from']}, {self.entries['phase']}"
        return source if self.is_verified else f"{source}; {_UNVERIFIED}"


def _as_range(value: Any) -> tuple[float, float, float]:
    if isinstance(value, list):
        return value[0], value[1], value[2]
    return value, value, value


def read_known_clusters() -> list[KnownCluster]:
    """Read the known clusters that come with the package."""
    file = files("cinn_clusters.catalogues") / "known_clusters.toml"
    entries = tomllib.loads(file.read_text(encoding="utf-8"))["cluster"]
    return [KnownCluster(entry) for entry in entries]


def published_table(clusters: list[KnownCluster]) -> Table:
    """Published observables and estimates as a table."""
    frame = pd.DataFrame([cluster.entries for cluster in clusters])
    table = Table({"name": list(frame["name"])})
    for column in _OBSERVABLES:
        table[column] = _masked(frame[column])
    table["m500_calibration"] = list(frame["calibration"])
    log_mass, error = _true_masses(frame)
    table["log_m500_true"] = log_mass
    table["log_m500_true_error"] = error
    table["values_from"] = list(frame["values_from"])
    for number, quantity in enumerate(_QUANTITIES):
        estimates = [cluster.estimates[number] for cluster in clusters]
        _add_estimates(table, quantity, estimates)
    sources = frame["estimate_from"].fillna("")
    phases = frame["phase"].fillna("")
    table["published_from"] = list(sources)
    table["published_phase"] = list(phases)
    table["published_is_verified"] = [cluster.is_verified for cluster in clusters]
    return table


def _add_estimates(
    table: Table, quantity: _Quantity, estimates: list[PublishedEstimate]
) -> None:
    """Add value, lower and upper end of a quantity, a column each."""
    ranges = np.array([estimate or _UNKNOWN for estimate in estimates])
    for ending, values in zip(("", "_low", "_high"), ranges.T, strict=True):
        column = _masked(values)
        column.unit = quantity.unit or None
        name = f"published_{quantity.key}{ending}"
        table[name] = column


def _true_masses(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """log10 of the true M500 [Msun] by the calibration of each published one, and errors [dex]."""
    calibrations = [CALIBRATIONS[name] for name in frame["calibration"]]
    offsets = np.array([calibration.offset for calibration in calibrations])
    scatters = np.array([calibration.total_scatter for calibration in calibrations])
    mass = frame["m500"].to_numpy(dtype=float)
    error = frame["m500_error"].to_numpy(dtype=float)
    share = error / mass
    error_dex = share / np.log(10.0)
    log_mass = 14.0 + np.log10(mass)
    return log_mass + offsets, np.hypot(error_dex, scatters)


def _masked(values: Any) -> MaskedColumn:
    numbers = np.array(values, dtype=float)
    return MaskedColumn(numbers, mask=np.isnan(numbers))


@reserving()
def demo_observed(
    out: str | Path,
    *,
    model: str | Path | None = None,
    sampling: Sampling | None = None,
    overwrite: bool = False,
) -> list[dict[str, str]]:
    """Infer the merger histories of known clusters.

    Args:
        out: Folder to make: samples, table, published values, figure.
        model: A trained model; None: the one that comes with the package.
        sampling: How samples are drawn.
        overwrite: Replace a folder that stands there.

    Returns:
        A line a cluster: median and 68 % of each quantity, the published estimate and its source,
        the longest possible time, the probability of a recent major merger, and flags.

    Raises:
        BundleError: If the model is missing or damaged.
        OutputError: If the folder is taken or cannot be written.
    """
    out = Path(out)
    demand_free(out, overwrite)
    clusters = read_known_clusters()
    table = published_table(clusters)
    with atomic_directory(out, overwrite=overwrite, markers=(_TABLE,)) as scratch:
        table.write(scratch / _VALUES, format="ascii.ecsv")
        infer(
            scratch / _VALUES,
            scratch / _POSTERIOR,
            mapping=read_preset("known"),
            model=model,
            sampling=sampling,
            options=InferenceOptions(table=scratch / _TABLE),
        )
        answers = read_table(scratch / _TABLE)
        age = age_at_lookback(lookback_at_redshift(np.array(table["z"])))
        samples = _quantities(
            read_samples(scratch / _POSTERIOR, schema.DEFAULT_TARGETS), age
        )
        figure = known_clusters(
            samples,
            [cluster.estimates for cluster in clusters],
            [quantity.label for quantity in _QUANTITIES],
            [cluster.name for cluster in clusters],
            [quantity.limits for quantity in _QUANTITIES],
            [cluster.is_verified for cluster in clusters],
        )
        (scratch / _FIGURE).write_bytes(rendered(figure, "png"))
    return [
        _line(cluster, [quantity[:, row] for quantity in samples], answer)
        for row, (cluster, answer) in enumerate(zip(clusters, answers, strict=True))
    ]


def _quantities(samples: np.ndarray, age: np.ndarray) -> list[np.ndarray]:
    """Samples (S, N) of the quantities that have published estimates."""
    columns = dict(
        zip(
            schema.DEFAULT_TARGETS,
            np.moveaxis(samples.astype(float), -1, 0),
            strict=True,
        )
    )
    since = age - columns[schema.COLLISION_TIME]
    return [since, 10.0 ** columns["last_V_coll"], columns["last_Mass_ratio"]]


def _line(
    cluster: KnownCluster, samples: list[np.ndarray], answer: Row
) -> dict[str, str]:
    word = "published" if cluster.is_verified else "published (not verified)"
    values = {
        quantity.label: f"{_interval(values)}{_published(estimate, word)}"
        for quantity, values, estimate in zip(
            _QUANTITIES, samples, cluster.estimates, strict=True
        )
    }
    return {
        "cluster": cluster.name,
        **values,
        **_unconditional(answer),
        "published by": cluster.source,
        "flags": _text(answer[REASONS]) or "none",
    }


def _unconditional(answer: Row) -> dict[str, str]:
    """What is said whether or not a collision is recorded, where the model knows it."""
    if P_MAJOR_RECENT not in answer.colnames:
        return {}
    longest = f"{answer[WINDOW]:.3g} (window of the record)"
    major = f"ratio > {MAJOR_MERGER.ratio:g} within {MAJOR_MERGER.recent_gyr:g} Gyr"
    return {
        "longest time possible [Gyr]": longest,
        "P(major and recent)": f"{answer[P_MAJOR_RECENT]:.2f} ({major})",
    }


def _text(value: object) -> str:
    """A cell of text; empty where it is masked."""
    return "" if np.ma.is_masked(value) else str(value)


def _interval(samples: np.ndarray) -> str:
    median, low, high = np.quantile(samples, [0.5, 0.16, 0.84])
    return f"{median:.3g} ({low:.3g} to {high:.3g})"


def _published(estimate: PublishedEstimate, word: str) -> str:
    if estimate is None:
        return ""
    value, low, high = estimate
    return f"; {word} {value:g}" + f" ({low:g} to {high:g})" * (low != high)
