"""Coordinates of maps: from pixels over the sky (ICRS) to pixels of another map, or of a square."""

from __future__ import annotations

import string
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import map_coordinates

from cinn_clusters.errors import DataError
from cinn_clusters.xray.fits.headers import demand_coordinates, line_of

_LARGEST_PIXEL = 600.0
"""Side of a pixel [arcsec]."""
_LARGEST_RATIO = 5.0
"""Of the sides of a pixel."""
_SYSTEMS = {"J2000": "FK5", "J2000.0": "FK5", "B1950": "FK4", "B1950.0": "FK4"}
_UNDEFINED = 1e100
"""Numbers above are those of the library of coordinates for no number."""
_EQUINOXES = (1800.0, 2100.0)
_CYLINDRICAL = ("CAR", "CEA", "CYP", "MER")
"""Projections whose longitude goes on beyond half a turn."""
_NUM_NODES = 33
"""Points a side of the square whose pixels are computed; those between are interpolated."""
_STRAIGHT = 0.005
"""Largest distance, in half a side, of the points of a square from those without turn and stretch."""
_SAME_PIXEL = 1e-3
"""Largest distance [px] between the pixels of maps on one grid."""
_LARGE = 1024
_BAND = 256
"""Rows of a map that are matched at a time."""
_STEP = 16
"""Pixels between the points that are computed in maps of more than ``_LARGE`` pixels a side."""


def celestial(header: Any, path: Path, planes: Any = None) -> tuple[float | None, Any]:
    """Return the side of a pixel [arcsec] and the coordinates (WCS), or None for both.

    Args:
        header: Header of an image.
        path: File to name in errors.
        planes: All planes of the file, where a distortion may be tabulated.

    Raises:
        DataError: If the header names coordinates that make no sense.
    """
    for key in (" ", *string.ascii_uppercase):
        if _has_scale(header, key.strip()):
            demand_coordinates(header, path, key.strip())
            wcs = _read_wcs(header, path, planes, key)
            if wcs is not None:
                return _mean_side(wcs, path), wcs
    return None, None


def icrs(wcs: Any, row: np.ndarray | float, column: np.ndarray | float) -> Any:
    """Return the positions (SkyCoord, ICRS) of pixels; NaN off the sky."""
    from astropy.coordinates import SkyCoord

    world = wcs.pixel_to_world_values(column, row)
    longitude, latitude = (np.asarray(world[axis]) for axis in _axes(wcs))
    is_on_sky = np.abs(latitude) <= 90.0
    latitude = np.where(is_on_sky, latitude, np.nan)
    frame = _frame(wcs)
    positions = SkyCoord(longitude, latitude, unit="deg", frame=frame)
    return positions.icrs


