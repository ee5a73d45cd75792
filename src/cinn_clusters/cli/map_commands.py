"""Commands of X-ray maps: reading real ones; training, applying and probing encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer import Option

from cinn_clusters.cli import console, results
from cinn_clusters.cli.options import (
    AsJson,
    Changes,
    ConfigPath,
    MapSnapshot,
    NamePattern,
    Overwrite,
    RunPath,
    Threads,
    app,
    existing,
    existing_bundle,
    input_file,
    map_naming,
    output_file,
    output_path,
    set_threads,
)
from cinn_clusters.errors import ConfigError
from cinn_clusters.files import Destination
from cinn_clusters.progress import Progress

embed = typer.Typer(
    no_args_is_help=True,
    help="Learn vectors that stand for X-ray maps (needs the extra: maps).",
)
app.add_typer(embed, name="embed")

_STORE_HELP = "maps.h5, of mock --maps or of the command maps."
Maps = Annotated[Path, Option("--maps", help=_STORE_HELP, callback=existing)]
EncoderPath = Annotated[
    Path,
    typer.Argument(
        help="Encoder of embed train.", metavar="ENCODER", callback=existing_bundle
    ),
]
MapVariant = Annotated[
    Literal["ideal", "observed"],
    Option(help="ideal: brightness; observed: counts over exposure."),
]
MapUnitOption = Annotated[
    Literal["rate", "counts", "log10", "brightness"] | None,
    Option(help="What values are, where the files do not say (BUNIT) or say it wrong."),
]
_MAPS_EXAMPLE = (
    "cinn-clusters maps images/*.fits --redshift 0.167 --radius 1077 --out maps.h5"
)


@app.command("maps", epilog=f"Example:  {_MAPS_EXAMPLE}")
def maps_command(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="PNG, JPEG, TIFF, GIF, FITS, HDF5, folders; or stores to join.",
            metavar="FILE...",
        ),
    ],
    out: Annotated[Path, output_file("HDF5 store to make.")],
    exposure: Annotated[
        Path | None, input_file("Exposure map: files are counts then.")
    ] = None,
    background: Annotated[
        Path | None, input_file("Background counts, with --exposure.")
    ] = None,
    mask: Annotated[
        Path | None, input_file("Map of the pixels to fill: not 0.")
    ] = None,
    mask_means: Annotated[
        Literal["bad", "good"] | None,
        Option(help="What pixels of the mask that are not 0 are."),
    ] = None,
    hdu: Annotated[
        str | None, Option(help="Number or name of the image in FITS files of several.")
    ] = None,
    keep_sources: Annotated[
        bool, Option("--keep-sources", help="Leave point sources in counts.")
    ] = False,
    redshift: Annotated[
        float | None, Option(help="z, to cut at a multiple of R500.")
    ] = None,
    radius: Annotated[float | None, Option(help="R500 in physical kpc.")] = None,
    pixel_kpc: Annotated[
        float | None, Option(help="Side of a pixel in kpc, without WCS.")
    ] = None,
    pixel_arcsec: Annotated[
        float | None, Option(help="Side of a pixel in arcsec.")
    ] = None,
    half_width: Annotated[
        float, Option(min=0.1, help="Half the side of the square in R500.")
    ] = 1.5,
    centre: Annotated[
        str, Option(help="peak, centroid, middle, or RA,DEC in degrees (ICRS).")
    ] = "peak",
    size: Annotated[int, Option(min=16, max=4096, help="Pixels a side.")] = 128,
    stretch: Annotated[
        Literal["log", "asinh"],
        Option(help="log10 of the brightness, or asinh in [0, 1]."),
    ] = "log",
    planes: Annotated[
        Literal["auto", "colour", "projections"],
        Option(help="HDF5 of shape (H, W, 3): a colour picture or 3 maps."),
    ] = "auto",
    unit: MapUnitOption = None,
    names: Annotated[
        Path | None,
        input_file("CSV: map, object or HaloID, Snapshot, redshift, R500 in kpc."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Read real X-ray maps, centre and cut them; files that cannot be used are listed."""
    from cinn_clusters.pipeline.maps.real_maps import store_files
    from cinn_clusters.xray.collect import Reading
    from cinn_clusters.xray.framing import Framing

    if names is None:
        _demand_scale(redshift, radius, pixel_kpc, pixel_arcsec)
    if mask is None and mask_means is not None:
        raise typer.BadParameter("--mask-means needs --mask")
    if exposure is None and (background is not None or keep_sources):
        raise typer.BadParameter("--background and --keep-sources need --exposure")
    framing = Framing(
        size=size,
        half_width=half_width,
        centre=_centring(centre),
        radius_kpc=radius,
        redshift=redshift,
        pixel_arcsec=pixel_arcsec,
        pixel_kpc=pixel_kpc,
        stretch=stretch,
    )
    reading = Reading(
        exposure, background, mask, keep_sources, planes, hdu, unit, mask_means
    )
    destination = Destination(out, overwrite)
    with console.progress("maps") as on_progress:
        stored = store_files(
            files, destination, framing, reading, names=names, on_progress=on_progress
        )
    for note in stored.notes:
        console.log(f"note: {note}")
    for problem in stored.problems:
        console.log(f"left out: {problem}")
    if line := stored.files.line():
        console.log(f"left out: {line}")
    result = {
        "maps": len(stored.names),
        "left_out": len(stored.problems) + len(stored.files.passed_over),
        "store": str(out),
    }
    console.print_values(result, as_json)


