"""Lessons: the teacher is the world, and a student who lacks nothing answers like it."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.tiny import BLOCK
from worldrt.kernels.rope import Rope
from worldrt.memory.compress import Grid
from worldrt.model import DenseContext
from worldrt.training.lessons import Lesson, Teacher
from worldrt.training.samples import Sample
from worldrt.world import World

WHOLE = Grid(range(BLOCK), range(3), range(4))
"""Where the tokens of a whole block stand."""


@pytest.fixture(scope="module")
def teacher(world_folder: Path) -> Teacher:
    return Teacher(World.load(str(world_folder)), torch.device("cpu"))


@pytest.fixture(scope="module")
def lesson(teacher: Teacher, batch: Sample) -> Lesson:
    return teacher.teach(batch, torch.Generator().manual_seed(0))


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_the_teacher_is_the_world_in_one_step(
    teacher: Teacher, lesson: Lesson, batch: Sample
) -> None:
    latents = torch.cat([batch.clean[:, :-BLOCK], lesson.noise], dim=1)
    levels = torch.tensor([0.0] * 2 * BLOCK + [1000.0] * BLOCK).expand(2, -1)
    block = torch.arange(3).repeat_interleave(BLOCK * 12)
    context = DenseContext(Rope.of_grid(24, 3, 4).table(range(3 * BLOCK)), block <= block[:, None])
    conditions = teacher.model.read_conditions(batch.camera, batch.spatial)
    residual = teacher.model(latents, levels, context, conditions)
    close(lesson.answer.clean, (batch.hint + residual)[:, -BLOCK:])
    assert torch.equal(lesson.truth, batch.clean[:, -BLOCK:])
    assert torch.equal(lesson.latents, batch.clean[:, :BLOCK])


def test_a_student_with_the_whole_block_answers_like_the_teacher(
    teacher: Teacher, lesson: Lesson
) -> None:
    answer = teacher.ask(lesson, lesson.first, WHOLE)
    close(answer.clean, lesson.answer.clean)
    close(answer.mixed, lesson.answer.mixed)


def test_a_student_who_lacks_a_block_does_not(teacher: Teacher, lesson: Lesson) -> None:
    nothing = teacher.ask(lesson, None, WHOLE)
    elsewhere = teacher.ask(lesson, lesson.first, Grid(range(50, 50 + BLOCK), *WHOLE[1:]))
    for answer in (nothing, elsewhere):
        assert (answer.clean - lesson.answer.clean).abs().max() > 1e-3


def test_the_second_block_remembers_the_first(teacher: Teacher, batch: Sample) -> None:
    """Its keys are those of the teacher's pass, not of one without the first block."""
    other = Sample(
        torch.cat([batch.clean[:, :BLOCK] + 1, batch.clean[:, BLOCK:]], dim=1),
        *batch.tensors()[1:],
    )
    one, changed = (
        teacher.teach(sample, torch.Generator().manual_seed(0)) for sample in (batch, other)
    )
    assert torch.equal(one.second.raw[0], changed.second.raw[0])
    assert (one.second.raw[1] - changed.second.raw[1]).abs().max() > 1e-4