def pixels(wcs: Any, positions: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of positions (SkyCoord); NaN off the projection."""
    frame = _frame(wcs)
    spherical = positions.transform_to(frame).spherical
    angles = [spherical.lon.deg, spherical.lat.deg]
    longitude_axis, latitude_axis = _axes(wcs)
    if longitude_axis > latitude_axis:
        angles.reverse()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a distortion that does not converge far off
        column, row = wcs.world_to_pixel_values(*angles)
    return _unwrapped(wcs, np.asarray(row), np.asarray(column))


def pixel_of(
    wcs: Any, right_ascension: float, declination: float
) -> tuple[float, float]:
    """Return row and column of a position in degrees (ICRS)."""
    from astropy.coordinates import SkyCoord

    position = SkyCoord(right_ascension, declination, unit="deg", frame="icrs")
    row, column = pixels(wcs, position)
    return float(row), float(column)


def sides(wcs: Any, centre: tuple[float, float]) -> tuple[float, float, float]:
    """Return width, height and mean side [arcsec] of the pixel at a row and column.

    The mean side is the square root of the area.

    Raises:
        DataError: If the pixel is off the sky.
    """
    row, column = centre
    half = np.array([-0.5, 0.5])
    still = 0.0 * half
    origin = icrs(wcs, row, column)

    # Vectors [arcsec] between opposite edges, along the rows and along the columns
    ends_along_x = icrs(wcs, row + still, column + half)
    ends_along_y = icrs(wcs, row + half, column + still)
    x = _between_ends(origin, ends_along_x)
    y = _between_ends(origin, ends_along_y)
    area = abs(x[0] * y[1] - x[1] * y[0])
    if not area > 0.0:
        got = f"pixel ({column:.0f}, {row:.0f})"
        raise DataError("centre", "a position on the sky (WCS)", got)
    width, height = np.hypot(*x), np.hypot(*y)
    mean = np.sqrt(area)
    return float(width), float(height), float(mean)


def _between_ends(origin: Any, ends: Any) -> np.ndarray:
    """Return the vector [arcsec], east and north, between two positions beside an origin."""
    east, north = origin.spherical_offsets_to(ends)
    steps = np.diff([east.arcsec, north.arcsec])
    vector: np.ndarray = steps[:, 0]
    return vector


def square(
    wcs: Any, centre: tuple[float, float], half_side: float, half_pixels: float
) -> np.ndarray | None:
    """Return rows and columns (2, K, K) of a lattice on the sky, north up and east left.

    Args:
        wcs: Coordinates of a map.
        centre: Row and column of the middle of the square.
        half_side: Half its side [arcsec].
        half_pixels: The same in pixels of the map.

    Returns:
        The lattice in the plane that touches the sky in the middle; None where the pixels of the
        map are such a lattice.
    """
    from astropy.coordinates import SkyCoord
    from astropy.wcs import WCS

    origin = icrs(wcs, *centre)
    half_degrees = half_side / 3600.0
    tangent = WCS(naxis=2)
    tangent.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    tangent.wcs.crval = [origin.ra.deg, origin.dec.deg]
    tangent.wcs.cdelt = [-half_degrees, half_degrees]

    # From -1 to 1, in half a side
    steps = np.linspace(-1.0, 1.0, _NUM_NODES)
    north, west = np.meshgrid(steps, steps, indexing="ij")
    longitude, latitude = tangent.wcs_pix2world(west, north, 1)
    positions = SkyCoord(longitude, latitude, unit="deg", frame="icrs")
    lattice = np.stack(pixels(wcs, positions))

    middle = np.reshape(centre, (2, 1, 1))
    offsets = half_pixels * np.stack([north, west])
    straight = middle + offsets
    distance = np.abs(lattice - straight).max()
    if distance <= _STRAIGHT * half_pixels:
        return None
    return lattice


def between_nodes(
    lattice: np.ndarray, row: np.ndarray, column: np.ndarray
) -> np.ndarray:
    """Interpolate a lattice (C, K, L) at rows and columns, in nodes from its corner; (C, ...)."""
    interpolate: Any = map_coordinates
    nodes = np.broadcast_arrays(row, column)
    planes = [interpolate(plane, nodes, order=1, mode="nearest") for plane in lattice]
    return np.stack(planes)


@dataclass(frozen=True, eq=False)
class MatchedPixels:
    """Where the pixels of one map are in another.

    Args:
        shape: Of the first map.
        lattice: Rows, columns and pixels of the other map a pixel, (3, K, L), of every pixel or of
            some.
        step: Pixels between those of the lattice.
    """

    shape: tuple[int, int]
    lattice: np.ndarray
    step: int

    @property
    def is_same(self) -> bool:
        """Whether the pixels are those of the same place in the other map."""
        row_and_column = self.lattice[:2]
        nodes = np.indices(row_and_column.shape[1:])
        distance = np.abs(row_and_column - nodes * self.step)
        return bool(distance.max() <= _SAME_PIXEL)

    def bands(self) -> Iterator[slice]:
        """Yield the rows, some at a time to bound the memory."""
        height, _ = self.shape
        for first in range(0, height, _BAND):
            last = min(first + _BAND, height)
            yield slice(first, last)

    def of_rows(self, rows: slice) -> np.ndarray:
        """Return rows, columns and areas of some rows, (3, R, W)."""
        if self.step == 1:
            return self.lattice[:, rows]
        _, width = self.shape
        row = np.arange(rows.start, rows.stop) / self.step
        column = np.arange(width) / self.step
        return between_nodes(self.lattice, row[:, None], column)


def match_pixels(target: Any, shape: tuple[int, ...], source: Any) -> MatchedPixels:
    """Return where the pixels of a map of a shape are in another, by the coordinates of both."""
    height, width = shape
    step = 1
    if max(shape) > _LARGE:
        step = _STEP
    num_nodes = [_num_nodes(side, step) for side in (height, width)]
    row, column = np.indices(num_nodes) * step
    positions = icrs(target, row, column)
    matched = np.stack(pixels(source, positions))
    areas = _areas(matched) / step**2
    lattice = np.concatenate([matched, areas[None]])
    return MatchedPixels((height, width), lattice, step)


def _num_nodes(side: int, step: int) -> int:
    """Return how many nodes, a step apart, reach over the pixels of a side."""
    num_steps = -(-(side - 1) // step)
    return num_steps + 1


def _areas(lattice: np.ndarray) -> np.ndarray:
    """Return the area [px] of the cells about the nodes of rows and columns (2, K, L)."""
    (row_y, row_x), (column_y, column_x) = (np.gradient(plane) for plane in lattice)
    areas: np.ndarray = np.abs(row_y * column_x - row_x * column_y)
    return areas


def _has_scale(header: Any, key: str) -> bool:
    """Return whether a header has a scale: simulated maps name axes without a scale."""
    if f"CTYPE1{key}" not in header:
        return False
    names = [f"CDELT1{key}", f"CDELT2{key}", "PC001001", "PC001002"]
    for kind, i, j in product(("CD", "PC"), "12", "12"):
        names.append(f"{kind}{i}_{j}{key}")
    scales = (header.get(name, 0.0) for name in names)
    return any(scale != 0.0 for scale in scales)


def _read_wcs(header: Any, path: Path, planes: Any, key: str) -> Any:
    """Return the two celestial axes of coordinates, or None if there are none.

    Raises:
        DataError: If they cannot be read, or are of a frame that is none of the sky.
    """
    from astropy.wcs import WCS

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wcs = WCS(_in_capitals(header), fobj=planes, key=key)
    except Exception as error:
        expected = "a coordinate system (WCS) that can be read"
        raise DataError(path, expected, line_of(error)) from error
    if not wcs.has_celestial:
        return None
    wcs = wcs.celestial
    if _is_cylindrical(wcs):
        wcs.wcs.bounds_check(False, False)
        wcs.wcs.set()
    _demand_frame(wcs, path)
    return wcs


def _in_capitals(header: Any) -> Any:
    """Return a header whose kinds of axes and systems are as the standard writes them."""
    header = header.copy()
    for name in [*header]:
        if name.startswith(("CTYPE", "RADESYS", "RADECSYS")):
            text = str(header[name]).strip().upper()
            header[name] = _SYSTEMS.get(text, text)
    return header


def _demand_frame(wcs: Any, path: Path) -> None:
    """Check that coordinates are of a frame that is known.

    Raises:
        DataError: If they are of another one, or of an equinox of no map.
    """
    first, last = _EQUINOXES
    equinox = _equinox(wcs)
    if equinox < first or equinox > last:
        got = f"{equinox:g}"
        raise DataError(path, "an equinox (EQUINOX) as 2000", got, "header")
    try:
        _frame(wcs)
    except ValueError as error:
        expected = "RADESYS ICRS, FK5 or FK4; or galactic or ecliptic coordinates"
        kinds = f"{wcs.wcs.lngtyp}, {wcs.wcs.lattyp}"
        got = f"'{wcs.wcs.radesys}' and {kinds}"
        raise DataError(path, expected, got, "header (WCS)") from error


def _mean_side(wcs: Any, path: Path) -> float:
    """Return the mean side of pixels [arcsec] at the reference pixel.

    Raises:
        DataError: If they are huge, a sign of arcsec where degrees belong, or needles.
    """
    from astropy.wcs.utils import proj_plane_pixel_scales

    degrees = proj_plane_pixel_scales(wcs)
    scales = np.abs(degrees) * 3600.0
    width, height = scales
    are_finite = np.isfinite(scales).all()
    largest = min(_LARGEST_RATIO * scales.min(), _LARGEST_PIXEL)
    if not are_finite or not 0.0 < scales.max() <= largest:
        expected = "nearly square pixels of less than 10 arcmin"
        got = f"pixels of {width:.3g} x {height:.3g} arcsec"
        raise DataError(path, expected, got, "header (CDELT, in degrees)")
    determinant = np.linalg.det(wcs.pixel_scale_matrix)
    area = abs(determinant) * 3600.0**2
    rectangle = width * height
    if not area > 1e-3 * width * height:
        raise DataError(path, "axes that differ (WCS)", "parallel ones", "header")
    return float(np.sqrt(rectangle))


def _axes(wcs: Any) -> tuple[int, int]:
    """Return the places of longitude and latitude among the axes."""
    return wcs.wcs.lng, wcs.wcs.lat


def _equinox(wcs: Any) -> float:
    """Return the year of the equinox, NaN where the header has none."""
    equinox = float(wcs.wcs.equinox)
    return np.nan if equinox > _UNDEFINED else equinox


def _is_cylindrical(wcs: Any) -> bool:
    longitude_axis, _ = _axes(wcs)
    kind: str = wcs.wcs.ctype[longitude_axis]
    return kind.endswith(_CYLINDRICAL)


def _frame(wcs: Any) -> Any:
    """Return the frame of the sky: equatorial of any equinox, galactic, ecliptic, ..."""
    from astropy import coordinates
    from astropy.time import Time
    from astropy.wcs.utils import wcs_to_celestial_frame

    kind, equinox = wcs.wcs.lngtyp.strip(), _equinox(wcs)
    if kind == "ELON":
        year = 2000.0 if np.isnan(equinox) else equinox
        return coordinates.BarycentricMeanEcliptic(equinox=Time(year, format="jyear"))
    if kind == "SLON":
        return coordinates.Supergalactic()
    if wcs.wcs.radesys.strip() == "FK4-NO-E":
        year = 1950.0 if np.isnan(equinox) else equinox
        return coordinates.FK4NoETerms(equinox=Time(year, format="byear"))
    return wcs_to_celestial_frame(wcs)


def _unwrapped(
    wcs: Any, row: np.ndarray, column: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Move pixels by whole turns of the longitude next to the middle of the map."""
    shape = wcs.array_shape
    if shape is None or not _is_cylindrical(wcs):
        return row, column
    longitude_axis, _ = _axes(wcs)
    turn = np.zeros(2)
    turn[longitude_axis] = 360.0
    step_x, step_y = np.linalg.solve(wcs.pixel_scale_matrix, turn)

    # From the pixels to the middle of the map
    height, width = shape
    to_middle_x = width / 2 - column
    to_middle_y = height / 2 - row
    along = to_middle_x * step_x + to_middle_y * step_y
    squared_step = step_x**2 + step_y**2
    num_turns = np.rint(along / squared_step)
    return row + num_turns * step_y, column + num_turns * step_x
