"""The memory alone: true frames go in, and what it shows of the scored poses is filled and scored.

No generator takes part, so a difference between two systems is one between memories.
"""

import time
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray

from worldrt.bench.memory.ages import count_ages
from worldrt.bench.memory.course import Course
from worldrt.bench.memory.setting import RECALLED, Setting
from worldrt.bench.memory.systems import CEILING, STATIC, build
from worldrt.bench.memory.truth import Truth
from worldrt.bench.memory.video import SHOWN, Costs, Video
from worldrt.codec import unpack
from worldrt.memory.spatial.memory import Footage
from worldrt.memory.spatial.surface import filled

BLOCK = 4
"""Frames that are viewed together, as a generator would ask for them."""
NEAR = 0.75
"""Metres at which the filler's inverse depth saturates."""


def play(
    name: str,
    course: Course,
    truth: Truth,
    setting: Setting,
    told_poses: NDArray[np.float64] | None = None,
    told_depth: NDArray[np.float32] | None = None,
    tell_back: bool = False,
) -> Video:
    """Tell a memory all that is not scored, in order, and look where it is.

    A scored frame is not told: from the first stretch of them on the memory lives on what came
    before.

    Args:
        name: of the system, see `systems.SYSTEMS`.
        course: where the camera goes.
        truth: what is there.
        setting: for `systems.build`.
        told_poses: [T, 4, 4] where the memory believes the camera to be; None: where it is.
        told_depth: [T, Y, X] metres that the memory is told; None: the true ones.
        tell_back: tell each scored frame after it was asked for, one by one: how soon does it
            notice what has changed?

    Raises:
        ConfigError: there is no such system, or the budget is too small for it.
    """
    poses = course.poses if told_poses is None else told_poses
    depths = truth.depth if told_depth is None else told_depth
    if name == STATIC:
        return _still(course, truth)
    memory, costs = build(name, setting), Costs()
    frames = truth.rgb.copy()
    shape = np.count_nonzero(course.scored), *truth.depth.shape[1:]
    depth, mask = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    chosen: dict[int, list[int]] = {}
    shown = count_ages(np.empty(0))
    asked = set(middles(course.scored))
    if name == CEILING:
        memory.remember(Footage(truth.rgb, _floats(truth.depth), course.poses, 0))
    done = 0

    def tell(block: slice) -> None:
        for at in range(block.start, block.stop):
            one = slice(at, at + 1)
            began = time.perf_counter()
            memory.remember(Footage(truth.rgb[one], _floats(depths[one]), poses[one], at))
            costs.insert_ms.append(_since(began))

    for first, count, scored in blocks(course.scored, 1 if tell_back else BLOCK):
        block = slice(first, first + count)
        if scored:
            began = time.perf_counter()
            view = memory.view(poses[block], first)
            costs.view_ms.append(_since(began))
            frames[block] = unpack(torch.from_numpy(filled(view, NEAR)), NEAR)[0]
            depth[done : done + count], mask[done : done + count] = view.depth, view.mask
            now = np.arange(first, first + count)[:, None, None]
            shown += count_ages((now - view.written)[view.mask >= SHOWN])
            done += count
            middle = first + count // 2
            if name != CEILING and middle in asked:
                began = time.perf_counter()
                chosen[middle] = memory.chosen(poses[middle : middle + 1], RECALLED, middle)
                costs.retrieve_ms.append(_since(began))
        if name != CEILING and (tell_back or not scored):
            tell(block)
    costs.hold(memory)
    return Video(
        frames=frames,
        depth=depth,
        mask=mask,
        chosen=chosen,
        costs=costs,
        shown=shown,
        told_back=tell_back,
    )


def blocks(scored: NDArray[np.bool_], size: int = BLOCK) -> list[tuple[int, int, bool]]:
    """(first frame, frames, whether they are scored): stretches of one kind, cut into blocks."""
    found, first = [], 0
    for kind, stretch in groupby(scored.tolist()):
        end = first + len(list(stretch))
        found += [(at, min(size, end - at), kind) for at in range(first, end, size)]
        first = end
    return found


def middles(scored: NDArray[np.bool_]) -> list[int]:
    """The frame in the middle of each scored block, for which a choice of frames is asked."""
    return [first + count // 2 for first, count, kind in blocks(scored) if kind]


def _still(course: Course, truth: Truth) -> Video:
    """The picture where the scored frames begin, for ever; the video that memory must beat."""
    count, first = np.count_nonzero(course.scored), int(np.argmax(course.scored))
    nothing = np.zeros((count, *truth.depth.shape[1:]), np.float32)
    frames = np.repeat(truth.rgb[first : first + 1], len(truth.rgb), axis=0)
    return Video(frames=frames, depth=nothing, mask=nothing, chosen={}, costs=Costs())


def _floats(depth: NDArray[np.floating]) -> NDArray[np.float32]:
    return depth.astype(np.float32, copy=False)


def _since(began: float) -> float:
    """Milliseconds since."""
    return 1e3 * (time.perf_counter() - began)
