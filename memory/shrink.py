"""All history as smaller frames, each with the pose it was seen from.

Source: RELIC (arXiv 2512.04040), spatially compressed, camera-aware key/value cache.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldrt.errors import ConfigError
from worldrt.kernels.rope import Rope, rotate
from worldrt.memory.compress import PooledPacker
from worldrt.memory.mid import Bounds, Mid, MidPart, Tail
from worldrt.memory.slots import CacheShape, Span

PATTERN = (1, 4, 2, 4, 4, 4, 2, 4, 4, 2, 4, 4, 4, 2, 4, 4, 2, 4)
"""Side of the cells that successive frames are averaged over; 18 frames take the tokens of 3."""

Pose = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrink(MidPart):
    """Frames that leave `recent` are averaged over cells of rows and columns.

    Args:
        frames: kept; the oldest is dropped.
        pattern: side of the cells of successive frames; it begins anew after `frames` of them.
        counted: whether a mean counts as often as there are tokens in it.
        weight: how much less a view from afar counts, in the logit; 0: all count alike.
        metres: shift that counts as 1; see `view_distance`.
        degrees: angle between directions of view that counts as 1.
    """

    frames: int
    pattern: tuple[int, ...] = PATTERN
    counted: bool = True
    weight: float = 1.0
    metres: float = 2.0
    degrees: float = 45.0
    raw = True
    weights = "keys"

    def __post_init__(self) -> None:
        if self.frames < 1 or min(self.pattern) < 1:
            raise ConfigError(
                f"Frames kept and sides of cells are counted from 1, got {self.frames} and "
                f"{min(self.pattern)}."
            )
        if self.weight < 0 or min(self.metres, self.degrees) <= 0:
            raise ConfigError(
                f"Views are weighed by 0 or more over distances above 0, got {self.weight} over "
                f"{self.metres} m and {self.degrees} degrees."
            )

    def sides(self) -> list[int]:
        """Of each place's cells."""
        return [self.pattern[place % len(self.pattern)] for place in range(self.frames)]

    def room(self, shape: CacheShape, bounds: Bounds) -> int:
        del bounds
        return sum(ceil(shape.rows / side) * ceil(shape.columns / side) for side in self.sides())

    def open(self, shape: CacheShape, bounds: Bounds, tail: Tail) -> "ShrunkFrames":
        del bounds
        return ShrunkFrames(self, shape, tail)


class ShrunkFrames(Mid):
    """The state of `Shrink`: a ring of places in the tail, each of one frame at one size.

    A frame's cells stand at its own index and at their centres, for good: what lies before them
    moves up. Nothing is kept beside the tail but the poses, on the host.
    """

    def __init__(self, part: Shrink, shape: CacheShape, tail: Tail) -> None:
        self._part, self._shape, self._tail = part, shape, tail
        self._sides = part.sides()
        self._packers = {side: PooledPacker(time=1, side=side) for side in set(self._sides)}
        grids = {
            side: packer.grid(1, shape.rows, shape.columns)
            for side, packer in self._packers.items()
        }
        self._ropes = {
            side: Rope(shape.head_dim, grid.rows, grid.columns) for side, grid in grids.items()
        }
        sizes = [grids[side].tokens for side in self._sides]
        self._edges = [sum(sizes[:place]) for place in range(part.frames + 1)]
        self._counts = np.concatenate([_counts(shape, side) for side in self._sides])
        self._ring: deque[tuple[int, Pose | None]] = deque(maxlen=part.frames)
        """Frame and pose, oldest first."""
        self._admitted = 0

    def admit(self, spans: Sequence[Span], keys: Tensor, values: Tensor) -> None:
        size = (1, self._shape.rows, self._shape.columns)
        count = self._shape.tokens
        for index, span in enumerate(spans):
            place = self._admitted % self._part.frames
            side, frame = self._sides[place], slice(index * count, (index + 1) * count)
            here = slice(self._edges[place], self._edges[place + 1])
            packer, table = self._packers[side], self._ropes[side].table([span.frame], keys.device)
            self._tail.keys[:, :, here] = rotate(packer.pack(keys[:, :, frame], *size), table)
            self._tail.values[:, :, here] = packer.pack(values[:, :, frame], *size)
            self._ring.append((span.frame, span.note.pose))
            self._admitted += 1
        self.frames = len(self._ring)
        self.tokens = self._edges[self.frames]
        self.own = float(self._ring[0][0])

    def lay_out(self, start: float, spans: Sequence[Span]) -> None:
        """Weigh the places by how far the block's views are from theirs."""
        del start  # frames stand at their own index
        assert self._tail.bias is not None
        block = [span.note.pose for span in spans if span.note.pose is not None]
        first = self._admitted - len(self._ring)
        weights = np.log(self._counts) if self._part.counted else np.zeros(len(self._counts))
        for rank, (_, pose) in enumerate(self._ring):
            place = (first + rank) % self._part.frames
            weights[self._edges[place] : self._edges[place + 1]] += self._far(pose, block)
        self._tail.bias.copy_(torch.from_numpy(weights))

    def _far(self, pose: Pose | None, block: Sequence[Pose]) -> float:
        """Logit bias of a frame: that of the nearest of the block's views, -weight to 0."""
        if pose is None or not block:
            return 0.0
        part = self._part
        return max(
            part.weight * np.expm1(-view_distance(pose, view, part.metres, part.degrees))
            for view in block
        )


def view_distance(one: Pose, other: Pose, metres: float, degrees: float) -> float:
    """How far apart two views are: |shift| / metres + angle / degrees, 0 or more.

    Args:
        one, other: [4, 4] world_from_camera.
        metres: shift that counts as 1.
        degrees: angle between the directions of view that counts as 1.
    """
    shift = np.linalg.norm(one[:3, 3] - other[:3, 3])
    # Of unit vectors' sum and difference, whose angle is exact where the cosine's is not.
    ahead, beside = one[:3, 2] + other[:3, 2], one[:3, 2] - other[:3, 2]
    angle = 2 * np.arctan2(np.linalg.norm(beside), np.linalg.norm(ahead))
    return float(shift / metres + np.degrees(angle) / degrees)


def _counts(shape: CacheShape, side: int) -> NDArray[np.float64]:
    """Tokens in each cell of a frame; those at an odd border hold fewer."""
    rows, columns = (
        [min(side, length - first) for first in range(0, length, side)]
        for length in (shape.rows, shape.columns)
    )
    return np.outer(rows, columns).ravel().astype(np.float64)
