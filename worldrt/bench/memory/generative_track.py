"""A world with one memory or another on the same course: true frames first, then its own."""

import numpy as np

from worldrt.bench.memory.course import Course
from worldrt.bench.memory.setting import Setting
from worldrt.bench.memory.systems import METHODS, STATIC, build
from worldrt.bench.memory.truth import Truth
from worldrt.bench.memory.video import Costs, Video
from worldrt.config import MemoryUse
from worldrt.render import follow
from worldrt.session import Session
from worldrt.starts import Start
from worldrt.world import World

OWN = "map"
"""The world's own memory, used as the world does."""
USES: dict[str, tuple[str | None, MemoryUse]] = {
    "map:context": (None, MemoryUse.CONTEXT),
    "map:both": (None, MemoryUse.BOTH),
    "nearest:context": ("frames:nearest", MemoryUse.CONTEXT),
    "montecarlo:context": ("frames:montecarlo", MemoryUse.CONTEXT),
}
"""Memories that recall frames into the context: which (None: the world's own), and what for."""
DRAWN = tuple(f"frames:{method}" for method in METHODS)
"""Memories whose chosen frames are drawn into the view."""


def systems(world: World, quick: bool) -> tuple[str, ...]:
    """Memories that a world is walked with; of a quick run those that are judged."""
    recalls = tuple(USES) if world.config.memory.recalled else ()
    if quick:
        return "none", "frames:nearest", "frames:montecarlo", *recalls[:1], OWN
    return "none", STATIC, *DRAWN, *recalls, OWN


def play(world: World, name: str, course: Course, truth: Truth, setting: Setting) -> Video:
    """Give a world the course's context and let it walk to the end.

    Args:
        world: what generates.
        name: of its memory, of `systems`.
        course: its first `context` frames are given, the rest is generated.
        truth: what is there.
        setting: for `systems.build`, latents included.

    Raises:
        ConfigError: there is no such memory.
    """
    given = course.context
    start = Start(
        course.name,
        truth.rgb[:given],
        truth.depth[:given].astype(np.float32, copy=False),
        course.poses[:given],
        course.seed,
    )
    costs = Costs()
    frames = truth.rgb.copy()
    shape = np.count_nonzero(course.scored), *truth.depth.shape[1:]
    depth, mask = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    rows = np.cumsum(course.scored) - 1  # of a scored frame, its row in these
    if name == STATIC:
        frames[given:] = truth.rgb[given - 1]
        return Video(frames=frames, depth=depth, mask=mask, chosen={}, costs=costs)
    kind, use = USES.get(name, (None if name == OWN else name, None))
    memory = None if kind is None else build(kind, setting)
    with Session(world, start, seed=course.seed, use=use, memory=memory) as session:
        for chunk in follow(session, course.poses[given:]):
            at = given + chunk.first
            block = slice(at, min(at + len(chunk.frames), len(frames)))
            count = block.stop - at
            frames[block] = chunk.frames[:count]
            scored = course.scored[block]
            depth[rows[block][scored]] = chunk.depth[:count][scored]
            mask[rows[block][scored]] = chunk.remembered[:count][scored]
            costs.view_ms.append(chunk.stage_ms["splat"])
            costs.block_ms.append(chunk.block_ms)
        costs.hold(session.memory)
    return Video(frames=frames, depth=depth, mask=mask, chosen={}, costs=costs)
