"""Every map between catalogue values and what a network sees: exact both ways, and never an
unphysical target."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cinn_clusters import schema
from cinn_clusters.cosmology import age_at_lookback
from cinn_clusters.data.bijections import ObservableMap, TargetMap
from cinn_clusters.data.transforms import Transforms, fit_transforms
from cinn_clusters.errors import DataError

KINDS = {
    "identity": TargetMap("a", shift=3.0, scale=0.4),
    "identity of log": TargetMap("b", is_log=True, shift=-1.0, scale=0.7),
    "logit of ratio": TargetMap("c", "logit", False, 0.0, 1.0, shift=-1.2, scale=1.1),
    "logit of log value": TargetMap(
        "d", "logit", False, -3.0, 5.0, shift=0.3, scale=0.2
    ),
    "logit of mass": TargetMap("e", "logit", True, 1e-4, 1e3, shift=0.5, scale=0.3),
    "logit of mass relative to another": TargetMap(
        "g",
        "logit",
        True,
        1e-4,
        1e3,
        shift=0.1,
        scale=0.1,
        relative_to="m",
        reference_unit=14.0,
    ),
    "age": TargetMap("f", "age", False, 0.0, 13.9, shift=-1.5, scale=2.0),
    "window": TargetMap("h", "window", False, 0.1, 13.9, shift=-1.0, scale=1.2),
}
AGES = st.floats(0.2, 13.8)
SHARES = st.floats(1e-6, 1 - 1e-6)
COLUMNS = len(schema.DEFAULT_TARGETS)


@pytest.fixture(params=KINDS, scope="module")
def kind(request: pytest.FixtureRequest) -> TargetMap:
    return KINDS[request.param]


def _alone(entry: TargetMap) -> Transforms:
    return Transforms((), (entry,))


def _float(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def _anchor(entry: TargetMap, age: float) -> torch.Tensor:
    """An anchor such as the kind needs: an age, or a mass that goes with it (one for all others,
    not to be used)."""
    return (
        entry.anchor(_float(13.0 + age / 7.0))[None]
        if entry.relative_to
        else _float(age)[None]
    )


def _within(entry: TargetMap, share: float, age: float) -> float:
    """A value of the target a given share of the way through its support."""
    if entry.is_before_observation:
        return entry.lower + (age - entry.lower) * share
    if entry.bijection == "identity":
        value = 20 * share - 10
        return math.exp(value) if entry.is_log else value
    lower, upper = (
        (math.log(entry.lower), math.log(entry.upper))
        if entry.is_log
        else (entry.lower, entry.upper)
    )
    value = lower + share * (upper - lower)
    return math.exp(value) if entry.is_log else value


def _raw_values(entry: TargetMap) -> st.SearchStrategy[float]:
    """Raw values that are not saturated: a window of 0.1 Gyr ends at the logarithm of 15 of it."""
    return st.floats(-12, 0.3 if entry.bijection == "window" else 11)


class TestTargetMap:
    @given(data=st.data())
    def test_theta_goes_round(self, kind: TargetMap, data: st.DataObject) -> None:
        age = data.draw(AGES)
        theta = _within(kind, data.draw(SHARES), age)
        transforms = _alone(kind)
        u = transforms.standardise_targets(np.array([theta]), _anchor(kind, age))
        again = transforms.physical_targets(u, _anchor(kind, age))
        assert again.item() == pytest.approx(theta, rel=1e-9, abs=1e-9)

    @given(data=st.data())
    def test_u_goes_round(self, kind: TargetMap, data: st.DataObject) -> None:
        age, raw = data.draw(AGES), data.draw(_raw_values(kind))
        u = (raw - kind.shift) / kind.scale
        transforms = _alone(kind)
        theta = transforms.physical_targets(_float(u)[None], _anchor(kind, age))
        assert transforms.standardise_targets(
            theta, _anchor(kind, age)
        ).item() == pytest.approx(u, rel=1e-8, abs=1e-8)

    @given(data=st.data())
    def test_log_jacobian_is_that_of_autodiff(
        self, kind: TargetMap, data: st.DataObject
    ) -> None:
        anchor, raw = _anchor(kind, data.draw(AGES)), data.draw(_raw_values(kind))
        u = _float((raw - kind.shift) / kind.scale)[None].requires_grad_()
        transforms = _alone(kind)
        (slope,) = torch.autograd.grad(transforms.physical_targets(u, anchor).sum(), u)
        assert transforms.log_jacobian(u, anchor).item() == pytest.approx(
            math.log(abs(slope.item())), abs=1e-7
        )

    @given(data=st.data())
    def test_maps_are_monotonic(self, kind: TargetMap, data: st.DataObject) -> None:
        age, raw, more = (
            data.draw(AGES),
            data.draw(_raw_values(kind)),
            data.draw(st.floats(1e-3, 0.1)),
        )
        low, high = (
            kind.physical(_float(value), _anchor(kind, age)).item()
            for value in (raw, raw + more)
        )
        assert (low < high) is not kind.is_before_observation, (
            "u of an age grows with the time since"
        )

    def test_outside_the_support_is_not_finite(self, kind: TargetMap) -> None:
        age = 7.0
        outside = {
            "identity": [math.inf],
            "logit": [kind.lower, kind.upper, kind.lower - 1, kind.upper + 1],
        }
        if kind.bijection == "identity" and kind.is_log:
            outside["identity"] += [0.0, -1.0]
        outside["window"] = [kind.lower, 0.0, age, age + 1e-9, math.inf]
        outside["age"] = [0.0, -1.0, age, age + 1e-9, math.inf]
        for theta in [*outside[kind.bijection], math.nan]:
            u = _alone(kind).standardise_targets(np.array([theta]), _anchor(kind, age))
            assert not torch.isfinite(u).any(), theta

    def test_age_map_is_the_logit_of_the_share_of_time_since(self) -> None:
        entry = replace(KINDS["age"], shift=0.0, scale=1.0)
        raw = entry.raw(_float(2.0), _float(10.0)).item()
        assert raw == pytest.approx(math.log(0.8 / 0.2))

    @pytest.mark.parametrize("lower", [0.0, 4.9])
    def test_window_map_is_the_log_of_a_short_time_since(self, lower: float) -> None:
        entry = TargetMap("t", "window", lower=lower)
        for since in (1e-3, 1e-2):
            raw = entry.raw(_float(5.9 - since), _float(5.9)).item()
            assert raw == pytest.approx(math.log(since), abs=since)
        edge = entry.physical(_float(50.0), _float(5.9)).item()
        assert lower < edge < lower + 1e-5

    def test_a_mass_equal_to_its_reference_is_at_the_origin(self) -> None:
        entry = replace(
            KINDS["logit of mass relative to another"], shift=0.0, scale=1.0
        )
        assert entry.raw(
            _float(3.0), entry.anchor(_float(14.0 + math.log10(3.0)))
        ).item() == pytest.approx(0.0, abs=1e-12)


EXTREMES = st.one_of(
    st.floats(-1e6, 1e6),
    st.sampled_from([-1e6, 1e6, -math.inf, math.inf, 0.0, -3.4e38, 3.4e38]),
)


def _default_transforms(**changes: float) -> Transforms:
    """The six targets as the table scales them (rounded)."""
    scales = [
        (-1.5, 2.0),
        (0.5, 0.13),
        (0.2, 0.04),
        (-0.4, 0.08),
        (-1.3, 1.0),
        (0.7, 0.2),
    ]
    targets = [
        TargetMap(
            name,
            column.bijection,
            column.is_log,
            *column.bounds,
            shift=shift,
            scale=scale,
            relative_to=column.anchor,
            reference_unit=column.anchor_unit,
        )
        for (shift, scale), name in zip(scales, schema.DEFAULT_TARGETS, strict=True)
        for column in [schema.column(name)]
    ]
    return Transforms(
        (ObservableMap(schema.LOOKBACK),),
        tuple(replace(target, **changes) for target in targets),
    )


class TestAnyUGivesPhysicalTargets:
    @given(u=arrays(float, (4, COLUMNS), elements=EXTREMES), age=AGES)
    def test_in_double_precision(self, u: np.ndarray, age: float) -> None:
        self._demand_physical(_theta(u, age), age)

    @given(
        u=arrays(np.float32, (4, COLUMNS), elements=st.floats(-1e6, 1e6, width=32)),
        age=AGES,
    )
    def test_when_network_and_draws_are_single_precision(
        self, u: np.ndarray, age: float
    ) -> None:
        self._demand_physical(_theta(u, age).astype(np.float32).astype(float), age)

    @pytest.mark.parametrize("explosion", [1e6, -1e6])
    @given(age=AGES)
    def test_explosions_stay_inside_and_have_a_density(
        self, explosion: float, age: float
    ) -> None:
        """Draws are kept in single precision: none of them may be rounded onto a bound or past
        it."""
        theta = _theta(np.full((1, COLUMNS), explosion), age).astype(np.float32)
        back = _default_transforms().standardise_targets(theta, _anchors([age]))
        assert torch.isfinite(back).all()

    @staticmethod
    def _demand_physical(theta: np.ndarray, age: float) -> None:
        assert np.isfinite(theta).all()
        time, speed, mass, sub_mass, ratio, distance = theta.T
        assert (time > 0).all()
        assert (time < age).all()
        assert (speed > 0).all()
        assert (10**speed < 299792.458).all()
        assert (mass > 0).all()
        assert (sub_mass > 0).all()
        assert (ratio > 0).all()
        assert (ratio <= 1).all()
        assert (np.abs(distance - 1) < 4).all()


def _theta(u: np.ndarray, age: float) -> np.ndarray:
    return (
        _default_transforms()
        .physical_targets(torch.from_numpy(u), _anchors([age] * len(u)))
        .numpy()
    )


def _anchors(ages: list[float]) -> torch.Tensor:
    """Anchors of the default targets at some ages and a mass, (N, D)."""
    targets = _default_transforms().targets
    return torch.stack(
        [torch.cat([_anchor(target, age) for target in targets]) for age in ages]
    )


def test_joint_log_jacobian_is_the_slogdet_of_autodiff() -> None:
    transforms, anchors = _default_transforms(), _anchors([9.0])[0]
    u = torch.randn(
        COLUMNS, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    jacobian = torch.func.jacrev(
        lambda point: transforms.physical_targets(point, anchors)
    )(u)
    expected = torch.linalg.slogdet(jacobian)[1]
    torch.testing.assert_close(
        transforms.log_jacobian(u, anchors), expected, rtol=0, atol=1e-10
    )


def test_leading_axes_are_free() -> None:
    transforms = _default_transforms()
    u = torch.randn(
        5, 3, COLUMNS, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    anchors = _anchors([3.0, 8.0, 13.0])
    theta = transforms.physical_targets(u, anchors.expand(5, 3, -1))
    torch.testing.assert_close(
        transforms.standardise_targets(theta, anchors.expand(5, 3, -1)),
        u,
        rtol=0,
        atol=1e-9,
    )
    for s in range(5):
        for n in range(3):
            torch.testing.assert_close(
                transforms.physical_targets(u[s, n], anchors[n]),
                theta[s, n],
                rtol=0,
                atol=1e-12,
            )


FINITE = st.floats(-1e300, 1e300)
NAMES = st.text(min_size=1, max_size=8)
OBSERVABLE_MAPS = st.builds(
    ObservableMap,
    NAMES,
    is_log=st.booleans(),
    floor=st.floats(0, 10),
    relative_to=st.none() | NAMES,
    shift=FINITE,
    scale=st.floats(1e-300, 1e300),
    clip=st.floats(1, 100) | st.just(math.inf),
)


def target_maps(
    is_log: bool, lower: st.SearchStrategy[float]
) -> st.SearchStrategy[TargetMap]:
    return st.builds(
        TargetMap,
        NAMES,
        bijection=st.sampled_from(["identity", "logit", "age", "window"]),
        is_log=st.just(is_log),
        lower=lower,
        upper=st.floats(10, 100) | st.just(math.inf),
        shift=FINITE,
        scale=st.floats(1e-300, 1e300),
    )


TARGET_MAPS = target_maps(True, st.floats(1e-10, 9)) | target_maps(
    False, st.floats(-10, 9) | st.just(-math.inf)
)


@given(
    observables=st.lists(OBSERVABLE_MAPS, max_size=4),
    targets=st.lists(TARGET_MAPS, max_size=4),
)
def test_json_goes_round(
    observables: list[ObservableMap], targets: list[TargetMap]
) -> None:
    transforms = Transforms(tuple(observables), tuple(targets))
    text = json.dumps(transforms.to_dict(), allow_nan=False)
    assert Transforms.from_dict(json.loads(text)) == transforms


class TestInputs:
    def test_lookback_time_is_asked_for_where_an_age_bounds_a_target(self) -> None:
        age, free = KINDS["age"], KINDS["identity"]
        without, with_it = (
            (ObservableMap("m"),),
            (ObservableMap(schema.LOOKBACK), ObservableMap("m")),
        )
        assert Transforms(without, (free,)).inputs == ("m",)
        assert Transforms(without, (free, age)).inputs == ("m", schema.LOOKBACK)
        assert Transforms(with_it, (age,)).inputs == (schema.LOOKBACK, "m")
        assert Transforms(without, (free, age)).target_names == ("a", "f")

    def test_age_reads_the_column_of_that_name(self) -> None:
        inputs = np.array([[14.0, 0.0], [15.0, 7.924693]])
        transforms = Transforms((ObservableMap("m"),), (KINDS["age"],))
        np.testing.assert_array_equal(
            transforms.age(inputs).numpy(), age_at_lookback(inputs[:, 1])
        )
        assert transforms.standardise_inputs(inputs).tolist() == [[14.0], [15.0]]
        assert (
            Transforms((ObservableMap("m"),), (KINDS["identity"],))
            .age(inputs[:, :1])
            .isnan()
            .all()
        )

    def test_scaling_is_log_floor_reference_shift_scale_clip_in_this_order(
        self,
    ) -> None:
        entry = ObservableMap(
            "b",
            is_log=True,
            floor=1e-3,
            relative_to="m",
            shift=-1.0,
            scale=2.0,
            clip=3.0,
        )
        transforms = Transforms((ObservableMap("m"), entry), (KINDS["identity"],))
        x = transforms.standardise_inputs(
            np.array([[1.0, 10.0], [1.0, 0.0], [0.0, 1e300]])
        )[:, 1]
        expected = [
            (math.log(10.0) - 1.0 + 1.0) / 2.0,
            max((math.log(1e-3) - 1.0 + 1.0) / 2.0, -3.0),
            3.0,
        ]
        np.testing.assert_allclose(x, expected)

    @pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 3), (1, 3, 2)], ids=str)
    def test_wrong_width_is_refused(self, shape: tuple[int, ...]) -> None:
        transforms = Transforms(
            (ObservableMap("m"), ObservableMap("b")), (KINDS["identity"],)
        )
        with pytest.raises(
            DataError,
            match=r"^inputs: expected shape \(N, 2\) holding m, b; got shape \(",
        ):
            transforms.standardise_inputs(np.zeros(shape))


BEGIN = schema.column(schema.COLLISION_TIME).record_begin


def _table(num_rows: int = 60) -> tuple[dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(3)
    inputs = {
        schema.MASS: rng.normal(14.3, 0.4, num_rows),
        schema.LOOKBACK: rng.uniform(0, 7, num_rows),
        "bcg_SubhaloBHMass": rng.lognormal(-1, 1, num_rows),
    }
    inputs["GroupGasMass"] = (
        inputs[schema.MASS] - 0.8 + 0.05 * rng.normal(size=num_rows)
    )
    age = age_at_lookback(inputs[schema.LOOKBACK])
    theta = np.stack(
        [
            BEGIN + (age - BEGIN) * rng.uniform(0.1, 0.99, num_rows),
            rng.normal(3.3, 0.15, num_rows),
            rng.lognormal(1, 0.6, num_rows),
            rng.lognormal(-1, 0.6, num_rows),
            rng.uniform(0.01, 0.99, num_rows),
            rng.normal(2.5, 0.3, num_rows),
        ],
        1,
    )
    return inputs, theta


def _stacked(inputs: dict[str, np.ndarray], transforms: Transforms) -> np.ndarray:
    return np.stack([inputs[name] for name in transforms.inputs], 1)


class TestFit:
    names = tuple(_table()[0])

    def test_training_rows_get_mean_zero_and_deviation_one(self) -> None:
        inputs, theta = _table()
        transforms = fit_transforms(
            inputs, theta, self.names, schema.DEFAULT_TARGETS, clip=math.inf
        )
        table = _stacked(inputs, transforms)
        x = transforms.standardise_inputs(table)
        u = transforms.standardise_targets(theta, transforms.anchors(table))
        for values in (x, u):
            np.testing.assert_allclose(values.mean(0), 0, atol=1e-10)
            np.testing.assert_allclose(values.std(0, correction=0), 1, atol=1e-10)

    def test_maps_follow_the_schema(self) -> None:
        inputs, theta = _table()
        transforms = fit_transforms(inputs, theta, self.names, schema.DEFAULT_TARGETS)
        for target in transforms.targets:
            known = schema.column(target.name)
            bijection = {"age": "window"}.get(known.bijection, known.bijection)
            assert (target.bijection, target.is_log) == (bijection, known.is_log)
            lower, upper = known.bounds
            assert (target.lower, target.upper) == (known.record_begin or lower, upper)
            assert (target.relative_to, target.reference_unit) == (
                known.anchor,
                known.anchor_unit,
            )
        black_hole, gas = transforms.observables[2], transforms.observables[3]
        assert (black_hole.is_log, black_hole.floor, black_hole.relative_to) == (
            True,
            schema.BLACK_HOLE_SEED,
            None,
        )
        assert (gas.is_log, gas.relative_to, gas.clip) == (False, schema.MASS, 4.0)

    def test_reference_is_dropped_where_it_is_no_observable(self) -> None:
        inputs, theta = _table()
        transforms = fit_transforms(
            inputs, theta[:, 1:2], ["GroupGasMass"], schema.DEFAULT_TARGETS[1:2]
        )
        assert transforms.observables[0].relative_to is None
        assert transforms.observables[0].shift == pytest.approx(
            inputs["GroupGasMass"].mean()
        )

    def test_unknown_target_is_left_on_the_real_line(self) -> None:
        inputs, theta = _table()
        transforms = fit_transforms(inputs, theta[:, 1:2], self.names, ["my_own"])
        expected = TargetMap(
            "my_own", shift=theta[:, 1].mean(), scale=theta[:, 1].std()
        )
        assert transforms.targets[0].bijection == "identity"
        assert transforms.targets[0].shift == pytest.approx(expected.shift)
        assert transforms.targets[0].scale == pytest.approx(expected.scale)

    def test_black_hole_of_no_mass_is_a_finite_x(self) -> None:
        inputs, theta = _table()
        inputs["bcg_SubhaloBHMass"][4] = 0.0
        transforms = fit_transforms(
            inputs, theta, self.names, schema.DEFAULT_TARGETS, clip=math.inf
        )
        table = _stacked(inputs, transforms)
        seeded = table.copy()
        seeded[4, 2] = schema.BLACK_HOLE_SEED
        x = transforms.standardise_inputs(table)
        assert torch.isfinite(x).all()
        assert torch.equal(x, transforms.standardise_inputs(seeded))

    @given(clip=st.floats(0.5, 6), factor=st.floats(-1e6, 1e6))
    def test_x_is_clipped_and_otherwise_untouched(
        self, clip: float, factor: float
    ) -> None:
        inputs, theta = _table()
        transforms = fit_transforms(
            inputs, theta, self.names, schema.DEFAULT_TARGETS, clip=clip
        )
        free = fit_transforms(
            inputs, theta, self.names, schema.DEFAULT_TARGETS, clip=math.inf
        )
        table = _stacked(inputs, transforms) * factor
        x, unclipped = (
            transforms.standardise_inputs(table),
            free.standardise_inputs(table),
        )
        assert torch.equal(x, unclipped.clamp(-clip, clip))

    def test_clip_does_not_enter_mean_and_deviation(self) -> None:
        inputs, theta = _table()
        narrow, wide = (
            fit_transforms(
                inputs, theta, self.names, schema.DEFAULT_TARGETS, clip=c
            ).observables
            for c in (0.1, 9.0)
        )
        assert [(m.shift, m.scale) for m in narrow] == [
            (m.shift, m.scale) for m in wide
        ]

    @pytest.mark.parametrize("value", [0.0, 14.0, -1e12])
    def test_constant_observable_is_refused(self, value: float) -> None:
        inputs, theta = _table()
        inputs[schema.MASS] = np.full(len(theta), value)
        match = rf"^column '{schema.MASS}': expected training values that differ; got the one value .*; leave it out"
        with pytest.raises(DataError, match=match):
            fit_transforms(inputs, theta, self.names, schema.DEFAULT_TARGETS)

    def test_constant_target_is_refused(self) -> None:
        inputs, theta = _table()
        theta[:, 5] = 2.0
        with pytest.raises(
            DataError,
            match=r"^column 'last_d_peri': expected training values that differ",
        ):
            fit_transforms(inputs, theta, self.names, schema.DEFAULT_TARGETS)

    @pytest.mark.parametrize(
        ("d", "value"),
        [
            (0, 13.9),
            (0, 0.0),
            (0, 4.8),
            (2, -1.0),
            (3, 0.0),
            (4, 0.0),
            (4, 1.0),
            (5, np.nan),
        ],
    )
    def test_target_on_or_outside_its_bounds_is_refused(
        self, d: int, value: float
    ) -> None:
        inputs, theta = _table()
        theta[7, d] = value
        name = schema.DEFAULT_TARGETS[d]
        with pytest.raises(
            DataError,
            match=rf"^column '{name}': expected training values inside its bounds; got",
        ):
            fit_transforms(inputs, theta, self.names, schema.DEFAULT_TARGETS)

    def test_missing_values_count_in_no_mean(self) -> None:
        inputs, theta = _table()
        fitted = fit_transforms(inputs, theta, self.names, schema.DEFAULT_TARGETS)
        num = len(theta)
        for name, fill in ((schema.MASS, np.nan), ("bcg_SubhaloBHMass", np.nan)):
            inputs[name] = np.append(inputs[name], fill)
        for name in set(inputs) - {schema.MASS, "bcg_SubhaloBHMass"}:
            inputs[name] = np.append(inputs[name], inputs[name].mean())
        again = fit_transforms(
            inputs, np.vstack([theta, theta[:1]]), self.names, schema.DEFAULT_TARGETS
        )
        by_name = {entry.name: entry for entry in again.observables}
        for entry in fitted.observables:
            if entry.name in {schema.MASS, "bcg_SubhaloBHMass"} or entry.relative_to:
                assert by_name[entry.name] == entry
        (mass,) = (
            d for d, t in enumerate(again.targets) if t.relative_to == schema.MASS
        )
        assert again.targets[mass] == fitted.targets[mass], (
            "its anchor is missing there"
        )
        assert len(inputs[schema.MASS]) == num + 1
        inputs["bcg_SubhaloBHMass"][:] = np.nan
        with pytest.raises(
            DataError, match="'bcg_SubhaloBHMass': expected values in training rows"
        ):
            fit_transforms(
                inputs,
                np.vstack([theta, theta[:1]]),
                self.names,
                schema.DEFAULT_TARGETS,
            )

    def test_observable_that_is_infinite_is_refused(self) -> None:
        inputs, theta = _table()
        inputs["bcg_SubhaloBHMass"][0] = np.inf
        with pytest.raises(
            DataError,
            match=r"^column 'bcg_SubhaloBHMass': expected training values inside",
        ):
            fit_transforms(inputs, theta, self.names, schema.DEFAULT_TARGETS)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("is_log", 9223372036854775808, "valid boolean"),
        ("scale", "wide", "valid number"),
        ("scale", 0.0, "are not finite and positive"),
        ("lower", 1.0, "bounds 1 and 1 are no interval"),
        ("name", -1e308, "valid string"),
        ("shape", 2, "got 2 shape"),
    ],
)
def test_a_map_of_other_types_is_none(key: str, value: object, message: str) -> None:
    target = TargetMap("last_Mass_ratio", "logit", lower=0.0, upper=1.0)
    values = Transforms((), (target,)).to_dict()
    values["targets"][0][key] = value
    with pytest.raises(DataError, match=message):
        Transforms.from_dict(values)
