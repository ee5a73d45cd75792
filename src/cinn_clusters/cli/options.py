"""The application, and the arguments and options that its commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from cinn_clusters.bundle import demand_bundle
from cinn_clusters.documents import demand_regular, reason
from cinn_clusters.errors import DataError
from cinn_clusters.files import demand_free, demand_no_folder
from cinn_clusters.storage.run_paths import RunPaths

if TYPE_CHECKING:
    from cinn_clusters.data.reading.map_names import MapNaming
    from cinn_clusters.schema import Schema

ORDER = (
    "mock",
    "maps",
    "prepare",
    "audit",
    "train",
    "tune",
    "evaluate",
    "crossval",
    "diagnose",
    "compare",
    "baseline",
    "sensitivity",
    "figures",
    "report",
    "run",
    "infer",
    "demo",
    "explore",
    "show",
    "export",
    "embed",
    "fetch",
    "import-original",
)


class InOrder(TyperGroup):
    """Commands in the order in which they are used."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names as they stand in the help."""
        return sorted(super().list_commands(ctx), key=ORDER.index)


app = typer.Typer(
    cls=InOrder,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="From observables of a galaxy cluster to the posterior of its merger history.\n\n"
    "All at once: [bold]run[/], which ends with a report. Stage by stage: [bold]prepare[/], "
    "[bold]audit[/], [bold]train[/], [bold]evaluate[/], [bold]crossval[/], [bold]diagnose[/], "
    "[bold]compare[/], [bold]figures[/], [bold]report[/]; then [bold]infer[/].\n\n"
    "Example:  cinn-clusters mock --out mock && cinn-clusters run "
    "--observables mock/observables1.csv --targets mock/unobservables1.csv --out run",
)


ProtocolOption = Literal["cluster", "original"]
ObjectiveOption = Literal["crps", "energy", "nll"]


def existing(path: Path | None) -> Path | None:
    """Refuse a file that is not there, or has no end, before anything slow is imported.

    Raises:
        DataError: If no file or folder stands at the path.
    """
    if path is None:
        return path
    try:
        demand_regular(path)
    except (OSError, ValueError) as error:
        raise DataError(path, "a readable file", reason(error)) from error
    return path


def existing_bundle(path: Path | None) -> Path | None:
    """Refuse a folder that holds no model, before anything slow is imported."""
    if path is not None:
        demand_bundle(path)
    return path


def free(context: typer.Context, path: Path | None) -> Path | None:
    """Refuse an output that stands there without --overwrite; empty folders may be filled."""
    if path is not None:
        demand_free(path, bool(context.params.get("overwrite")))
    return path


def free_file(context: typer.Context, path: Path | None) -> Path | None:
    """Refuse a folder where a file is to be made, and a file that stands there."""
    if path is not None:
        demand_no_folder(path)
    return free(context, path)


def _prepared(run: Path) -> Path:
    RunPaths(run).demand_prepared()
    return run


def input_file(help_text: str) -> Any:
    """Option of a file or folder that must be there."""
    return typer.Option(help=help_text, callback=existing)


def output_path(help_text: str) -> Any:
    """Option of a folder to make."""
    return typer.Option(help=help_text, callback=free)


def output_file(help_text: str) -> Any:
    """Option of a file to make."""
    return typer.Option(help=help_text, callback=free_file)


RunPath = Annotated[
    Path,
    typer.Argument(help="Folder of a prepared run.", metavar="RUN", callback=_prepared),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite", is_eager=True, help="Replace results that stand there."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Device = Annotated[
    str, typer.Option(help="auto (CUDA when present), cpu, cuda, cuda:1, ...")
]
Threads = Annotated[
    int,
    typer.Option(
        min=1,
        max=1024,
        help="CPU threads of torch; small flows gain nothing from more.",
    ),
]
ConfigPath = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file, or a shipped one by name, e.g. glow."),
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a setting: train.epochs=50 (repeatable)."),
]
SeedOption = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed.")]
Draws = Annotated[
    int,
    typer.Option(
        *("--samples", "--draws"),
        min=2,
        max=1_000_000,
        help="Posterior samples an object.",
    ),
]
AllowAtypical = Annotated[
    bool,
    typer.Option("--allow-atypical", help="Accept medians that hint at another unit."),
]


