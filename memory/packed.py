"""Packed blocks in a ring, and the choice of those that a block attends to."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worldrt.errors import CacheError, ConfigError
from worldrt.kernels.rope import Rope, rotate
from worldrt.memory.compress import Grid, Packer
from worldrt.memory.learned import LearnedPacker
from worldrt.memory.mid import Bounds, Look, Mid, MidPart, Tail
from worldrt.memory.slots import CacheShape, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed(MidPart):
    """Blocks that leave `recent` become fewer tokens each.

    Args:
        blocks: packed blocks kept.
        top: how many of them a block attends to, chosen by query-key affinity at its first step;
            0: all.
        packer: how a block is packed; a learned one packs latents, so its tokens are offered;
            None: the world's learned one, which `World.policy` puts here.

    Source: PackForcing, middle partition and dynamic context selection.
    """

    blocks: int
    top: int
    packer: Packer | LearnedPacker | None
    raw = True
    whole_blocks = True

    def __post_init__(self) -> None:
        if min(self.blocks, self.top) < 0:
            raise ConfigError(
                f"Packed blocks are counted from 0 up, got mid {self.blocks} and top {self.top}."
            )

    @property
    def attended(self) -> int:
        """Packed blocks in the context of one block."""
        return min(self.top, self.blocks) if self.top else self.blocks

    def room(self, shape: CacheShape, bounds: Bounds) -> int:
        del bounds
        assert self.packer is not None
        grid = self.packer.grid(shape.block_frames, shape.rows, shape.columns)
        return self.attended * grid.tokens

    def open(self, shape: CacheShape, bounds: Bounds, tail: Tail) -> "PackedRing":
        del bounds
        return PackedRing(self, shape, tail)


class PackedRing(Mid):
    """Packed blocks, each with its keys at their own position, its values and its mean raw key.

    A packed block never moves: what stands before it (the sink) moves up instead. Affinity of a
    block is the sum over queries, heads and its tokens of q . k, both raw, which equals the product
    of the summed query with the mean key: two vectors a head, no score matrix.

    Args:
        part: the policy's.
        shape: the model's numbers.
        tail: where the chosen blocks are laid out.
    """

    def __init__(self, part: Packed, shape: CacheShape, tail: Tail) -> None:
        assert part.packer is not None
        self._part, self._shape, self._tail = part, shape, tail
        self._packer, self._grid = (
            part.packer,
            part.packer.grid(shape.block_frames, shape.rows, shape.columns),
        )
        self._rope = Rope(shape.head_dim, self._grid.rows, self._grid.columns)
        self._ring: deque[tuple[int, int]] = deque()  # (first frame, place), oldest first
        size = (shape.layers, shape.batch, part.blocks, self._grid.tokens)
        width = (shape.heads, shape.head_dim)
        self._keys = tail.keys.new_zeros(*size, *width)
        self._values = torch.zeros_like(self._keys)
        self._means = torch.zeros(*size[:3], *width, device=tail.keys.device)
        self._order = torch.zeros(0, dtype=torch.long)
        self._offered: dict[int, tuple[Tensor, Tensor]] = {}
        """Tokens of blocks that have not left `recent` yet, by first frame."""
        self.nbytes = self._keys.nbytes + self._values.nbytes + self._means.nbytes

    def admit(self, spans: Sequence[Span], keys: Tensor, values: Tensor) -> None:
        frame, kept = spans[0].frame, len(self._ring)
        offered = self._offered.pop(frame, None)
        # What is older was offered for frames of the sink, which never leave.
        self._offered = {at: pair for at, pair in self._offered.items() if at > frame}
        if not self._part.blocks:
            return
        place = self._ring.popleft()[1] if kept == self._part.blocks else kept
        self._ring.append((frame, place))
        shape = (self._shape.block_frames, self._shape.rows, self._shape.columns)
        if isinstance(self._packer, LearnedPacker):
            if offered is None:
                raise CacheError(
                    f"The block from frame {frame} on leaves without the tokens of the learned "
                    "packer; give blocks of one size to a rollout that has the world's packer."
                )
            packed, values = offered
        else:
            packed, values = (self._packer.pack(each, *shape) for each in (keys, values))
        positions = [frame + offset for offset in self._grid.frames]
        table = self._rope.table(positions, keys.device)
        self._keys[:, :, place] = rotate(packed, table)
        self._values[:, :, place] = values
        self._means[:, :, place] = packed.float().mean(2)
        self.frames = len(self._ring) * self._shape.block_frames
        self.own = float(self._ring[0][0])

    def lay_out(self, start: float, spans: Sequence[Span]) -> None:
        del start, spans  # packed blocks stand where they are
        order = [place for _, place in self._ring]
        self._order = torch.tensor(order, device=self._tail.keys.device)
        self.tokens = min(len(order), self._part.attended) * self._grid.tokens

    def read(self, look: Look) -> None:
        """Lay out the blocks with the highest affinity, in time order; ties go to the earlier."""
        if not look.first or not self.tokens:
            return
        count = self.tokens // self._grid.tokens
        means = self._means[look.layer].index_select(1, self._order)
        scores = torch.einsum("BHD,BMHD->BM", look.raw_query.float().sum(1), means)
        ranked = scores.argsort(dim=1, descending=True, stable=True)[:, :count]
        chosen = self._order[ranked.sort(dim=1).values]
        batch = torch.arange(chosen.shape[0], device=chosen.device)[:, None]
        here = (look.layer, slice(None), slice(self.tokens))
        self._tail.keys[here] = self._keys[look.layer][batch, chosen].flatten(1, 2)
        self._tail.values[here] = self._values[look.layer][batch, chosen].flatten(1, 2)

    def offer(self, frames: range, grid: Grid, keys: Tensor, values: Tensor) -> None:
        self._offered[frames.start] = (keys, values)

    def flush(self) -> None:
        self._offered.clear()
        self._ring.clear()
        self.frames, self.own = 0, None
