"""Which frames a cache holds and where they stand: who leaves, who joins. No tensor is touched."""

from collections.abc import Sequence

from worldrt.errors import CacheError
from worldrt.memory.mid import Mid
from worldrt.memory.policy import Policy
from worldrt.memory.positions import Layout, Places
from worldrt.memory.slots import Note, Slots, Span

Move = tuple[Span, float]
"""A span and the position that it is to take."""


class Timeline:
    """The spans of sink, recent and the open block, in time order, and those of recalled frames.

    Args:
        policy: its partition, position map and switches.
        block_frames: the most latent frames in one block of the rollout.
        spatial: most frames that the spatial memory brings back.
    """

    def __init__(self, policy: Policy, block_frames: int, spatial: int = 0) -> None:
        self._policy, self._size, self._most = policy, block_frames, spatial
        self.slots = Slots(policy.slots(block_frames) + spatial)
        self.sink: list[Span] = []
        self.spatial: list[Span] = []
        """Recalled frames; they stand between the sink and all that comes after it."""
        self.recent: list[Span] = []
        self.block: list[Span] = []
        """The open block's: its state frames first, then those that are shown."""
        self.done = 0
        """Frames that were committed."""
        self.evicted = 0
        """Frames that have left `recent`."""
        self.cut = False
        """Whether the next block is the first after a cut."""

    @property
    def kept(self) -> list[Span]:
        """Frames of sink and recent."""
        return [*self.sink, *self.recent]

    @property
    def read(self) -> list[Span]:
        """Frames that a block attends to, in the order in which they stand."""
        return [*self.sink, *self.spatial, *self.recent]

    @property
    def free(self) -> int:
        """Slots that are left for blocks."""
        return self.slots.free - (self._most - len(self.spatial))

    def leaving(self, frames: int, inside: int) -> list[list[Span]]:
        """Groups of frames that leave `recent` before a block of `frames`; `forget` frees them.

        Args:
            frames: of the block to come.
            inside: frames of the mid partition.

        Raises:
            CacheError: the policy's mid takes whole blocks and there is a shorter one.
        """
        part, mid = self._policy.partition, self._policy.mid
        if part.recent is None or len(self.kept) + inside + frames <= part.limit:
            return []
        count = len(self.recent) - part.recent
        if count <= 0:
            return []
        if mid is None or not mid.whole_blocks:
            return [self.recent[:count]]
        groups = [self.recent[first : first + self._size] for first in range(0, count, self._size)]
        if len(groups[-1]) != self._size:
            raise CacheError(
                f"{len(groups[-1])} frames leave the recent partition, policy "
                f"{self._policy.name!r} takes blocks of {self._size}; give it blocks of one size."
            )
        return groups

    def open(self, frames: int, notes: Sequence[Note]) -> None:
        """Take slots for a block's frames.

        Raises:
            CacheError: none are left.
        """
        state = self._policy.state
        known = [Note()] * state + list(notes or [Note()] * frames)
        slots = self.slots.take(len(known))
        self.block = [
            Span(self.done - state + index, slot, 0.0, note)
            for index, (slot, note) in enumerate(zip(slots, known, strict=True))
        ]

    def place(self, mid: Mid) -> tuple[list[Move], float]:
        """Where the open block and its context stand; the block's spans are set.

        Returns:
            Moves of the frames that are read, and where the mid partition begins.
        """
        count, apart = self._policy.state, len(self.spatial)
        state, block = self.block[:count], self.block[count:]
        places = self._places(state or self.sink, self.recent, block, mid, self.cut, apart)
        for span, position in zip(self.block, places.sink[:count] + places.block, strict=True):
            span.position = position
        sink = places.sink[: len(self.sink)]
        start = places.mid
        if mid.own is not None:  # it stands by itself: recalled frames stand before the recent ones
            start = [*places.recent, *places.block][0] - apart
        spatial = [start + index for index in range(apart)]
        moves = list(zip(self.read, sink + spatial + places.recent, strict=True))
        return moves, places.mid if mid.own is not None else places.mid + apart

    def join(self) -> list[Span]:
        """Close the block: its frames become part of sink and recent. Returns those shown."""
        policy = self._policy
        state, block = self.block[: policy.state], self.block[policy.state :]
        young = max(0, policy.partition.sink - len(self.sink))
        if policy.state:
            self.forget(self.sink)
            self.sink, young = state, 0
        self.sink = [*self.sink, *block[:young]]
        self.recent = [*self.recent, *block[young:]]
        self.done += len(block)
        self.block, self.cut = [], False
        return block

    def forget(self, spans: Sequence[Span]) -> None:
        """Free the slots of frames of sink or recent."""
        gone = {span.slot for span in spans}
        for slot in gone:
            self.slots.give(slot)
        self.evicted += sum(span.slot in gone for span in self.recent)
        self.sink = [span for span in self.sink if span.slot not in gone]
        self.recent = [span for span in self.recent if span.slot not in gone]

    def rewind(self, frames: int) -> None:
        """Free all slots; the last `frames` frames are about to be committed once more."""
        evicted = self.evicted
        self.forget(self.kept)
        self.done -= frames
        self.evicted = evicted

    def flush(self, kept: int, cut: bool) -> None:
        """Forget all but the sink and the last `kept` frames."""
        self.forget(self.recent[: max(0, len(self.recent) - kept)])
        self.cut = cut

    def again(self) -> tuple[list[int], list[Span], list[Move]]:
        """Frames to be encoded again after a switch; see `KVCache.open_again`.

        Returns:
            Their indices; their spans in the same order, a slot of -1 for a frame that lies
            nowhere; and moves of the other frames, which are read.
        """
        switches = self._policy.switches
        frames = list(range(max(0, self.done - switches.recache), self.done))
        if not frames:
            return [], [], []
        if frames[0] == 0:
            fresh = self.kept
        elif switches.renew_sink:
            fresh = self.kept[-len(frames) :]
            frames = frames[-len(fresh) :]
            self.forget(self.kept[: -len(fresh)])
            count = self._policy.partition.sink
            self.sink, self.recent = fresh[:count], fresh[count:]
            for span, frame in zip(fresh, frames, strict=True):
                span.frame = frame
        else:
            fresh = [span for span in self.recent if span.frame >= frames[0]]
        before, last = self.kept[:-1], self.kept[-1:]
        count = min(len(self.sink), len(before))
        places = self._places(before[:count], before[count:], last, Mid(), cut=False)
        lying = {span.frame: span for span in fresh}
        reads: list[Move] = []
        where = places.sink + places.recent + places.block
        for span, position in zip(self.kept, where, strict=True):
            if span.frame in lying:
                span.position = position
            else:
                reads.append((span, position))
        shift = where[-1] - self.kept[-1].frame
        written = [lying.get(frame) or Span(frame, -1, frame + shift) for frame in frames]
        return frames, written, reads

    def recall(self, frames: int) -> list[Span]:
        """Spans of recalled frames, about to be written; those before them are forgotten."""
        for span in self.spatial:
            self.slots.give(span.slot)
        slots = self.slots.take(frames)
        self.spatial = [Span(-1, slot, float(index)) for index, slot in enumerate(slots)]
        return self.spatial

    def renew_sink(self) -> list[Span]:
        """Spans of the sink, about to be written anew; they stand from 0."""
        if not self.sink:
            slots = self.slots.take(self._policy.lookahead)
            self.sink = [Span(-1, slot, 0.0) for slot in slots]
        for index, span in enumerate(self.sink):
            span.position = float(index)
        return self.sink

    def _places(
        self,
        sink: Sequence[Span],
        recent: Sequence[Span],
        block: Sequence[Span],
        mid: Mid,
        cut: bool,
        apart: int = 0,
    ) -> Places:
        layout = Layout(
            sink=[span.frame for span in sink],
            width=mid.width + (apart if mid.own is None else 0),
            own=mid.own,
            recent=[span.frame for span in recent],
            block=[span.frame for span in block],
            cut=cut,
        )
        return self._policy.positions(layout)
