"""Commands that show a run: figures and the report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cinn_clusters.cli import console
from cinn_clusters.cli.options import (
    AsJson,
    Overwrite,
    RunPath,
    SeedOption,
    app,
    existing_bundle,
    input_file,
    output_file,
    output_path,
)


@app.command("figures", epilog="Example:  cinn-clusters figures run --halo 99:252455")
def figures_command(
    run: RunPath,
    posterior: Annotated[
        Path | None, input_file("Default: RUN/posterior.nc, of the test clusters.")
    ] = None,
    halo: Annotated[
        list[str] | None,
        typer.Option(help="Row of figure 1: HaloID or Snapshot:HaloID."),
    ] = None,
    rows: Annotated[
        int, typer.Option(min=1, max=20, help="Rows of figure 1 drawn at random.")
    ] = 4,
    estimate: Annotated[
        Literal["median", "map"],
        typer.Option(
            help="Point estimate: posterior median, or the MAP of the summary."
        ),
    ] = "median",
    seed: SeedOption = 0,
    out: Annotated[
        Path | None, output_path("Default: figures/ beside the posterior.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Draw every figure of a run, each as PNG (150 dpi) and PDF (300 dpi)."""
    from cinn_clusters.pipeline.report.draw import FigureOptions, draw_figures

    options = FigureOptions(halo or (), num_rows=rows, seed=seed, estimate=estimate)
    with console.progress("figures") as on_progress:
        done = draw_figures(
            run,
            options,
            posterior=posterior,
            out=out,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    for reason in done.skipped:
        console.log(f"note: not drawn: {reason}")
    console.print_values({"figures": str(done.path), "drawn": len(done.names)}, as_json)


@app.command(
    "report", epilog="Example:  cinn-clusters report run && xdg-open run/report.html"
)
def report_command(
    run: RunPath,
    out: Annotated[
        Path | None, output_file("HTML file; default: RUN/report.html.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Put a run on one self-contained page: data, audit, scores, calibration, every figure and
    how to read it.
    """
    from cinn_clusters.pipeline.report.page import report

    console.print_values(
        {"report": str(report(run, out=out, overwrite=overwrite))}, as_json
    )


@app.command("explore", epilog="Example:  cinn-clusters explore --out explorer.html")
def explore_command(
    out: Annotated[Path, output_file("HTML file.")] = Path("explorer.html"),
    model: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a trained model; default: that of the package.",
            callback=existing_bundle,
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write a page in which a model runs by itself: sliders for what was measured, the posterior
    beside them, without any request to a network.
    """
    from cinn_clusters.web.explorer import write_explorer

    page = write_explorer(out, model=model, overwrite=overwrite)
    console.print_values({"explorer": str(page)}, as_json)
