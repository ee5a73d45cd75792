"""All of a training state goes to disk and back, or the file is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cinn_clusters.errors import BundleError, OutputError
from cinn_clusters.settings.config import OptimiserConfig
from cinn_clusters.storage.training_checkpoint import read_checkpoint, write_checkpoint
from cinn_clusters.training.fit import FitState, TrainingObjective, epochs, start

OPTIONS = OptimiserConfig(epochs=5, batch=4, learning_rate=0.05, patience=0)
ROWS = torch.arange(12).expand(2, -1)
TRUTH = torch.linspace(-1, 1, 12)


class Line(nn.Module):
    """Two members that fit a slope and an offset."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor([[0.1], [-0.3]]))
        self.offset = nn.Parameter(torch.tensor([[0.5], [2.0]]))

    def loss(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        noisy = TRUTH[rows] + 0.1 * torch.randn(rows.shape, generator=generator)
        return (self.slope * noisy + self.offset - noisy).square().mean(1)

    def held_out(self) -> Tensor:
        return (self.slope * TRUTH + self.offset - TRUTH).square().mean(1).detach()


def begin() -> tuple[Line, FitState]:
    model = Line()
    return model, start(model, 2, OPTIONS)


def go_on(model: Line, state: FitState, until: int) -> None:
    objective = TrainingObjective(model.loss, model.held_out, list(ROWS))
    for now in epochs(model, objective, OPTIONS, state, 3):
        if now.epoch == until:
            break


def everything(model: Line, state: FitState) -> dict[str, object]:
    found: dict[str, object] = {"epoch": state.epoch, "history": state.history}
    found |= {"loss": state.best_loss.tolist(), "best epoch": state.best_epoch.tolist()}
    for name, parameter in model.named_parameters():
        found[name] = parameter.tolist()
        found[f"best {name}"] = state.best[name].tolist()
        found |= {
            f"{name} {key}": value.tolist()
            for key, value in state.optimiser.state[parameter].items()
        }
    return found


@pytest.mark.parametrize("epoch", range(1, OPTIONS.epochs + 1))
def test_state_goes_round_and_ends_the_same(epoch: int, tmp_path: Path) -> None:
    whole, whole_state = begin()
    go_on(whole, whole_state, OPTIONS.epochs)
    model, state = begin()
    go_on(model, state, epoch)
    write_checkpoint(tmp_path / "c", model, state, "me")
    again, again_state = begin()
    assert everything(again, again_state) != everything(model, state)
    read_checkpoint(tmp_path / "c", again, again_state, "me")
    assert everything(again, again_state) == everything(model, state)
    go_on(again, again_state, OPTIONS.epochs)
    assert everything(again, again_state) == everything(whole, whole_state)
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_the_last_write_stands(tmp_path: Path) -> None:
    model, state = begin()
    for epoch in (1, 2):
        go_on(model, state, epoch)
        write_checkpoint(tmp_path / "c", model, state, "me")
    again, again_state = begin()
    read_checkpoint(tmp_path / "c", again, again_state, "me")
    assert again_state.epoch == 2


def test_another_run_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    model, state = begin()
    go_on(model, state, 1)
    write_checkpoint(tmp_path / "c", model, state, "me")
    other, other_state = begin()
    before = everything(other, other_state)
    with pytest.raises(
        BundleError,
        match="c: expected the checkpoint of this table and these settings; got another",
    ):
        read_checkpoint(tmp_path / "c", other, other_state, "you")
    assert everything(other, other_state) == before


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "text"])
def test_what_is_no_checkpoint_is_refused(damage: str, tmp_path: Path) -> None:
    model, state = begin()
    go_on(model, state, 1)
    write_checkpoint(tmp_path / "c", model, state, "me")
    data = (tmp_path / "c").read_bytes()
    if damage == "missing":
        (tmp_path / "c").unlink()
    else:
        (tmp_path / "c").write_bytes(
            {"empty": b"", "cut": data[:-9], "text": b"epoch 3 of 40"}[damage]
        )
    with pytest.raises(
        BundleError, match=r"c: expected a whole checkpoint; .*--overwrite"
    ):
        read_checkpoint(tmp_path / "c", model, state, "me")


def test_a_failing_write_leaves_the_last_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, state = begin()
    go_on(model, state, 1)
    write_checkpoint(tmp_path / "c", model, state, "me")
    before = (tmp_path / "c").read_bytes()
    go_on(model, state, 2)

    def half(self: Path, data: bytes) -> None:
        with self.open("wb") as stream:
            stream.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(
        OutputError, match="to be written whole; got No space left on device"
    ):
        write_checkpoint(tmp_path / "c", model, state, "me")
    assert (tmp_path / "c").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
