"""The timeline against lists of frame numbers, for any blocks, limits, flushes and recaches."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldrt.errors import CacheError
from worldrt.memory.mid import Bounds, Mid, MidPart, Tail
from worldrt.memory.policy import Partition, Policy, Switches
from worldrt.memory.positions import Absolute, Contiguous, Layout, Places, PositionMap, Window
from worldrt.memory.slots import CacheShape, Note, Span
from worldrt.memory.timeline import Timeline

BLOCK = 4


class Few(Mid):
    """A mid that holds up to `most` of the frames that left."""

    def __init__(self, most: int) -> None:
        self._most = most

    def take(self, frames: int) -> None:
        self.frames = min(self._most, self.frames + frames)
        self.width = float(self.frames)

    def flush(self) -> None:
        self.frames, self.width = 0, 0.0


class Lists:
    """Frame numbers in lists: the same in its plainest words."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.sink: list[int] = []
        self.recent: list[int] = []
        self.done = self.evicted = 0
        self.cut = False

    def leave(self, frames: int, inside: int) -> list[int]:
        """Frames that leave before a block."""
        part = self.policy.partition
        if part.recent is None or len(self.sink + self.recent) + inside + frames <= part.limit:
            return []
        gone = []
        while len(self.recent) > part.recent:
            gone.append(self.recent.pop(0))
        self.evicted += len(gone)
        return gone

    def places(self, block: list[int], mid: Mid) -> Places:
        layout = Layout(self.sink, mid.width, mid.own, self.recent, block, self.cut)
        return self.policy.positions(layout)

    def join(self, block: list[int]) -> None:
        for frame in block:
            (self.sink if len(self.sink) < self.policy.partition.sink else self.recent).append(
                frame
            )
        self.done, self.cut = self.done + len(block), False

    def flush(self, kept: int, cut: bool) -> None:
        while len(self.recent) > kept:
            self.recent.pop(0)
            self.evicted += 1
        self.cut = cut

    def again(self) -> tuple[list[int], set[int]]:
        """Frames that are encoded again, and those of them that are written."""
        switches = self.policy.switches
        frames = list(range(self.done))[-switches.recache :] if switches.recache else []
        if not frames or frames[0] == 0:
            return frames, set(self.sink + self.recent)
        if not switches.renew_sink:
            return frames, set(self.recent) & set(frames)
        # Whatever was held, the last frames are; the oldest of them become the sink.
        count = min(len(self.sink + self.recent), len(frames))
        frames, size = frames[-count:], self.policy.partition.sink
        outside = len(self.sink + self.recent) - count
        self.evicted += max(0, outside - len(self.sink))
        self.sink, self.recent = frames[:size], frames[size:]
        return frames, set(frames)


maps = st.sampled_from([Absolute(), Contiguous(), Window()])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("block"), st.integers(1, BLOCK)),
        st.tuples(st.just("flush"), st.booleans()),
        st.tuples(st.just("again"), st.none()),
    ),
    max_size=25,
)


@settings(max_examples=300, deadline=None)
@given(
    sink=st.integers(0, 5),
    recent=st.one_of(st.none(), st.integers(0, 6)),
    limit=st.integers(0, 20),
    positions=maps,
    keeps=st.integers(0, 5),
    recache=st.integers(1, 14),
    renew=st.booleans(),
    most=st.integers(0, 6),
    actions=steps,
)
def test_lists(
    sink: int,
    recent: int | None,
    limit: int,
    positions: PositionMap,
    keeps: int,
    recache: int,
    renew: bool,
    most: int,
    actions: Sequence[tuple[str, int]],
) -> None:
    policy = Policy(
        name="any",
        partition=Partition(sink=sink, recent=recent, limit=limit),
        positions=positions,
        switches=Switches(recache=recache, renew_sink=renew, flush=keeps, cut=True),
    )
    time, lists, mid = Timeline(policy, BLOCK), Lists(policy), Few(most)
    lying: dict[int, int] = {}
    for action, number in actions:
        if action == "block":
            one_block(time, lists, mid, number, lying)
        elif action == "flush":
            time.flush(keeps, cut=bool(number))
            lists.flush(keeps, cut=bool(number))
            mid.flush()
        elif lists.sink + lists.recent:
            encode_again(time, lists, renew)
            lying.clear()
        for spans, frames in ((time.sink, lists.sink), (time.recent, lists.recent)):
            assert [span.frame for span in spans] == frames
        assert (time.done, time.evicted, time.cut) == (lists.done, lists.evicted, lists.cut)
        slots = [span.slot for span in time.kept]
        assert len(set(slots)) == len(slots) == time.slots.capacity - time.slots.free
        for span in time.kept:
            assert lying.setdefault(span.frame, span.slot) == span.slot  # nothing shifts


def one_block(time: Timeline, lists: Lists, mid: Few, frames: int, lying: dict[int, int]) -> None:
    for group in time.leaving(frames, mid.frames):
        gone = [span.frame for span in group]
        assert gone == lists.leave(frames, mid.frames)
        mid.take(len(group))
        time.forget(group)
        for frame in gone:
            del lying[frame]
    if time.slots.free < frames:
        assert lists.policy.partition.recent is None
        time.slots.grow(2 * time.slots.capacity)
    time.open(frames, [])
    block = list(range(lists.done, lists.done + frames))
    assert [span.frame for span in time.block] == block
    moves, start = time.place(mid)
    expected = lists.places(block, mid)
    assert [span.frame for span, _ in moves] == lists.sink + lists.recent
    assert [to for _, to in moves] == expected.sink + expected.recent
    assert [span.position for span in time.block] == expected.block and start == expected.mid
    for span, to in moves:
        span.position = to
    assert time.join() and not time.block
    lists.join(block)


