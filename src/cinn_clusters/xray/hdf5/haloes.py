"""Files of projections of simulated haloes: snapshot, haloes and their radii beside the maps.

TNG-Cluster's own file ``gas-xray_lum_0.5-2.0kev_099_2r200_d=r200.hdf5`` holds a data set
``Halo_<id>`` a halo of snapshot 99, 2 R200 a side, and the arrays ``r500c`` and ``r200c``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cinn_clusters.errors import DataError
from cinn_clusters.xray.image import MapRadius

_HALO = re.compile(r"(?:^|/)halo_?(\d+)$", re.IGNORECASE)
_SNAPSHOT = re.compile(r"snap(?:shot)?[_-]?(\d{1,3})(?!\d)", re.IGNORECASE)
_PROJECTION = re.compile(r"_(\d{3})_(\d+(?:\.\d+)?)r(200|500)c?(?![0-9A-Za-z])")
"""Snapshot and side of maps, in R200 or R500, in the name of a file."""
_SNAPSHOT_ATTRIBUTES = ("snapshot", "snapnum", "snap")
_ARRAYS = {
    "500": ("r500c", "r500", "r_500c", "r500crit", "group_r_crit500"),
    "200": ("r200c", "r200", "r_200c", "r200crit", "group_r_crit200"),
}
_IDS = re.compile(
    r"^(halo|group|subhalo)?_?ids?$|^(halo|group)_?(id|num(ber)?)s?$", re.I
)


@dataclass(frozen=True)
class Haloes:
    """What a file says of the haloes whose maps it holds.

    Args:
        snapshot: Number of the snapshot, where it is known.
        radii: R500 by the name of the data set of a halo; its pixels are those of a map of one.
        notes: What was concluded.
    """

    snapshot: int | None = None
    radii: dict[str, MapRadius] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def map_name(self, name: str, projection: int = 0) -> str:
        """Return the name of a map: as encoders and catalogues know it where the snapshot is known."""
        halo = _HALO.search(name)
        snapshot = self.snapshot
        if in_name := _SNAPSHOT.search(name):
            snapshot = int(in_name[1])
        if halo is None or snapshot is None:
            return ""
        return f"snap_{snapshot:03d}_halo_{int(halo[1])}_proj_{projection}"


def read_haloes(file: Any, path: Path, names: Sequence[str]) -> Haloes:
    """Read what an open HDF5 file says of the haloes of its data sets.

    Raises:
        DataError: If an array of radii is not one value a halo.
    """
    halo_names = sorted(filter(_HALO.search, names), key=_halo_number)
    if not halo_names:
        return Haloes()
    snapshot = _snapshot(file, path)
    notes = []
    if snapshot is not None:
        example = Haloes(snapshot).map_name(halo_names[0])
        notes.append(f"{path}: snapshot {snapshot}, maps are called {example} ...")
    r500 = _radii(file, path, "500", halo_names)
    if r500 is None:
        return Haloes(snapshot, {}, tuple(notes))
    shares = _shares_of_side(file, path, halo_names, r500)
    kpc = _in_kpc(file, r500)
    radii = {
        name: MapRadius(_array_name(file, "500"), share, radius)
        for name, share, radius in zip(halo_names, shares, kpc, strict=True)
    }
    order = f"haloes in the order of their numbers, from {halo_names[0]}"
    use = "is used" if shares[0] is not None else "needs --pixel-kpc to be used"
    notes.append(f"{path}: R500 of each of {len(radii)} {order}, {use}")
    return Haloes(snapshot, radii, tuple(notes))


def _halo_number(name: str) -> int:
    match = _HALO.search(name)
    return int(match[1]) if match else -1


def _snapshot(file: Any, path: Path) -> int | None:
    """Return the number of the snapshot that a file, or its name, says."""
    for name, value in file.attrs.items():
        if name.lower() in _SNAPSHOT_ATTRIBUTES and np.size(value) == 1:
            return int(np.ravel(value)[0])
    match = _PROJECTION.search(path.name) or _SNAPSHOT.search(path.name)
    return int(match[1]) if match else None


def _array_name(file: Any, overdensity: str) -> str:
    """Return the name of the data set of radii, or an empty text."""
    names = [name for name in file if name.lower() in _ARRAYS[overdensity]]
    return names[0] if names else ""


def _radii(
    file: Any, path: Path, overdensity: str, halo_names: Sequence[str]
) -> np.ndarray | None:
    """Return a radius a halo, in the order of the haloes, or None where the file has none.

    Raises:
        DataError: If it holds another number of values, or one that is not positive.
    """
    name = _array_name(file, overdensity)
    if not name:
        return None
    values = np.asarray(file[name][()], dtype=float).ravel()
    if values.size != len(halo_names):
        expected = f"a radius for each of {len(halo_names)} haloes"
        raise DataError(path, expected, f"{values.size} values", f"'{name}'")
    if not (values > 0.0).all():
        got = f"{np.min(values):g}"
        raise DataError(path, "radii above 0", got, f"'{name}'")
    ordered: np.ndarray = values[_order(file, halo_names)]
    return ordered


def _order(file: Any, halo_names: Sequence[str]) -> np.ndarray:
    """Return the place of each halo in arrays: by an array of their numbers, else as they are."""
    numbers = np.array([_halo_number(name) for name in halo_names])
    for name in filter(_IDS.search, file):
        stored = file[name]
        if getattr(stored, "shape", None) != numbers.shape:
            continue
        ids = np.asarray(stored[()])
        by_id = np.argsort(ids, kind="stable")
        if ids.dtype.kind in "iu" and (ids[by_id] == numbers).all():
            return by_id
    return np.arange(len(numbers))


def _shares_of_side(
    file: Any, path: Path, halo_names: Sequence[str], r500: np.ndarray
) -> Sequence[float | None]:
    """Return R500 as a share of the side of each map, where the name of the file says the side."""
    match = _PROJECTION.search(path.name)
    if match is None:
        return [None] * len(r500)
    unit = r500 if match[3] == "500" else _radii(file, path, "200", halo_names)
    if unit is None:
        return [None] * len(r500)
    shares: Sequence[float] = (r500 / (float(match[2]) * unit)).tolist()
    return shares


def _in_kpc(file: Any, r500: np.ndarray) -> Sequence[float | None]:
    """Return radii in physical kpc, where their unit is one of length without h and scale factor."""
    from astropy import units

    unit = file[_array_name(file, "500")].attrs.get("unit", "kpc")
    try:
        factor = units.Unit(str(unit)).to("kpc")
    except (ValueError, TypeError):
        return [None] * len(r500)
    kpc: Sequence[float] = (r500 * factor).tolist()
    return kpc
