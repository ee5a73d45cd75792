"""The stages of a run in one table: what each reads, what decides its result, what it writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cinn_clusters.evaluation.matched import MIN_CLUSTERS
from cinn_clusters.files import read_json
from cinn_clusters.pipeline.report.draw import draw_figures
from cinn_clusters.pipeline.report.page import report
from cinn_clusters.pipeline.simulation.baseline import baseline
from cinn_clusters.pipeline.simulation.crossval import crossval
from cinn_clusters.pipeline.simulation.diagnose import diagnose
from cinn_clusters.pipeline.simulation.evaluate import evaluate
from cinn_clusters.pipeline.simulation.prepare import Preparation, TableFiles, prepare
from cinn_clusters.pipeline.simulation.sensitivity import sensitivity
from cinn_clusters.pipeline.simulation.train import train
from cinn_clusters.pipeline.simulation.tune import tune
from cinn_clusters.posterior.query import Sampling
from cinn_clusters.progress import OnProgress
from cinn_clusters.schema import DEFAULT, Schema
from cinn_clusters.settings.config import Config
from cinn_clusters.storage.run_paths import RunPaths


@dataclass(frozen=True)
class Inputs:
    """What a run is made from.

    Args:
        observables: CSV file.
        targets: CSV file.
        embeddings: Vectors of maps and their names, or None.
        config: Settings of the posterior.
        sampling: How posterior samples are drawn.
        refit_members: See ``sensitivity``.
        schema: What the columns are, and which are used.
        preparation: See ``prepare``.
    """

    observables: Path
    targets: Path
    embeddings: tuple[Path, Path] | None = None
    config: Config = field(default_factory=Config)
    sampling: Sampling = field(default_factory=Sampling)
    refit_members: int = 3
    schema: Schema = DEFAULT
    preparation: Preparation = field(default_factory=Preparation)

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that are read."""
        return (self.observables, self.targets, *(self.embeddings or ()))


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Args:
        name: The command that takes it.
        reads: Files and folders it reads.
        writes: Files and folders of the run it makes.
        make: Takes the step anew, whatever stands there.
        settings: What else decides its result.
        is_routine: Whether ``cinn-clusters run`` takes it.
    """

    name: str
    reads: Callable[[Inputs, RunPaths], Sequence[Path]]
    writes: Callable[[RunPaths], Sequence[Path]]
    make: Callable[[Inputs, RunPaths, OnProgress], object]
    settings: Callable[[Inputs], object] = lambda inputs: None
    is_routine: bool = True


def _prepared(inputs: Inputs, run: RunPaths) -> tuple[Path, ...]:
    return (*run.tables, run.split, run.transforms)


def _prepare(inputs: Inputs, run: RunPaths, on_progress: OnProgress) -> None:
    files = TableFiles(inputs.observables, inputs.targets, inputs.embeddings)
    options = inputs.preparation
    prepare(files, run.root, schema=inputs.schema, options=options, overwrite=True)


def _train(inputs: Inputs, run: RunPaths, on_progress: OnProgress) -> None:
    is_killed = run.checkpoint.exists()
    train(
        run.root,
        inputs.config,
        device=inputs.sampling.device,
        resume=is_killed,
        overwrite=not is_killed,
        on_progress=on_progress,
    )


def _diagnose(inputs: Inputs, run: RunPaths, on_progress: OnProgress) -> None:
    """Diagnose, unless the test set is too few clusters: the report says so."""
    if read_json(run.scores)["clusters"] < MIN_CLUSTERS:
        run.diagnostics.unlink(missing_ok=True)
        return
    diagnose(run.posterior, overwrite=True)


STAGES = (
    Stage(
        "prepare",
        reads=lambda inputs, run: inputs.files,
        settings=lambda inputs: [inputs.schema.to_dict(), asdict(inputs.preparation)],
        writes=lambda run: (*run.tables, run.left_out, run.split, run.transforms),
        make=_prepare,
    ),
    Stage(
        "tune",
        reads=_prepared,
        writes=lambda run: (run.tune.root,),
        make=lambda inputs, run, on_progress: tune(run.root, overwrite=True),
        is_routine=False,
    ),
    Stage(
        "train",
        reads=_prepared,
        settings=lambda inputs: inputs.config.model_dump(),
        writes=lambda run: (run.model, run.history),
        make=_train,
    ),
    Stage(
        "evaluate",
        reads=lambda inputs, run: (run.split, run.model),
        settings=lambda inputs: inputs.sampling.num_samples,
        writes=lambda run: (run.posterior, run.without_maps, run.summary, run.scores),
        make=lambda inputs, run, on_progress: evaluate(
            run.root, inputs.sampling, overwrite=True, on_progress=on_progress
        ),
    ),
    Stage(
        "crossval",
        reads=_prepared,
        settings=lambda inputs: inputs.config.model_dump(),
        writes=lambda run: (run.crossval.posterior, run.crossval.scores),
        make=lambda inputs, run, on_progress: crossval(
            run.root, inputs.config, overwrite=True
        ),
        is_routine=False,
    ),
    Stage(
        "diagnose",
        reads=lambda inputs, run: (run.posterior,),
        writes=lambda run: (run.diagnostics,),
        make=_diagnose,
    ),
    Stage(
        "baseline",
        reads=_prepared,
        writes=lambda run: (run.baseline.root,),
        make=lambda inputs, run, on_progress: baseline(
            run.root, overwrite=True, on_progress=on_progress
        ),
    ),
    Stage(
        "sensitivity",
        reads=lambda inputs, run: (run.split, run.baseline.root, run.model),
        settings=lambda inputs: inputs.refit_members,
        writes=lambda run: (run.sensitivity.root,),
        make=lambda inputs, run, on_progress: sensitivity(
            run.root,
            refit_members=inputs.refit_members,
            overwrite=True,
            on_progress=on_progress,
        ),
    ),
    Stage(
        "figures",
        reads=lambda inputs, run: (
            run.posterior,
            run.summary,
            run.diagnostics,
            run.sensitivity.root,
            run.history,
        ),
        writes=lambda run: (run.figures,),
        make=lambda inputs, run, on_progress: draw_figures(
            run.root, overwrite=True, on_progress=on_progress
        ),
    ),
    Stage(
        "report",
        reads=lambda inputs, run: (
            run.split,
            run.scores,
            run.diagnostics,
            run.baseline.root,
            run.figures,
            run.model,
        ),
        writes=lambda run: (run.report,),
        make=lambda inputs, run, on_progress: report(run.root, overwrite=True),
    ),
)
"""All stages, each after those whose files it reads."""
