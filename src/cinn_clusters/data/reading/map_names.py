"""Whose a map is, by its file name: halo, snapshot and projection after a pattern.

The patterns of this project, of its sister projects and of TNG-Cluster's own projections are known;
``MapNaming`` holds another one, and the snapshot of maps whose names have none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from cinn_clusters.data.reading.keys import plain_integers, written_like
from cinn_clusters.errors import ConfigError, DataError
from cinn_clusters.schema import KEYS, PROJECTION

KNOWN_PATTERNS = (
    "snap_{snapshot}_halo_{halo}_proj_{projection}",
    "snap{snapshot}_halo{halo}_{projection}",
    "Halo_{halo}_proj_{projection}",
)
_HALO, _SNAPSHOT = KEYS
_FIELDS = {
    "halo": r"[^_/\\](?:[^/\\]*?[^_/\\])?",
    "snapshot": r"[^_/\\]+?",
    "projection": r"[0-9]{1,9}|[xyz]",
}
_AXES = {"x": "0", "y": "1", "z": "2", "X": "0", "Y": "1", "Z": "2"}
_HINT = "say it with --name-pattern, such as 'snap{snapshot}_halo{halo}_{projection}'"
_ZEROS = re.compile(r"^0+(?=[0-9]+$)")


@dataclass(frozen=True)
class MapNaming:
    """How names of maps say whose they are.

    Args:
        pattern: Name with ``{halo}`` and, where they are, ``{snapshot}`` and ``{projection}`` in it;
            ``*`` stands for anything. None: one of the known patterns.
        snapshot: Snapshot of maps whose names have none.

    Raises:
        ConfigError: If the pattern has no halo, or another field.

    Examples:
        >>> naming = MapNaming("cut_{halo}_z{snapshot}")
        >>> naming.keys(["cut_0012_z99.fits"], "names").HaloID.tolist()
        ['0012']
    """

    pattern: str | None = None
    snapshot: str | None = None

    def __post_init__(self) -> None:
        """Refuse a pattern that cannot say whose a map is."""
        if self.pattern is None:
            return
        names = re.findall(r"\{(.*?)\}", self.pattern)
        distinct = set(names)
        is_known = distinct <= set(_FIELDS)
        is_repeated = len(distinct) < len(names)
        if "halo" not in names or is_repeated or not is_known:
            expected = "{halo}, {snapshot} and {projection}, each at most once"
            raise ConfigError("--name-pattern", expected, f"'{self.pattern}'")

    @property
    def _expressions(self) -> tuple[re.Pattern[str], ...]:
        if self.pattern is not None:
            return (_compiled(self.pattern),)
        return tuple(map(_compiled, KNOWN_PATTERNS))

    def reads(self, names: Iterable[str]) -> bool:
        """Return whether every name says whose its map is."""
        return all(self._fields(name) is not None for name in names)

    def keys(self, names: Sequence[str], source: str) -> pd.DataFrame:
        """Read HaloID, Snapshot and Projection out of names of maps.

        Args:
            names: Names of N files, with or without their folders.
            source: Where the names stand, for the error.

        Returns:
            The keys, integers where they are plain ones, and the file name, N rows. The snapshot
            is empty where nothing says it.

        Raises:
            DataError: If a name has another pattern.
        """
        fields = list(map(self._fields, names))
        unread = [name for name, read in zip(names, fields, strict=True) if not read]
        if unread:
            got = f"{len(unread)} other names"
            patterns = self.pattern or " or ".join(KNOWN_PATTERNS)
            expected = f"names like {patterns}"
            first = f"first '{unread[0]}'"
            raise DataError(source, expected, got, first, _HINT)
        table = pd.DataFrame(fields, columns=list(_FIELDS))
        snapshots = table["snapshot"].map(_without_zeros)
        projections = table["projection"].replace(_AXES)
        return pd.DataFrame(
            {
                _HALO: _numbered(table["halo"]),
                _SNAPSHOT: _numbered(snapshots),
                PROJECTION: projections.astype("int64"),
                "filename": list(names),
            }
        )

    def _fields(self, name: str) -> dict[str, str] | None:
        """What a name says, by the first pattern that it has."""
        for expression in self._expressions:
            match = expression.fullmatch(name)
            if match is not None:
                absent = {"snapshot": self.snapshot or "", "projection": "0"}
                return absent | match.groupdict()
        return None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """A pattern as a regular expression that lets folders and endings pass."""
    expression = re.escape(pattern).replace(r"\*", ".*?")
    for name, value in _FIELDS.items():
        field = re.escape("{" + name + "}")
        expression = expression.replace(field, f"(?P<{name}>{value})")
    return re.compile(rf"(?:.*[/\\])?{expression}(?:\.[a-z]\w*){{0,2}}", re.IGNORECASE)


def _without_zeros(digits: str) -> str:
    return _ZEROS.sub("", digits)


def _numbered(names: pd.Series) -> np.ndarray:
    """Names as integers where all are plain ones of 64 bits."""
    texts = names.to_numpy(object)
    numbers = plain_integers(texts)
    if numbers is None:
        return texts
    return numbers


def pair_maps(
    rows: pd.DataFrame, maps: pd.DataFrame, keys: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Pair the rows of a catalogue with their maps, by keys that are compared as text.

    Args:
        rows: N rows with the keys.
        maps: M maps with the keys, see ``MapNaming.keys``.
        keys: Columns that say whose a map is.

    Returns:
        Row and map of each view, (V,) both: every map of every row, in order; -1 for the map of a
        row without one.

    Raises:
        DataError: If rows are of several snapshots and a map does not say of which it is.

    Examples:
        >>> rows = pd.DataFrame({"HaloID": [12, 7], "Snapshot": 99})
        >>> maps = MapNaming().keys(["snap_099_halo_007_proj_0.jpg"], "names")
        >>> pair_maps(rows, maps, ["HaloID", "Snapshot"])
        (array([0, 1]), array([-1,  0]))
    """
    maps = _with_snapshot(maps, rows)
    of_rows, of_maps = {}, {}
    for key in keys:
        of_rows[key] = rows[key].astype(str).to_numpy(object)
        map_keys = maps[key].astype(str)
        of_maps[key] = written_like(map_keys, rows[key])
    if _SNAPSHOT in keys:  # which is a number, however many zeros are in front
        for columns in (of_rows, of_maps):
            snapshots = list(map(_without_zeros, columns[_SNAPSHOT]))
            columns[_SNAPSHOT] = np.array(snapshots)
    left = pd.DataFrame(of_rows)
    left["row"] = np.arange(len(rows))
    right = pd.DataFrame(of_maps)
    right["map"] = np.arange(len(maps))
    pairs = left.merge(right, on=list(keys), how="left")
    numbers = pairs["map"].fillna(-1)
    return pairs["row"].to_numpy(), numbers.to_numpy(int)


def _with_snapshot(maps: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Give maps that name no snapshot that of the rows, if it is one."""
    if _SNAPSHOT not in maps or _SNAPSHOT not in rows:
        return maps
    stated = maps[_SNAPSHOT].astype(str)
    is_absent = stated == ""
    if not is_absent.any():
        return maps
    snapshots = rows[_SNAPSHOT].unique()
    first_snapshot = snapshots[0]
    if len(snapshots) > 1:
        absent = maps.filename[is_absent]
        got = f"none in '{absent.iloc[0]}'"
        hint = f"pass --map-snapshot, such as --map-snapshot {first_snapshot}"
        raise DataError("names of maps", "the snapshot of each map", got, "", hint)
    completed = stated.mask(is_absent, str(first_snapshot))
    return maps.assign(**{_SNAPSHOT: completed})
