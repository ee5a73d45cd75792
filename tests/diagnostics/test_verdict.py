"""The five known posteriors are told apart, by name."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from cinn_clusters.diagnostics import verdict
from cinn_clusters.diagnostics.bands import ALPHA, Estimate, mean_estimate, uniformity
from cinn_clusters.diagnostics.coverage import calibration_error, hpd_ranks
from cinn_clusters.diagnostics.lc2st import lc2st
from cinn_clusters.diagnostics.ranks import pit
from cinn_clusters.diagnostics.scores import (
    COVERAGE_LEVELS,
    bootstrap_weights,
    central_coverage,
    crps,
    energy_score,
    skill,
)
from cinn_clusters.diagnostics.tarp import references_from_x, tarp_fractions
from cinn_clusters.diagnostics.verdict import (
    JointTest,
    Marginal,
    joint_findings,
    placement,
    target_findings,
)
from known import NAMES, Known, known

TOLD = {
    "exact": {verdict.CALIBRATED},
    "narrow": {verdict.NARROW},
    "wide": {verdict.WIDE},
    "biased": {verdict.HIGH},
    "prior": {verdict.CALIBRATED, verdict.UNINFORMATIVE},
}
JOINTLY = {
    "exact": {verdict.CALIBRATED},
    "narrow": {verdict.NARROW, verdict.INACCURATE},
    "wide": {verdict.WIDE, verdict.INACCURATE},
    "biased": {verdict.NARROW, verdict.INACCURATE},
    "prior": {verdict.INACCURATE, verdict.UNINFORMATIVE},
}
SHAPES = [(1000, 1), (250, 8)]


def names_of_target(world: Known, name: str, d: int) -> set[str]:
    weights = bootstrap_weights(world.clusters, 999)
    samples, truth = world.samples(name)[:, :, [d]], world.truth[:, [d]]
    alpha = ALPHA / 30
    value = pit(samples, truth)[:, 0]
    core = central_coverage(samples, truth)[:, :, 0].mean(0) - COVERAGE_LEVELS.mean()
    found = target_findings(
        "t",
        Marginal(
            placement(value, weights, alpha=alpha),
            mean_estimate(core, weights, alpha),
            uniformity(value, weights, alpha=alpha),
            skill=skill(
                crps(samples, truth)[:, 0],
                crps(world.prior[:, :, [d]], truth)[:, 0],
                weights,
            ),
        ),
        alpha=alpha,
    )
    assert all(finding.subject == "t" and "[" in finding.evidence for finding in found)
    return {finding.name for finding in found}


@pytest.mark.parametrize("shape", SHAPES, ids=["rows", "clusters"])
@pytest.mark.parametrize("name", NAMES)
def test_every_target_of_known_posteriors_is_named(
    name: str, shape: tuple[int, int]
) -> None:
    world = known(*shape, num_draws=299)
    for d in range(6):
        assert names_of_target(world, name, d) == TOLD[name], d


@pytest.mark.parametrize("shape", SHAPES, ids=["rows", "clusters"])
@pytest.mark.parametrize("name", NAMES)
def test_known_posteriors_are_named_jointly(name: str, shape: tuple[int, int]) -> None:
    world = known(*shape)
    samples, truth, weights = (
        world.samples(name),
        world.truth,
        bootstrap_weights(world.clusters, 999),
    )
    points = references_from_x(truth, world.x, world.clusters)
    tests = [
        JointTest(
            "TARP",
            uniformity(tarp_fractions(samples, truth, points), weights).p_value,
            "KS",
        ),
        JointTest(
            "L-C2ST", lc2st(samples, truth, world.x, world.clusters).p_value, "t"
        ),
    ]
    rho = hpd_ranks(world.log_prob(name, samples), world.log_prob(name, truth))
    hpd = calibration_error((rho[:, None] <= COVERAGE_LEVELS).T[:, :, None], weights)[
        0
    ].signed
    gained = skill(
        energy_score(samples, truth), energy_score(world.prior, truth), weights
    )
    assert {finding.name for finding in joint_findings(tests, hpd, gained)} == JOINTLY[
        name
    ]


@pytest.mark.parametrize(
    ("width", "bias"), [(1.0, 0.0), (0.5, 0.0), (2.0, 0.0), (1.0, 0.5), (0.7, -1.0)]
)
def test_width_and_bias_are_told_apart(width: float, bias: float) -> None:
    """A posterior N(m + bias s, (width s)^2) for truths N(m, s^2), its PIT in closed form."""
    truth = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    placed = placement(
        norm.cdf((truth - bias) / width), np.full((2, 20_000), 1 / 20_000)
    )
    assert placed.width.value == pytest.approx(width, rel=1e-3)
    assert placed.bias.value == pytest.approx(bias / width, abs=1e-3)


@pytest.mark.parametrize("value", [0.0, 1.0, np.nan])
def test_pit_on_the_edge(value: float) -> None:
    with pytest.raises(
        ValueError,
        match=r"^placement: expected PIT inside \(0, 1\); got others; pass the randomised",
    ):
        placement(np.array([0.5, value]), np.full((2, 2), 0.5))


def fine(value: float) -> Estimate:
    return Estimate(value, value - 0.1, value + 0.1)


def test_low_and_high() -> None:
    shape = uniformity(np.linspace(0.01, 0.99, 50), bootstrap_weights(np.arange(50)))
    for bias, name in ((-0.5, verdict.LOW), (0.5, verdict.HIGH)):
        placed = verdict.Placement(fine(bias), fine(1.0), fine(1.0))
        (found,) = target_findings("t", Marginal(placed, fine(0.0), shape))
        assert found.name == name
        assert f"{bias:.3f}" in found.evidence


def test_a_core_that_is_too_wide_is_told_where_the_tails_hide_it() -> None:
    shape = uniformity(np.linspace(0.01, 0.99, 50), bootstrap_weights(np.arange(50)))
    placed = verdict.Placement(fine(0.0), fine(1.0), fine(1.0))
    assert [
        found.name for found in target_findings("t", Marginal(placed, fine(0.2), shape))
    ] == [verdict.WIDE]
    assert [
        found.name
        for found in target_findings("t", Marginal(placed, fine(-0.2), shape))
    ] == [verdict.NARROW]


def test_a_wrong_shape_is_told_where_nothing_else_explains_it() -> None:
    rng = np.random.default_rng(0)
    value = np.where(
        rng.random(2000) < 0.15, 0.3 + 0.01 * rng.random(2000), rng.random(2000)
    )
    shape = uniformity(value, bootstrap_weights(np.arange(2000), 999))
    placed = verdict.Placement(fine(0.0), fine(1.0), fine(1.0))
    assert [
        found.name for found in target_findings("t", Marginal(placed, fine(0.0), shape))
    ] == [verdict.MISSHAPEN]


def test_nothing_known_is_nothing_found() -> None:
    (found,) = joint_findings([], None, None)
    assert found.name == verdict.CALIBRATED
