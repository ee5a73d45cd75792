"""Commands that make, read and split catalogues."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cinn_clusters.cli import console, results
from cinn_clusters.cli.options import (
    AllowAtypical,
    AllowShared,
    AsJson,
    ClusterKey,
    ColumnsPath,
    HaloKey,
    MapSnapshot,
    MergeShared,
    NamePattern,
    Overwrite,
    ProtocolOption,
    RunPath,
    SeedOption,
    SnapshotKey,
    XColumns,
    YColumns,
    app,
    chosen_schema,
    input_file,
    map_naming,
    output_path,
    shared_histories,
    vector_files,
)


@app.command(
    "mock", epilog="Example:  cinn-clusters mock --clusters 350 --seed 1 --out mock"
)
def mock_command(
    out: Annotated[Path, output_path("Folder to make.")],
    clusters: Annotated[
        int, typer.Option(max=100_000, help="Clusters, each at 8 snapshots.")
    ] = 350,
    seed: SeedOption = 1,
    maps: Annotated[
        bool, typer.Option("--maps", help="X-ray maps too: OUT/maps/maps.h5.")
    ] = False,
    size: Annotated[
        int, typer.Option(min=16, max=1024, help="Pixels a side of a map.")
    ] = 128,
    projections: Annotated[
        int,
        typer.Option(min=1, max=3, help="Maps a snapshot, along the axes of the box."),
    ] = 3,
    formats: Annotated[
        str, typer.Option(help="Files beside the store: png,jpg,fits.")
    ] = "",
    processes: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Default: the number of cores.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a mock catalogue with known histories: two CSV files, and maps if asked for."""
    from cinn_clusters.pipeline.simulation.mock import write_mock

    for path in write_mock(out, num_clusters=clusters, seed=seed, overwrite=overwrite):
        print(path)
    if maps:
        from cinn_clusters.files import Destination
        from cinn_clusters.pipeline.maps.mock_maps import MockMaps, write_mock_maps

        kinds = tuple(filter(None, formats.split(",")))
        options = MockMaps(clusters, seed, size, projections, kinds, processes)
        destination = Destination(out / "maps", overwrite)
        with console.progress("maps") as on_progress:
            store = write_mock_maps(destination, options, on_progress=on_progress)
        print(store)


@app.command(
    "prepare",
    epilog="Example:  cinn-clusters prepare --observables observables1.csv --targets unobservables1.csv --out run",
)
def prepare_command(
    out: Annotated[Path, output_path("Folder to make.")],
    observables: Annotated[
        Path | None, input_file("CSV: HaloID, Snapshot, cluster, observables.")
    ] = None,
    targets: Annotated[
        Path | None, input_file("CSV: HaloID, Snapshot, targets.")
    ] = None,
    processed_dir: Annotated[
        Path | None, input_file("Instead: X.csv, Y.csv, meta.csv, scalers.")
    ] = None,
    clusters: Annotated[
        Path | None, input_file("CSV with the cluster column, if meta.csv has none.")
    ] = None,
    columns: ColumnsPath = None,
    x_columns: XColumns = None,
    y_columns: YColumns = None,
    halo_column: HaloKey = None,
    snapshot_column: SnapshotKey = None,
    cluster_column: ClusterKey = None,
    allow_shared: AllowShared = False,
    merge_shared: MergeShared = False,
    protocol: Annotated[
        ProtocolOption, typer.Option(help="original: the published split, which leaks.")
    ] = "cluster",
    seed: SeedOption = 42,
    embeddings: Annotated[
        Path | None, input_file(".npy, a vector a map; or a folder of embed encode.")
    ] = None,
    filenames: Annotated[
        Path | None, input_file(".npy or text: snap_050_halo_123456_proj_0.jpg, ...")
    ] = None,
    name_pattern: NamePattern = None,
    map_snapshot: MapSnapshot = None,
    drop_incomplete: Annotated[
        bool, typer.Option(help="Drop rows with missing values, not refuse them.")
    ] = False,
    allow_atypical: AllowAtypical = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Join, validate and split a catalogue; every dropped row is logged with its reason."""
    from cinn_clusters.pipeline.simulation.prepare import (
        Preparation,
        TableFiles,
        prepare,
        prepare_processed,
    )

    if (observables is None or targets is None) == (processed_dir is None):
        raise typer.BadParameter("pass --observables and --targets, or --processed-dir")
    keys = {"halo": halo_column, "snapshot": snapshot_column, "cluster": cluster_column}
    schema = chosen_schema(columns, x_columns, y_columns, **keys)
    naming = map_naming(name_pattern, map_snapshot)
    shared = shared_histories(allow_shared, merge_shared)
    options = Preparation(
        protocol, seed, drop_incomplete, allow_atypical, naming, shared
    )
    maps = vector_files(embeddings, filenames)
    if processed_dir is not None:
        run = prepare_processed(
            processed_dir,
            out,
            clusters=clusters,
            embeddings=maps,
            schema=schema,
            options=options,
            overwrite=overwrite,
        )
    else:
        files = TableFiles(str(observables), str(targets), maps)
        run = prepare(files, out, schema=schema, options=options, overwrite=overwrite)
    if run.is_original:
        console.log(
            "warning: --protocol original leaks: rows of test clusters are in training"
            " (see cinn-clusters audit)"
        )
    results.print_preparation(run.record, as_json)


@app.command("audit", epilog="Example:  cinn-clusters audit run")
def audit_command(run: RunPath, as_json: AsJson = False) -> None:
    """Count test clusters, targets and projections that are in training, too; exit 1 if any is."""
    from cinn_clusters.data.leakage import audit_split
    from cinn_clusters.storage.run import open_run

    opened = open_run(run)
    encoder_clusters = opened.record.get("encoder_clusters")
    overlaps = audit_split(opened.catalogue, opened.split, encoder_clusters)
    results.print_overlaps(overlaps, as_json)
    if any(overlap.shared_with_validation for overlap in overlaps):
        leaking = [overlap for overlap in overlaps if overlap.shared_with_validation]
        advice = "; ".join(dict.fromkeys(overlap.advice for overlap in leaking))
        if opened.is_original:
            advice = "prepare with --protocol cluster"
        console.log(f"{run}: leaks: the test set was seen in training; {advice}")
        raise typer.Exit(1)
    if encoder_clusters is None and "encoder_clusters" in opened.record:
        console.log(
            "note: no record of the clusters that the encoder was trained on (encoder.json)"
        )