def encode_again(time: Timeline, lists: Lists, renew: bool) -> None:
    frames, spans, reads = time.again()
    expected, written = lists.again()
    assert frames == expected and [span.frame for span in spans] == frames
    assert {span.frame for span in spans if span.slot >= 0} == written & set(frames)
    kept = lists.sink + lists.recent
    assert [span.frame for span, _ in reads] == [f for f in kept if f not in written]
    if not frames:
        return
    split = min(len(lists.sink), len(kept) - 1)
    block = Lists(lists.policy)
    block.sink, block.recent = kept[:split], kept[split:-1]
    places = block.places(kept[-1:], Mid())
    where = dict(zip(kept, places.sink + places.recent + places.block, strict=True))
    for span in spans:
        if span.slot >= 0:
            assert span.position == where[span.frame]
        else:  # as far before the last frame as it was written
            assert span.position == where[kept[-1]] - (kept[-1] - span.frame)
    assert all(to == where[span.frame] for span, to in reads)
    for span, to in reads:
        span.position = to


# By hand.


def policy(**parts: object) -> Policy:
    return Policy(name="hand", **parts)  # pyright: ignore


def test_frames_leave_only_when_the_limit_is_exceeded() -> None:
    """Twelve frames in all: a saw-tooth."""
    time = Timeline(policy(partition=Partition(sink=2, recent=3, limit=12)), 3)
    held = list[int]()
    for _ in range(9):
        for group in time.leaving(3, 0):
            time.forget(group)
        time.open(3, [])
        time.place(Mid())
        time.join()
        held.append(len(time.kept))
    assert held == [3, 6, 9, 12, 8, 11, 8, 11, 8]


def test_what_is_in_the_middle_counts_against_the_limit() -> None:
    time = Timeline(policy(partition=Partition(sink=0, recent=1, limit=5)), 3)
    time.open(3, [])
    time.place(Mid())
    time.join()
    assert time.leaving(2, 0) == [] and len(time.leaving(2, 1)[0]) == 2


class Whole(MidPart):
    """A mid that takes whole blocks."""

    whole_blocks = True

    def room(self, shape: CacheShape, bounds: Bounds) -> int:
        del shape, bounds
        return 0

    def open(self, shape: CacheShape, bounds: Bounds, tail: Tail) -> Mid:
        del shape, bounds, tail
        return Mid()


def test_whole_blocks_leave_together_or_not_at_all() -> None:
    time = Timeline(policy(partition=Partition(sink=0, recent=4), mid=Whole()), 3)

    def add(frames: int) -> None:
        time.open(frames, [])
        time.join()

    def leave() -> list[list[int]]:
        groups = time.leaving(1, 0)
        for group in groups:
            time.forget(group)
        return [[span.frame for span in group] for group in groups]

    add(3)
    add(3)
    assert leave() == [[0, 1, 2]]  # one more than needed
    add(1)
    assert leave() == []
    add(3)
    assert leave() == [[3, 4, 5]]
    add(1)
    time.forget(time.recent[:1])
    add(2)
    assert leave() == [[7, 8, 9]]
    add(3)
    assert leave() == [[10, 11, 12]]


def test_half_a_block_does_not_leave() -> None:
    """A partition that holds none may not end with a short block."""
    time = Timeline(policy(partition=Partition(sink=0, recent=0), mid=Whole()), 3)
    time.open(2, [])
    time.join()
    with pytest.raises(CacheError) as caught:
        time.leaving(3, 0)
    assert str(caught.value) == (
        "2 frames leave the recent partition, policy 'hand' takes blocks of 3; give it blocks of "
        "one size."
    )


def test_notes_stay_with_their_frames() -> None:
    time = Timeline(policy(partition=Partition(sink=1, recent=2)), 2)
    notes = [Note(), Note()]
    time.open(2, notes)
    assert [span.note for span in time.block] == notes and time.block[0].note is notes[0]


def test_a_state_comes_with_every_block_and_becomes_its_sink() -> None:
    time = Timeline(policy(partition=Partition(sink=2, recent=3), positions=Window(), state=2), 3)
    for done in (0, 3, 6):
        for group in time.leaving(3, 0):
            time.forget(group)
        time.open(3, [])
        assert [span.frame for span in time.block] == [*range(done - 2, done + 3)]
        moves, _ = time.place(Mid())
        assert [span.position for span in time.block[:2]] == [0, 1]
        recent = [to for span, to in moves if span in time.recent]
        assert recent + [span.position for span in time.block[2:]] == list(
            range(2, 2 + len(recent) + 3)
        )
        # The state that was stands where the new one does, which reads it.
        assert [to for span, to in moves if span in time.sink] == [0, 1][: len(time.sink)]
        state, shown = time.block[:2], time.block[2:]
        assert time.join() == shown and time.sink == state
    assert [span.frame for span in time.recent] == [3, 4, 5, 6, 7, 8]


def test_a_sink_that_is_given_anew_keeps_its_slots() -> None:
    time = Timeline(policy(partition=Partition(sink=0, recent=2), lookahead=2), 2)
    first = time.renew_sink()
    assert [(span.slot, span.position) for span in first] == [(0, 0.0), (1, 1.0)]
    first[0].position = 70.0
    assert time.renew_sink() == [Span(-1, 0, 0.0), Span(-1, 1, 1.0)]


def test_no_more_is_taken_than_there_is() -> None:
    time = Timeline(policy(partition=Partition(sink=0, recent=0)), 2)
    time.open(2, [])
    with pytest.raises(CacheError, match="1 cache slots were asked for and 0 of 2 are free"):
        time.open(1, [])
