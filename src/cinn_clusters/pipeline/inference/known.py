"""Well-known clusters: what the model says of them, beside what was published."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from astropy.table import MaskedColumn, Table

from cinn_clusters import schema
from cinn_clusters.catalogues.mapping import read_preset
from cinn_clusters.cosmology import age_at_lookback, lookback_at_redshift
from cinn_clusters.figures.known_clusters import PublishedEstimate, known_clusters
from cinn_clusters.figures.style import rendered
from cinn_clusters.files import atomic_directory, demand_free
from cinn_clusters.pipeline.inference.observe import REASONS, observe

POSTERIOR, TABLE, VALUES, FIGURE = (
    "posterior.nc",
    "clusters.ecsv",
    "published.ecsv",
    "named_clusters.png",
)
COLUMNS = ("z", "m500", "m500_error", "mgas500", "mgas500_error")
ESTIMATES = {"since": "Gyr", "speed": "km/s", "ratio": ""}
"""Published estimates and their units."""
UNVERIFIED = "from memory, not verified"
LABELS = ("time since collision [Gyr]", "collision speed [km/s]", "mass ratio")


def named_table() -> tuple[Table, list[dict[str, Any]]]:
    """Return the published values of well-known clusters as a table, and all that is known of
    each.
    """
    text = (files("cinn_clusters.catalogues") / "named.toml").read_text(encoding="utf-8")
    clusters: list[dict[str, Any]] = tomllib.loads(text)["cluster"]
    table = Table({"name": [cluster["name"] for cluster in clusters]})
    for column in COLUMNS:
        values = np.array([cluster.get(column, np.nan) for cluster in clusters])
        table[column] = MaskedColumn(values, mask=np.isnan(values))
    table["values_from"] = [cluster["values_from"] for cluster in clusters]
    for place, (name, unit) in enumerate(ESTIMATES.items()):
        told = np.array([_estimates(cluster)[place] or (np.nan,) * 3 for cluster in clusters])
        for column, values in zip((name, f"{name}_low", f"{name}_high"), told.T, strict=True):
            table[f"published_{column}"] = MaskedColumn(
                values, mask=np.isnan(values), unit=unit or None
            )
    table["published_from"] = [cluster.get("estimate_from", "") for cluster in clusters]
    table["published_phase"] = [cluster.get("phase", "") for cluster in clusters]
    table["published_is_verified"] = [_is_verified(cluster) for cluster in clusters]
    return table, clusters


def demo_observed(
    out: str | Path,
    *,
    model: str | Path | None = None,
    num_draws: int = 1000,
    seed: int = 0,
    overwrite: bool = False,
) -> list[dict[str, str]]:
    """Answer for well-known clusters.

    Args:
        out: Folder to make: samples, table, published values, figure.
        model: A model for observers; default: the packaged one.
        num_draws: Draws a cluster.
        seed: Seed.
        overwrite: Replace a folder that stands there.

    Returns:
        A line a cluster: median and 68 % of each quantity, the published estimate and its source,
        and flags.

    Raises:
        BundleError: If the model is missing or damaged.
        OutputError: If the folder is taken or cannot be written.
    """
    out = Path(out)
    demand_free(out, overwrite)
    table, clusters = named_table()
    with atomic_directory(out, overwrite=overwrite, markers=(TABLE,)) as scratch:
        table.write(scratch / VALUES, format="ascii.ecsv")
        observe(
            scratch / VALUES,
            scratch / POSTERIOR,
            mapping=read_preset("named"),
            model=model,
            table=scratch / TABLE,
            num_draws=num_draws,
            seed=seed,
            with_mode=True,
        )
        answered = Table.read(scratch / TABLE, format="ascii.ecsv")
        with xr.open_dataset(scratch / POSTERIOR, group="posterior", engine="h5netcdf") as found:
            draws = {name: found[name].values[0].astype(float) for name in schema.DEFAULT_TARGETS}
        age = age_at_lookback(lookback_at_redshift(np.array(table["z"])))
        shown = [
            age - draws[schema.COLLISION_TIME],
            10.0 ** draws["last_V_coll"],
            draws["last_Mass_ratio"],
        ]
        estimates = [_estimates(cluster) for cluster in clusters]
        names = [str(name) for name in table["name"]]
        verified = [_is_verified(cluster) for cluster in clusters]
        limits = ((0.0, 13.0), (0.0, 6000.0), (0.0, 1.0))
        figure = known_clusters(shown, estimates, LABELS, names, limits, verified)
        (scratch / FIGURE).write_bytes(rendered(figure, "png"))
    flags = np.ma.filled(np.ma.asarray(answered[REASONS]).astype(object), "")
    lines = []
    for row, name in enumerate(names):
        word = "published" if verified[row] else "published (not verified)"
        told = {
            label: _told(shown[column][:, row], estimates[row][column], word)
            for column, label in enumerate(LABELS)
        }
        source = _source(clusters[row])
        lines.append(
            {"cluster": name, **told, "published by": source, "flags": str(flags[row]) or "none"}
        )
    return lines


def _is_verified(cluster: dict[str, Any]) -> bool:
    """Whether its published estimates were checked against the publication."""
    return bool(cluster.get("is_verified", True))


def _source(cluster: dict[str, Any]) -> str:
    """Where its published estimates come from, and what they assume."""
    if "estimate_from" not in cluster:
        return "no estimate"
    note = "" if _is_verified(cluster) else f"; {UNVERIFIED}"
    return f"{cluster['estimate_from']}, {cluster['phase']}{note}"


def _estimates(cluster: dict[str, Any]) -> list[PublishedEstimate]:
    ratio = cluster.get("ratio")
    ranges = [tuple(cluster[name]) if name in cluster else None for name in ("since", "speed")]
    return [*ranges, None if ratio is None else (ratio, ratio, ratio)]


def _told(draws: np.ndarray, estimate: PublishedEstimate, word: str) -> str:
    middle, low, high = np.quantile(draws, [0.5, 0.16, 0.84])
    ours = f"{middle:.3g} ({low:.3g} to {high:.3g})"
    if estimate is None:
        return ours
    reach = "" if estimate[1] == estimate[2] else f" ({estimate[1]:g} to {estimate[2]:g})"
    return f"{ours}; {word} {estimate[0]:g}{reach}"
