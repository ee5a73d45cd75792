"""Morphology against closed forms, slow loops and symmetries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cinn_clusters.errors import DataError
from cinn_clusters.xray.morphology import FLOORS, MORPHOLOGY, morphology

SIZE = 64


def plane(size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    centres = (np.arange(size) + 0.5) / size * 2.0 - 1.0
    x, y = np.meshgrid(centres, centres)
    return x, y


def beta(at: tuple[float, float] = (0.0, 0.0), core: float = 0.2) -> np.ndarray:
    x, y = plane()
    return np.asarray((1.0 + ((x - at[0]) ** 2 + (y - at[1]) ** 2) / core**2) ** -1.5)


def measured(one: np.ndarray) -> dict[str, float]:
    return dict(zip(MORPHOLOGY, morphology(one[None])[0], strict=True))


def test_a_round_cluster_has_no_structure() -> None:
    found = measured(beta())
    for name in ("log_centroid_shift", "log_p1", "log_p2", "log_p3"):
        assert found[name] == pytest.approx(np.log10(FLOORS[name]), abs=0.02)
    assert found["asymmetry"] == pytest.approx(0.0, abs=1e-12)
    assert found["ellipticity"] == pytest.approx(0.0, abs=1e-6)


def test_concentration_of_a_beta_model_is_that_of_its_integral() -> None:
    core = 0.2

    def inside(radius: float) -> float:
        return 1.0 - (1.0 + radius**2 / core**2) ** -0.5

    assert measured(beta(core=core))["concentration"] == pytest.approx(
        inside(0.1) / inside(1.0), rel=0.02
    )


def test_power_ratios_are_those_of_a_slow_sum() -> None:
    one = beta((-0.2, 0.1)) + 0.5 * beta((0.4, 0.3), 0.1)
    x, y = plane()
    weight = one * np.clip((1.0 - np.hypot(x, y)) / (2.0 / SIZE) + 0.5, 0.0, 1.0)
    cx, cy = (weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()
    found = measured(one)
    for m in (2, 3, 4):
        radius, angle = np.hypot(x - cx, y - cy), np.arctan2(y - cy, x - cx)
        a = (weight * radius**m * np.cos(m * angle)).sum()
        b = (weight * radius**m * np.sin(m * angle)).sum()
        slow = (a**2 + b**2) / (2.0 * m**2) / weight.sum() ** 2
        assert 10.0 ** found[f"log_p{m}"] == pytest.approx(
            slow + FLOORS[f"log_p{m}"], rel=1e-8
        )


def test_ellipticity_is_that_of_an_ellipse() -> None:
    x, y = plane()
    turned = (x + y) / 2**0.5, (x - y) / 2**0.5
    one = np.exp(-0.5 * ((turned[0] / 0.2) ** 2 + (turned[1] / 0.1) ** 2))
    assert measured(one)["ellipticity"] == pytest.approx(0.5, abs=0.01)


def test_gini_of_extremes() -> None:
    assert measured(np.ones((SIZE, SIZE)))["gini"] == pytest.approx(0.0, abs=1e-12)
    lonely = np.zeros((SIZE, SIZE))
    lonely[SIZE // 2, SIZE // 2] = 1.0
    assert measured(lonely)["gini"] == pytest.approx(1.0)


def test_m20_is_that_of_a_slow_loop() -> None:
    one = beta((0.1, 0.0)) + 0.3 * beta((-0.4, 0.3), 0.1)
    x, y = plane()
    inside = np.hypot(x, y) <= 1.0
    light, x, y = one[inside], x[inside], y[inside]
    moment = light * (
        (x - (light * x).sum() / light.sum()) ** 2
        + (y - (light * y).sum() / light.sum()) ** 2
    )
    total, brightest = 0.0, 0.0
    for k in np.argsort(-light, kind="stable"):
        if total >= 0.2 * light.sum():
            break
        total, brightest = total + light[k], brightest + moment[k]
    assert measured(one)["m20"] == pytest.approx(np.log10(brightest / moment.sum()))


@given(st.integers(0, 3), st.booleans(), st.floats(1e-6, 1e6), st.integers(0, 10**6))
def test_orientation_and_units_change_nothing(
    turns: int, is_mirrored: bool, unit: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    one = beta() + sum(
        0.5 * rng.random() * beta(tuple(rng.uniform(-0.5, 0.5, 2)), 0.1)
        for _ in range(3)
    )
    other = np.rot90(one, turns) * unit
    other = other[:, ::-1] if is_mirrored else other
    np.testing.assert_allclose(
        morphology(other[None]), morphology(one[None]), rtol=1e-6, atol=1e-6
    )


def test_an_offset_companion_raises_what_tells_of_disturbance() -> None:
    calm, stirred = measured(beta()), measured(beta() + 0.5 * beta((0.5, 0.2), 0.1))
    for name in ("log_centroid_shift", "log_p1", "log_p3", "asymmetry", "ellipticity"):
        assert stirred[name] > calm[name] + 0.02, name


def test_chunks_do_not_matter() -> None:
    maps = np.stack([beta((0.01 * k, 0.0)) for k in range(7)])
    np.testing.assert_allclose(morphology(maps, chunk=2), morphology(maps))
    assert morphology(maps[:0]).shape == (0, len(MORPHOLOGY))


@pytest.mark.parametrize(
    ("maps", "half_width", "told"),
    [
        (np.ones((4, 4)), 1.0, r"stack of squares"),
        (np.ones((1, 4, 4)), 0.5, "at least 1 R500"),
        (np.stack([beta(), np.full((SIZE, SIZE), np.nan)]), 1.0, "first map 1"),
        (np.stack([beta(), np.zeros((SIZE, SIZE))]), 1.0, "map 1"),
    ],
)
def test_what_cannot_be_measured(
    maps: np.ndarray, half_width: float, told: str
) -> None:
    with pytest.raises(DataError, match=told):
        morphology(maps, half_width)
