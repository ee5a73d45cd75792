"""Offsets between what is observed and the columns of the simulation: gas, concentrations, calibrations.

    python benchmarks/offsets.py ../shared/data/tng_cluster --observed ../shared/data/observed

Gas: log10 of group gas over M500 in the table, fitted in mass and redshift, clusters resampled for
the errors; what a constant offset of 0.25 dex would be off by; and gas fractions of published tables
about the mean relation, on calibrated masses. Concentrations: M500 of other definitions by three
relations (Duffy+08 with colossus, where it is installed).
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from cinn_clusters import read_preset, schema
from cinn_clusters.catalogues.convert import convert
from cinn_clusters.catalogues.masses.apertures import GROUP_GAS, aperture_offset
from cinn_clusters.catalogues.masses.concentrations import DIEMER_JOYCE
from cinn_clusters.catalogues.masses.definitions import (
    conversion_scatter,
    log_mass_500c,
)
from cinn_clusters.catalogues.table_files import read_table
from cinn_clusters.cosmology import (
    HUBBLE_CONSTANT,
    HUBBLE_H,
    OMEGA_MATTER,
    redshift_at_lookback,
)
from cinn_clusters.diagnostics.scores import bootstrap_weights
from presets import SAMPLES

PIVOT = 14.8
EDGES = (13.5, 14.1, 14.4, 14.7, 15.0, 15.4)
WITH_GAS = ("lovisari2020", "spt_xvp", "spt_xmm", "spt_chiu16")


def fit(design: np.ndarray, ratio: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted least squares."""
    weighted = design * weights[:, None]
    return np.linalg.solve(design.T @ weighted, weighted.T @ ratio)


def gas_of_groups(table: pd.DataFrame) -> None:
    mass = table[schema.MASS].to_numpy()
    ratio = table["GroupGasMass"].to_numpy() - mass
    redshift = redshift_at_lookback(table[schema.LOOKBACK].to_numpy())
    design = np.stack([np.ones(len(mass)), mass - PIVOT, redshift], 1)
    best = fit(design, ratio, np.ones(len(mass)))
    weights = bootstrap_weights(table["HaloOrigID"].to_numpy(), 500)
    errors = np.std([fit(design, ratio, row) for row in weights], axis=0)
    residual = ratio - design @ best
    names = f"at {PIVOT}, z = 0", "slope with log10 M500", "slope with z"
    print(f"rows {len(mass)}, mean log10 M500 {mass.mean():.2f}, sd {mass.std():.2f}")
    for name, value, error, used in zip(names, best, errors, GROUP_GAS, strict=True):
        print(f"{name}: {value:+.3f} +- {error:.3f} (used: {used:+.3f})")
    print(f"residual: {residual.std():.3f} dex\n")
    offset, scatter, _ = aperture_offset("500c", mass, np.zeros(len(mass)), redshift)
    print(
        "| log10 M500 | rows | group gas over M500 | residual | offset | 0.25 is off by |"
    )
    print("|---|---|---|---|---|---|")
    for low, high in pairwise(EDGES):
        rows = (mass >= low) & (mass < high)
        mean = offset[rows].mean()
        cells = f"{ratio[rows].mean():+.3f} | {residual[rows].std():.3f} | {scatter[rows].mean():.3f} | {mean:+.2f} | {0.25 - mean:+.2f}"
        print(f"| {low} to {high} | {rows.sum()} | {cells} |")


def gas_fractions(folder: Path) -> None:
    """Gas of published tables over M500, less the mean relation."""
    print(
        "\n| preset | clusters | median log10 M500 | gas over the mean relation | scatter |"
    )
    print("|---|---|---|---|---|")
    means = []
    for preset in WITH_GAS:
        mapping, made = read_preset(preset), SAMPLES[preset](folder)
        with tempfile.TemporaryDirectory() as scratch:
            path = made if isinstance(made, Path) else Path(scratch, "own.vot")
            if not isinstance(made, Path):
                made.write(path, format="votable")
            converted = convert(read_table(path, mapping.read), mapping)
        mass, gas = converted.values[schema.MASS], converted.values["GroupGasMass"]
        redshift = redshift_at_lookback(converted.values[schema.LOOKBACK])
        at_pivot, with_mass, with_redshift = GROUP_GAS
        group = at_pivot + with_mass * (mass - PIVOT) + with_redshift * redshift
        excess = gas - mass - group  # as that within R500 over its mean relation
        excess = excess[np.isfinite(excess)]
        means.append(excess.mean())
        cells = f"{np.nanmedian(mass):.2f} | {excess.mean():+.3f} | {excess.std():.3f}"
        print(f"| `{preset}` | {len(excess)} | {cells} |")
    print(f"\nbetween the means: {np.std(means):.3f} dex")


def concentrations() -> None:
    masses = np.array([14.0, 14.5, 15.0, 15.4])
    print(
        "\n| from | z | log10 M500 / M (1e14 to 2.5e15) | Diemer & Joyce | Duffy+08 | scatter |"
    )
    print("|---|---|---|---|---|---|")
    for definition in ("200c", "200m", "vir"):
        for redshift in (0.0, 0.3, 1.0):
            at = np.full(len(masses), redshift)
            ours = log_mass_500c(masses, at, definition)
            other = log_mass_500c(masses, at, definition, DIEMER_JOYCE)
            scatter = conversion_scatter(masses, at, definition)
            cells = [
                ours - masses,
                other - ours,
                duffy(masses, redshift, definition) - ours,
            ]
            text = " | ".join(listed(cell, "+.3f") for cell in cells)
            print(f"| {definition} | {redshift} | {text} | {listed(scatter, '.3f')} |")


def listed(values: np.ndarray, style: str) -> str:
    return " ".join(format(value, style) for value in values)


def duffy(log_mass: np.ndarray, redshift: float, definition: str) -> np.ndarray:
    """log10 M500c by the concentrations of Duffy+08, by colossus; NaN without it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from colossus.cosmology import cosmology
            from colossus.halo import concentration, mass_defs
    except ImportError:
        return np.full(len(log_mass), np.nan)
    parameters = {"flat": True, "H0": HUBBLE_CONSTANT, "Om0": OMEGA_MATTER}
    parameters |= {"Ob0": 0.0486, "sigma8": 0.8159, "ns": 0.9667, "relspecies": False}
    cosmology.setCosmology("ours", params=parameters, persistence="")
    masses = 10.0**log_mass * HUBBLE_H
    known = concentration.concentration(masses, definition, redshift, model="duffy08")
    change = mass_defs.changeMassDefinition
    within, _, _ = change(masses, known, redshift, definition, "500c")
    return np.log10(within / HUBBLE_H)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path)
    parser.add_argument("--observed", type=Path)
    args = parser.parse_args()
    gas_of_groups(pd.read_csv(args.table / "observables1.csv"))
    if args.observed:
        gas_fractions(args.observed)
    concentrations()


if __name__ == "__main__":
    main()
