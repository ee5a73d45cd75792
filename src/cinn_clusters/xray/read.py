"""Maps from the files they come in: pictures, FITS, HDF5."""

from __future__ import annotations

from pathlib import Path

from cinn_clusters.errors import CinnError, DataError
from cinn_clusters.xray.contents import MAP_FORMATS, kind_of, map_name
from cinn_clusters.xray.fits.headers import line_of
from cinn_clusters.xray.fits.images import read_fits
from cinn_clusters.xray.fits.planes import FileRole, ImageChoice
from cinn_clusters.xray.hdf5.maps import Planes, read_hdf5
from cinn_clusters.xray.image import MapUnit, XrayMap, demand_image, demand_map
from cinn_clusters.xray.pictures.decode import read_picture
from cinn_clusters.xray.values import interpreted

_REGIONS = (".reg", ".region", ".ds9")


def read_maps(
    path: str | Path, planes: Planes = "auto", unit: MapUnit | None = None
) -> list[XrayMap]:
    """Read all maps of a file.

    It is a ``.png``, ``.jpg`` or ``.fits`` (compressed or not) with one map, or ``.h5`` with a data
    set (H, W) or (H, W, 3) a map, in groups or not. ``planes`` says what the last axis of (H, W, 3)
    is: ``colour``, ``projections``, or ``auto`` to conclude it from the values. ``unit`` says what values are;
    without it the file does (BUNIT, or the attribute ``unit``).

    Raises:
        DataError: If the file is missing, damaged, of another kind, or one of its maps cannot be
            used.
    """
    choice = ImageChoice(unit=unit)
    return [usable(image) for image in read_each(path, planes, choice)]


def read_companion(path: str | Path, role: FileRole = "exposure") -> XrayMap:
    """Read an exposure, a background or a mask, which may be flat.

    Raises:
        DataError: As ``read_maps``.
    """
    if Path(path).suffix.lower() in _REGIONS:
        expected = "an image of the pixels to leave out"
        hint = (
            "draw the regions on the grid of the map first (astropy's regions: to_mask)"
        )
        raise DataError(path, expected, "a file of regions", "", hint)
    first, *others = read_each(path, choice=ImageChoice(role))
    if any(isinstance(image, XrayMap) for image in others):
        expected = f"one image that can be the {role}"
        hint = f"call one '{role}', or store it in a file of its own"
        raise DataError(path, expected, f"{1 + len(others)}", "", hint)
    return usable(first)


def read_each(
    path: str | Path, planes: Planes = "auto", choice: ImageChoice | None = None
) -> list[XrayMap | DataError]:
    """Read a file as ``read_maps`` does, with an error in the place of each map that is unusable.

    The choice says which image of a FITS file; one that is no map may be flat.

    Raises:
        DataError: If the file is missing, damaged or of another kind.
    """
    path = Path(path)
    choice = choice or ImageChoice()
    kind = kind_of(path)
    if kind is None:
        raise DataError(
            path, f"a file of {MAP_FORMATS}", f"'{path.suffix or path.name}'"
        )
    if not path.is_file():
        raise DataError(path, "a file", "none")
    try:
        images = _read(path, kind, planes, choice)
        return [_checked(image, choice) for image in images]
    except DataError as error:
        if str(path) in str(error):
            raise
        raise DataError(
            path, error.expected, error.got, error.where, error.hint
        ) from error
    except Exception as error:  # the readers below raise anything on damaged files
        raise DataError(path, f"a readable {kind} file", line_of(error)) from error


def _read(
    path: Path, kind: str, planes: Planes, choice: ImageChoice
) -> list[XrayMap | DataError]:
    if kind == "HDF5":
        return read_hdf5(path, planes, choice.role)
    name = map_name(path)
    if kind == "fits":
        return [read_fits(path, name, choice)]
    return [read_picture(path, name)]


def usable(image: XrayMap | CinnError) -> XrayMap:
    """Return a map, or raise the error in its place."""
    if isinstance(image, CinnError):
        raise image
    return image


def _checked(image: XrayMap | DataError, choice: ImageChoice) -> XrayMap | DataError:
    """Return a map whose values are understood, or what is wrong with it."""
    if isinstance(image, DataError):
        return image
    may_be_flat = choice.role != "map"
    try:
        demand_image(image)
        image = interpreted(image, choice.unit, may_be_flat=may_be_flat)
        demand_map(image, may_be_flat=may_be_flat)
    except DataError as error:
        return error
    return image
