"""What is compared: contenders of each table, by the sizes that are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rivals import GLOW_BLOCKS, GLOW_HIDDEN

NOW, BEFORE = "now", "before"
"""Trees of sources: this checkout, and that of ``--baseline``."""


@dataclass(frozen=True)
class Contender:
    """A way to do a piece of work.

    Args:
        label: Its name in the table.
        function: Module and function that sets it up (see ``worker.py``).
        options: Its arguments.
        tree: Sources it runs on.
    """

    label: str
    function: str
    options: dict[str, Any] = field(default_factory=dict)
    tree: str = NOW


@dataclass(frozen=True)
class Comparison:
    """Contenders that take turns.

    Args:
        group: What ``--only`` names.
        title: Heading of the table.
        unit: What a rate counts.
        contenders: The first is what the ratios refer to.
        clock: ``cpu`` or ``wall``.
        once: Whether a turn takes so long that one repetition is enough.
        is_duration: Whether seconds a unit are shown, not units a second.
        operations: Products and sums of weights in a draw, of the last contender but one.
    """

    group: str
    title: str
    unit: str
    contenders: tuple[Contender, ...]
    clock: str = "cpu"
    once: bool = False
    is_duration: bool = False
    operations: float = 0.0


@dataclass(frozen=True)
class Sizes:
    """How much work there is: small sizes give the same ratios with more spread."""

    epochs: int
    clusters: int
    modes: int
    epochs_of_mlp: int
    run_clusters: int


QUICK = Sizes(epochs=2, clusters=1_000, modes=200, epochs_of_mlp=3, run_clusters=40)
FULL = Sizes(
    epochs=60, clusters=12_000, modes=2_000, epochs_of_mlp=50, run_clusters=350
)


def _both(label: str, function: str, **options: Any) -> tuple[Contender, Contender]:
    """The same work on both trees."""
    now = Contender(f"{label}, now", function, options)
    return now, Contender(f"{label}, before", function, options, BEFORE)


def _flow(architecture: str, num_observables: int, num_members: int) -> dict[str, Any]:
    return {
        "architecture": architecture,
        "num_observables": num_observables,
        "num_objects": 32,
        "num_draws": 1000,
        "num_members": num_members,
    }


def _glow_operations(num_observables: int, num_draws: int) -> float:
    """Operations a draw of D = 6 targets; the product with x is needed once an object."""
    of_targets = 3 * GLOW_HIDDEN + GLOW_HIDDEN * 6
    of_x = num_observables * GLOW_HIDDEN / num_draws
    return 2.0 * 2 * GLOW_BLOCKS * (of_targets + of_x)


def samplers(sizes: Sizes) -> Iterator[Comparison]:
    for num_observables in (7, 519):
        shape = {
            "num_observables": num_observables,
            "num_objects": 32,
            "num_draws": 1000,
        }
        of = {"architecture": "glow", **shape}
        reference = {**_flow("glow", num_observables, 1), "is_compiled": False}
        yield Comparison(
            "samplers",
            f"Draws of the published GLOW network, {num_observables} columns",
            "draws",
            (
                Contender("FrEIA, batched", "rivals:freia_batched", shape),
                Contender("FrEIA, object by object", "rivals:freia_by_object", shape),
                Contender("zuko", "rivals:zuko_batched", of),
                Contender("nflows", "rivals:nflows_batched", of),
                Contender("sbi", "rivals:sbi_batched", of),
                Contender("ours, before", "ours:flow_draws", reference, BEFORE),
                Contender("ours, PyTorch now", "ours:flow_draws", reference),
                Contender(
                    "ours, compiled",
                    "ours:flow_draws",
                    _flow("glow", num_observables, 1),
                ),
                Contender("matrix product (operations)", "rivals:matrix_product"),
            ),
            operations=_glow_operations(num_observables, shape["num_draws"]),
        )
    one = {
        "architecture": "default",
        "num_observables": 11,
        "num_objects": 32,
        "num_draws": 1000,
    }
    ensemble = _flow("default", 11, 10)
    reference = {**ensemble, "is_compiled": False}
    yield Comparison(
        "samplers",
        "Draws of the default flow: 10 members, and one member of other libraries",
        "draws",
        (
            Contender("ours, before", "ours:flow_draws", reference, BEFORE),
            Contender("ours, PyTorch now", "ours:flow_draws", reference),
            Contender("ours, compiled", "ours:flow_draws", ensemble),
            Contender("zuko", "rivals:zuko_batched", one),
            Contender("nflows", "rivals:nflows_batched", one),
            Contender("sbi", "rivals:sbi_batched", one),
        ),
    )
    options = {"num_objects": 500, "num_draws": 1000}
    compiled = {**options, "kernels": "compiled"}
    yield Comparison(
        "samplers",
        "Samples of the default ensemble in catalogue units, with noise",
        "draws",
        (
            Contender("before", "ours:posterior_draws", options, BEFORE),
            Contender("now", "ours:posterior_draws", compiled),
        ),
    )
    yield Comparison(
        "threads",
        "The same on two threads (wall time, on an idle machine only)",
        "draws",
        (
            Contender("one thread", "ours:posterior_draws", compiled),
            Contender(
                "two threads", "ours:posterior_draws", {**compiled, "threads": 2}
            ),
        ),
        clock="wall",
    )


def densities(sizes: Sizes) -> Iterator[Comparison]:
    shape = {"num_observables": 7, "num_objects": 32, "num_draws": 1000}
    reference = {**_flow("glow", 7, 1), "is_compiled": False}
    yield Comparison(
        "densities",
        "Log-densities of the published GLOW network, 7 columns",
        "points",
        (
            Contender("FrEIA", "rivals:freia_density", shape),
            Contender("zuko", "rivals:zuko_density", {"architecture": "glow", **shape}),
            Contender("ours, before", "ours:flow_densities", reference, BEFORE),
            Contender("ours, compiled", "ours:flow_densities", _flow("glow", 7, 1)),
        ),
    )
    ensemble = {**_flow("default", 11, 10), "num_draws": 100}
    one = {**ensemble, "num_draws": 1000}
    one.pop("num_members")
    yield Comparison(
        "densities",
        "Log-densities of members of the default flow",
        "points",
        (
            Contender(
                "ours, before",
                "ours:flow_densities",
                {**ensemble, "is_compiled": False},
                BEFORE,
            ),
            Contender("ours, compiled", "ours:flow_densities", ensemble),
            Contender("zuko", "rivals:zuko_density", one),
        ),
    )


def modes(sizes: Sizes) -> Iterator[Comparison]:
    options = {"num_objects": sizes.modes, "num_draws": 2000}
    yield Comparison(
        "modes",
        f"MAP of {sizes.modes:,} clusters, and 2,000 draws of each",
        "clusters",
        (
            *reversed(_both("MAP", "ours:modes", num_objects=sizes.modes)),
            Contender(
                "2,000 draws, now (draws)",
                "ours:posterior_draws",
                {**options, "kernels": "compiled"},
            ),
        ),
        once=True,
    )


def training(sizes: Sizes) -> Iterator[Comparison]:
    epochs = f"--set train.epochs={sizes.epochs}"
    prepared = {"num_clusters": sizes.run_clusters, "prepare": True}
    train = f"train run --overwrite {epochs} --set model.members="
    one, ten = (
        _both(
            f"{members} members", "ours:command", line=f"{train}{members}", **prepared
        )
        for members in (1, 10)
    )
    yield Comparison(
        "training",
        f"Training of the default preset, {sizes.epochs} epochs",
        "training",
        (one[1], one[0], ten[1], ten[0]),
        once=True,
        is_duration=True,
    )
    line = f"crossval run --folds 5 --overwrite {epochs}"
    yield Comparison(
        "training",
        f"Cross-validation of 5 folds x 10 members, {sizes.epochs} epochs",
        "cross-validation",
        tuple(reversed(_both("crossval", "ours:command", line=line, **prepared))),
        once=True,
        is_duration=True,
    )
    options = {"num_members": 7, "epochs": sizes.epochs_of_mlp}
    one_by_one = {**options, "together": False}
    yield Comparison(
        "training",
        "7 networks of point estimates",
        "networks",
        (
            Contender(
                "one after the other, before", "ours:mlp_ensemble", one_by_one, BEFORE
            ),
            Contender("side by side, before", "ours:mlp_ensemble", options, BEFORE),
            Contender("side by side, now", "ours:mlp_ensemble", options),
        ),
        once=True,
    )


def stages(sizes: Sizes) -> Iterator[Comparison]:
    mock = -(-sizes.clusters // 8)
    line = "infer --catalogue mock/observables1.csv --out out/posterior.nc --samples 1000 --map"
    yield Comparison(
        "infer",
        f"infer of {8 * mock:,} clusters x 1,000 draws, with MAP, flags and files",
        "clusters",
        tuple(
            reversed(
                _both(
                    "infer",
                    "ours:command",
                    line=line,
                    units=8 * mock,
                    num_clusters=mock,
                )
            )
        ),
        once=True,
    )
    tables = "--observables mock/observables1.csv --targets mock/unobservables1.csv"
    yield Comparison(
        "run",
        f"run of a mock catalogue of {sizes.run_clusters} clusters",
        "run",
        tuple(
            reversed(
                _both(
                    "run",
                    "ours:command",
                    line=f"run {tables} --out out/run --set train.epochs={sizes.epochs}",
                    num_clusters=sizes.run_clusters,
                )
            )
        ),
        once=True,
        is_duration=True,
    )
    single = "infer --catalogue one.csv --out out/posterior.nc"
    starts = {
        "import of the package": ("ours:python", {"code": "import cinn_clusters"}),
        "--help": ("ours:command", {"line": "--help"}),
        "one cluster from the shell": ("ours:command", {"line": single}),
    }
    for title, (function, options) in starts.items():
        yield Comparison(
            "start",
            f"Start: {title}",
            "start",
            tuple(reversed(_both(title, function, **options))),
            once=True,
            is_duration=True,
        )


def growth(sizes: Sizes) -> Iterator[Comparison]:
    compiled = {"kernels": "compiled"}
    yield Comparison(
        "growth",
        "Growth of sampling with objects and draws (default ensemble, catalogue units)",
        "draws",
        tuple(
            Contender(
                f"{num_objects:,} objects x {num_draws:,} draws",
                "ours:posterior_draws",
                {"num_objects": num_objects, "num_draws": num_draws, **compiled},
            )
            for num_objects, num_draws in (
                (100, 1000),
                (1000, 1000),
                (4000, 1000),
                (1000, 100),
                (100, 10_000),
            )
        ),
        once=True,
    )
    yield Comparison(
        "growth",
        "Growth of sampling with members (default flow)",
        "draws",
        tuple(
            Contender(
                f"{members} members", "ours:flow_draws", _flow("default", 11, members)
            )
            for members in (1, 2, 5, 10, 20)
        ),
    )


ALL = (samplers, densities, modes, training, stages, growth)
