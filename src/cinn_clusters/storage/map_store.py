"""X-ray maps on disk: one HDF5 store for training, and files that other tools open."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cinn_clusters.data.embeddings import NAME, parsed_names
from cinn_clusters.errors import DataError
from cinn_clusters.files import atomic_directory, atomic_file
from cinn_clusters.mock.instrument import observe
from cinn_clusters.mock.population import draw_cluster, mock_catalogue
from cinn_clusters.mock.xray import HALF_WIDTH, draw_maps
from cinn_clusters.rng import numpy_stream

STORE = "maps.h5"
FORMATS = ("png", "jpg", "fits")
DEPTH = 3.3
"""Decades of surface brightness that a picture shows, down from the brightest pixels."""
Variant = str
"""``ideal`` (log surface brightness) or ``observed`` (counts over exposure)."""


@dataclass(frozen=True)
class MapStore:
    """Maps and whose they are.

    Args:
        values: log10 surface brightness, (N, H, W); of ``observed`` maps with NaN where nothing was
            exposed.
        table: ``filename`` of each map; HaloID, Snapshot and Projection too where names tell them.
        half_width: Half the side of a map [R500].
        source: Where they come from.
        variant: ``ideal`` or ``observed``.
    """

    values: np.ndarray
    table: pd.DataFrame
    half_width: float
    source: str
    variant: Variant = "ideal"


def write_maps(
    out: str | Path,
    *,
    num_clusters: int = 350,
    size: int = 128,
    num_projections: int = 3,
    seed: int = 1,
    formats: tuple[str, ...] = (),
    processes: int | None = None,
    overwrite: bool = False,
    on_cluster: Callable[[int, int], None] | None = None,
) -> Path:
    """Draw the maps of an embedded catalogue and write them.

    Args:
        out: Folder to make: ``maps.h5``, and ``png/``, ``jpg/``, ``fits/`` as asked for.
        num_clusters: As for the catalogue of the same seed.
        size: Pixels a side.
        num_projections: Views a snapshot, at most 3.
        seed: That of the catalogue.
        formats: Files to write beside the store.
        processes: Worker processes; as many as the machine has cores when absent. They do not
            change the maps.
        overwrite: Replace maps that stand there.
        on_cluster: Called with clusters done and all clusters.

    Returns:
        Path of the store.

    Raises:
        DataError: If a format or a number is none that can be made.
        OutputError: If the folder is taken or cannot be written.
    """
    _demand_makeable(size, num_projections, formats)
    out = Path(out)
    observables, _ = mock_catalogue(num_clusters, seed)
    keys = observables[["HaloID", "Snapshot"]].to_numpy().reshape(num_clusters, -1, 2)
    with atomic_directory(out, overwrite=overwrite, kept=(STORE,)) as scratch:
        for name in formats:
            (scratch / name).mkdir()
        draw = partial(_draw_cluster, seed=seed, size=size, num_projections=num_projections)
        with (
            atomic_file(scratch / STORE) as path,
            _create_store(path, size, len(observables) * num_projections) as file,
        ):
            for cluster, drawn in enumerate(_in_parallel(draw, num_clusters, processes)):
                _append(file, cluster, drawn, keys[cluster], scratch, formats)
                if on_cluster is not None:
                    on_cluster(cluster + 1, num_clusters)
    return out / STORE


def read_store(path: str | Path, variant: Variant = "ideal") -> MapStore:
    """Read a store of maps.

    Args:
        path: HDF5 file of ``write_maps``, or of the command ``maps``.
        variant: ``ideal`` or ``observed``.

    Raises:
        DataError: If it is no such file, or of another stretch than log.
    """
    import h5py

    path = Path(path)
    if path.is_dir() and (path / STORE).is_file():
        path = path / STORE
    try:
        with h5py.File(path) as file:
            if (stretch := file.attrs.get("stretch", "log")) != "log":
                raise DataError(
                    str(path), "log brightness, as encoders see", f"the stretch {stretch}"
                )
            names = [name.decode() for name in file["filename"][:]]
            values = _values(file, variant)
            half_width = float(file.attrs["half_width_r500"])
            table = _table(names)
    except (OSError, KeyError) as error:
        raise DataError(
            str(path), f"a store of maps ({STORE} of cinn-clusters mock --maps)", str(error)
        ) from error
    return MapStore(values, table, half_width, str(path), variant)


def _table(names: list[str]) -> pd.DataFrame:
    """What the names of maps tell: whose they are, or only how they are called."""
    if all(NAME.fullmatch(name) for name in names):
        return parsed_names(names, STORE)
    return pd.DataFrame({"filename": names})


def _demand_makeable(size: int, num_projections: int, formats: tuple[str, ...]) -> None:
    if size < 16:
        raise DataError("size", "at least 16 px", str(size))
    if not 1 <= num_projections <= 3:
        raise DataError("projections", "1 to 3, along the axes of the box", str(num_projections))
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise DataError("formats", f"any of {', '.join(FORMATS)}", ", ".join(unknown))


def _draw_cluster(
    cluster: int, *, seed: int, size: int, num_projections: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ideal maps, counts and exposures of a cluster, (8 P, H, W) each; depends on seed and
    cluster alone.
    """
    history, _, observables = draw_cluster(cluster, seed)
    gas, rng = observables["GroupGasMass"], numpy_stream(seed, "maps", cluster)
    ideal = draw_maps(history, gas, rng, size=size, num_projections=num_projections)
    ideal = ideal.reshape(-1, size, size)
    rng = numpy_stream(seed, "telescope", cluster)
    seen = [observe(one, rng) for one in ideal]
    return (
        ideal,
        np.stack([counts for counts, _ in seen]),
        np.stack([exposure for _, exposure in seen]),
    )


