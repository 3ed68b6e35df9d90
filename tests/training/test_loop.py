"""The loop by the clock: its rate, its end, its checkpoints, and the state that it goes on from."""

import itertools
from pathlib import Path

import msgspec
import pytest
import torch
from torch import nn

from worldrt.errors import ConfigError, CorruptFile
from worldrt.training import curves
from worldrt.training.loop import Effort, Progress, descend, load_state, save_state

EFFORT = Effort(minutes=0.001, batch=1, learning_rate=2.0, report_seconds=0.01)
CPU = torch.device("cpu")


class Counter:
    """Learns nothing, and notes what it is told."""

    def __init__(self) -> None:
        self.progress = Progress()
        self.done: list[float] = []

    def step(self, sample: int, done: float) -> dict[str, float]:
        self.progress.step += 1
        assert sample == self.progress.step
        self.done.append(done)
        return {"loss": float(sample)}

    def save(self, path: Path) -> None:
        path.write_text(str(self.progress.step))


def test_the_loop_ends_when_the_time_is_spent_and_leaves_its_last_state(tmp_path: Path) -> None:
    one = Counter()
    descend(one, itertools.count(1), EFFORT, tmp_path, lambda: {"held-out": 1.0})
    assert one.progress.seconds >= 0.06 and one.done[-1] < 1
    assert one.done == sorted(one.done) and one.done[0] == 0
    assert (tmp_path / "state.pt").read_text() == str(one.progress.step)
    rows = curves.read(tmp_path / "curves.jsonl")
    assert len(rows) > 1 and rows[-1] == (one.progress.step, {"held-out": 1.0})
    steps = [0, *(step for step, _ in rows[:-1])]
    for (first, last), (_, figures) in zip(itertools.pairwise(steps), rows, strict=False):
        mean = (first + 1 + last) / 2  # of the losses first + 1 to last
        assert figures["loss"] == pytest.approx(mean) and figures["held-out"] == 1


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    one = Counter()
    one.progress = Progress(7, 0.06)
    descend(one, itertools.count(1), EFFORT, tmp_path, dict)
    assert one.done == [] and one.progress.step == 7


def test_the_rate_rises_with_the_steps_and_falls_with_the_time() -> None:
    assert EFFORT.rate(0, 0) == pytest.approx(0.02)
    assert EFFORT.rate(99, 0.6) == EFFORT.rate(1000, 0.0) == 2.0
    assert EFFORT.rate(1000, 0.8) == pytest.approx(1.0)
    assert EFFORT.rate(1000, 1.0) == 0


@pytest.mark.parametrize("field", ["minutes", "batch", "learning_rate", "threads"])
def test_zero_is_refused(field: str) -> None:
    with pytest.raises(ConfigError, match="positive minutes, batch, learning_rate and threads"):
        Effort(**{**msgspec.structs.asdict(EFFORT), field: 0})


def test_a_state_is_read_back_to_the_bit(tmp_path: Path) -> None:
    one, other = nn.Linear(3, 2), nn.Linear(3, 2)
    save_state(tmp_path / "state.pt", {"linear": one}, Progress(5, 1.25))
    assert load_state(tmp_path / "state.pt", {"linear": other}, CPU) == Progress(5, 1.25)
    assert torch.equal(other.weight, one.weight)
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


def test_a_state_of_other_parts_is_refused(tmp_path: Path) -> None:
    save_state(tmp_path / "state.pt", {"linear": nn.Linear(3, 2)}, Progress())
    for parts in ({"linear": nn.Linear(3, 4)}, {"packer": nn.Linear(3, 2)}):
        with pytest.raises(CorruptFile, match="state.pt"):
            load_state(tmp_path / "state.pt", parts, CPU)
