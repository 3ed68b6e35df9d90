"""Older frames at lower resolutions, written anew before each block from latents.

Source: Helios and FramePack, multi-scale history patchification.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worldrt.kernels.rope import Rope, rotate
from worldrt.memory.compress import Grid, centres
from worldrt.memory.mid import Bounds, Mid, MidPart, Tail
from worldrt.memory.slots import CacheShape, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Latent frames that are encoded at a lower resolution.

    Args:
        frames: how many, a multiple of `time`.
        time: frames that one token stands for.
        side: rows and columns of tokens that one stands for.
    """

    frames: int
    time: int
    side: int

    def grid(self, frames: int, rows: int, columns: int) -> Grid:
        """Where the tokens of `frames` frames stand, whole cells each; the least is one cell."""
        return Grid(
            centres(frames, frames // self.time),
            centres(rows, max(1, rows // self.side)),
            centres(columns, max(1, columns // self.side)),
        )


@dataclass(frozen=True, slots=True)
class Coarse(MidPart):
    """Groups of frames, newest first, each coarser than the one before.

    Args:
        groups: their sizes.
    """

    groups: tuple[Group, ...]

    def room(self, shape: CacheShape, bounds: Bounds) -> int:
        del bounds
        grids = (group.grid(group.frames, shape.rows, shape.columns) for group in self.groups)
        return sum(grid.tokens for grid in grids)

    def open(self, shape: CacheShape, bounds: Bounds, tail: Tail) -> "CoarseHistory":
        del bounds
        return CoarseHistory(shape, tail)


class CoarseHistory(Mid):
    """The state of `Coarse`: what was offered since the context was last rewound.

    Args:
        shape: the model's numbers.
        tail: of the rows.
    """

    def __init__(self, shape: CacheShape, tail: Tail) -> None:
        self._shape, self._tail = shape, tail
        self._raw = torch.zeros_like(tail.keys)
        self._tables: list[tuple[Rope, list[float]]] = []
        self._held = 0
        self.nbytes = self._raw.nbytes

    def offer(self, frames: range, grid: Grid, keys: Tensor, values: Tensor) -> None:
        here = slice(self._held, self._held + grid.tokens)
        self._raw[:, :, here], self._tail.values[:, :, here] = keys, values
        rope = Rope(self._shape.head_dim, grid.rows, grid.columns)
        self._tables.append((rope, [self.width + offset for offset in grid.frames]))
        self._held += grid.tokens
        self.frames += len(frames)
        self.width = float(self.frames)

    def lay_out(self, start: float, spans: Sequence[Span]) -> None:
        del spans
        self.tokens = self._held
        if self._tables:
            tables = [
                rope.table([start + at for at in places], self._raw.device)
                for rope, places in self._tables
            ]
            here = slice(0, self._held)
            self._tail.keys[:, :, here] = rotate(self._raw[:, :, here], torch.cat(tables))

    def flush(self) -> None:
        self._tables, self._held, self.frames, self.width = [], 0, 0, 0.0
