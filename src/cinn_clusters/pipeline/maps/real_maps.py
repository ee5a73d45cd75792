"""Maps of any origin in a store of their own; stores of several commands in one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cinn_clusters.errors import DataError
from cinn_clusters.files import atomic_file, demand_free
from cinn_clusters.xray.collect import Collected, collect
from cinn_clusters.xray.framing import Framing

SOURCE = "cinn-clusters maps"
UNITS = {"log": "log10, relative", "asinh": "asinh in [0, 1], relative"}
AS_THEY_ARE = (None, False, "auto")
"""Options of reading that ask for nothing."""
MUST_AGREE = ("half_width_r500", "stretch")


def store_files(
    paths: Sequence[str | Path],
    out: str | Path,
    framing: Framing,
    *,
    overwrite: bool = False,
    on_file: Callable[[int, int], None] | None = None,
    **reading: Any,
) -> Collected:
    """Read maps from files of any kind and write a store of them; put together stores that are there.

    Args:
        paths: Files and folders; or stores of this function, see ``merge_stores``.
        out: HDF5 file to make; half a side is 0 R500 in it where R500 was not given.
        framing: How maps are cut.
        overwrite: Replace a file that stands there.
        on_file: Called with files done and all files.
        **reading: Exposure, background, mask, ...: see ``collect``.

    Returns:
        What was read, and what could not be.

    Raises:
        DataError: If no file can be used, or stores are to be read in another way than they are.
        OutputError: If the file is there or cannot be written.
    """
    if any(is_store(path) for path in paths):
        if framing != Framing() or any(value not in AS_THEY_ARE for value in reading.values()):
            raise DataError(
                "maps", "stores alone, put together as they are", "options that read or cut maps"
            )
        return merge_stores(paths, out, overwrite=overwrite)
    demand_free(Path(out), overwrite)
    collected = collect(paths, framing, on_file=on_file, **reading)
    half_width = framing.half_width if framing.radius_kpc is not None else 0.0
    _write(Path(out), collected, {"half_width_r500": half_width, "stretch": framing.stretch})
    return collected


def merge_stores(
    paths: Sequence[str | Path], out: str | Path, *, overwrite: bool = False
) -> Collected:
    """Write the maps of several stores of ``store_files`` in one.

    Args:
        paths: Stores, of maps of one size, frame and stretch.
        out: HDF5 file to make.
        overwrite: Replace a file that stands there.

    Returns:
        All maps, in the order of the stores.

    Raises:
        DataError: If one is no such store, they differ, or two maps have one name.
        OutputError: If the file is there or cannot be written.
    """
    demand_free(Path(out), overwrite)
    stores = [(Path(path), *_read(Path(path))) for path in paths]
    first, collected, facts = stores[0]
    names: dict[str, Path] = {}
    for path, one, other in stores:
        if (shape := one.values.shape[1:]) != collected.values.shape[1:]:
            side = collected.values.shape[1]
            raise DataError(str(path), f"maps of {side} px, as in {first}", f"{shape[0]} px")
        for name in MUST_AGREE:
            if other[name] != facts[name]:
                raise DataError(
                    str(path), f"{name} of {facts[name]}, as in {first}", str(other[name])
                )
        for name in one.names:
            if name in names:
                raise DataError(
                    str(path),
                    "a name of its own for each map",
                    f"'{name}' again",
                    f"first {names[name]}",
                )
            names[name] = path
    merged = Collected(tuple(names), np.concatenate([one.values for _, one, _ in stores]), ())
    _write(Path(out), merged, facts)
    return merged


def is_store(path: str | Path) -> bool:
    """Whether a file is a store of maps."""
    import h5py

    try:
        with h5py.File(path) as file:
            return "log_brightness" in file and "filename" in file
    except OSError:
        return False


def _read(path: Path) -> tuple[Collected, dict[str, Any]]:
    import h5py

    if not is_store(path):
        raise DataError(str(path), f"a store of {SOURCE}, since others are", "another file")
    with h5py.File(path) as file:
        if file.attrs.get("source") != SOURCE:
            raise DataError(
                str(path),
                f"a store of {SOURCE}",
                f"one of {file.attrs.get('source', 'unknown origin')}",
            )
        names = tuple(name.decode() for name in file["filename"][:])
        facts = {
            name: file.attrs.get(name, "log") for name in MUST_AGREE
        }  # older stores are all log
        return Collected(names, file["log_brightness"][:], ()), facts


def _write(path: Path, collected: Collected, facts: dict[str, Any]) -> None:
    """Write a store; its data set is called by the usual stretch, ``stretch`` tells which it is."""
    import h5py

    with atomic_file(path) as scratch, h5py.File(scratch, "w") as file:
        stored = file.create_dataset(
            "log_brightness", data=collected.values.astype("f2"), compression="lzf"
        )
        stored.attrs["unit"] = UNITS[facts["stretch"]]
        file.create_dataset("filename", data=list(collected.names), dtype=h5py.string_dtype())
        file.attrs.update(facts, source=SOURCE)
