"""Packers: a block that leaves the recent partition becomes fewer tokens of the mid partition."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple, Protocol

import numpy as np
from einops import rearrange
from torch import Tensor
from torch.nn.functional import avg_pool3d


class Grid(NamedTuple):
    """Where packed tokens stand: frames from the block's first, rows and columns, as fractions."""

    frames: Sequence[float]
    rows: Sequence[float]
    columns: Sequence[float]

    @property
    def tokens(self) -> int:
        return len(self.frames) * len(self.rows) * len(self.columns)


class Packer(Protocol):
    """Turns the raw keys and values of a block into fewer."""

    def grid(self, frames: int, rows: int, columns: int) -> Grid:
        """Positions of the packed tokens of a block of `frames` x `rows` x `columns` tokens."""
        ...

    def pack(self, tokens: Tensor, frames: int, rows: int, columns: int) -> Tensor:
        """Pack raw keys, or values.

        Args:
            tokens: [N, B, L, H, D], L = frames * rows * columns, frame-major.

        Returns:
            [N, B, P, H, D], P = grid(...).tokens, contiguous.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledPacker:
    """Means over cells of `time` frames and `side` x `side` tokens; needs no training.

    A mean of raw keys is exact where the keys of a cell are equal and blurs where they differ; a
    cell at an odd border is smaller. The learned packer of PackForcing takes the same place.

    Args:
        time: frames a cell.
        side: rows and columns a cell.
    """

    time: int = 2
    side: int = 2

    def grid(self, frames: int, rows: int, columns: int) -> Grid:
        return Grid(
            _edge_centres(frames, self.time),
            _edge_centres(rows, self.side),
            _edge_centres(columns, self.side),
        )

    def pack(self, tokens: Tensor, frames: int, rows: int, columns: int) -> Tensor:
        # A cell is no larger than the block.
        cell = (min(self.time, frames), min(self.side, rows), min(self.side, columns))
        counts = [size // side for size, side in zip((frames, rows, columns), cell, strict=True)]
        if [n * side for n, side in zip(counts, cell, strict=True)] == [frames, rows, columns]:
            axes = [length for pair in zip(counts, cell, strict=True) for length in pair]
            sums = tokens.float().unflatten(2, axes).sum(7).sum(5).sum(3)  # axis by axis: faster
            return (sums / prod(cell)).flatten(2, 4).type_as(tokens)
        heads = tokens.shape[3]
        maps = rearrange(tokens, "N B (T h w) H D -> (N B) (H D) T h w", T=frames, h=rows)
        pooled = avg_pool3d(maps.float(), cell, ceil_mode=True, count_include_pad=False)
        packed = rearrange(
            pooled.type_as(tokens),
            "(N B) (H D) T h w -> N B (T h w) H D",
            N=tokens.shape[0],
            H=heads,
        )
        return packed.contiguous()


def _edge_centres(length: int, cell: int) -> list[float]:
    edges = [*range(0, length, cell), length]
    return [float(np.mean(range(a, b))) for a, b in zip(edges, edges[1:], strict=False)]


def centres(length: int, cells: int) -> list[float]:
    """Middle of each of `cells` equal parts of 0 to `length`, where a token stands at its index."""
    return [(index + 0.5) * length / cells - 0.5 for index in range(cells)]
