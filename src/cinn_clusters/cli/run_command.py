"""The command that takes all stages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cinn_clusters.cli import console, results
from cinn_clusters.cli.options import (
    AllowAtypical,
    AllowShared,
    AsJson,
    Changes,
    ClusterKey,
    ColumnsPath,
    ConfigPath,
    Device,
    Draws,
    HaloKey,
    MapSnapshot,
    MergeShared,
    NamePattern,
    Overwrite,
    ProtocolOption,
    SeedOption,
    SnapshotKey,
    Threads,
    XColumns,
    YColumns,
    app,
    chosen_schema,
    input_file,
    map_naming,
    set_threads,
    shared_histories,
    vector_files,
)


@app.command(
    "run",
    epilog="Example:  cinn-clusters run --observables observables1.csv --targets unobservables1.csv --out run",
)
def run_command(
    observables: Annotated[
        Path, input_file("CSV: HaloID, Snapshot, cluster column, observables.")
    ],
    targets: Annotated[Path, input_file("CSV: HaloID, Snapshot, targets.")],
    out: Annotated[Path, typer.Option(help="Folder to make, or to go on in.")],
    embeddings: Annotated[
        Path | None,
        typer.Option(
            help=".npy or a folder of embed encode: optional inputs of the model."
        ),
    ] = None,
    filenames: Annotated[
        Path | None, input_file(".npy or text: snap_050_halo_123456_proj_0.jpg, ...")
    ] = None,
    name_pattern: NamePattern = None,
    map_snapshot: MapSnapshot = None,
    config: ConfigPath = None,
    change: Changes = None,
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
    draws: Draws = 1000,
    refit_members: Annotated[
        int, typer.Option(min=0, help="Of ensembles refitted for ablation; 0: none.")
    ] = 3,
    drop_incomplete: Annotated[
        bool, typer.Option(help="Drop rows with missing values, not refuse them.")
    ] = False,
    allow_atypical: AllowAtypical = False,
    device: Device = "auto",
    threads: Threads = 1,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Take all stages from prepare to report; what is unchanged is not made again."""
    from cinn_clusters.settings.config import read_config

    settings = read_config(config, change or [])
    set_threads(threads)
    from cinn_clusters.files import read_json
    from cinn_clusters.pipeline.simulation.prepare import Preparation
    from cinn_clusters.pipeline.stage import Inputs
    from cinn_clusters.pipeline.workflow import run_workflow
    from cinn_clusters.posterior.query import Sampling
    from cinn_clusters.storage.run_paths import RunPaths

    keys = {"halo": halo_column, "snapshot": snapshot_column, "cluster": cluster_column}
    naming = map_naming(name_pattern, map_snapshot)
    shared = shared_histories(allow_shared, merge_shared)
    inputs = Inputs(
        observables,
        targets,
        vector_files(embeddings, filenames),
        settings,
        Sampling(draws, device=device),
        refit_members=refit_members,
        schema=chosen_schema(columns, x_columns, y_columns, **keys),
        preparation=Preparation(
            protocol, seed, drop_incomplete, allow_atypical, naming, shared
        ),
    )
    with console.progress("run") as on_progress:
        states = run_workflow(inputs, out, overwrite=overwrite, on_progress=on_progress)
    results.log_cautions(read_json(RunPaths(out).split))
    results.print_stages(states, as_json)
