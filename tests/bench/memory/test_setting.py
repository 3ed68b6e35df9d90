"""What is promised of every system: what it would recall is what it gives back."""

import dataclasses

import numpy as np
import pytest

from tests.bench.memory.rooms import ROOM_CAMERA, there_and_back, truth_of
from worldrt.bench.memory.setting import RECALLED, Setting, System
from worldrt.bench.memory.systems import CEILING, STATIC, SYSTEMS, build
from worldrt.memory.spatial.memory import Footage

COURSE = there_and_back(20)
TRUTH = truth_of(COURSE)
SHAPE = (2, 6, 8)
SETTING = Setting(camera=ROOM_CAMERA, budget=4_000_000, latent_shape=SHAPE, truth=TRUTH.depth)
RECALLING = [name for name in SYSTEMS if name not in ("none", "repeat", STATIC, CEILING)]


def told(name: str) -> System:
    system = build(name, SETTING)
    latents = np.zeros((20, *SHAPE), np.float32)
    system.remember(Footage(TRUTH.rgb[:20], TRUTH.depth[:20], COURSE.poses[:20], 0, latents))
    return system


@pytest.mark.parametrize("name", RECALLING)
def test_what_is_chosen_is_what_is_given_back(name: str) -> None:
    system, ahead = told(name), COURSE.poses[22:23]
    chosen = system.chosen(ahead, RECALLED, 22)
    found = system.retrieve(ahead, RECALLED, 22, 0)
    assert 0 < len(chosen) <= RECALLED == 8 and len(set(chosen)) == len(chosen)
    assert all(0 <= frame < 20 for frame in chosen)
    assert found is not None and list(found.frames) == sorted(chosen)


@pytest.mark.parametrize("name", RECALLING)
def test_recent_frames_are_left_to_the_context(name: str) -> None:
    chosen = told(name).chosen(COURSE.poses[22:23], RECALLED, 22, recent=14)
    assert all(frame < 22 - 14 for frame in chosen)


def test_a_setting_is_named_and_stays_as_it_is() -> None:
    plain = Setting(camera=ROOM_CAMERA, budget=5)
    assert (plain.latent_shape, plain.moving, plain.seed, plain.truth) == (None, None, 0, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        plain.budget = 6  # type: ignore[misc]
    with pytest.raises(TypeError, match="positional"):
        Setting(ROOM_CAMERA, 5)  # type: ignore[misc]
