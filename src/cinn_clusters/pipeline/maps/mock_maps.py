"""X-ray maps of the mock catalogue: drawn cluster by cluster, stored, and shown as pictures."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread

import numpy as np

from cinn_clusters.catalogues.formats.metadata import fits_content
from cinn_clusters.errors import DataError
from cinn_clusters.files import Destination, atomic_directory
from cinn_clusters.mock.images import HALF_WIDTH, draw_maps
from cinn_clusters.mock.instrument import observe_map
from cinn_clusters.mock.population import draw_cluster, mock_catalogue
from cinn_clusters.progress import OnProgress, Progress, ignore_progress
from cinn_clusters.rng import numpy_stream
from cinn_clusters.storage.map_store import STORE, StoreFacts, store_writer

MAP_FORMATS = ("png", "jpg", "fits")
PICTURE_DECADES = 3.3
"""Decades of surface brightness that a picture shows, down from the brightest pixels."""
_FACTS = StoreFacts(
    "cinn-clusters mock --maps",
    HALF_WIDTH,
    unit="log10 relative to the centre of a cluster of 10^14.4 Msun",
)


@dataclass(frozen=True)
class MockMaps:
    """Which maps of the mock catalogue are drawn.

    Args:
        num_clusters: Clusters, each at eight snapshots, as in the catalogue of the same seed.
        seed: Seed of the catalogue.
        size: Pixels a side.
        num_projections: Views a snapshot along the axes of the box, at most 3.
        formats: Files to write beside the store: ``png``, ``jpg``, ``fits``.
        processes: Worker processes; as many as the machine has cores when absent. They do not
            change the maps.
    """

    num_clusters: int = 350
    seed: int = 1
    size: int = 128
    num_projections: int = 3
    formats: tuple[str, ...] = ()
    processes: int | None = None

    def demand_drawable(self) -> None:
        """Raise DataError for too few pixels, too many projections and unknown formats."""
        if self.size < 16:
            raise DataError("size", "at least 16 px", self.size)
        if not 1 <= self.num_projections <= 3:
            expected = "1 to 3, along the axes of the box"
            raise DataError("projections", expected, self.num_projections)
        unknown = [name for name in self.formats if name not in MAP_FORMATS]
        if unknown:
            raise DataError(
                "formats", f"any of {', '.join(MAP_FORMATS)}", ", ".join(unknown)
            )


@dataclass(frozen=True, eq=False)
class _ClusterMaps:
    """Names, ideal maps, photons and exposures [ks] of one cluster, (8 P, H, H)."""

    names: list[str]
    log_brightness: np.ndarray
    counts: np.ndarray
    exposure: np.ndarray


def write_mock_maps(
    destination: Destination,
    options: MockMaps,
    *,
    on_progress: OnProgress = ignore_progress,
) -> Path:
    """Draw the maps of a mock catalogue into a folder, and return the path of their store.

    The folder holds ``maps.h5``, and ``png/``, ``jpg/``, ``fits/`` as ``options.formats`` says.

    Raises:
        DataError: If a format or a number is none that can be made.
        OutputError: If the folder is taken or cannot be written.
    """
    options.demand_drawable()
    num_clusters = options.num_clusters
    num_maps = (
        len(mock_catalogue(num_clusters, options.seed)[0]) * options.num_projections
    )
    with atomic_directory(
        destination.path, overwrite=destination.overwrite, markers=(STORE,)
    ) as scratch:
        for name in options.formats:
            (scratch / name).mkdir()
        draw = partial(_draw_cluster_maps, options=options)
        path = scratch / STORE
        with store_writer(
            path, num_maps, options.size, _FACTS, has_counts=True
        ) as writer:
            for number, maps in enumerate(
                _in_processes(draw, num_clusters, options.processes), 1
            ):
                writer.append(
                    maps.names, maps.log_brightness, maps.counts, maps.exposure
                )
                _write_files(maps, scratch, options.formats)
                on_progress(Progress(number, num_clusters, "maps"))
    return destination.path / STORE


def _draw_cluster_maps(cluster: int, options: MockMaps) -> _ClusterMaps:
    """Draw and observe the maps of a cluster, which depend on seed and cluster alone."""
    seed, size = options.seed, options.size
    history, keys, observables = draw_cluster(cluster, seed)
    names = [
        f"snap_{snapshot:03d}_halo_{halo}_proj_{projection}"
        for halo, snapshot in zip(keys["HaloID"], keys["Snapshot"], strict=True)
        for projection in range(options.num_projections)
    ]
    rng = numpy_stream(seed, "maps", cluster)
    gas, num_projections = observables["GroupGasMass"], options.num_projections
    maps = draw_maps(history, gas, rng, size=size, num_projections=num_projections)
    maps = maps.reshape(-1, size, size)
    rng = numpy_stream(seed, "telescope", cluster)
    counts, exposures = zip(*(observe_map(image, rng) for image in maps), strict=True)
    return _ClusterMaps(names, maps, np.stack(counts), np.stack(exposures))


def _in_processes(
    draw: Callable[[int], _ClusterMaps], num: int, processes: int | None
) -> Iterator[_ClusterMaps]:
    """Yield the maps of so many clusters in order."""
    processes = min(processes or os.cpu_count() or 1, num)
    if processes == 1:
        yield from map(draw, range(num))
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, context, _follow_parent) as pool:
        try:
            yield from pool.map(draw, range(num))
        finally:
            pool.shutdown(cancel_futures=True)


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end with it even where it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def picture(log_brightness: np.ndarray) -> np.ndarray:
    """Return a map (H, W) as grey values 0 to 255.

    White is the 99.7th percentile, where cores saturate, and black ``PICTURE_DECADES`` below.
    """
    top = float(np.nanpercentile(log_brightness, 99.7))
    below_white = (log_brightness - top) / PICTURE_DECADES
    share = np.clip(below_white + 1.0, 0.0, 1.0)
    grey = (share * 255.0).round()
    return np.asarray(grey.astype(np.uint8))


def _write_files(maps: _ClusterMaps, folder: Path, formats: tuple[str, ...]) -> None:
    for number, name in enumerate(maps.names):
        for kind in formats:
            path = folder / kind / f"{name}.{kind}"
            if kind == "fits":
                _write_fits(maps, number, path)
            else:
                _write_picture(maps.log_brightness[number], path)


def _write_picture(log_brightness: np.ndarray, path: Path) -> None:
    from PIL import Image

    north_up = picture(log_brightness)[::-1]
    Image.fromarray(np.ascontiguousarray(north_up)).save(path, quality=92)


def _write_fits(maps: _ClusterMaps, number: int, path: Path) -> None:
    from astropy.io import fits

    image = maps.log_brightness[number]
    header = fits.Header({"BUNIT": "log10", "OBJECT": maps.names[number]})
    header["R500PX"] = (len(image) / (2.0 * HALF_WIDTH), "pixels in R500")
    counts = fits.ImageHDU(maps.counts[number], name="COUNTS")
    exposure = fits.ImageHDU(maps.exposure[number], name="EXPOSURE")
    units = fits.HDUList([fits.PrimaryHDU(image, header), counts, exposure])
    path.write_bytes(fits_content(units))