def _in_parallel(draw: Callable[[int], Any], num: int, processes: int | None) -> Iterator[Any]:
    processes = min(processes or os.cpu_count() or 1, num)
    if processes == 1:
        yield from map(draw, range(num))
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(draw, range(num))


def _create_store(path: Path, size: int, num: int) -> Any:
    import h5py

    file = h5py.File(path, "w")
    for name, kind, unit in (
        ("log_brightness", "f2", "log10 relative to the centre of a cluster of 10^14.4 Msun"),
        ("counts", "u4", "photons"),
        ("exposure", "f2", "ks"),
    ):
        stored = file.create_dataset(
            name, (num, size, size), kind, chunks=(1, size, size), compression="lzf"
        )
        stored.attrs["unit"] = unit
    file.create_dataset("filename", (num,), h5py.string_dtype())
    file.attrs.update(half_width_r500=HALF_WIDTH, source="cinn-clusters mock --maps")
    return file


def _append(
    file: Any,
    cluster: int,
    drawn: tuple[np.ndarray, ...],
    keys: np.ndarray,
    folder: Path,
    formats: tuple[str, ...],
) -> None:
    ideal, counts, exposure = drawn
    views = len(ideal) // len(keys)
    names = [
        f"snap_{snapshot:03d}_halo_{halo}_proj_{view}"
        for halo, snapshot in keys
        for view in range(views)
    ]
    rows = slice(cluster * len(ideal), (cluster + 1) * len(ideal))
    for name, values in (
        ("log_brightness", ideal),
        ("counts", counts),
        ("exposure", exposure),
        ("filename", names),
    ):
        file[name][rows] = values
    for name, *maps in zip(names, ideal, counts, exposure, strict=True):
        for kind in formats:
            _write_fits(folder, name, *maps) if kind == "fits" else _write_picture(
                folder, name, maps[0], kind
            )


def picture(log_brightness: np.ndarray) -> np.ndarray:
    """Map (H, W) as grey values 0 to 255: DEPTH decades down from the 99.7th percentile, where
    cores saturate.
    """
    top = float(np.nanpercentile(log_brightness, 99.7))
    return (
        np.asarray(np.clip((log_brightness - top) / DEPTH + 1.0, 0.0, 1.0) * 255.0)
        .round()
        .astype(np.uint8)
    )


def _write_picture(folder: Path, name: str, log_brightness: np.ndarray, kind: str) -> None:
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(picture(log_brightness)[::-1]))  # north is up
    image.save(folder / kind / f"{name}.{kind}", quality=92)


def _write_fits(
    folder: Path, name: str, ideal: np.ndarray, counts: np.ndarray, exposure: np.ndarray
) -> None:
    from astropy.io import fits

    header = fits.Header(
        {"BUNIT": "log10", "R500PX": len(ideal) / (2.0 * HALF_WIDTH), "OBJECT": name}
    )
    header.comments["R500PX"] = "pixels in R500"
    planes = [
        fits.PrimaryHDU(ideal, header),
        fits.ImageHDU(counts, name="COUNTS"),
        fits.ImageHDU(exposure, name="EXPOSURE"),
    ]
    fits.HDUList(planes).writeto(folder / "fits" / f"{name}.fits")


def _values(file: Any, variant: Variant) -> np.ndarray:
    """log10 surface brightness; of observed maps that of (counts + 1/2) / exposure, NaN where
    nothing was exposed.
    """
    if variant == "ideal":
        return np.asarray(file["log_brightness"][:], dtype=np.float32)
    if variant != "observed":
        raise DataError("variant", "ideal or observed", variant)
    if "counts" not in file:
        raise DataError(
            str(file.filename), "counts and exposure, since observed maps were asked for", "neither"
        )
    exposure = file["exposure"][:].astype(np.float32)
    with np.errstate(divide="ignore"):
        rate = (file["counts"][:].astype(np.float32) + 0.5) / exposure
    return np.where(exposure > 0.1 * exposure.max((1, 2), keepdims=True), np.log10(rate), np.nan)
