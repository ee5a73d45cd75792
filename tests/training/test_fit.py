"""The training loop: members are alone, each keeps its best, and a run repeats bit for bit."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cinn_clusters.errors import TrainingError
from cinn_clusters.flows.flow import Flow
from cinn_clusters.settings.config import OptimiserConfig
from cinn_clusters.training.fit import (
    FitState,
    TrainingObjective,
    epochs,
    load_best,
    start,
)
from support import glow


class Points(nn.Module):
    """K members with one parameter each."""

    def __init__(self, *where: float) -> None:
        super().__init__()
        self.where = nn.Parameter(torch.tensor(where, dtype=torch.float64)[:, None])


def _config(**options: float | str) -> OptimiserConfig:
    plain = {
        "batch": 512,
        "learning_rate": 2e-3,
        "schedule": "constant",
        "weight_decay": 0.0,
    }
    return OptimiserConfig.model_validate({**plain, "patience": 0, **options})


def _rows(num_rows: int, num_members: int = 1) -> list[Tensor]:
    return [torch.arange(num_rows)] * num_members


def _fit(
    model: nn.Module,
    loss: Callable[[Tensor, torch.Generator], Tensor],
    held_out: Callable[[], Tensor],
    rows: list[Tensor],
    seed: int = 42,
    **options: float | str,
) -> FitState:
    config = _config(**options)
    state = start(model, len(rows), config)
    for _ in epochs(
        model, TrainingObjective(loss, held_out, rows), config, state, seed
    ):
        pass
    return state


def _square(
    model: Points,
) -> tuple[Callable[[Tensor, torch.Generator], Tensor], Callable[[], Tensor]]:
    return (lambda rows, generator: model.where[:, 0].square()), (
        lambda: model.where[:, 0].square()
    )


class TestMembers:
    """A flow of K members on the same rows is K flows."""

    x = torch.randn(
        96, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    u = 0.5 * x + torch.randn(
        96, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64
    )

    def _loss(self, flow: Flow) -> Callable[[Tensor, torch.Generator], Tensor]:
        return lambda rows, generator: (
            -flow.log_prob(self.u[rows], self.x[rows]).mean(-1)
        )

    def _held_out(self, flow: Flow) -> Callable[[], Tensor]:
        members = flow.num_members
        return lambda: (
            -flow.log_prob(
                self.u[:20].expand(members, -1, -1), self.x[:20].expand(members, -1, -1)
            ).mean(-1)
        )

    def _member(self, flow: Flow, member: int) -> Flow:
        single = glow(2, 2, blocks=2, hidden=8).double()
        stacked = {name for name, _ in flow.named_parameters()}
        state = flow.state_dict().items()
        single.load_state_dict(
            {
                name: v[member : member + 1] if name in stacked else v
                for name, v in state
            }
        )
        return single

    @pytest.mark.parametrize("clip", [5.0, 0.05])
    def test_trained_together_is_trained_alone(self, clip: float) -> None:
        """Whole-set batches, so that the order of the rows does not matter."""
        flow = glow(2, 2, members=3, blocks=2, hidden=8).double()
        with torch.no_grad():  # members of very different losses, so that a shared gradient norm would show
            for parameter in flow.parameters():
                parameter *= torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)[
                    :, None, None
                ]
        alone = [self._member(flow, k) for k in range(3)]
        options = {
            "epochs": 12,
            "batch": 96,
            "learning_rate": 0.01,
            "weight_decay": 0.1,
            "clip": clip,
        }
        together = _fit(
            flow, self._loss(flow), self._held_out(flow), _rows(96, 3), **options
        )
        for k, single in enumerate(alone):
            own = _fit(
                single, self._loss(single), self._held_out(single), _rows(96), **options
            )
            assert together.best_loss[k].item() == pytest.approx(
                own.best_loss.item(), abs=1e-9
            )
            assert together.best_epoch[k] == own.best_epoch
            for name, parameter in single.named_parameters():
                stacked = dict(flow.named_parameters())[name][k]
                torch.testing.assert_close(stacked, parameter[0], rtol=0, atol=1e-8)

    def test_run_repeats_bit_for_bit(self) -> None:
        runs = []
        for seed in (3, 3, 4):
            flow = glow(2, 2, members=2, blocks=2, hidden=8).double()
            torch.rand(7)  # the global generator must not matter

            def noisy(
                rows: Tensor, generator: torch.Generator, flow: Flow = flow
            ) -> Tensor:
                x = self.x[rows] + 0.1 * torch.randn(
                    *rows.shape, 2, generator=generator, dtype=torch.float64
                )
                return -flow.log_prob(self.u[rows], x).mean(-1)

            state = _fit(
                flow,
                noisy,
                self._held_out(flow),
                _rows(96, 2),
                epochs=3,
                batch=20,
                seed=seed,
            )
            runs.append((flow.state_dict(), state.history))
        assert runs[0][1] == runs[1][1] != runs[2][1]
        for name, value in runs[0][0].items():
            assert torch.equal(value, runs[1][0][name])
        assert not all(
            torch.equal(value, runs[2][0][name]) for name, value in runs[0][0].items()
        )


class TestRows:
    def _seen(self, rows: list[Tensor], **options: float) -> list[list[Tensor]]:
        model, seen = Points(*[1.0] * len(rows)), []

        def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
            seen.append(rows)
            return model.where[:, 0].square()

        _fit(model, loss, _square(model)[1], rows, epochs=2, **options)
        half = len(seen) // 2
        return [seen[:half], seen[half:]]

    def test_every_row_is_seen_once_an_epoch_in_a_new_order(self) -> None:
        rows = [torch.arange(100, 123), torch.arange(200, 223)]
        first, second = (torch.cat(batches, 1) for batches in self._seen(rows, batch=5))
        for k in range(2):
            assert (
                sorted(first[k].tolist())
                == sorted(second[k].tolist())
                == rows[k].tolist()
            )
            assert first[k].tolist() != second[k].tolist() != rows[k].tolist()
        assert (first[0] + 100).tolist() != first[1].tolist(), (
            "members are shuffled on their own"
        )

    def test_batches_are_full_but_the_last(self) -> None:
        batches, _ = self._seen(_rows(23), batch=5)
        assert [rows.shape[1] for rows in batches] == [5, 5, 5, 5, 3]

    def test_unequal_members_leave_a_few_rows_out(self) -> None:
        rows = [torch.arange(10), torch.arange(7)]
        for batches in self._seen(rows, batch=4):
            seen = torch.cat(batches, 1)
            assert seen.shape == (2, 7)
            assert len(set(seen[0].tolist())) == 7
            assert sorted(seen[1].tolist()) == list(range(7))

    def test_history_weighs_batches_by_their_rows(self) -> None:
        model = Points(1.0)
        values = iter([1.0, 1.0, 4.0])

        def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
            return 0.0 * model.where[:, 0] + next(values)

        state = _fit(model, loss, _square(model)[1], _rows(5), epochs=1, batch=2)
        assert state.history == [
            (1, pytest.approx((2 + 2 + 4) / 5), pytest.approx(1.0))
        ]


class TestSteps:
    def test_gradients_are_clipped_for_each_member_alone(self) -> None:
        model = nn.Module()
        model.a = nn.Parameter(torch.zeros(3, 1, 2, dtype=torch.float64))
        model.b = nn.Parameter(torch.zeros(3, 2, dtype=torch.float64))
        slopes = torch.tensor(
            [[0.1, 0.2], [300.0, 400.0], [3.0, 4.0]], dtype=torch.float64
        )
        caught = []

        def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
            return (slopes * model.a[:, 0]).sum(-1) + (2 * slopes * model.b).sum(-1)

        config = _config(epochs=1, batch=4, clip=5.0)
        state = start(model, 3, config)
        state.optimiser.step = lambda *_: caught.append(
            [p.grad.clone() for p in model.parameters()]
        )  # type: ignore[method-assign]
        list(
            epochs(
                model,
                TrainingObjective(loss, lambda: torch.zeros(3), _rows(4, 3)),
                config,
                state,
                42,
            )
        )
        ((a, b),) = caught
        norms = torch.cat([a.flatten(1), b.flatten(1)], 1).norm(dim=1)
        torch.testing.assert_close(
            norms, torch.tensor([0.5, 5.0, 5.0], dtype=torch.float64), rtol=1e-5, atol=0
        )
        torch.testing.assert_close(b, 2 * a[:, 0])
        torch.testing.assert_close(a[1, 0] / a[1, 0, 0], slopes[1] / slopes[1, 0])

    @pytest.mark.parametrize(
        ("schedule", "expected"),
        [("constant", [0.1] * 4), ("cosine", [0.1, 0.0853553, 0.05, 0.0146447])],
    )
    def test_schedule_is_that_of_the_settings(
        self, schedule: str, expected: list[float]
    ) -> None:
        model, rates = Points(1.0), []
        config = _config(epochs=4, batch=4, learning_rate=0.1, schedule=schedule)
        state = start(model, 1, config)
        for _ in epochs(
            model, TrainingObjective(*_square(model), _rows(4)), config, state, 42
        ):
            rates.append(state.optimiser.param_groups[0]["lr"])
        assert rates == pytest.approx(expected, abs=1e-6)

    def test_decay_is_decoupled_from_the_gradient(self) -> None:
        model = Points(1.0)
        flat = lambda rows, generator: 0.0 * model.where[:, 0]  # noqa: E731
        _fit(
            model,
            flat,
            _square(model)[1],
            _rows(4),
            epochs=3,
            batch=4,
            learning_rate=0.1,
            weight_decay=0.5,
        )
        assert model.where.item() == pytest.approx(0.95**3)

    def test_model_is_in_training_mode_for_steps_and_in_evaluation_mode_for_judgement(
        self,
    ) -> None:
        model, modes = Points(1.0), []

        def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
            modes.append(("step", model.training, torch.is_grad_enabled()))
            return model.where[:, 0].square()

        def held_out() -> Tensor:
            modes.append(("judge", model.training, torch.is_grad_enabled()))
            return model.where[:, 0].square()

        _fit(model, loss, held_out, _rows(4), epochs=2, batch=4)
        assert modes == [("step", True, True), ("judge", False, False)] * 2


LATE = [
    [9.0, 9.0],
    [8.0, 9.0],
    [9.0, 9.0],
    [9.0, 8.0],
    [9.0, 9.0],
    [9.0, 9.0],
    [1.0, 1.0],
    [9.0, 9.0],
]
"""Held-out losses of two members in eight epochs."""


class TestBest:
    def _judged(
        self, table: list[list[float]], **options: float
    ) -> tuple[FitState, Points, list[Tensor]]:
        """Train with held-out losses that are given: one line an epoch, one column a member."""
        model, lines, weights = Points(*[1.0] * len(table[0])), iter(table), []

        def held_out() -> Tensor:
            weights.append(model.where.detach().clone())
            return torch.tensor(next(lines))

        options = {"epochs": len(table), "batch": 2, **options}
        return (
            _fit(
                model, _square(model)[0], held_out, _rows(4, len(table[0])), **options
            ),
            model,
            weights,
        )

    def test_each_member_keeps_its_own_best_epoch(self) -> None:
        state, model, weights = self._judged([[3.0, 1.0], [2.0, 5.0], [4.0, 1.0]])
        assert state.best_epoch.tolist() == [2, 1], "a tie keeps the earlier one"
        assert state.best_loss.tolist() == [2.0, 1.0]
        assert torch.equal(model.where, weights[2]), (
            "the model itself is where training left it"
        )
        load_best(model, state)
        assert torch.equal(model.where[0], weights[1][0])
        assert torch.equal(model.where[1], weights[0][1])
        assert len({w[0].item() for w in weights}) == 3

    def test_history_is_one_line_an_epoch(self) -> None:
        state, _, _ = self._judged([[3.0, 1.0], [2.0, 5.0]])
        assert [(epoch, held_out) for epoch, _, held_out in state.history] == [
            (1, 2.0),
            (2, 3.5),
        ]

    @pytest.mark.parametrize(
        ("patience", "last"), [(0, 8), (1, 3), (2, 6), (3, 8), (99, 8)]
    )
    def test_patience_runs_out_when_no_member_gets_better(
        self, patience: int, last: int
    ) -> None:
        state, _, _ = self._judged(LATE, patience=patience)
        assert state.epoch == len(state.history) == last

    def test_a_finished_state_does_not_train_again(self) -> None:
        state, model, _ = self._judged([[3.0], [2.0]])
        config = _config(epochs=2)
        assert (
            list(
                epochs(
                    model,
                    TrainingObjective(*_square(model), _rows(4)),
                    config,
                    state,
                    42,
                )
            )
            == []
        )


class TestErrors:
    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_training_loss_that_is_not_finite(self, bad: float) -> None:
        model = Points(1.0, 2.0)
        epoch = []

        def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
            epoch.append(1)
            worse = torch.tensor([0.0, bad if len(epoch) == 3 else 0.0])
            return model.where[:, 0].square() + worse

        match = r"^training loss: expected a finite value; got \[.*(nan|inf)\]; epoch 3; lower train.learning_rate"
        with pytest.raises(TrainingError, match=match):
            _fit(model, loss, _square(model)[1], _rows(4, 2), epochs=5, batch=4)
        assert torch.isfinite(model.where).all(), "the step was not taken"

    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_held_out_loss_that_is_not_finite(self, bad: float) -> None:
        model = Points(1.0)
        with pytest.raises(
            TrainingError,
            match=r"^held-out loss: expected a finite value; got \[.*\]; epoch 1",
        ):
            _fit(
                model,
                _square(model)[0],
                lambda: torch.tensor([bad]),
                _rows(4),
                epochs=5,
                batch=4,
            )


@pytest.fixture(scope="module")
def linear_gaussian() -> Flow:
    """A flow trained on theta ~ N(0, 1)^2, x = theta + N(0, 0.5^2): two independent copies of
    the closed form."""
    generator = torch.Generator().manual_seed(0)
    theta = torch.randn(6000, 2, generator=generator)
    x = theta + 0.5 * torch.randn(6000, 2, generator=generator)
    flow = glow(2, 2, members=2, blocks=3, hidden=24, clamp=1.0, zero_init=True)
    state = _fit(
        flow,
        lambda rows, _: -flow.log_prob(theta[rows], x[rows]).mean(-1),
        lambda: (
            -flow.log_prob(
                theta[5000:].expand(2, -1, -1), x[5000:].expand(2, -1, -1)
            ).mean(-1)
        ),
        _rows(5000, 2),
        epochs=16,
        batch=125,
        learning_rate=5e-3,
        schedule="cosine",
        weight_decay=0.01,
    )
    load_best(flow, state)
    return flow


class TestLinearGaussian:
    VARIANCE = 0.2

    def _test_pairs(self) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(99)
        theta = torch.randn(20_000, 2, generator=generator)
        return theta, theta + 0.5 * torch.randn(20_000, 2, generator=generator)

    def test_loss_reaches_the_entropy(self, linear_gaussian: Flow) -> None:
        theta, x = self._test_pairs()
        with torch.no_grad():
            loss = -linear_gaussian.log_prob(
                theta.expand(2, -1, -1), x.expand(2, -1, -1)
            ).mean(-1)
        exact = (
            torch.distributions.Normal(0.8 * x, math.sqrt(self.VARIANCE))
            .log_prob(theta)
            .sum(-1)
        )
        assert -exact.mean().item() == pytest.approx(
            1 + math.log(2 * math.pi * self.VARIANCE), abs=0.02
        )
        for k in range(2):
            assert -1e-3 < (loss[k] + exact.mean()).item() < 0.02

    @pytest.mark.parametrize("seen", [(0.0, 0.0), (1.0, -0.5), (-1.2, 1.2)])
    def test_posterior_has_the_closed_form_mean_and_deviation(
        self, linear_gaussian: Flow, seen: tuple[float, float]
    ) -> None:
        x = torch.tensor(seen).expand(2, 20_000, 2)
        noise = torch.randn(2, 20_000, 2, generator=torch.Generator().manual_seed(5))
        draws = linear_gaussian.sample(noise, x).numpy()
        np.testing.assert_allclose(
            draws.mean(1), np.tile(0.8 * np.array(seen), (2, 1)), atol=0.06
        )
        np.testing.assert_allclose(draws.std(1), math.sqrt(self.VARIANCE), rtol=0.07)
        assert all(abs(np.corrcoef(member.T)[0, 1]) < 0.15 for member in draws)
