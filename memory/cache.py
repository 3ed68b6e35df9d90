"""The key/value cache in three partitions: sink, mid, recent frames, in slots that never shift.

A block is opened (frames leave, the mid partition takes them, positions are set: once, from numbers
on the host), its passes write and read, and it is committed. What the mid partition is and where
things stand is the policy's affair; how rows lie in memory is that of `rows`.
"""

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from worldrt.errors import CacheError, ShapeError
from worldrt.kernels.rope import rotate
from worldrt.memory.buckets import sign_planes
from worldrt.memory.compress import Grid
from worldrt.memory.learned import LearnedPacker
from worldrt.memory.mid import Look, Mid
from worldrt.memory.occupancy import Occupancy, count
from worldrt.memory.packed import Packed
from worldrt.memory.policy import Policy, SwitchMode
from worldrt.memory.rows import Place, Write
from worldrt.memory.slots import CacheShape, Note, Region, Span
from worldrt.memory.storage import check_memory, open_rows
from worldrt.memory.timeline import Move, Timeline


class KVCache:
    """Keys and values of past blocks; the `Context` that the transformer attends to.

    Args:
        policy: its parts.
        shape: the model's numbers.
        dtype: of keys and values as the model computes them.
        device: where they lie.
        spatial: most frames that `open_spatial` brings back.

    Raises:
        CacheError: it would not fit into the memory that there is.
    """

    def __init__(
        self,
        policy: Policy,
        shape: CacheShape,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
        spatial: int = 0,
    ) -> None:
        self.policy, self.shape, self.spatial = policy, shape, spatial
        check_memory(policy, shape, dtype, device, spatial)
        self._time = Timeline(policy, shape.block_frames, spatial)
        self._device = device
        bounds = policy.bounds(shape.block_frames)
        slots, raw = self._time.slots.capacity, policy.moves or spatial > 0
        self._rows = open_rows(policy, shape, slots, raw, dtype, device)
        self._mid = policy.mid.open(shape, bounds, self._rows.tail) if policy.mid else Mid()
        self.seconds = 0.0
        """Host time spent so far on bookkeeping, on moving keys and on choosing them."""
        self._place: Place | None = None
        self._late: Place | None = None
        self._late_read = self._rewriting = False
        self._clean = self._first = self._begun = self._narrow = False
        self._planes = self._open_planes(policy.sparse.self_bits)
        self.prompt_planes = self._open_planes(policy.sparse.prompt_bits)
        """[R, H, D, bits] planes by which words of the prompt are hidden; None: none is."""

    # What is asked about it.

    @property
    def frames(self) -> int:
        """Latent frames committed since the start."""
        return self._time.done

    @property
    def evicted(self) -> int:
        """Latent frames that have left the recent partition since the start."""
        return self._time.evicted

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors of the cache; constant unless the policy keeps everything."""
        return self._rows.nbytes + self._mid.nbytes

    @property
    def fuses(self) -> bool:
        """Whether a block's clean pass may run with the next block's first step and be exact.

        It is where nothing that the clean pass reads moves or is chosen in between, and where the
        block itself is not evicted by the next one.
        """
        policy = self.policy
        recent = policy.partition.recent
        kept = recent is None or recent >= self.shape.block_frames
        still = policy.mid is None and not policy.positions.moves and not policy.rewrites
        return kept and still and not self.spatial

    @property
    def packer(self) -> LearnedPacker | None:
        """What packs blocks for the mid partition from their latents; None: nothing does."""
        mid = self.policy.mid
        packer = mid.packer if isinstance(mid, Packed) else None
        return packer if isinstance(packer, LearnedPacker) else None

    def occupancy(self) -> dict[Region, Occupancy]:
        """Frames, tokens and bytes in use by region."""
        return count(self._time, self._rows, self._mid, self.shape.tokens)

    def staying(self, frames: int) -> int:
        """How many of the recent frames a block of so many frames will still find.

        Raises:
            CacheError: as `open_block`, for a policy whose mid takes whole blocks.
        """
        leaving = self._time.leaving(frames, self._mid.frames)
        return len(self._time.recent) - sum(len(group) for group in leaving)

    def positions(self) -> dict[Region, list[float]]:
        """Temporal position of each frame as its keys now stand, by region but the mid one."""
        return {
            Region.SINK: [span.position for span in self._time.sink],
            Region.SPATIAL: [span.position for span in self._time.spatial],
            Region.RECENT: [span.position for span in self._time.recent],
            Region.BLOCK: [span.position for span in self._time.block],
        }

    # The way of one block.

    def open_block(self, frames: int, notes: Sequence[Note] = ()) -> None:
        """Make room for a block: frames leave, the mid takes them, everything is placed.

        Args:
            frames: latent frames of the block, 1 to the most that the policy writes at once.
            notes: [frames] what is known of them; empty: nothing.

        Raises:
            CacheError: a block is open already, or `frames` is out of range.
            ShapeError: another number of notes.
        """
        self._check_closed()
        most = self.policy.most_written(self.shape.block_frames)
        if notes and len(notes) != frames:
            raise ShapeError("notes", [len(notes)], f"[{frames}], one a frame, or none")
        if not 1 <= frames <= most:
            raise CacheError(
                f"A block of {frames} frames was asked for; this cache takes 1 to {most}."
            )
        began = time.perf_counter()
        self._make_room(frames)
        self._time.open(frames, notes)
        moves, start = self._time.place(self._mid)
        self._move(moves)
        self._mid.lay_out(start, self._time.block[self.policy.state :])
        self._place = self._rows.place(self._time.block, self._time.read, self._mid.tokens)
        self._begun = False
        self.seconds += time.perf_counter() - began

    def begin_pass(
        self, *, first: bool = False, clean: bool = False, progress: float = 1.0
    ) -> None:
        """Say which pass comes next.

        Args:
            first: the block's first pass: a mid that goes by queries chooses now.
            clean: the pass whose keys stay.
            progress: share of the block's steps that are done, 0 to 1.

        Raises:
            CacheError: no block is open, or its first pass was left out.
        """
        if self._place is None:
            raise CacheError("A pass needs an open block; call open_block first.")
        if self._late_read:
            self._late, self._late_read = None, False
        if self._late is not None and (clean or not first):
            raise CacheError("A late block's clean pass goes with the next block's first step.")
        self._late_read = self._late is not None
        if not (first or self._begun):
            raise CacheError("A block's first pass chooses what it attends to; say first=True.")
        self._first, self._clean, self._begun = first, clean, True
        self._narrow = progress >= self.policy.sparse.after

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Write the pass's keys and values, then attend to all of the context; see `Context`.

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
            return self._pass(layer, self._place, query, key, value, self._clean)
        # In this order: the open block may lie where frames lay that the late one still reads.
        clean = self._pass(layer, self._late, query[:, :late], key[:, :late], value[:, :late], True)
        noisy = self._pass(
            layer, self._place, query[:, late:], key[:, late:], value[:, late:], False
        )
        return torch.cat([clean, noisy], dim=1)

    def commit(self, *, late: bool = False) -> None:
        """Close the open block; its frames join the sink or the recent ones.

        Args:
            late: its clean pass has not run; it runs in one forward with the next block's first
                step, which is exact where `fuses` holds, or never where the policy rebuilds.

        Raises:
            CacheError: no block is open, or its clean pass is missing.
        """
        rebuilt = self.policy.rebuild is not None
        if self._place is None or not (self._clean or (late and (self.fuses or rebuilt))):
            raise CacheError("Only a block whose clean pass has run can be committed.")
        if not self._rewriting:
            began = time.perf_counter()
            self._mid.commit(self._time.join())
            self.seconds += time.perf_counter() - began
        self._late, self._place = (self._place if late and not rebuilt else None), None
        self._late_read = self._clean = self._rewriting = False

    # Changes of prompt and scene, and contexts that are written anew.

    def switch(self, mode: SwitchMode, note: Note | None = None) -> None:
        """Forget or bring back what a switch asks for; a recache is `open_again` and a clean pass.

        Args:
            mode: one that the policy supports.
            note: of the scene to recall.

        Raises:
            ConfigError: the policy does not support it.
            CacheError: a block is open, or a clean pass is still to run.
        """
        self.policy.check_switch(mode)
        self._check_closed()
        if self._late is not None:
            raise CacheError("A switch needs the last block's clean pass; run it first.")
        began = time.perf_counter()
        self._mid.switched(cut=mode is SwitchMode.CUT)
        if mode is SwitchMode.RECALL:
            self._mid.recall(note or Note())
        if mode in (SwitchMode.FLUSH, SwitchMode.CUT, SwitchMode.RECALL):
            self._time.flush(self.policy.switches.kept(mode), cut=mode is SwitchMode.CUT)
            self._mid.flush()
        self.seconds += time.perf_counter() - began

    def open_again(self) -> list[int]:
        """Open the last frames once more, to be encoded again in one clean pass.

        Once the rollout is longer than what is encoded again, a kept sink is attended to as it is,
        and frames that lie nowhere any more ask but are not written.

        Returns:
            Their indices, in order; empty: there are none, and no pass is opened.

        Source: LongLive (arXiv 2509.22622), key/value recache.
        """
        self._check_closed()
        frames, written, moves = self._time.again()
        if frames:
            self._move(moves)
            self._rewrite(written, [span for span, _ in moves])
        return frames

    def open_sink(self) -> int:
        """Open the sink's frames, to be written anew in one clean pass that sees nothing else.

        Returns:
            How many frames are to be given.
        """
        self._check_closed()
        sink = self._time.renew_sink()
        self._rewrite(sink, [])
        return len(sink)

    def open_spatial(self, frames: int) -> None:
        """Open recalled frames, to be written in one clean pass in which they see each other alone.

        They take the place of those that were recalled before and stand between the sink and all
        that comes after it, in the order given, until they are replaced.

        Args:
            frames: how many, 0 to `spatial`; 0: they are forgotten, and no pass is opened.

        Raises:
            CacheError: more than the cache has room for, or a block is open.
        """
        self._check_closed()
        if not 0 <= frames <= self.spatial:
            raise CacheError(
                f"{frames} frames are to be recalled, this cache was opened for 0 to "
                f"{self.spatial}; recall fewer."
            )
        spans = self._time.recall(frames)
        if spans:
            self._rewrite(spans, [])

    def rewind(self, frames: int) -> None:
        """Forget all keys; the last `frames` frames are about to be written again.

        Raises:
            CacheError: a block is open.
        """
        self._check_closed()
        self._time.rewind(frames)
        self._mid.flush()

    def offer(self, frames: range, grid: Grid, keys: Tensor, values: Tensor) -> None:
        """Hand the mid partition tokens that were encoded outside of a block.

        Args:
            frames: indices of the latent frames that they stand for.
            grid: where they stand, from the first of these on.
            keys, values: [N, B, P, H, D]; keys raw.
        """
        self._mid.offer(frames, grid, keys, values)

    def reopen_late(self) -> None:
        """Open the last block again, whose clean pass is to run by itself after all."""
        assert self._late is not None and not self._late_read
        self._place, self._late, self._rewriting = self._late, None, True

    # Inside.

    def _open_planes(self, bits: int) -> Tensor | None:
        shape, tables = self.shape, self.policy.sparse.tables
        if not bits:
            return None
        return sign_planes(shape.heads, shape.head_dim, bits, tables, device=self._device)

    def _check_closed(self) -> None:
        if self._place is not None:
            raise CacheError(f"A block of {len(self._time.block)} frames is open; commit it first.")

    def _make_room(self, frames: int) -> None:
        """Let frames leave `recent`; the mid partition takes them."""
        slots, part = self._time.slots, self.policy.mid
        if self.policy.partition.recent is None and self._time.free < frames:
            slots.grow(2 * slots.capacity)
            self._rows.grow(slots.capacity)
        for group in self._time.leaving(frames, self._mid.frames):
            if part is not None and part.by_layer:
                for layer in range(self.shape.layers):
                    keys, values = self._rows.take(group, part.raw, slice(layer, layer + 1))
                    self._mid.admit_layer(layer, group, keys[0], values[0])
            elif part is not None:
                self._mid.admit(group, *self._rows.take(group, part.raw))
            self._time.forget(group)

    def _move(self, moves: Sequence[Move]) -> None:
        """Frames whose position is another now are rotated anew from their raw keys."""
        moved = [(span, to) for span, to in moves if span.position != to]
        if moved:
            self._rows.turn([span for span, _ in moved], [to for _, to in moved])
        for span, to in moved:
            span.position = to

    def _rewrite(self, written: Sequence[Span], read: Sequence[Span]) -> None:
        """Open a pass over frames that were committed before."""
        self._place = self._rows.place(written, read, 0)
        self._rewriting, self._begun = True, False

    def _pass(
        self, layer: int, place: Place, query: Tensor, key: Tensor, value: Tensor, clean: bool
    ) -> Tensor:
        """One layer: write what a block brings and read its context."""
        turned = rotate(query, place.table)
        planes = self._planes if self._narrow else None
        write = Write(key, rotate(key, place.table), value, clean, planes)
        parts = None
        if not self._rewriting:
            began = time.perf_counter()
            self._mid.read(Look(layer, self._first, clean, query, turned, key, write.key, value))
            self.seconds += time.perf_counter() - began
            parts = self._mid.parts(layer)
        return self._rows.attend(layer, place, turned, write, parts)
