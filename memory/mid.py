"""The mid partition: packed blocks in a ring, and the choice of those that a block attends to."""

from collections import deque

import torch
from torch import Tensor

from worldrt.kernels.rope import Rope, rotate
from worldrt.memory.compress import Packer
from worldrt.memory.policy import Partition
from worldrt.memory.slots import CacheShape


class MidBank:
    """Packed blocks, each with its keys at their own position, its values and its mean raw key.

    A packed block never moves: what stands before it (the sink) moves up instead. Affinity of a
    block is the sum over queries, heads and its tokens of q . k, both raw, which equals the product
    of the summed query with the mean key: two vectors a head, no score matrix.

    Args:
        packer: how a block is packed.
        partition: how many are kept (mid) and attended to (top).
        shape: the model's numbers.
        dtype, device: of the stored tensors.

    Source: PackForcing, dynamic context selection; a sum over queries is linear, so it comes first.
    """

    def __init__(
        self,
        packer: Packer,
        partition: Partition,
        shape: CacheShape,
        dtype: torch.dtype,
        device: torch.device | None,
    ) -> None:
        self._packer, self._shape, self._device = packer, shape, device
        self._kept, self._attended = partition.mid, partition.attended_mid
        self._grid = packer.grid(shape.block_frames, shape.rows, shape.columns)
        self._rope = Rope(shape.head_dim, self._grid.rows, self._grid.columns)
        self._ring: deque[tuple[int, int]] = deque()  # (first frame, place), oldest first
        size = (shape.layers, shape.batch, self._kept, self.tokens, shape.heads, shape.head_dim)
        self._keys = torch.zeros(size, dtype=dtype, device=device)
        self._values = torch.zeros(size, dtype=dtype, device=device)
        self._means = torch.zeros((*size[:3], *size[4:]), device=device)
        self._order = torch.zeros(0, dtype=torch.long)

    @property
    def tokens(self) -> int:
        """Tokens of a packed block."""
        return self._grid.tokens

    @property
    def view_tokens(self) -> int:
        """Room that the attended blocks need in a row of the cache."""
        return self._attended * self.tokens

    @property
    def blocks(self) -> int:
        """Packed blocks now kept."""
        return len(self._ring)

    @property
    def oldest(self) -> int | None:
        """First frame of the oldest packed block; None when there is none."""
        return self._ring[0][0] if self._ring else None

    @property
    def nbytes(self) -> int:
        return self._keys.nbytes + self._values.nbytes + self._means.nbytes

    def push(self, frame: int, raw: Tensor, value: Tensor) -> None:
        """Pack a block; the oldest one makes room.

        Args:
            frame: its first latent frame.
            raw: [N, B, L, H, D] raw keys.
            value: [N, B, L, H, D].
        """
        if not self._kept:
            return
        place = self._ring.popleft()[1] if self.blocks == self._kept else self.blocks
        self._ring.append((frame, place))
        shape = (self._shape.block_frames, self._shape.rows, self._shape.columns)
        packed = self._packer.pack(raw, *shape)
        positions = [frame + offset for offset in self._grid.frames]
        table = self._rope.table(positions, self._device)
        self._keys[:, :, place] = rotate(packed, table)
        self._values[:, :, place] = self._packer.pack(value, *shape)
        self._means[:, :, place] = packed.float().mean(2)

    def lay_out(self) -> int:
        """Fix this block's choice to make: places in time order. Returns the tokens attended to."""
        self._order = torch.tensor([place for _, place in self._ring], device=self._device)
        return min(self.blocks, self._attended) * self.tokens

    def select(self, layer: int, query: Tensor, keys: Tensor, values: Tensor) -> None:
        """Choose the blocks with the highest affinity and lay them out, in time order.

        Ties go to the earlier block. Runs on the device without waiting for it.

        Args:
            layer: index.
            query: [B, L, H, D] raw queries of the block's first step.
            keys, values: [B, >= view_tokens, H, D] views of the row behind the frame slots.
        """
        count = min(self.blocks, self._attended)
        if not count:
            return
        means = self._means[layer].index_select(1, self._order)
        scores = torch.einsum("BHD,BMHD->BM", query.float().sum(1), means)
        ranked = scores.argsort(dim=1, descending=True, stable=True)[:, :count]
        chosen = self._order[ranked.sort(dim=1).values]
        batch = torch.arange(chosen.shape[0], device=chosen.device)[:, None]
        length = count * self.tokens
        keys[:, :length] = self._keys[layer][batch, chosen].flatten(1, 2)
        values[:, :length] = self._values[layer][batch, chosen].flatten(1, 2)
