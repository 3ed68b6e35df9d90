"""What a block is told, against what the memory shows."""

import numpy as np
import pytest
import torch

from tests.tiny import BLOCK, standing
from worldrt.conditioning import camera_maps, content, spatial_maps
from worldrt.config import MemoryUse
from worldrt.memory.spatial.memory import Footage
from worldrt.memory.spatial.places import Places
from worldrt.memory.spatial.surface import filled
from worldrt.outlook import Outlook
from worldrt.starts import Start
from worldrt.world import World

POSES = np.stack([standing(0.3, -1.0, 20.0 + 5 * index) for index in range(BLOCK)])
BEFORE, NOW = standing(0.3, -1.0, 15.0), 40


@pytest.fixture
def places(world: World, start: Start) -> Places:
    places = world.places()
    places.remember(Footage(start.rgb, start.depth, start.poses, 0))
    return places


@pytest.mark.parametrize("use", list(MemoryUse))
def test_points_are_told_where_they_are_used(world: World, places: Places, use: MemoryUse) -> None:
    """What is not told is known all the same where frames are recalled."""
    plan = Outlook(world, places, use).plan(POSES, BEFORE, NOW)
    view = places.view(POSES, NOW)
    assert view.mask.mean() > 0.5
    np.testing.assert_array_equal(
        plan.mask[:, 0].numpy(), view.mask if use.shows else 0 * view.mask
    )
    known = view.mask if use is not MemoryUse.NONE else 0 * view.mask
    np.testing.assert_array_equal(plan.known, known)
    assert (plan.told.hint is not None) and bool(plan.told.hint.any()) == use.shows
    np.testing.assert_array_equal(plan.poses, POSES)


def test_conditions_are_the_models_reading_of_rays_and_view(world: World, places: Places) -> None:
    plan = Outlook(world, places, MemoryUse.SPLAT).plan(POSES, BEFORE, NOW)
    view = places.view(POSES, NOW)
    image = filled(view, world.config.codec.near)
    np.testing.assert_array_equal(plan.splat.numpy(), image)
    since = np.where(view.mask > 0, np.arange(NOW, NOW + BLOCK)[:, None, None] - view.written, 0)
    age = torch.from_numpy((np.log2(1 + since) / 16).astype(np.float32))[:, None]
    spatial = spatial_maps(world.codec, plan.splat, plan.mask, age)
    camera = camera_maps(world.camera.scaled(1 / world.config.codec.stride), POSES, BEFORE)
    wanted = world.model.read_conditions(camera[None], spatial.maps[None])
    assert plan.told.conditions is not None
    torch.testing.assert_close(plan.told.conditions, wanted, atol=1e-5, rtol=0)
    for note, pose in zip(plan.told.notes, POSES, strict=True):
        assert note.pose is not None and note.prompt is not None
        np.testing.assert_array_equal(note.pose, pose)
        np.testing.assert_array_equal(note.prompt, content(image))


def test_a_view_that_is_older_is_told_so(world: World, places: Places) -> None:
    outlook = Outlook(world, places, MemoryUse.SPLAT)
    young, old = (outlook.plan(POSES, BEFORE, now).told.conditions for now in (NOW, 4000))
    assert young is not None and old is not None and not torch.equal(young, old)
