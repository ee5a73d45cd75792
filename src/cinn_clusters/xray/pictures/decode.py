"""Maps from pictures: PNG, JPEG, TIFF and GIF of any mode, upright, without border."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from cinn_clusters.errors import DataError
from cinn_clusters.xray.image import XrayMap
from cinn_clusters.xray.pictures.borders import Box, map_box, opaque_box
from cinn_clusters.xray.pictures.colours import is_dark_on_bright, read_levels

_MOST_PIXELS = 2**25
"""Of a picture: a small file may stand for more than there is memory."""
_WHITE_16 = 65535.0
_SRGB_GAMMA = 1.0 / 2.2
_ORIENTATION = 0x0112
"""Tag of the orientation (Exif 2.3, 4.6.4)."""


def read_picture(path: Path, name: str) -> XrayMap:
    """Read a picture as a map of levels in [0, 1], rows from south to north.

    Pictures of 32 bits a pixel hold numbers, a brightness.

    Raises:
        DataError: If it is too large, black and white only, a figure with axes, or its colours
            follow no known map.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                _demand_size(image.size)
                return _read(image, path, name)
        except Image.DecompressionBombError as error:
            raise _too_large("more than 178 million pixels") from error


def _read(image: Any, path: Path, name: str) -> XrayMap:
    """Read an open picture."""
    from PIL import ImageOps

    if image.mode == "1":
        got = "black and white only (1 bit a pixel)"
        raise DataError(path, "levels of grey or colours", got)
    notes = [f"{path}: {note}" for note in _notes(image)]
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        levels, further = _deep(np.asarray(image, dtype=float))
    elif image.mode in ("I", "F"):
        values = np.asarray(image, dtype=float)[::-1]
        return XrayMap(name, values, "brightness", path, notes=tuple(notes))
    else:
        levels, further = _coloured(np.asarray(image.convert("RGBA")))
    notes += [f"{path}: {note}" for note in further]
    return XrayMap(name, levels[::-1], "grey", path, notes=tuple(notes))


def _deep(values: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return levels of 16 bits a pixel, by the range of the type as those of 8 bits."""
    levels, notes = values / _WHITE_16, list[str]()
    rows, columns = map_box(levels[..., None])
    levels = _cropped(levels, (rows, columns), notes)
    brightest = values.max()
    if 255.0 < brightest < 4096.0:
        fact = f"16 bits a pixel, the brightest {brightest:g} of 65535"
        notes.append(f"{fact}: multiply it by 16 if these are 12 bits")
    if is_dark_on_bright(levels):
        levels = 1.0 - levels
        notes.append("faint sky is bright: read in the reversed map 'grey_r'")
    return levels, notes


def _coloured(pixels: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return levels of red, green, blue and opacity (H, W, 4), NaN where nothing is opaque."""
    notes = list[str]()
    pixels = _cropped(pixels, opaque_box(pixels[..., 3] > 0), notes, "transparent")
    is_gap = pixels[..., 3] == 0
    colours = pixels[..., :3] / 255.0
    if not is_gap.any():
        colours = _cropped(colours, map_box(colours), notes)
        is_gap = np.zeros(colours.shape[:2], bool)
    colours[is_gap] = np.nan
    levels = read_levels(colours)
    if note := levels.note():
        notes.append(note)
    if num_gaps := int(is_gap.sum()):
        notes.append(f"{num_gaps} transparent pixels were taken as not observed")
    return levels.values, notes


def _cropped(
    values: np.ndarray, box: Box, notes: list[str], kind: str = "even"
) -> np.ndarray:
    """Return what is in a box, and note what was cut off."""
    inside = values[box]
    if inside.shape == values.shape:
        return values
    (height, width), (new_height, new_width) = values.shape[:2], inside.shape[:2]
    sizes = f"{width} x {height} to {new_width} x {new_height} pixels"
    notes.append(f"its {kind} border was cut off ({sizes})")
    return inside


def _notes(image: Any) -> list[str]:
    """Return what a viewer would show otherwise, or not at all."""
    notes: list[str] = []
    if getattr(image, "is_animated", False):
        notes.append("several pictures in one file: the first was read")
    if image.getexif().get(_ORIENTATION, 1) != 1:
        notes.append("turned as its orientation (Exif) says")
    gamma = image.info.get("gamma", _SRGB_GAMMA)
    if abs(gamma / _SRGB_GAMMA - 1.0) > 0.05:
        notes.append(f"its gamma of {gamma:.3g} was not applied")
    return notes


def _demand_size(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > _MOST_PIXELS:
        raise _too_large(f"{width} x {height}")


def _too_large(got: str) -> DataError:
    side = int(_MOST_PIXELS**0.5)
    expected = f"a picture of at most {side} x {side} pixels"
    return DataError("picture", expected, got, "", "cut the cluster out, or shrink it")
