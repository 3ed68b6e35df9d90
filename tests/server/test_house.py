"""What clients are told of a world, and of a server."""

import pytest

from worldrt.server.house import Serving, offered, world_info
from worldrt.world import World


def test_a_world_tells_what_a_viewer_must_know(world: World) -> None:
    info = world_info(world, offered(world, ""))
    config = world.config
    assert (info.name, info.fps, info.block_frames) == ("tiny", 10, 4)
    assert (info.lens.width, info.lens.height, info.lens.fx, info.lens.fy) == (64, 48, 32, 38.4)
    assert (info.move_step, info.turn_step) == (config.motion.move_step, config.motion.turn_step)
    assert (info.starts, info.policy, info.takes_text) == (("room",), "window", False)


@pytest.mark.parametrize(
    "start, expected", [("", ("room",)), ("room", ("room",)), ("seed:3", ("seed:3", "room"))]
)
def test_the_start_that_was_asked_for_is_offered_first(
    world: World, start: str, expected: tuple[str, ...]
) -> None:
    assert offered(world, start) == expected


def test_the_shipped_world_begins_in_its_hall() -> None:
    assert offered(World.load("maze"), "") == ("hall", "banners", "brick")


def test_policies_that_keep_everything_are_not_offered(world: World) -> None:
    info = world_info(world, ())
    names = [policy.name for policy in info.policies]
    assert {"window", "infinity", "pack"} <= set(names) and "full" not in names
    assert len(names) >= 15
    for policy in info.policies:
        find = world.policy(policy.name)
        assert find.partition.recent is not None
        assert policy.modes == tuple(mode.value for mode in find.switches.modes)
        assert policy.summary


def test_limits_are_what_the_server_was_told() -> None:
    limits = Serving(idle_s=1, lifetime_s=2, detach_s=3, record_s=4).limits
    assert (limits.idle_s, limits.lifetime_s, limits.detach_s, limits.record_s) == (1, 2, 3, 4)
