"""What is measured: sizes, shapes and what is refused."""

import pytest
import torch

from worldrt.bench.speed.subject import random_subject, world_subject
from worldrt.errors import ConfigError
from worldrt.world import World


def make(name: str = "small", size: tuple[int, int] = (80, 48), steps: int = 3):
    return random_subject(
        name,
        size,
        policy="window:sink=0,recent=6",
        steps=steps,
        dtype=torch.float32,
        device=torch.device("cpu"),
    )


def test_a_random_model_walks() -> None:
    subject = make()
    assert (subject.rows, subject.columns, subject.block_tokens) == (3, 5, 45)
    rollout = subject.rollout()
    latents = rollout.generate(subject.draw, subject.block_frames, subject.told())
    assert latents.shape == (1, 3, 16, 6, 10) and bool(latents.isfinite().all())


def test_steps_fall_from_noise() -> None:
    sigmas = [step.sigma for step in make(steps=5).steps]
    assert sigmas[0] == 1 and sigmas == sorted(sigmas, reverse=True) and sigmas[-1] > 0


def test_a_world_is_measured_with_its_own_conditions(world: World) -> None:
    subject = world_subject(world)
    told = subject.told()
    assert told.conditions is not None and told.hint is not None
    rollout = subject.rollout()
    assert rollout.generate(subject.draw, subject.block_frames, told).shape == told.hint.shape


def test_a_twin_has_the_same_context() -> None:
    subject = make()
    twin = subject.twin()
    assert twin.cache().shape.tokens == subject.cache().shape.tokens
    assert twin.cache().nbytes < subject.cache().nbytes / 4


@pytest.mark.parametrize(
    "name, size, steps, sentence",
    [
        (
            "wan-1.4b",
            (80, 48),
            3,
            "Unknown model 'wan-1.4b': did you mean 'wan-14b'? choose one of small, wan-1.3b, "
            "wan-14b.",
        ),
        (
            "small",
            (850, 480),
            3,
            "Frames of 850x480 pixels can't be cut into tokens of 16x16; ask for multiples of it, "
            "such as 832x480.",
        ),
        (
            "small",
            (0, 48),
            3,
            "Frames of 0x48 pixels can't be cut into tokens of 16x16; ask for multiples of it, "
            "such as 832x480.",
        ),
        ("small", (80, 48), 0, "0 steps were asked for; 1 to 100 are possible."),
    ],
)
def test_what_can_not_be_measured(
    name: str, size: tuple[int, int], steps: int, sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make(name, size, steps)
    assert str(caught.value) == sentence
