"""What a published mass is calibrated on, and what that says of the true mass.

log10 M_true = log10 M_published + offset, with scatter sigma: offset = -log10(1 - b) for a mass
bias b, sigma = sqrt(s_b^2 + s^2) of the uncertainty of the mean bias, which all clusters share, and
of the scatter from cluster to cluster. All are in dex.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from cinn_clusters.catalogues.mapping import Mapping, Quantity


class Calibration(NamedTuple):
    """Offset and scatter of log10 M_true at a given published mass.

    Args:
        name: ``true``, ``lensing``, ``hydrostatic`` or ``sz``; empty where none is stated.
        offset: Mean of log10 M_true / M_published.
        offset_error: Uncertainty of that mean.
        scatter: Scatter about the mean, from cluster to cluster.
        offset_source: Where the mean comes from.
        scatter_source: Where the scatter comes from; empty where there is none.
    """

    name: str
    offset: float
    offset_error: float
    scatter: float
    offset_source: str
    scatter_source: str = ""

    @property
    def total_scatter(self) -> float:
        """Uncertainty of the mean and scatter about it together."""
        return float(np.hypot(self.offset_error, self.scatter))

    @property
    def source(self) -> str:
        """Where both come from."""
        sources = dict.fromkeys((self.offset_source, self.scatter_source))
        return "; ".join(filter(None, sources))

    @property
    def is_unstated(self) -> bool:
        """Whether nothing says how the published mass compares with the true one."""
        return self.offset_source == UNSTATED.offset_source


_PER_CENT = 1.0 / (100.0 * np.log(10.0))
"""One per cent in dex."""
_TRUE = Calibration("true", 0.0, 0.0, 0.0, "taken as it stands")
_LENSING = Calibration(
    "lensing",
    0.0,
    0.0,
    20.0 * _PER_CENT,
    "no mean bias",
    "20 % by shape and line of sight: Becker & Kravtsov 2011 (arXiv:1011.1681)",
)
_HYDROSTATIC = Calibration(
    "hydrostatic",
    -math.log10(0.8),
    12.5 * _PER_CENT,
    20.0 * _PER_CENT,
    "1-b = 0.8 +- 0.1: Pratt+19 (arXiv:1902.10837), Hoekstra+15 (arXiv:1502.01883)",
    "20 % from cluster to cluster: Sereno & Ettori 2015 (arXiv:1407.7868)",
)
_SZ = _HYDROSTATIC._replace(
    name="sz",
    scatter=10.0 * _PER_CENT,
    scatter_source="10 % of mass at a signal: Planck 2013 XX (arXiv:1303.5080)",
)
CALIBRATIONS = {
    calibration.name: calibration
    for calibration in (_TRUE, _LENSING, _HYDROSTATIC, _SZ)
}
"""What is taken where a mapping states a calibration and neither offset nor scatter."""
UNSTATED = Calibration("", 0.0, 0.0, 0.0, "taken as true")
"""What is taken where nothing is stated."""
_WARNING = (
    "hydrostatic and SZ masses lie about 0.1 dex below true ones; state calibration = "
    f"{', '.join(map(repr, CALIBRATIONS))} or an offset"
)
_RELATIONS = {"temperature": "hydrostatic"}
"""Calibration of the relation by which a quantity gives a mass; its scatter is added apart."""


def calibration_of(mapping: Mapping, name: str) -> Calibration:
    """Calibration of the mass that a quantity gives.

    A radius that states none has that of the mass beside it, a temperature that of its relation.

    Args:
        mapping: What the columns mean.
        name: ``mass``, ``radius`` or ``temperature``, mapped.

    Returns:
        The default of its kind, with the offset and scatter that the mapping states.

    Examples:
        >>> from cinn_clusters import read_preset
        >>> round(calibration_of(read_preset("psz2"), "mass").offset, 3)
        0.097
    """
    quantity = mapping.quantities[name]
    if mapping.mass is not None and follows_mass(mapping, name):
        quantity = mapping.mass
    kind = quantity.calibration or _RELATIONS.get(name, "")
    default = CALIBRATIONS.get(kind, UNSTATED)
    if name in _RELATIONS:
        default = default._replace(scatter=0.0, scatter_source="")
    return _stated(default, quantity)


def describe_calibration(mapping: Mapping, name: str) -> str:
    """Line of the log: the calibration of a quantity, its offset, scatter and their source."""
    calibration = calibration_of(mapping, name)
    if follows_mass(mapping, name):
        return f"{name}: calibrated like the mass"
    kind, source = calibration.name or "not stated", calibration.source
    offset, scatter = calibration.offset, calibration.total_scatter
    amounts = f"M500 {offset:+.3f} dex, scatter {scatter:.3f} dex"
    line = f"{name}: calibration {kind}, {amounts} ({source})"
    return f"{line}: {_WARNING}" if calibration.is_unstated else line


def calibration_attributes(calibration: Calibration) -> dict[str, str | float]:
    """Attributes of the outputs: the calibration of the masses that were used."""
    return {
        "mass_calibration": calibration.name
        or f"not stated, {calibration.offset_source}",
        "mass_offset_dex": round(calibration.offset, 6),
        "mass_scatter_dex": round(calibration.total_scatter, 6),
        "mass_calibration_source": calibration.source,
    }


def follows_mass(mapping: Mapping, name: str) -> bool:
    """Whether a radius stands beside a mass and states no calibration of its own."""
    if name != "radius" or mapping.mass is None:
        return False
    quantity = mapping.quantities[name]
    stated = (quantity.calibration, quantity.offset, quantity.scatter)
    return stated == (None, None, None)


def _stated(default: Calibration, quantity: Quantity) -> Calibration:
    """The default, replaced by what the mapping states."""
    calibration, source = default, quantity.source or "as the mapping states"
    offset, scatter = quantity.offset, quantity.scatter
    if offset is not None:
        calibration = calibration._replace(offset=offset, offset_source=source)
    if scatter is None:
        return calibration
    return calibration._replace(
        offset_error=0.0, scatter=scatter, scatter_source=source
    )
