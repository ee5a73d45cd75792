"""What a figure shows is what it was given: read back from the artists, not from the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from cinn_clusters import schema
from cinn_clusters.figures.calibration import (
    Curve,
    coverage_curves,
    rank_curves,
    tarp_curves,
)
from cinn_clusters.figures.correlations import corner, cross_correlations
from cinn_clusters.figures.density import (
    bandwidth,
    credible_levels,
    kernel_density,
    plane_density,
)
from cinn_clusters.figures.error_bars import uncertainties
from cinn_clusters.figures.inference import Inference
from cinn_clusters.figures.learning import learning_curves, skill_bars
from cinn_clusters.figures.marginals import posterior_distribution
from cinn_clusters.figures.performance import (
    prediction_heat_maps,
    truth_against_estimate,
)
from cinn_clusters.figures.sensitivity_matrix import (
    SensitivityMatrix,
    sensitivity_analysis,
)
from cinn_clusters.figures.style import (
    Colour,
    axis_limits,
    binned,
    place_panels,
    rendered,
)

TARGETS = tuple(map(schema.column, schema.DEFAULT_TARGETS))
S, N, D = 200, 60, len(TARGETS)


@pytest.fixture(scope="module")
def inference() -> Inference:
    """Ground truth, samples around it and point estimates, inside all bounds."""
    rng = np.random.default_rng(0)
    centre = np.array([9.0, 3.3, 4.0, 1.0, 0.5, 2.4])
    spread = np.array([1.0, 0.1, 1.0, 0.2, 0.1, 0.3])
    truth = centre + spread * rng.uniform(-1.5, 1.5, (N, D))
    samples = truth + 0.3 * spread * rng.normal(size=(S, N, D))
    return Inference(samples, truth, samples[0], "posterior median", TARGETS)


@pytest.fixture(scope="module")
def prior(inference: Inference) -> np.ndarray:
    spread = inference.truth.std(0)
    return inference.truth + spread * np.random.default_rng(1).normal(size=(N, D)) / 9


def lines_of(figure: Figure, colour: str) -> list[np.ndarray]:
    return [
        np.asarray(line.get_xydata())
        for axis in figure.axes
        for line in axis.lines
        if to_rgba(line.get_color()) == to_rgba(colour)
    ]


def test_marginals_show_prior_posterior_estimate_and_truth(
    inference: Inference, prior: np.ndarray
) -> None:
    some = inference.rows(np.arange(3))
    figure = posterior_distribution(some, prior, ["a", "b", "c"], age=np.full(3, 13.8))
    assert len(figure.axes) == 3 * D
    assert len(lines_of(figure, Colour.PRIOR)) == 3 * D
    assert len(lines_of(figure, Colour.POSTERIOR)) == 3 * D
    truths = np.array([line[0, 0] for line in lines_of(figure, Colour.TRUTH)]).reshape(
        3, D
    )
    estimates = np.array(
        [line[0, 0] for line in lines_of(figure, Colour.ESTIMATE)]
    ).reshape(3, D)
    np.testing.assert_allclose(truths, some.truth)
    np.testing.assert_allclose(estimates, some.estimate)
    assert [axis.get_xlabel() for axis in figure.axes[-D:]] == inference.labels
    assert [axis.get_ylabel() for axis in figure.axes[::D]] == ["a", "b", "c"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["prior", "posterior", "posterior median", "ground truth"]


def test_no_density_lies_outside_the_support(
    inference: Inference, prior: np.ndarray
) -> None:
    samples = inference.samples[:, :1].copy()
    samples[:, 0, 0] = 10 - np.abs(
        np.random.default_rng(1).normal(size=S)
    )  # up to the observation
    ratios = 0.01 * np.abs(np.random.default_rng(2).normal(size=S))
    samples[:, 0, 4] = ratios  # down to a ratio of zero
    first = Inference(
        samples, inference.truth[:1], inference.estimate[:1], "median", TARGETS
    )
    figure = posterior_distribution(first, prior, ["a"], age=np.array([10.0]))
    time, ratio = (lines_of(figure, Colour.POSTERIOR)[d] for d in (0, 4))
    assert time[:, 0].max() < 10.0001
    assert ratio[:, 0].min() > 0
    for grid, density in (time.T, ratio.T):
        assert np.trapezoid(density, grid) == pytest.approx(1.0, abs=0.02)
    assert time[-1, 1] > 0.5 * time[:, 1].max(), (
        "the density stays high at the bound: reflected, not cut"
    )


def test_heat_maps_count_every_sample(inference: Inference) -> None:
    figure = prediction_heat_maps(inference)
    meshes = [axis.collections[0] for axis in figure.axes[:D]]
    limits = axis_limits(inference.truth)
    for d, mesh in enumerate(meshes):
        counts = np.ma.filled(mesh.get_array(), 0).sum()
        inside = lambda values, d=d: (values >= limits[d, 0]) & (values <= limits[d, 1])  # noqa: E731
        expected = (
            inside(inference.samples[:, :, d]) & inside(inference.truth[:, d])
        ).sum()
        assert counts == expected
    assert len({mesh.norm.vmax for mesh in meshes}) == 1, "one colour scale"
    assert meshes[0].norm.vmin == 1
    for axis, label in zip(figure.axes[:D], inference.labels, strict=True):
        assert label in axis.get_xlabel()
        assert label in axis.get_ylabel()


@pytest.mark.parametrize("num_targets", [1, 4, 6])
def test_estimates_stand_against_truths(inference: Inference, num_targets: int) -> None:
    truth, estimate = (
        inference.truth[:, :num_targets],
        inference.estimate[:, :num_targets],
    )
    samples = inference.samples[..., :num_targets]
    fewer = Inference(
        samples, truth, estimate, "posterior median", TARGETS[:num_targets]
    )
    figure = truth_against_estimate(fewer)
    points = [line for line in lines_of(figure, Colour.POSTERIOR) if len(line) == N]
    assert len(points) == len(figure.axes) == 2 * num_targets
    expected = [np.stack([truth[:, d], estimate[:, d]], 1) for d in range(num_targets)]
    errors = [
        np.stack([truth[:, d], (estimate - truth)[:, d]], 1) for d in range(num_targets)
    ]
    for pair in (*expected, *errors):
        assert any(np.allclose(pair, line) for line in points)
    assert [axis.get_yscale() for axis in figure.axes].count("symlog") == num_targets
    labels = " ".join(axis.get_ylabel() for axis in figure.axes)
    assert "posterior median" in labels
    assert "error [Gyr]" in labels
    assert "cluster at a snapshot" in [
        line.get_label() for line in figure.axes[0].lines
    ]


def test_uncertainties_show_gaussian_lines_and_percentiles(
    inference: Inference,
) -> None:
    figure = uncertainties(inference)
    deviation = inference.samples.std(0, ddof=1)
    error = np.abs(inference.estimate - inference.truth)
    for d, axis in enumerate(figure.axes):
        _, percentiles = binned(deviation[:, d], error[:, d], [0.68, 0.95])
        lines = {line.get_label(): np.asarray(line.get_ydata()) for line in axis.lines}
        assert "cluster at a snapshot" in lines, (
            "not a cluster: it has one point a snapshot"
        )
        np.testing.assert_allclose(lines["68% of errors"], percentiles[0])
        np.testing.assert_allclose(lines["95% of errors"], percentiles[1])
        np.testing.assert_allclose(
            lines["2 sigma (Gaussian)"], 2 * lines["1 sigma (Gaussian)"]
        )
        assert axis.get_xscale() == axis.get_yscale() == "log"
    assert "[Gyr]" in figure.axes[0].get_xlabel()
    assert figure.axes[0].get_ylabel() == "|error of median| [Gyr]"


@pytest.mark.parametrize("num_targets", [2, 3, 6])
def test_staircase_shows_every_pair_once(
    inference: Inference, num_targets: int
) -> None:
    arrays = (inference.samples, inference.truth, inference.estimate)
    samples, truth, estimate = (values[..., :num_targets] for values in arrays)
    figure = cross_correlations(
        Inference(samples, truth, estimate, "posterior median", TARGETS[:num_targets])
    )
    visible = [
        axis
        for axis in figure.axes
        if axis.get_visible() and axis.collections and axis.lines
    ]
    assert len(visible) == num_targets * (num_targets - 1) // 2
    np.testing.assert_allclose(lines_of(figure, Colour.TRUTH)[0], truth[:, :2])
    np.testing.assert_allclose(lines_of(figure, Colour.ESTIMATE)[0], estimate[:, :2])


def test_corner_of_one_cluster(inference: Inference) -> None:
    points = {"ground truth": inference.truth[0], "MAP": inference.estimate[0]}
    figure = corner(inference.samples[:, 0], TARGETS, points=points, title="a cluster")
    assert len([axis for axis in figure.axes if axis.get_visible()]) == D * (D + 1) // 2
    assert figure.get_suptitle() == "a cluster"
    assert len(lines_of(figure, Colour.TRUTH)) == D * (D + 1) // 2
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["posterior", "ground truth", "MAP"]
    bare = corner(inference.samples[:, 0], TARGETS)
    assert not lines_of(bare, Colour.TRUTH)


def test_sensitivity_shows_negative_values_as_such() -> None:
    values = np.array([[1.0, -0.2], [0.0, 0.01]])
    errors = np.full((2, 2), 0.05)
    matrix = SensitivityMatrix(
        values, errors, np.ones(2), ["mass", "time"], ["a", "b"], 1
    )
    figure = sensitivity_analysis(matrix, "increase")
    image = figure.axes[0].images[0]
    coloured = np.ma.asarray(image.get_array())
    np.testing.assert_array_equal(coloured.data, values)
    np.testing.assert_array_equal(coloured.mask, [[False, False], [True, True]])
    assert image.norm(-0.1) < 0.5 < image.norm(0.01) < image.norm(1.0)
    assert image.norm(0.0) == pytest.approx(0.5)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == [
        "+1.000\n± 0.050",
        "-0.200\n± 0.050",
        "+0.000\n± 0.050",
        "+0.010\n± 0.050",
    ]


def test_sensitivity_compares_targets_in_their_own_spread() -> None:
    values, scale = np.array([[2.0, 0.2]]), np.array([2.0, 0.1])
    matrix = SensitivityMatrix(values, 0.01 * values, scale, ["time"], ["a", "b"])
    figure = sensitivity_analysis(matrix, "increase")
    np.testing.assert_allclose(
        np.asarray(figure.axes[0].images[0].get_array()), [[1.0, 2.0]]
    )
    assert [text.get_text() for text in figure.axes[0].texts] == [
        "+2.000\n± 0.020",
        "+0.200\n± 0.002",
    ]


def test_calibration_curves_stand_in_their_bands() -> None:
    level = np.linspace(0.1, 0.9, 9)
    curve = Curve(level, level + 0.05, level - 0.1, level + 0.1)
    for draw in (rank_curves, tarp_curves):
        figure = draw({"last_T_coll": curve, "last_V_coll": curve})
        lines = lines_of(figure, Colour.POSTERIOR)
        assert len(lines) == 2
        np.testing.assert_allclose(lines[0][:, 1], 0.05)
    covered = coverage_curves({"last_T_coll": curve})
    expected = np.stack([level, level + 0.05], 1)
    np.testing.assert_allclose(lines_of(covered, Colour.POSTERIOR)[0], expected)


def test_learning_curves_mark_the_best_epoch() -> None:
    figure = learning_curves([1, 2, 3, 4], [4.0, 3.0, 2.0, 1.0], [4.0, 3.0, 2.5, 3.5])
    np.testing.assert_allclose(lines_of(figure, Colour.ESTIMATE)[0], [[3, 2.5]])


def test_skill_bars_show_values_and_bands() -> None:
    figure = skill_bars(
        {"prior": {"$T$ [Gyr]": (0.5, 0.4, 0.7), "joint": (0.1, -0.1, 0.2)}}
    )
    heights = [patch.get_height() for patch in figure.axes[0].patches]
    assert heights == [0.5, 0.1]
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == [
        "$T$",
        "joint",
    ]


@pytest.mark.parametrize("kind", ["png", "pdf"])
def test_a_figure_is_the_same_bytes_every_time(inference: Inference, kind: str) -> None:
    one, two = (
        rendered(corner(inference.samples[:, 0, :2], TARGETS[:2]), kind, 50)
        for _ in range(2)
    )
    assert one == two


# --- densities -------------------------------------------------------------------------------------------------------


def test_kernel_density_of_a_gaussian_is_one() -> None:
    where, density = kernel_density(np.random.default_rng(0).normal(size=200_000))
    np.testing.assert_allclose(
        density, np.exp(-0.5 * where**2) / np.sqrt(2 * np.pi), atol=0.01
    )


def test_kernel_density_is_flat_up_to_its_bounds() -> None:
    where, density = kernel_density(
        np.random.default_rng(0).random(200_000), (0.0, 1.0)
    )
    np.testing.assert_allclose(density, 1.0, atol=0.08)
    assert density.mean() * (where[-1] - where[0]) == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.3])
def test_a_single_value_is_one_peak(value: float) -> None:
    where, density = kernel_density(np.full(50, value), (0.0, 1.0))
    assert where[0] >= 0
    assert where[-1] <= 1
    assert abs(where[density.argmax()] - value) < 0.02


def test_draws_outside_their_support_are_refused() -> None:
    for draws in (np.array([0.5, 1.5]), np.array([0.5, np.nan])):
        with pytest.raises(ValueError, match="inside their support"):
            kernel_density(draws, (0.0, 1.0))


def test_bandwidth_follows_the_spread() -> None:
    draws = np.random.default_rng(0).normal(size=1000)
    assert bandwidth(7 * draws) == pytest.approx(7 * bandwidth(draws))
    assert bandwidth(draws) == pytest.approx(0.9 * 1000**-0.2, rel=0.1)


def test_credible_levels_hold_their_mass() -> None:
    draws = np.random.default_rng(0).normal(size=(100_000, 2))
    x, y, density = plane_density(draws, np.array([[-5.0, 5.0], [-5.0, 5.0]]))
    assert density.shape == (len(y), len(x))
    outer, inner = credible_levels(density, (0.95, 0.68))
    for level, mass in ((outer, 0.95), (inner, 0.68)):
        assert density[density >= level].sum() / density.sum() == pytest.approx(
            mass, abs=0.02
        )


def test_bins_need_points() -> None:
    middle, quantiles = binned(np.arange(5.0), np.arange(5.0), [0.5])
    assert len(middle) == 0
    assert quantiles.shape == (1, 0)


def test_many_objects_are_thinned_evenly(inference: Inference) -> None:
    assert len(inference.thinned(1000).truth) == N
    some = inference.thinned(15)
    np.testing.assert_array_equal(some.truth, inference.truth[::4])
    np.testing.assert_array_equal(some.samples, inference.samples[:, ::4])


@pytest.mark.parametrize("draw", [cross_correlations, truth_against_estimate])
def test_files_of_many_objects_stay_small(
    draw: Callable[[Inference], Figure], inference: Inference
) -> None:
    rng = np.random.default_rng(2)
    truth = rng.uniform(inference.truth.min(0), inference.truth.max(0), (1500, D))
    samples = truth + 0.3 * inference.truth.std(0) * rng.normal(size=(3, 1500, D))
    figure = draw(replace(inference, samples=samples, truth=truth, estimate=samples[0]))
    place_panels(figure)
    assert len(rendered(figure, "png")) < 500_000
    assert len(rendered(figure, "pdf")) < 500_000


def test_panels_are_laid_out_once_where_matplotlib_would_put_them() -> None:
    epoch = [1, 2, 3], [3.0, 2.0, 1.0], [3.0, 2.0, 2.5]
    by_us, by_matplotlib = learning_curves(*epoch), learning_curves(*epoch)
    place_panels(by_us)
    assert by_us.get_layout_engine() is None
    rendered(by_us, "png")
    rendered(by_matplotlib, "png")
    for ours, theirs in zip(by_us.axes, by_matplotlib.axes, strict=True):
        np.testing.assert_allclose(
            ours.get_position().bounds, theirs.get_position().bounds, atol=1e-9
        )
