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
    first_halo = halo_names[0]
    snapshot = _snapshot(file, path)
    notes = []
    if snapshot is not None:
        example = Haloes(snapshot).map_name(first_halo)
        notes.append(f"{path}: snapshot {snapshot}, maps are called {example} ...")
    r500 = _radii(file, path, "500", halo_names)
    if r500 is None:
        return Haloes(snapshot, {}, tuple(notes))

    shares = _shares_of_side(file, path, halo_names, r500)
    all_kpc = _in_kpc(file, r500)
    array_name = _array_name(file, "500")
    radii = {}
    for name, share, kpc in zip(halo_names, shares, all_kpc, strict=True):
        radii[name] = MapRadius(array_name, share, kpc)
    order = f"haloes in the order of their numbers, from {first_halo}"
    use = "is used"
    if shares[0] is None:
        use = "needs --pixel-kpc to be used"
    notes.append(f"{path}: R500 of each of {len(radii)} {order}, {use}")
    return Haloes(snapshot, radii, tuple(notes))


def _halo_number(name: str) -> int:
    match = _HALO.search(name)
    return int(match[1]) if match else -1


def _snapshot(file: Any, path: Path) -> int | None:
    """Return the number of the snapshot that a file, or its name, says."""
    for name, value in file.attrs.items():
        is_snapshot = name.lower() in _SNAPSHOT_ATTRIBUTES
        if is_snapshot and np.size(value) == 1:
            (number,) = np.ravel(value)
            return int(number)
    match = _PROJECTION.search(path.name) or _SNAPSHOT.search(path.name)
    if match is None:
        return None
    return int(match[1])


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
    stored = file[name][()]
    values = np.asarray(stored, dtype=float).ravel()
    num_haloes = len(halo_names)
    if values.size != num_haloes:
        expected = f"a radius for each of {num_haloes} haloes"
        raise DataError(path, expected, f"{values.size} values", f"'{name}'")
    is_positive = values > 0.0
    if not is_positive.all():
        got = f"{np.min(values):g}"
        raise DataError(path, "radii above 0", got, f"'{name}'")
    order = _order(file, halo_names)
    ordered: np.ndarray = values[order]
    return ordered


def _order(file: Any, halo_names: Sequence[str]) -> np.ndarray:
    """Return the place of each halo in arrays: by an array of their numbers, else as they are."""
    numbers = np.array(list(map(_halo_number, halo_names)))
    for name in filter(_IDS.search, file):
        stored = file[name]
        shape = getattr(stored, "shape", None)
        if shape != numbers.shape:
            continue
        ids = np.asarray(stored[()])
        by_id = np.argsort(ids, kind="stable")
        is_same = ids[by_id] == numbers
        if ids.dtype.kind in "iu" and is_same.all():
            return by_id
    return np.arange(len(numbers))


def _shares_of_side(
    file: Any, path: Path, halo_names: Sequence[str], r500: np.ndarray
) -> Sequence[float | None]:
    """Return R500 as a share of the side of each map, where the name of the file says the side."""
    unknown: list[float | None] = [None] * len(r500)
    match = _PROJECTION.search(path.name)
    if match is None:
        return unknown
    overdensity = match[3]
    radius = r500
    if overdensity != "500":
        of_200 = _radii(file, path, "200", halo_names)
        if of_200 is None:
            return unknown
        radius = of_200
    side = float(match[2]) * radius
    shares: Sequence[float] = (r500 / side).tolist()
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