def _of_table(name: str, help_text: str) -> Any:
    """An option that says what the simulator's table holds."""
    return typer.Option(name, help=help_text, rich_help_panel="The simulator's table")


ColumnsPath = Annotated[
    Path | None, _of_table("--columns", "TOML: units, bounds, roles (docs/columns.md).")
]
XColumns = Annotated[
    str | None,
    _of_table("--x-columns", "Observables, comma-separated; default: the seven."),
]
YColumns = Annotated[
    str | None, _of_table("--y-columns", "Targets, comma-separated; default: the six.")
]
HaloKey = Annotated[
    str | None,
    _of_table("--halo-column", "Column that numbers haloes; none: rows are numbered."),
]
SnapshotKey = Annotated[
    str | None, _of_table("--snapshot-column", "Column of the snapshot, or none.")
]
ClusterKey = Annotated[
    str | None, _of_table("--cluster-column", "Column that identifies a cluster.")
]

AllowShared = Annotated[
    bool,
    _of_table("--allow-shared", "Accept clusters that share exact target vectors."),
]
MergeShared = Annotated[
    bool,
    _of_table("--merge-shared", "Split clusters that share target vectors as one."),
]


def shared_histories(allow: bool, merge: bool) -> Literal["refuse", "merge", "allow"]:
    """Return what becomes of clusters that share exact target vectors.

    Raises:
        typer.BadParameter: If both are asked for.
    """
    if allow and merge:
        raise typer.BadParameter("--allow-shared and --merge-shared exclude each other")
    if merge:
        return "merge"
    return "allow" if allow else "refuse"


def _of_maps(name: str, help_text: str) -> Any:
    """An option that says whose maps are."""
    return typer.Option(name, help=help_text, rich_help_panel="Names of maps")


NamePattern = Annotated[
    str | None,
    _of_maps("--name-pattern", "Such as 'snap{snapshot}_halo{halo}_{projection}'."),
]
MapSnapshot = Annotated[
    str | None, _of_maps("--map-snapshot", "Of maps whose names say no snapshot.")
]


def map_naming(pattern: str | None, snapshot: str | None) -> MapNaming:
    """Return how the names of maps say whose they are."""
    from cinn_clusters.data.reading.map_names import MapNaming

    return MapNaming(pattern, snapshot)


def chosen_schema(
    columns: Path | None,
    x_columns: str | None,
    y_columns: str | None,
    **keys: str | None,
) -> Schema:
    """Return the schema that options declare; ``keys`` are those of ``Schema.choose``."""
    from cinn_clusters.schema import DEFAULT

    schema = DEFAULT
    if columns is not None:
        from cinn_clusters.data.declared import read_schema

        schema = read_schema(columns)
    return schema.choose(_names(x_columns), _names(y_columns), **keys)


def _names(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return tuple(name.strip() for name in text.split(",") if name.strip())


def set_threads(threads: int) -> None:
    """Tell torch how many threads to use, one a processor at most; idle ones sleep."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    # OpenMP ends the process without a word of ours where it cannot start them all
    num_processors = os.cpu_count() or 1
    torch.set_num_threads(min(threads, num_processors))


def vector_files(
    embeddings: Path | None, filenames: Path | None
) -> tuple[Path, Path] | None:
    """Return the files of vectors and names; a folder of ``embed encode`` holds both.

    Raises:
        typer.BadParameter: If one is given without the other.
    """
    if embeddings is None and filenames is None:
        return None
    if embeddings is not None and embeddings.is_dir() and filenames is None:
        return embeddings / "components.npy", embeddings / "filenames.npy"
    if embeddings is None or filenames is None:
        raise typer.BadParameter("--embeddings and --filenames go together")
    return embeddings, filenames
