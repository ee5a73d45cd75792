"""How every figure looks: colours that a colour-blind reader tells apart, sizes that print,
labels of the schema.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Literal, ParamSpec

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure as Figure  # for those who may not know matplotlib
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from cinn_clusters import schema

# Okabe & Ito (2008), Color universal design: the eight colours told apart under every common colour blindness
POSTERIOR, TRUTH, MODE, PRIOR = "#0072B2", "#D55E00", "#E69F00", "#777777"
ACCENT, SECOND = "#009E73", "#CC79A7"
COUNTS = "cividis"
"""Colour map of counts: perceptually uniform, the same for colour-blind readers."""
DPI = 300
STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.3,
    "mathtext.fontset": "dejavusans",
    "svg.hashsalt": "cinn-clusters",
}
Limits = tuple[float, float]
P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw under the style of the house, whatever the user's matplotlib is set to."""

    @wraps(draw)
    def inner(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(
            {**matplotlib.rcParamsDefault, **STYLE, "backend": matplotlib.rcParams["backend"]}
        ):
            return draw(*args, **kwargs)

    return inner


def rendered(figure: Figure, kind: Literal["png", "pdf"], dpi: int = DPI) -> bytes:
    """Return a figure as the bytes of a file; the same figure gives the same bytes.

    Examples:
        >>> rendered(Figure(), "png", 20)[1:4]
        b'PNG'
    """
    metadata = {"CreationDate": None} if kind == "pdf" else {"Software": "cINN-Clusters"}
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format=kind, dpi=dpi, metadata=metadata)
    return buffer.getvalue()


def panels(
    rows: int, columns: int, size: tuple[float, float], *, is_tight: bool = False, **shared: Any
) -> tuple[Figure, Any]:
    """Return a figure of equal panels and their axes, an array (rows, columns).

    Args:
        rows: Lines of panels.
        columns: Panels a line.
        size: Width and height of one panel [inch].
        is_tight: Panels stand side by side, to share their labels.
        **shared: ``sharex``, ``sharey`` of ``Figure.subplots``.
    """
    figure = Figure(
        (columns * size[0] + 0.4, rows * size[1] + 0.4), layout=None if is_tight else "constrained"
    )
    if is_tight:
        figure.subplots_adjust(0.1, 0.08, 0.98, 0.95, wspace=0.08, hspace=0.08)
    return figure, figure.subplots(rows, columns, squeeze=False, **shared)


def target_panels(
    targets: Sequence[str], size: tuple[float, float] = (2.6, 2.5)
) -> tuple[Figure, Any]:
    """Return a figure with a panel a target, three a line, and its axes, (D,); those left over
    are gone.
    """
    columns = min(3, len(targets))
    figure, axes = panels(-(-len(targets) // columns), columns, size)
    for spare in axes.flat[len(targets) :]:
        spare.remove()
    return figure, axes.flat[: len(targets)]


def label(name: str) -> str:
    r"""Axis label of a column, with symbol and unit.

    Examples:
        >>> label("last_Mass_ratio"), label("my_own")
        ('$\\xi$', 'my_own')
    """
    return schema.column(name).label


def shown_limits(values: np.ndarray, tail: float = 0.005) -> np.ndarray:
    """Limits (D, 2) that show all but the tails of finite values (..., D), with a small margin.

    Examples:
        >>> shown_limits(np.linspace(0, 1, 101)[:, None], tail=0.0).round(2).tolist()
        [[-0.03, 1.03]]
    """
    lower, upper = np.quantile(values.reshape(-1, values.shape[-1]), [tail, 1 - tail], axis=0)
    margin = np.where(upper > lower, 0.03 * (upper - lower), 0.5)
    return np.stack([lower - margin, upper + margin], -1)


def binned(
    x: np.ndarray, y: np.ndarray, levels: Sequence[float], num_bins: int = 12
) -> tuple[np.ndarray, np.ndarray]:
    """Quantiles of y in bins of x that hold equally many points.

    Args:
        x: Where, (N,).
        y: What, (N,).
        levels: Quantiles, Q of them.
        num_bins: Bins at most; fewer where points are few.

    Returns:
        Median x of each bin (B,) and quantiles of y (Q, B), B possibly 0.

    Examples:
        >>> middle, quantiles = binned(np.arange(40.0), np.arange(40.0), [0.5], num_bins=2)
        >>> middle.tolist(), quantiles.tolist()
        ([9.5, 29.5], [[9.5, 29.5]])
    """
    num_bins = min(num_bins, len(x) // 10)
    if num_bins < 1:
        return np.empty(0), np.empty((len(levels), 0))
    parts = np.array_split(np.argsort(x, kind="stable"), num_bins)
    middle = np.array([np.median(x[part]) for part in parts])
    return middle, np.stack([np.quantile(y[part], levels) for part in parts], -1)


def plain_log_axis(axis: Axis) -> None:
    """Label a logarithmic axis over a short range with a few plain numbers."""
    lower, upper = axis.get_view_interval()
    axis.set_major_locator(
        LogLocator(subs=(1.0, 2.0, 5.0), numticks=5) if upper > 4 * lower else MaxNLocator(3)
    )
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def legend_above(figure: Figure, axes: Axes) -> None:
    """Put one legend for all panels above them, from the handles of one."""
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names))