@embed.command(
    "train",
    epilog="Example:  cinn-clusters embed train run --maps mock/maps/maps.h5 --out encoder",
)
def embed_train(
    run: RunPath,
    maps: Maps,
    out: Annotated[Path, output_path("Encoder to make.")],
    method: Annotated[
        str | None, Option(help="simclr, mocov3, byol, dino, vicreg, ...")
    ] = None,
    config: ConfigPath = None,
    change: Changes = None,
    name_pattern: NamePattern = None,
    map_snapshot: MapSnapshot = None,
    variant: MapVariant = "ideal",
    resume: Annotated[
        bool, Option("--resume", help="Go on from the checkpoint.")
    ] = False,
    threads: Threads = 2,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Train an encoder on the maps of a run's training clusters, without their histories."""
    from cinn_clusters.settings.embedding import read_embed_config

    method_change = [f"embed.method={method}"] if method else []
    settings = read_embed_config(config, [*method_change, *(change or [])])
    _set_up(threads)
    from cinn_clusters.pipeline.maps.embed import train_encoder
    from cinn_clusters.storage.map_store import read_store
    from cinn_clusters.storage.run import open_run

    with console.progress(settings.embed.method) as on_progress:
        encoder = train_encoder(
            open_run(run),
            read_store(maps, variant, map_naming(name_pattern, map_snapshot)),
            settings,
            Destination(out, overwrite),
            resume=resume,
            on_progress=on_progress if settings.embed.devices == 1 else _log_epoch,
        )
    info = encoder.info
    result = {
        "encoder": str(out),
        "maps": info["maps"],
        "features": info["num_features"],
    }
    console.print_values(result, as_json)


@embed.command(
    "encode",
    epilog="Example:  cinn-clusters embed encode --model encoder --maps maps.h5 --out vectors",
)
def embed_encode(
    model: Annotated[
        Path, Option(help="Encoder of embed train.", callback=existing_bundle)
    ],
    maps: Maps,
    out: Annotated[Path, output_path("Folder of vectors to make.")],
    variant: MapVariant = "ideal",
    threads: Threads = 2,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write the vector of every map: all features, and their principal components for a model."""
    _set_up(threads)
    from cinn_clusters.storage.encoder import encode_maps, load_encoder
    from cinn_clusters.storage.map_store import read_store

    store = read_store(maps, variant)
    encode_maps(load_encoder(model), store, Destination(out, overwrite))
    console.print_values({"embeddings": str(out), "maps": len(store.values)}, as_json)


@embed.command("judge", hidden=True)
@embed.command(
    "probe",
    epilog="Example:  cinn-clusters embed probe run encoder --maps mock/maps/maps.h5 --out probed",
)
def embed_probe(
    run: RunPath,
    encoders: Annotated[
        list[Path],
        typer.Argument(
            help="Encoders, or folders of embed encode.", metavar="ENCODER..."
        ),
    ],
    maps: Maps,
    out: Annotated[Path, output_path("Folder to make: knn.csv, linear.csv, ...")],
    name_pattern: NamePattern = None,
    map_snapshot: MapSnapshot = None,
    variant: MapVariant = "ideal",
    threads: Threads = 2,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Probe embeddings (k-NN, linear) beside morphology and pixels, and warn of collapse."""
    _set_up(threads)
    from cinn_clusters.pipeline.maps.probe import probe_encoders
    from cinn_clusters.storage.map_store import read_store
    from cinn_clusters.storage.run import open_run

    paths = {path.name: path for path in encoders}
    if len(paths) < len(encoders):
        raise typer.BadParameter(
            "encoders need different names: the last parts of their paths"
        )
    tables = probe_encoders(
        open_run(run),
        read_store(maps, variant, map_naming(name_pattern, map_snapshot)),
        paths,
        Destination(out, overwrite),
    )
    health = tables["health"]
    for name in health.index[health["has_collapsed"].astype(bool)]:
        fact = "its vectors vary along fewer than 3 directions"
        console.log(f"warning: '{name}' has collapsed: {fact}")
    results.print_probe(tables, as_json)


@embed.command(
    "gallery",
    epilog="Example:  cinn-clusters embed gallery run encoder --maps maps.h5 --out pictures",
)
def embed_gallery(
    run: RunPath,
    model: EncoderPath,
    maps: Maps,
    out: Annotated[Path, output_path("Folder to make.")],
    query: Annotated[
        Path | None, input_file("Picture or FITS file: show its neighbours.")
    ] = None,
    colour: Annotated[
        list[str] | None,
        Option(help="Quantities to show over the plane; default: some."),
    ] = None,
    unit: MapUnitOption = None,
    name_pattern: NamePattern = None,
    map_snapshot: MapSnapshot = None,
    variant: MapVariant = "ideal",
    threads: Threads = 2,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Draw the plane of an embedding: quantities and maps on it, and neighbours of a map."""
    _set_up(threads)
    from cinn_clusters.pipeline.maps.gallery import MapQuery, draw_gallery
    from cinn_clusters.storage.map_store import read_store
    from cinn_clusters.storage.run import open_run

    names = draw_gallery(
        open_run(run),
        read_store(maps, variant, map_naming(name_pattern, map_snapshot)),
        model,
        Destination(out, overwrite),
        query=MapQuery(query, unit) if query is not None else None,
        quantity_names=colour or (),
    )
    console.print_values({"pictures": str(out), "drawn": len(names)}, as_json)


def _demand_scale(
    redshift: float | None,
    radius: float | None,
    pixel_kpc: float | None,
    pixel_arcsec: float | None,
) -> None:
    """Refuse a scale that is incomplete, or given twice."""
    for name, value in (("--pixel-kpc", pixel_kpc), ("--pixel-arcsec", pixel_arcsec)):
        if value is None:
            continue
        if not value > 0.0:
            raise typer.BadParameter(
                f"{name}: expected a positive number; got {value:g}"
            )
    if pixel_kpc is not None and pixel_arcsec is not None:
        raise typer.BadParameter("--pixel-kpc or --pixel-arcsec, not both")
    _demand_use(pixel_arcsec, radius)
    if (redshift is None) != (radius is None) and (radius is None or pixel_kpc is None):
        raise typer.BadParameter("--redshift and --radius go together")


def _demand_use(pixel_arcsec: float | None, radius: float | None) -> None:
    if pixel_arcsec is not None and radius is None:
        raise typer.BadParameter("--pixel-arcsec: give --radius and --redshift, too")


def _log_epoch(progress: Progress) -> None:
    """Log from another process, which has no bar to move."""
    console.log(f"epoch {progress.done:.0f} done, {progress.note}")


def _centring(text: str) -> Any:
    if text in ("peak", "centroid", "middle"):
        return text
    try:
        right_ascension, declination = (float(part) for part in text.split(","))
    except ValueError as error:
        expected = "peak, centroid, middle or RA,DEC"
        raise typer.BadParameter(
            f"--centre: expected {expected}; got '{text}'"
        ) from error
    return right_ascension, declination


def _set_up(threads: int) -> None:
    """Set the threads, and say what to install before anything is read."""
    from importlib.util import find_spec

    set_threads(threads)
    if find_spec("lightly") is None or find_spec("lightning") is None:
        hint = "pip install 'cinn-clusters[maps]'"
        raise ConfigError("embed", "lightly and lightning", "none", "", hint)
