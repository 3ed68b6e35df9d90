"""The three-partition key/value cache: sink, packed mid, recent frames, in slots that never shift.

Each layer owns one row of slots. Frames of the sink, the recent partition and the current block lie
in frame slots; the packed blocks that the current block attends to lie behind them. A pass writes
the block's keys into the block's slots and reads a prefix of the row: nothing is shifted, cloned or
concatenated, and nothing waits for the device. All that changes between blocks (eviction, packing,
the sink's new rotation) happens once, in `open_block`, from integers on the host.

Bytes: 2 E of keys and values a token and layer, E more where the policy moves keys (raw keys are
the truth, every rotation is taken anew from them).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from worldrt.errors import CacheError, ShapeError
from worldrt.kernels.attention import attend
from worldrt.kernels.rope import Rope, rotate
from worldrt.memory.mid import MidBank
from worldrt.memory.policy import Policy
from worldrt.memory.slots import CacheShape, Region, Slots, Span, runs


@dataclass(frozen=True, slots=True)
class Occupancy:
    """How full a region is."""

    frames: int
    tokens: int
    bytes: int


class _Place(NamedTuple):
    """Where a block's passes write and what they read, fixed when it is opened."""

    tokens: int
    runs: list[tuple[int, int, int]]  # (first token of the block, of the row, length)
    table: Tensor  # [tokens, 1, D / 2]
    end: int  # a prefix of the row is read
    bias: Tensor | None  # [1, 1, 1, end]; hides what is no part of the context


