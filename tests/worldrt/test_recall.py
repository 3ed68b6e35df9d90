"""Recalled frames: written when others are chosen or the camera has gone on, and only then."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.tiny import standing
from worldrt.memory.cache import KVCache
from worldrt.memory.policy import SwitchMode
from worldrt.memory.slots import Region
from worldrt.memory.spatial.frame import Splat
from worldrt.memory.spatial.memory import Footage, Recalled
from worldrt.recall import ANCHOR_DEGREES, ANCHOR_METRES, Recall
from worldrt.rollout import Rollout, Told
from worldrt.sampler import steps_of
from worldrt.world import World


class Scripted:
    """A memory that gives back what it is told to."""

    nbytes = 0

    def __init__(self) -> None:
        self.asked: list[tuple[int, int, int]] = []
        self.found: Recalled | None = None

    def __len__(self) -> int:
        return 0

    def remember(self, footage: Footage) -> None: ...

    def imagine(self, footage: Footage, known: NDArray[np.float32]) -> None: ...

    def view(self, poses: NDArray[np.float64], first: int) -> Splat:
        raise AssertionError("a recall never looks at points")

    def retrieve(
        self, poses: NDArray[np.float64], count: int, now: int, recent: int
    ) -> Recalled | None:
        self.asked.append((count, now, recent))
        return self.found


def frames(*ids: int) -> Recalled:
    shape = len(ids), 16, 6, 8
    latents = np.random.default_rng(ids).standard_normal(shape).astype(np.float32)
    return Recalled(ids, ids, latents, np.stack([standing(0, -1, 20.0 * one) for one in ids]))


@pytest.fixture
def parts(world: World) -> tuple[Scripted, Rollout, Recall, list[int]]:
    cache = KVCache(world.policy("infinity"), world.cache_shape, spatial=2)
    sampler = world.config.sampler
    rollout = Rollout(world.model, cache, steps_of(sampler), sampler.prediction)
    memory, written = Scripted(), []
    recall = Recall(world, memory, rollout, 2)
    inner = rollout.recall

    def spy(latents: torch.Tensor, *told: Told) -> None:
        written.append(latents.shape[1])
        inner(latents, *told)

    rollout.recall = spy  # type: ignore[method-assign]
    return memory, rollout, recall, written


POSES = np.stack([standing(0, -1, 5.0 * index) for index in range(4)])


@torch.inference_mode()
def test_the_same_frames_are_written_once(
    parts: tuple[Scripted, Rollout, Recall, list[int]],
) -> None:
    memory, rollout, recall, written = parts
    recall.renew(POSES, standing(0, -1, 0), 7, 3)
    assert memory.asked == [(2, 7, 3)] and recall.frames == () and written == []
    memory.found = frames(3, 5)
    recall.renew(POSES, standing(0, -1, 0), 11, 3)
    recall.renew(POSES, standing(0, -1 + 0.8 * ANCHOR_METRES, 0), 15, 3)
    recall.renew(POSES, standing(0, -1, 0.9 * ANCHOR_DEGREES), 19, 3)
    assert written == [2] and recall.frames == (3, 5)
    assert rollout.cache.occupancy()[Region.SPATIAL].frames == 2
    memory.found = frames(5)
    recall.renew(POSES, standing(0, -1, 0), 23, 3)
    assert written == [2, 1] and recall.frames == (5,)
    assert rollout.cache.occupancy()[Region.SPATIAL].frames == 1


@torch.inference_mode()
@pytest.mark.parametrize(
    "pose", [standing(0, -1 + 1.1 * ANCHOR_METRES, 0), standing(0, -1, -1.1 * ANCHOR_DEGREES)]
)
def test_frames_are_written_anew_where_the_camera_has_gone_on(
    parts: tuple[Scripted, Rollout, Recall, list[int]], pose: NDArray[np.float64]
) -> None:
    memory, _, recall, written = parts
    memory.found = frames(3, 5)
    for here in (standing(0, -1, 0), pose, pose):
        recall.renew(POSES, here, 11, 3)
    assert written == [2, 2]


@torch.inference_mode()
def test_where_none_is_chosen_those_before_are_forgotten(
    parts: tuple[Scripted, Rollout, Recall, list[int]],
) -> None:
    memory, rollout, recall, written = parts
    memory.found = frames(3, 5)
    recall.renew(POSES, standing(0, -1, 0), 7, 3)
    memory.found = None
    for now in (11, 15):
        recall.renew(POSES, standing(0, -1, 0), now, 3)
        assert recall.frames == ()
        assert rollout.cache.occupancy()[Region.SPATIAL].frames == 0
    memory.found = frames(3, 5)
    recall.renew(POSES, standing(0, -1, 0), 19, 3)
    assert written == [2, 0, 2] and recall.frames == (3, 5)


@torch.inference_mode()
@pytest.mark.parametrize(("mode", "times"), [(SwitchMode.KEEP, 1), (SwitchMode.FLUSH, 2)])
def test_under_another_prompt_they_are_written_anew_unless_all_is_kept(
    parts: tuple[Scripted, Rollout, Recall, list[int]], mode: SwitchMode, times: int
) -> None:
    memory, rollout, recall, written = parts
    memory.found = frames(3, 5)
    recall.renew(POSES, standing(0, -1, 0), 7, 3)
    rollout.switch(mode, text=[])
    recall.renew(POSES, standing(0, -1, 0), 11, 3)
    assert written == [2] * times
