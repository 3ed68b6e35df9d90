"""What is measured: memories of every kind behind one protocol, the controls among them.

`frames:METHOD` keeps all past frames and draws the eight that METHOD chooses, each from its own
depth; `map` is the point map, and `map:METHOD` draws the keyframes that METHOD chooses by its
points. `none`, `repeat` and `truth3d` are the floor, the lazy control and the ceiling. `static`,
the cheat that shows one picture for ever, is no memory: the tracks play it themselves.
"""

from collections.abc import Callable
from functools import partial

from worldrt.bench.memory.controls import Nothing, Repeat
from worldrt.bench.memory.frame_memory import Ceiling, FrameMemory
from worldrt.bench.memory.map_memory import OURS, KeyframeMemory, MapMemory
from worldrt.bench.memory.setting import Setting, System
from worldrt.errors import ConfigError

METHODS = ("random", "last", "nearest", "montecarlo", "frustum", "oracle")
"""Ways to choose that `frames:METHOD` is measured with."""

_KINDS: dict[str, Callable[[Setting], System]] = {
    "none": Nothing,
    "repeat": Repeat,
    **{f"frames:{method}": partial(FrameMemory, method) for method in METHODS},
    "map:surfel": partial(KeyframeMemory, method="surfel"),
    "map:coverage": partial(KeyframeMemory, method=OURS),
    "map": MapMemory,
    "truth3d": Ceiling,
}
STATIC = "static"
"""The cheat: the first scored picture for ever."""
CEILING = "truth3d"
"""The system that is told all true frames of the course, from the first, before it is asked."""
SYSTEMS = (*list(_KINDS)[:2], STATIC, *list(_KINDS)[2:])
"""All that can be measured."""


def build(name: str, setting: Setting) -> System:
    """The system of a name, empty.

    Raises:
        ConfigError: there is none, or the budget is too small for it.
    """
    if name not in _KINDS:
        raise ConfigError.unknown("memory", name, _KINDS)
    return _KINDS[name](setting)