class KVCache:
    """Keys and values of past blocks; the `Context` that the transformer attends to.

    Args:
        policy: its parts.
        shape: the model's numbers.
        dtype: of the stored keys and values.
        device: where they lie.
    """

    def __init__(
        self,
        policy: Policy,
        shape: CacheShape,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
    ) -> None:
        self.policy, self.shape = policy, shape
        self._dtype, self._device = dtype, device
        self._rope = Rope.of_grid(shape.head_dim, shape.rows, shape.columns)
        partition = policy.partition
        kept = 4 * shape.block_frames if partition.recent is None else partition.recent
        self._slots = Slots(partition.sink + kept + shape.block_frames)
        self._mid = (
            MidBank(policy.packer, partition, shape, dtype, device) if policy.packer else None
        )
        self._sink: list[Span] = []
        self._recent: list[Span] = []
        self._block: list[Span] = []
        self._done = 0
        self.evicted = 0
        """Frames that have left the recent partition so far."""
        self._keys, self._values = self._row(), self._row()
        self._raw = self._row() if policy.moves else None
        self._place: _Place | None = None
        self._late: _Place | None = None
        self._late_read = False
        self._clean = self._first = self._chosen = False

    # What is asked about it.

    @property
    def frames(self) -> int:
        """Latent frames committed since the start."""
        return self._done

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors of the cache; constant unless the policy keeps everything."""
        rows = [self._keys, self._values] + ([self._raw] if self._raw is not None else [])
        return sum(row.nbytes for row in rows) + (self._mid.nbytes if self._mid else 0)

    @property
    def fuses(self) -> bool:
        """Whether a block's clean pass may run with the next block's first step and be exact.

        It is where nothing that the clean pass reads moves or is packed in between, and where the
        block itself is not evicted by the next one.
        """
        kept = self.policy.partition.recent
        return not self.policy.moves and (kept is None or kept >= self.shape.block_frames)

    def occupancy(self) -> dict[Region, Occupancy]:
        """Frames, tokens and bytes in use by region."""
        shape = self.shape
        row = self._keys.element_size() * shape.batch * shape.layers * shape.heads * shape.head_dim
        token = row * (3 if self._raw is not None else 2)
        found = {
            region: Occupancy(
                len(spans), len(spans) * shape.tokens, len(spans) * shape.tokens * token
            )
            for region, spans in (
                (Region.SINK, self._sink),
                (Region.RECENT, self._recent),
                (Region.BLOCK, self._block),
            )
        }
        blocks, tokens = (self._mid.blocks, self._mid.tokens) if self._mid else (0, 0)
        found[Region.MID] = Occupancy(
            blocks * shape.block_frames, blocks * tokens, blocks * tokens * row * 2
        )
        return found

    def positions(self) -> dict[Region, list[float]]:
        """Temporal position of each frame (sink, recent, block) as its keys now stand."""
        return {
            Region.SINK: [span.position for span in self._sink],
            Region.RECENT: [span.position for span in self._recent],
            Region.BLOCK: [span.position for span in self._block],
        }

    # The way of one block.

    def open_block(self, frames: int) -> None:
        """Make room for a block: evict, pack, move the sink. Host integers and once-a-block copies.

        Args:
            frames: latent frames of the block, 1 to `shape.block_frames`.

        Raises:
            CacheError: a block is open already, or `frames` is out of range.
        """
        if self._block:
            raise CacheError(f"A block of {len(self._block)} frames is open; commit it first.")
        if not 1 <= frames <= self.shape.block_frames:
            raise CacheError(
                f"A block of {frames} frames was asked for; this cache takes 1 to "
                f"{self.shape.block_frames}."
            )
        self._evict(frames)
        self._move_sink()
        taken = self._slots.take(frames)
        self._block = [
            Span(self._done + index, slot, float(self._done + index))
            for index, slot in enumerate(taken)
        ]
        self._place = self._lay_out()
        self._chosen = self._mid is None

    def begin_pass(self, *, first: bool = False, clean: bool = False) -> None:
        """Say which pass comes next.

        Args:
            first: the block's first pass: packed blocks are chosen by its queries.
            clean: the pass whose keys stay.

        Raises:
            CacheError: no block is open, or packed blocks were not chosen yet.
        """
        if not self._block:
            raise CacheError("A pass needs an open block; call open_block first.")
        if self._late_read:
            self._late, self._late_read = None, False
        if self._late is not None and (clean or not first):
            raise CacheError("A late block's clean pass goes with the next block's first step.")
        self._late_read = self._late is not None
        if not (first or self._chosen):
            raise CacheError("A block's first pass chooses its packed blocks; say first=True.")
        self._first, self._clean, self._chosen = first, clean, True

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Write the block's keys and values, then attend to all of the context; see `Context`.

        With a late block the pass holds its clean tokens first, then those of the open block.

        Raises:
            CacheError: no block is open.
            ShapeError: another number of tokens than the open block (and the late one) has.
        """
        if self._place is None:
            raise CacheError("A pass needs an open block; call open_block first.")
        late = self._late.tokens if self._late else 0
        if query.shape[1] != late + self._place.tokens:
            expected = f"[B, {late + self._place.tokens}, H, D] for the open block"
            raise ShapeError("query", query.shape, expected)
        if self._late is None:
            return self._pass(layer, self._place, query, key, value)
        # In this order: the open block may lie where frames lay that the late one still reads.
        clean = self._pass(layer, self._late, query[:, :late], key[:, :late], value[:, :late])
        noisy = self._pass(layer, self._place, query[:, late:], key[:, late:], value[:, late:])
        return torch.cat([clean, noisy], dim=1)

    def commit(self, *, late: bool = False) -> None:
        """Close the open block; its frames join the sink or the recent ones.

        Args:
            late: its clean pass has not run; it runs in one forward with the next block's first
                step, which is exact where `fuses` holds.

        Raises:
            CacheError: no block is open, or its clean pass is missing.
        """
        if not self._block or not (self._clean or (late and self.fuses)):
            raise CacheError("Only a block whose clean pass has run can be committed.")
        for span in self._block:
            young = len(self._sink) < self.policy.partition.sink
            (self._sink if young else self._recent).append(span)
        self._done += len(self._block)
        self._block = []
        self._late, self._place = (self._place if late else None), None
        self._late_read = self._clean = False

    # Inside.

    def _row(self) -> Tensor:
        shape = self.shape
        behind = self._mid.view_tokens if self._mid else 0
        length = self._slots.capacity * shape.tokens + behind
        size = (shape.layers, shape.batch, length, shape.heads, shape.head_dim)
        return torch.zeros(size, dtype=self._dtype, device=self._device)

    def _evict(self, frames: int) -> None:
        kept = self.policy.partition.recent
        if kept is None:
            if self._slots.free < frames:
                self._grow()
            return
        while len(self._recent) > kept:
            leaving = self._recent[: self.shape.block_frames if self._mid else 1]
            if self._mid is not None:
                self._pack(leaving)
            for span in leaving:
                self._slots.give(span.slot)
            self.evicted += len(leaving)
            del self._recent[: len(leaving)]

    def _pack(self, leaving: list[Span]) -> None:
        assert self._mid is not None and self._raw is not None
        if len(leaving) != self.shape.block_frames:
            raise CacheError(
                f"{len(leaving)} frames leave the recent partition, the packer takes blocks of "
                f"{self.shape.block_frames}; give this policy blocks of one size."
            )
        tokens = self.shape.tokens
        index = torch.cat(
            [torch.arange(span.slot * tokens, (span.slot + 1) * tokens) for span in leaving]
        ).to(self._device)
        self._mid.push(leaving[0].frame, self._raw[:, :, index], self._values[:, :, index])

    def _move_sink(self) -> None:
        if not self._sink or self._raw is None:
            return
        oldest = self._mid.oldest if self._mid else None
        kept = (
            oldest if oldest is not None else self._recent[0].frame if self._recent else self._done
        )
        wanted = self.policy.positions([span.frame for span in self._sink], kept)
        tokens = self.shape.tokens
        for span, position in zip(self._sink, wanted, strict=True):
            if span.position != position:
                here = slice(span.slot * tokens, (span.slot + 1) * tokens)
                table = self._rope.table([position], self._device)
                self._keys[:, :, here] = rotate(self._raw[:, :, here], table)
                span.position = position

    def _lay_out(self) -> _Place:
        """What a pass reads: the shortest prefix that holds all of the context, holes hidden."""
        tokens, capacity = self.shape.tokens, self._slots.capacity
        used = 1 + max(span.slot for span in (*self._sink, *self._recent, *self._block))
        holes = self._slots.holes()
        behind = self._mid.lay_out() if self._mid else 0
        if behind:
            holes = [*holes, *range(used, capacity)]
            used = capacity
        end = used * tokens + behind
        bias = None
        if holes:
            bias = torch.zeros(1, 1, 1, end, dtype=self._dtype)
            for slot in holes:
                bias[..., slot * tokens : (slot + 1) * tokens] = -torch.inf
            bias = bias.to(self._device)
        stretches = runs([span.slot for span in self._block])
        return _Place(
            tokens=len(self._block) * tokens,
            runs=[(i * tokens, s * tokens, n * tokens) for i, s, n in stretches],
            table=self._rope.table([span.position for span in self._block], self._device),
            end=end,
            bias=bias,
        )

    def _pass(self, layer: int, place: _Place, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Write a block's keys and values into its slots and read its context."""
        keys, values = self._keys[layer], self._values[layer]
        rotated = rotate(key, place.table)
        for source, target, length in place.runs:
            keys[:, target : target + length] = rotated[:, source : source + length]
            values[:, target : target + length] = value[:, source : source + length]
            if self._clean and self._raw is not None:
                self._raw[layer, :, target : target + length] = key[:, source : source + length]
        if self._first and self._mid is not None:
            start = self._slots.capacity * self.shape.tokens
            self._mid.select(layer, query, keys[:, start:], values[:, start:])
        query = rotate(query, place.table)
        return attend(query, keys[:, : place.end], values[:, : place.end], place.bias)

    def _grow(self) -> None:
        """Twice the slots: only for the policy that keeps everything."""
        self._slots.grow(2 * self._slots.capacity)
        self._keys, self._values = self._widened(self._keys), self._widened(self._values)

    def _widened(self, row: Tensor) -> Tensor:
        wide = self._row()
        wide[:, :, : row.shape[2]] = row
        return wide
