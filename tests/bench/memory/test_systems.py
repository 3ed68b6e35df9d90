"""Everything that can be measured is found by its name, and keeps the order of the table."""

import pytest

from tests.bench.memory.rooms import ROOM_CAMERA
from worldrt.bench.memory.setting import Setting
from worldrt.bench.memory.systems import CEILING, METHODS, STATIC, SYSTEMS, build
from worldrt.errors import ConfigError

SETTING = Setting(camera=ROOM_CAMERA, budget=2_000_000)


@pytest.mark.parametrize("name", [name for name in SYSTEMS if name != STATIC])
def test_every_system_is_built_empty(name: str) -> None:
    assert len(build(name, SETTING)) == 0


def test_mandatory_controls_are_there() -> None:
    assert {"none", "repeat", STATIC, CEILING, "map", "map:coverage", "map:surfel"} < set(SYSTEMS)
    methods = {"random", "last", "nearest", "montecarlo", "frustum", "oracle"}
    assert (
        methods
        == set(METHODS)
        == {name.removeprefix("frames:") for name in SYSTEMS if name.startswith("frames:")}
    )


@pytest.mark.parametrize("name", ["mop", STATIC])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"Unknown memory '{name}'"):
        build(name, SETTING)


def test_budget_too_small_is_refused() -> None:
    with pytest.raises(ConfigError, match="1000 bytes can't hold"):
        build("map", Setting(camera=ROOM_CAMERA, budget=1000))
