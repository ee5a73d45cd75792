r"""Offsets from observed apertures to those of the simulation's table: gas of the group, all stars.

Gas: log10 M_group / M_gas,500 = log10 (M_group / M500) - log10 f_gas,500, the first fitted to the
table of TNG-Cluster (``python benchmarks/offsets.py TABLE``), the second the mean of observed
clusters, so that a cluster of mean gas fraction becomes one of mean group gas at its mass.

References:
    Vikhlinin+09 (arXiv:0805.2207), eq. 9: f_gas,500 (h / 0.72)^1.5 = 0.125 + 0.037 log10 M15 with
    M500 = M15 1e15 / h Msun.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cinn_clusters.cosmology import HUBBLE_H

GROUP_GAS = (-0.610, -0.179, -0.173)
"""log10 M_group / M500 at 14.8 and z = 0, and its slopes with log10 M500 / Msun and z."""
GAS_FRACTION = (0.125, 0.037)
_RESIDUAL, _LEAST_RESIDUAL = (0.12, -0.09), 0.085
"""Residual about the fit [dex] at 14.4, its slope with log10 M500, and the least: 0.16 dex at 8e13,
0.11 at 3.5e14, 0.085 beyond 6e14 Msun."""
_BETWEEN_TABLES = 0.06
"""Scatter of the mean gas fractions of published tables about that of observed clusters [dex]."""
_PIVOT = 14.8
_COVERED = (13.5, 15.4)
"""log10 M500 beyond which the offset is that of the nearer end."""
_MEAN_MASS, _SPREAD = 14.38, 0.36
"""Mean and standard deviation of log10 M500 in the table, for rows without a mass."""
_BY_HAND = "set by hand"
STELLAR_APERTURES = {
    "bcg": (0.75, 0.25),
    "30kpc": (1.0, 0.25),
    "50kpc": (0.85, 0.25),
    "100kpc": (0.5, 0.2),
}
"""Offset and scatter [dex] from stars within an aperture to those of the central subhalo, whose
stars between galaxies are among them; set by hand."""


class ApertureOffset(NamedTuple):
    """What is added to log10 of a mass, (N,), its scatter [dex], (N,), and where both come from."""

    offset: np.ndarray
    scatter: np.ndarray
    source: str


def aperture_offset(
    definition: str, log_mass: np.ndarray, errors: np.ndarray, redshift: np.ndarray
) -> ApertureOffset:
    """Offset from an observed aperture to that of the simulation's table.

    Args:
        definition: ``500c`` of gas, ``bcg``, ``30kpc``, ``50kpc`` or ``100kpc`` of stars; any other
            has no offset.
        log_mass: log10 M500 [Msun], (N,); NaN where it is not known.
        errors: Its standard errors [dex], (N,).
        redshift: z, (N,).

    Examples:
        >>> gas = aperture_offset("500c", np.array([14.8]), np.zeros(1), np.zeros(1))
        >>> gas.offset.round(3)
        array([0.304])
    """
    if definition == "500c":
        return _gas_offset(log_mass, errors, np.nan_to_num(redshift))
    offset, scatter = STELLAR_APERTURES.get(definition, (0.0, 0.0))
    ones = np.ones(len(redshift))
    return ApertureOffset(offset * ones, scatter * ones, _BY_HAND)


def _gas_offset(
    log_mass: np.ndarray, errors: np.ndarray, redshift: np.ndarray
) -> ApertureOffset:
    """Offset of gas by mass and redshift; the error of the mass enters by its slope."""
    is_unknown = np.isnan(log_mass)
    errors = np.where(is_unknown, _SPREAD, errors)
    log_mass = np.clip(np.where(is_unknown, _MEAN_MASS, log_mass), *_COVERED)
    fraction, fraction_slope = _gas_fraction(log_mass)
    at_pivot, with_mass, with_redshift = GROUP_GAS
    group = at_pivot + with_mass * (log_mass - _PIVOT) + with_redshift * redshift
    slope = with_mass - fraction_slope
    return ApertureOffset(
        group - np.log10(fraction),
        np.hypot(_gas_scatter(log_mass), slope * errors),
        "gas of groups in TNG-Cluster over the gas fraction of Vikhlinin+09 (arXiv:0805.2207)",
    )


def _gas_scatter(log_mass: np.ndarray) -> np.ndarray:
    """Scatter of the offset: residual about the fit, and between published tables."""
    at_pivot, slope = _RESIDUAL
    residual = at_pivot + slope * (log_mass - 14.4)
    return np.hypot(np.maximum(residual, _LEAST_RESIDUAL), _BETWEEN_TABLES)


def _gas_fraction(log_mass: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gas fraction within R500, and its slope dlog10 f / dlog10 M (Vikhlinin+09, eq. 9)."""
    at_pivot, slope = GAS_FRACTION
    in_pivots = log_mass - 15.0 + np.log10(HUBBLE_H)
    reference = at_pivot + slope * in_pivots
    fraction = reference * (0.72 / HUBBLE_H) ** 1.5
    return fraction, slope / (reference * np.log(10.0))
