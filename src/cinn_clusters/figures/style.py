"""Style of every figure: colours that colour-blind readers distinguish, sizes that print."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Literal, ParamSpec

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Figure  # for those who may not know matplotlib
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from cinn_clusters.schema import Column, tex_unit

COUNTS = "cividis"
"""Colour map of counts: perceptually uniform, the same for colour-blind readers."""
FileKind = Literal["png", "pdf"]
DPI: dict[FileKind, int] = {"png": 150, "pdf": 300}
"""Resolution of a picture for the screen, and of what is rasterised in print."""
_DARK = 0.5
"""Luminance of a background below which text is white."""
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
POINTS: Any = {
    "ls": "",
    "marker": ".",
    "ms": 4,
    "mew": 0,
    "alpha": 0.5,
    "rasterized": True,
}
"""Look of one point an object in a scatter plot."""
NUM_POINTS = 1000
"""Objects in a scatter plot, at most."""
_METADATA = {"pdf": {"CreationDate": None}, "png": {"Software": "cINN-Clusters"}}
Limits = tuple[float, float]
_P = ParamSpec("_P")


class Colour:
    """Colours of what is drawn, safe for every common colour blindness.

    References:
        Okabe & Ito (2008), Color universal design.
    """

    POSTERIOR, TRUTH, ESTIMATE = "#0072B2", "#D55E00", "#E69F00"
    PRIOR, ACCENT, SECOND = "#777777", "#009E73", "#CC79A7"


def styled(draw: Callable[_P, Figure]) -> Callable[_P, Figure]:
    """Draw under the style of the package, whatever the user's matplotlib is set to."""

    @wraps(draw)
    def draw_styled(*args: _P.args, **kwargs: _P.kwargs) -> Figure:
        backend: Any = {"backend": matplotlib.rcParams["backend"]}
        with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE, **backend}):
            return draw(*args, **kwargs)

    return draw_styled


def rendered(figure: Figure, kind: FileKind, dpi: int | None = None) -> bytes:
    """Return a figure as the bytes of a file; the same figure gives the same bytes.

    Examples:
        >>> rendered(Figure(), "png", 20)[1:4]
        b'PNG'
    """
    buffer, dpi = io.BytesIO(), dpi or DPI[kind]
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format=kind, dpi=dpi, metadata=_METADATA[kind])
    return buffer.getvalue()


def place_panels(figure: Figure) -> None:
    """Place the panels of a figure once, for all kinds of file; ``rendered`` keeps them there.

    matplotlib would draw a figure with a layout engine twice for each file. Its canvas remembers the
    sizes of texts, so that they are not measured again for the picture.
    """
    FigureCanvasAgg(figure)
    figure.dpi = DPI["png"]
    engine = figure.get_layout_engine()
    with matplotlib.rc_context(STYLE):
        if engine is not None:
            engine.execute(figure)
        figure.set_layout_engine(None)


def panels(
    rows: int, columns: int, size: tuple[float, float], **shared: Any
) -> tuple[Figure, Any]:
    """Return a figure of equal panels of a size [inch] and their axes, an array (rows, columns).

    ``shared`` are ``sharex`` and ``sharey`` of ``Figure.subplots``.
    """
    panel_width, panel_height = size
    width, height = columns * panel_width + 0.4, rows * panel_height + 0.4
    figure = Figure((width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **shared)


def target_panels(
    num_targets: int, size: tuple[float, float] = (2.6, 2.5)
) -> tuple[Figure, Any]:
    """Return a figure with a panel for each target, three in a line, and its axes, (D,)."""
    num_columns = min(3, num_targets)
    num_lines = -(-num_targets // num_columns)  # rounded up
    figure, axes = panels(num_lines, num_columns, size)
    for spare in axes.flat[num_targets:]:
        spare.remove()
    return figure, axes.flat[:num_targets]


def with_unit(text: str, column: Column) -> str:
    """Axis label of a quantity that is measured in the unit of a column.

    Examples:
        >>> with_unit("error", Column("age", "t", "Gyr"))
        'error [Gyr]'
    """
    if not column.unit:
        return text
    return f"{text} [{tex_unit(column.unit)}]"


def axis_limits(values: np.ndarray, tail: float = 0.005) -> np.ndarray:
    """Limits (D, 2) that hold all but the tails of finite values (..., D), with a small margin.

    Examples:
        >>> axis_limits(np.linspace(0, 1, 101)[:, None], tail=0.0).round(2).tolist()
        [[-0.03, 1.03]]
    """
    num_columns = values.shape[-1]
    flat = values.reshape(-1, num_columns)
    lower, upper = np.quantile(flat, [tail, 1 - tail], axis=0)
    width = upper - lower
    margin = np.where(width > 0, 0.03 * width, 0.5)
    return np.stack([lower - margin, upper + margin], -1)


def binned(
    x: np.ndarray, y: np.ndarray, levels: Sequence[float], num_bins: int = 12
) -> tuple[np.ndarray, np.ndarray]:
    """Quantiles of y (N,) in bins of x (N,) that hold equally many points.

    Args:
        x: Values to bin by, (N,).
        y: Values to reduce, (N,).
        levels: Quantiles, Q of them.
        num_bins: Number of bins at most; fewer where points are few.

    Returns:
        Median x of each bin (B,) and quantiles of y (Q, B), B possibly 0.

    Examples:
        >>> middle, quantiles = binned(np.arange(40.0), np.arange(40.0), [0.5], num_bins=2)
        >>> middle.tolist(), quantiles.tolist()
        ([9.5, 29.5], [[9.5, 29.5]])
    """
    num_bins = min(num_bins, len(x) // 10)
    if num_bins < 1:
        no_bins = (len(levels), 0)
        return np.empty(0), np.empty(no_bins)
    order = np.argsort(x, kind="stable")
    bins = np.array_split(order, num_bins)
    middle = [np.median(x[rows]) for rows in bins]
    quantiles = [np.quantile(y[rows], levels) for rows in bins]
    return np.array(middle), np.stack(quantiles, -1)


def plain_log_axis(axis: Axis) -> None:
    """Label a logarithmic axis over a short range with a few plain numbers."""
    lower, upper = axis.get_view_interval()
    axis.set_major_locator(MaxNLocator(3))
    if upper > 4 * lower:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=5))
    formatter = FuncFormatter(lambda value, _: f"{value:g}")
    axis.set_major_formatter(formatter)
    axis.set_minor_formatter(NullFormatter())


def legend_above(figure: Figure, axes: Axes) -> None:
    """Put one legend for all panels above them, from the handles of one."""
    handles, names = axes.get_legend_handles_labels()
    legend = figure.legend(handles, names, loc="outside upper center", ncols=len(names))
    for point in legend.get_lines():
        point.set_alpha(1.0)


def readable_on(colours: np.ndarray) -> np.ndarray:
    """Colour of text on backgrounds (..., 4), white on dark ones.

    Examples:
        >>> readable_on(np.array([[0.2, 0.0, 0.3, 1.0], [1.0, 0.9, 0.8, 1.0]])).tolist()
        ['white', 'black']
    """
    luminance = colours[..., :3] @ np.array([0.2126, 0.7152, 0.0722])  # Rec. 709
    return np.where(luminance < _DARK, "white", "black")
