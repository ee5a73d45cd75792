"""Which image of a FITS file is the map, or its exposure, background or mask."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cinn_clusters.errors import DataError
from cinn_clusters.xray.image import MapUnit

FileRole = Literal["map", "exposure", "background", "mask"]
"""What an image is to the command."""
_NAMES = {
    "exposure": "EXP|EXPOSURE|EXPOS|EXPMAP|EXP_MAP|EXPTIME|EXPOSURE_?MAP|EXPIMAGE",
    "background": "BKG|BKGMAP|BKGD|BKGRD|BACK|BACKGROUND|BG|BGD|BGMAP",
    "mask": "MASK|DETMASK|DQ|QUALITY|QUAL|FLAGS?|BADPIX|BPM|GOODPIX|REGIONS?",
    "error": "ERR|ERRORS?|VAR|VARIANCE|IVAR|STD|SIG|SIGMA|UNC|UNCERT|RMS|NOISE|SNR|SN"
    "|WHT|WEIGHTS?|PSF|KERNEL|MODEL|RESID|RESIDUALS?|COV|COVERAGE|AREA|VIGNETTING",
}
"""Names of extensions (EXTNAME), or words in them, of what is no map."""
_PATTERNS = {
    role: re.compile(rf"(?:^|[\W_])(?:{names})\d*(?:$|[\W_])", re.IGNORECASE)
    for role, names in _NAMES.items()
}
_FURTHER = re.compile(r"^(counts?|cts|rate|events_image)$", re.IGNORECASE)
"""Names of extensions that repeat the primary image in other units."""
_BINNING = (
    "bin it first: dmcopy 'events.fits[bin x=::4,y=::4]' image.fits (CIAO), "
    "evselect (SAS), evtool (eSASS)"
)


@dataclass(frozen=True)
class ImageChoice:
    """Which image of a file is read, and what its values are.

    Args:
        role: What it is to be.
        hdu: Number or name (EXTNAME) of the plane (HDU), or None.
        unit: What its values are, where the user says so.
    """

    role: FileRole = "map"
    hdu: str | None = None
    unit: MapUnit | None = None


def choose_plane(
    planes: Sequence[Any], path: Path, choice: ImageChoice
) -> tuple[Any, tuple[str, ...]]:
    """Return the plane (HDU) that is asked for, and a note if there were others.

    Raises:
        DataError: If there is none, or several would do.
    """
    if choice.hdu is not None:
        return _named(planes, path, choice.hdu), ()
    images = [plane for plane in planes if _is_image(plane)]
    if not images:
        raise _no_image(planes, path)
    candidates = _candidates(images, choice.role)
    if len(candidates) != 1:
        expected = f"an image that is the {choice.role}"
        if len(candidates) > 1:
            expected = f"one image that can be the {choice.role}"
        got, hint = _listed(planes), "store it in a file of its own"
        if choice.role == "map":
            hint = "pass --hdu with its number or name"
        raise DataError(path, expected, got, "", hint)
    (chosen,) = candidates
    if len(images) == 1:
        return chosen, ()
    note = f"{path}: {_label(planes, chosen)} read as the {choice.role} of {_listed(planes)}"
    return chosen, (note,)


def _candidates(images: list[Any], role: FileRole) -> list[Any]:
    """Return the images that can have a role: by name, else by what they are not."""
    if role == "map":
        return _maps(images)
    named = [plane for plane in images if _PATTERNS[role].search(plane.name)]
    if named or len(images) == 1:
        return named or images
    return [plane for plane in images if not _is_companion(plane)]


def _maps(images: list[Any]) -> list[Any]:
    """Return the images that are no companions of another, by their names or what they hold."""
    unnamed = [plane for plane in images if not _is_companion(plane)]
    if len(unnamed) < 2:
        return unnamed
    maps = [plane for plane in unnamed if not _is_mask(plane)]
    return _without_repeats(maps or unnamed)


def _without_repeats(images: list[Any]) -> list[Any]:
    """Return the first image alone if the others repeat it in other units."""
    first, *later = images
    is_repeated = all(_FURTHER.match(plane.name) for plane in later)
    if is_repeated and not _FURTHER.match(first.name):
        return [first]
    return images


def _is_image(plane: Any) -> bool:
    """Return whether a plane has pixels in two axes or more; some keep a text in one."""
    header = plane.header
    num_axes = header.get("NAXIS", 0)
    if not plane.is_image or num_axes < 2:
        return False
    return all(header.get(f"NAXIS{axis + 1}", 0) > 0 for axis in range(num_axes))


def _is_companion(plane: Any) -> bool:
    return _is_companion_name(plane.name)


def _is_companion_name(name: str) -> bool:
    return any(pattern.search(name) for pattern in _PATTERNS.values())


def names_of_role(names: Sequence[str], role: FileRole) -> list[str]:
    """Return the data sets that can have a role by the last part of their names; if none, all.

    Examples:
        >>> names_of_role(["a/img", "a/img_err", "mask"], "map")
        ['a/img']
    """
    leaves = {name: name.rsplit("/")[-1] for name in names}
    chosen = [name for name in names if not _is_companion_name(leaves[name])]
    if role != "map":
        chosen = [name for name in names if _PATTERNS[role].search(leaves[name])]
    return chosen or list(names)


def _is_mask(plane: Any) -> bool:
    """Return whether an image holds whole numbers of at most two values, 0 or 1."""
    if plane.header.get("BITPIX", -32) < 0:
        return False
    values = np.asarray(plane.data)
    return bool(((values == 0) | (values == 1)).all())


def _named(planes: Sequence[Any], path: Path, hdu: str) -> Any:
    """Return the plane of a number or name.

    Raises:
        DataError: If there is no image of the name.
    """
    for number, plane in enumerate(planes):
        names = {str(number), plane.name.upper(), f"{plane.name.upper()},{plane.ver}"}
        if hdu.strip().upper() in names and _is_image(plane):
            return plane
    raise DataError(path, f"an image as HDU '{hdu}'", _listed(planes), "--hdu")


def _listed(planes: Sequence[Any]) -> str:
    """Return numbers and names of the images, or say that there is none."""
    labels = [_label(planes, plane) for plane in planes if _is_image(plane)]
    return ", ".join(labels) or "none in any extension"


def _label(planes: Sequence[Any], plane: Any) -> str:
    number = [*planes].index(plane)
    size = f"{plane.header['NAXIS1']} x {plane.header['NAXIS2']}"
    return f"{number} '{plane.name}' ({size})"


def _no_image(planes: Sequence[Any], path: Path) -> DataError:
    """Return the error of a file without images, which says what is there instead."""
    for plane in planes:
        kind, hint = _kind_of_table(plane)
        if kind:
            got = f"{kind} ('{plane.name}', {plane.header['NAXIS2']} rows)"
            return DataError(path, "an image", got, "", hint)
    return DataError(path, "an image", "none in any extension")


def _kind_of_table(plane: Any) -> tuple[str, str]:
    """Return what a table holds that astronomers take for an image, and what to do."""
    if not hasattr(plane, "columns"):
        return "", ""
    columns = {name.upper() for name in plane.columns.names}
    if plane.header.get("PIXTYPE", "") == "HEALPIX":
        return "a HEALPix table", "project it on a plane first"
    if "SHAPE" in columns:
        return "a table of regions", "draw them on the grid of the map first"
    if {"X", "Y"} <= columns or {"RA", "DEC", "TIME"} <= columns:
        return "an event list", _BINNING
    return "a table", "maps are images"
