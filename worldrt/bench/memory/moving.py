"""S6's scores: is what moved while nobody looked where it must be by now?

A picture is held against three: the truth, the truth with everything stopped at the last sight
(`frozen`), and the empty maze. What differs from the empty maze, near a thing's true or frozen
place, is taken for the thing.
"""

import math
import sys
from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from worldrt.bench.memory.course import Course
from worldrt.bench.memory.truth import Truth
from worldrt.geometry.camera import Camera
from worldrt.simulators.movers import Mover, Movers

DIFFERS = 0.1
"""Largest difference of a colour, of its whole range, that still shows the empty maze."""
NEARBY = 4
"""Pixels around a thing's true and frozen place in which it is looked for."""
FEWEST = 12
"""Pixels of a thing in all frames together below which it is not scored."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Return:
    """The scored frames of a course with things that move, as three truths of equal frames."""

    truth: Truth
    frozen: Truth
    """Everything as it was when last seen."""
    empty: Truth
    """Without anything that moves."""

    @classmethod
    def record(cls, course: Course, truth: Truth) -> Self:
        """Draw the return of a course with things that move.

        Args:
            course: one with movers and hidden frames.
            truth: of the whole course.

        Raises:
            BackendUnavailable: ViZDoom is not installed.
            SimulatorError: the engine has died.
        """
        assert course.movers is not None and course.hidden is not None
        before = truth.ids[: course.hidden.start]
        stopped = []
        for thing, mover in enumerate(course.movers.movers):
            sights = np.flatnonzero((before == thing).any(axis=(1, 2)))
            stopped.append(_stopped(mover, int(sights[-1]) if len(sights) else 0))
        scored = np.flatnonzero(course.scored)
        return cls(
            truth=truth.at(scored),
            frozen=Truth.render(replace(course, movers=Movers(stopped)), truth.camera, scored),
            empty=Truth.render(replace(course, movers=None), truth.camera, scored),
        )


def liveness(frames: NDArray[np.uint8], back: Return, thing: int) -> float:
    """1 - E(frames, truth) / E(frozen, truth) over the pixels of a thing, where it is and was.

    Args:
        frames: [N, Y, X, 3] what is scored.
        back: what it is held against.
        thing: its id.

    Returns:
        1 is perfect, 0 as good as a frozen memory, below 0 is worse; nan where the frozen one is
        right already, or next to nothing shows.
    """
    pixels = _pixels(back, thing)
    if pixels.sum() < FEWEST:
        return float("nan")
    frozen = _error(back.frozen.rgb, back.truth.rgb, pixels)
    return 1 - _error(frames, back.truth.rgb, pixels) / frozen if frozen > 0 else float("nan")


def figures(frames: NDArray[np.uint8], back: Return, thing: int) -> dict[str, float]:
    """Where a thing is shown, and how.

    Args:
        frames: [N, Y, X, 3] what is scored.
        back: what it is held against.
        thing: its id.

    Returns:
        `liveness`, see there; `iou`: of the pixels that show it, its shadow included, with those
        that should, over all frames; `stale`: share of the pixels where only the frozen one is
        that show something; `position`: mean distance of the two middles, metres; `colour`: mean
        error over the pixels that rightly show it, 0 to 1. What can't be told is left out.
    """
    near = np.stack([_grown(pixels) for pixels in _pixels(back, thing)])
    near &= (back.truth.ids < 0) | (back.truth.ids == thing)  # another thing is rightly there
    where = near & _differs(back.truth.rgb, back.empty.rgb)
    shown = near & _differs(frames, back.empty.rgb)
    stale, both = (back.frozen.ids == thing) & near & ~where, shown & where
    found = {"liveness": liveness(frames, back, thing)}
    if where.sum() >= FEWEST:
        found["iou"] = float(both.sum() / (shown | where).sum())
    if stale.sum() >= FEWEST:
        found["stale"] = float((shown & stale).sum() / stale.sum())
    apart = [
        _apart(told, real, depth, back.truth.camera)
        for told, real, depth in zip(shown, where, back.truth.depth, strict=True)
        if told.any() and real.sum() >= FEWEST
    ]
    if apart:
        found["position"] = float(np.mean(apart))
    if both.any():
        error = np.abs(frames[both].astype(np.float64) - back.truth.rgb[both]) / 255
        found["colour"] = float(error.mean())
    return {name: value for name, value in found.items() if np.isfinite(value)}


def lag(frames: NDArray[np.uint8], back: Return, thing: int) -> int:
    """Frames from the first return until what vanished or appeared is shown as it is.

    Args:
        frames: [N, Y, X, 3] what is scored, in order.
        back: what it is held against.
        thing: its id.

    Returns:
        Frames up to the last one in which most of the thing's pixels are nearer to the frozen
        picture than to the true one: 0 is at once, N is never.
    """
    pixels = _pixels(back, thing)
    stale = _square(frames, back.truth.rgb) > _square(frames, back.frozen.rgb)
    wrong = 2 * (stale & pixels).sum(axis=(1, 2)) > pixels.sum(axis=(1, 2))
    return int(np.flatnonzero(wrong)[-1]) + 1 if wrong.any() else 0


def _stopped(mover: Mover, frame: int) -> Mover:
    """The thing as it is at `frame`, for ever."""
    return replace(
        mover,
        period=math.inf,
        phase=mover.phase + frame / mover.period,
        change=0 if frame >= mover.change else sys.maxsize,
    )


def _pixels(back: Return, thing: int) -> NDArray[np.bool_]:
    """[N, Y, X] where a thing is, or was when last seen."""
    return (back.truth.ids == thing) | (back.frozen.ids == thing)


def _apart(
    shown: NDArray[np.bool_], where: NDArray[np.bool_], depth: NDArray[np.float32], camera: Camera
) -> float:
    """Metres between the middles of two sets of pixels, at the depth of the second."""
    down, right = np.argwhere(shown).mean(axis=0) - np.argwhere(where).mean(axis=0)
    return float(np.median(depth[where]) * np.hypot(right / camera.fx, down / camera.fy))


def _square(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.square(a.astype(np.float64) - b).sum(axis=-1)


def _error(frames: NDArray[np.uint8], truth: NDArray[np.uint8], pixels: NDArray[np.bool_]) -> float:
    return float(_square(frames[pixels], truth[pixels]).sum())


def _differs(frames: NDArray[np.uint8], empty: NDArray[np.uint8]) -> NDArray[np.bool_]:
    apart = np.abs(frames.astype(np.int16) - empty).max(axis=-1)
    return apart > 255 * DIFFERS


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    side = 2 * NEARBY + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)).astype(np.bool_)
