"""Anchors against a list of all frames, with switches and recaches between blocks."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.list_cache import DOT, ODD, Array, play
from tests.switches import Event, Pass, Switch, act, act_slowly, close, exact, grid, lone, seen
from worldrt.errors import ConfigError
from worldrt.memory.anchors import Anchors
from worldrt.memory.cache import KVCache
from worldrt.memory.policy import Policy, SwitchMode, find
from worldrt.memory.positions import Layout, TriRegion
from worldrt.memory.slots import CacheShape, Note, Region

KEEP, RECACHE = Switch(SwitchMode.KEEP), Switch(SwitchMode.RECACHE)
SIZES: list[int] = np.random.default_rng(1).integers(1, 4, 36).tolist()
STEADY: list[Event] = [3] * 30
ALONE: list[Event] = [*SIZES]
SWITCHED: list[Event] = [
    *([3] * 5 + [RECACHE] + [3] * 9 + [RECACHE, 3, 3, KEEP]),
    *([3] * 8 + [RECACHE, RECACHE] + [3] * 8),
]
MIXED: list[Event] = [
    *(SIZES[:1] + [RECACHE] + SIZES[1:4] + [RECACHE] + SIZES[4:13] + [KEEP]),
    *(SIZES[13:15] + [RECACHE] + SIZES[15:]),
]
"""Blocks of 1 to 3 frames, the first switches before the window is full."""


class ListAnchors:
    """Slow and obvious: every frame's raw keys and values, each context from the definition.

    Args:
        policy: read for its numbers only.
        shape: the model's numbers.
    """

    def __init__(self, policy: Policy, shape: CacheShape) -> None:
        part, places = policy.mid, policy.positions
        assert isinstance(part, Anchors) and isinstance(places, TriRegion)
        self._policy, self._part, self._places, self._shape = policy, part, places, shape
        self._frames: list[list[list[tuple[Array, Array]]]] = []  # [frame][layer][batch]: k, v
        self._blocks: list[int] = []  # first frame of each
        self._switches: list[int] = []  # blocks done at each
        self._left = 0  # what lies before this frame and is not in the sink has left the window

    @property
    def _sink(self) -> list[int]:
        return list(range(min(self._policy.partition.sink, len(self._frames))))

    def _anchor(self) -> list[int]:
        """Frames of the newest anchor of which some have left the window."""
        until = self._switches[0] if self._switches else len(self._blocks)
        late = [index for index, first in enumerate(self._blocks) if first >= self._part.first]
        regular = late[:: self._part.every] if self._part.every else []
        starts = {index for index in regular if index < until} | set(self._switches)
        ends = [*self._blocks[1:], len(self._frames)]
        found = list[int]()
        for block in sorted(starts - {len(self._blocks)}):
            frames = range(max(self._blocks[block], self._policy.partition.sink), ends[block])
            found = [frame for frame in frames if frame < self._left] or found
        return found

    def block(self, frames: int, note: Note, passes: Sequence[Pass]) -> Tensor:
        done, end = len(self._frames), self._places.end
        self._left = max(len(self._sink), done - (self._policy.partition.recent or 0))
        recent = list(range(self._left, done))
        start = min(end - frames, done)
        anchor = self._anchor()
        first = min(self._places.anchor, start - len(recent) - len(anchor))
        context = {frame: float(frame) for frame in self._sink}
        context |= {frame: first + rank for rank, frame in enumerate(anchor)}
        context |= {frame: float(start - done + frame) for frame in recent}
        own = [float(start + rank) for rank in range(frames)]
        out = [self._one(n, context, own, *qkv) for each in passes for n, qkv in enumerate(each)]
        self._blocks.append(done)
        for rank in range(frames):
            self._frames.append(self._stored(passes[-1], rank))
        return torch.cat(out, dim=1)

    def switch(self, switch: Switch) -> None:
        self._switches.append(len(self._blocks))

    def recached(self) -> int:
        return min(self._policy.switches.recache, len(self._frames))

    def recache(self, clean: Pass) -> Tensor:
        """Of the last frames those in the cache are overwritten, and all see them and the sink."""
        done = len(self._frames)
        frames = list(range(done - self.recached(), done))
        shift = min(self._places.end, done) - done
        context = {frame: float(frame) for frame in self._sink}
        context |= {frame: float(frame + shift) for frame in range(self._left, done)}
        fresh = [f for f in frames if f in context and (f not in self._sink or frames[0] == 0)]
        for frame in fresh:
            self._frames[frame] = self._stored(clean, frame - frames[0])
        own = [context[f] if f in fresh else float(f + shift) for f in frames]
        none = torch.zeros_like(clean[0][0][:, :0])
        return torch.cat(
            [
                self._one(n, context, own, query, none, none)
                for n, (query, _, _) in enumerate(clean)
            ],
            dim=1,
        )

    def _stored(self, clean: Pass, rank: int) -> list[list[tuple[Array, Array]]]:
        here = slice(rank * self._shape.tokens, (rank + 1) * self._shape.tokens)
        pairs = [[exact(qkv[1:], b) for b in range(self._shape.batch)] for qkv in clean]
        return [[(key[here], value[here]) for key, value in layer] for layer in pairs]

    def _one(
        self,
        layer: int,
        context: dict[int, float],
        own: Sequence[float],
        query: Tensor,
        key: Tensor,
        value: Tensor,
    ) -> Tensor:
        places = [*context.values(), *(own if key.shape[1] else [])]
        found = list[Array]()
        for batch in range(self._shape.batch):
            stored = [self._frames[frame][layer][batch] for frame in context]
            q, k, v = exact((query, key, value), batch)
            keys = np.concatenate([*[each for each, _ in stored], k])
            values = np.concatenate([*[each for _, each in stored], v])
            asked = grid(own, self._shape)
            found.append(seen(q, asked, keys, values, grid(places, self._shape)))
        return torch.from_numpy(np.stack(found))


@pytest.mark.parametrize(
    "spec, events",
    [
        ("anchor", STEADY),
        ("anchor", SWITCHED),
        ("anchor", MIXED),
        ("anchor", ALONE),
        ("anchor", [RECACHE, *STEADY[:9]]),
        ("anchor", [3, RECACHE, *STEADY[:9]]),
        ("anchor:every=2,first=4", STEADY),
        ("anchor:every=1,first=0", ALONE),
        ("anchor:sink=4,recent=5", MIXED),
        ("anchor:sink=0,recent=4", MIXED),
        ("anchor:sink=2,recent=0", SWITCHED),
    ],
)
def test_anchors_equal_list(spec: str, events: list[Event]) -> None:
    policy = find(spec, 3)
    expected = act_slowly(ListAnchors(policy, ODD), events, ODD)
    close(act(KVCache(policy, ODD), events, ODD), expected)


@pytest.mark.parametrize("frames", [1, 4, 7])
def test_blocks_of_other_sizes(frames: int) -> None:
    shape = replace(ODD, block_frames=frames)
    policy = find("anchor", frames)
    events: list[Event] = [*[frames] * 10, RECACHE, *[frames] * 5]
    expected = act_slowly(ListAnchors(policy, shape), events, shape)
    close(act(KVCache(policy, shape), events, shape), expected)


# By hand: a block of three frames whose values are its number.


def step(cache: KVCache, number: float) -> list[float]:
    """Numbers of the frames that the block sees as its anchor.

    Its noisy pass brings -1, which must not be found later.
    """
    cache.open_block(3)
    for clean in (False, True):
        cache.begin_pass(first=not clean, clean=clean)
        block = torch.full((1, 6, 1, 6), number if clean else -1.0)
        cache.attend(0, block, block, block)
    assert cache._mid is not None
    anchor = cache._rows.tail.values[0, 0, : cache._mid.tokens : 2, 0, 0]
    cache.commit()
    return anchor.tolist()


def test_a_rollout_that_never_switches() -> None:
    """The block at frame 21 is the first one from 20 on; it is seen once it has left the window."""
    cache = KVCache(find("anchor", 3), DOT)
    anchors = [step(cache, float(index)) for index in range(24)]
    assert anchors[:10] == [[]] * 10
    assert anchors[10:16] == [[7] * 3] * 6
    assert anchors[16:22] == [[13] * 3] * 6  # the one before stays while this one is recent
    assert anchors[22:] == [[19] * 3] * 2


def test_the_prior_anchor_stays_until_the_fresh_one_has_left_the_window() -> None:
    cache = KVCache(find("anchor", 3), DOT)
    for index in range(4):
        step(cache, float(index))
    cache.switch(SwitchMode.KEEP)  # what follows a new text is an anchor in any mode
    assert [step(cache, 4.0 + index) for index in range(4)] == [[], [], [], [4] * 3]
    cache.switch(SwitchMode.KEEP)
    assert [step(cache, 8.0 + index) for index in range(3)] == [[4] * 3] * 3
    cache.switch(SwitchMode.KEEP)
    assert [step(cache, 11.0 + index) for index in range(3)] == [[8] * 3] * 3
    # Once a prompt was switched, time alone makes no anchor.
    assert [step(cache, 14.0 + index) for index in range(20)] == [[11] * 3] * 20


def test_an_anchor_is_recached_while_it_is_in_the_window() -> None:
    cache = KVCache(find("anchor", 3), DOT)
    for index in range(4):
        step(cache, float(index))
    cache.switch(SwitchMode.KEEP)
    assert [step(cache, 4.0 + index) for index in range(4)][-1] == [4] * 3
    recache(cache, 20.0)
    assert step(cache, 8.0) == [4] * 3  # it had left
    recache(cache, 30.0)
    anchors = [step(cache, 9.0 + index) for index in range(4)]
    assert anchors == [[4] * 3, [4] * 3, [30] * 3, [9] * 3]


def recache(cache: KVCache, number: float) -> None:
    cache.switch(SwitchMode.RECACHE)
    frames = torch.full((1, 2 * len(cache.open_again()), 1, 6), number)
    cache.begin_pass(first=True, clean=True)
    cache.attend(0, frames, frames, frames)
    cache.commit()


def test_regions() -> None:
    """Sink at 0, anchor at 6, recent at 12, the block at 18, once the rollout is longer than 21."""
    cache = KVCache(find("anchor", 3), DOT)
    for index in range(20):
        step(cache, float(index))
    cache.open_block(3)
    assert cache.positions() == {
        Region.SINK: [0, 1, 2],
        Region.SPATIAL: [],
        Region.RECENT: [12, 13, 14, 15, 16, 17],
        Region.BLOCK: [18, 19, 20],
    }
    assert cache.occupancy()[Region.MID].frames == 3
    layout = Layout([0, 1, 2], 3.0, None, range(54, 60), range(60, 63), cut=False)
    positions = find("anchor", 3).positions
    assert positions(layout).mid == 6
    # Early in a rollout recent frames stand at 6 too: the anchor keeps before them.
    early = layout._replace(recent=range(6, 12), block=range(12, 15))
    assert positions(early).mid == 3


def test_recached_queries_stand_at_9_to_20() -> None:
    cache = KVCache(find("anchor", 3), DOT)
    for index in range(12):
        step(cache, float(index))
    cache.switch(SwitchMode.RECACHE)
    assert cache.open_again() == list(range(24, 36))
    assert cache._place is not None
    turns = torch.exp(1j * torch.arange(9.0, 21.0))
    torch.testing.assert_close(cache._place.table[::2, 0, 0], turns, atol=1e-5, rtol=0)


def test_without_anchors_it_is_a_window() -> None:
    """Within the range trained for, frames stand at their own index."""
    bare = find("anchor:every=0,end=200", 3)
    window = play(KVCache(find("window", 3), ODD), SIZES)
    close(play(KVCache(bare, ODD), SIZES), window, 2e-6)


def test_a_batch_is_its_sequences_side_by_side() -> None:
    policy = find("anchor", 3)
    both = act(KVCache(policy, ODD), SWITCHED, ODD)
    for index in range(2):
        rows = slice(index, index + 1)
        close(both[rows], act(KVCache(policy, lone(ODD)), SWITCHED, ODD, rows))


def test_same_inputs_give_the_same_bits() -> None:
    policy = find("anchor", 3)
    one, two = (act(KVCache(policy, ODD), MIXED, ODD) for _ in range(2))
    assert torch.equal(one, two)


def test_anchors_come_out_of_a_codec() -> None:
    exactly = act(KVCache(find("anchor", 3), ODD), STEADY, ODD)
    coded = act(KVCache(find("anchor:codec=int8", 3), ODD), STEADY, ODD)
    assert (coded - exactly).abs().mean() < 0.02


def test_a_long_rollout_in_constant_bytes() -> None:
    cache = KVCache(find("anchor", 3), DOT)
    size = cache.nbytes
    for index in range(2_000):
        if index % 97 == 0:
            cache.switch(SwitchMode.KEEP)
        step(cache, float(index))
        assert cache.nbytes == size
    # Three frames of two tokens, six float32 a raw key, beside the tail.
    assert cache._mid is not None and cache._mid.nbytes == 3 * 2 * 6 * 4


@pytest.mark.parametrize(
    "spec, says",
    [
        ("anchor:first=-1", "Anchors are counted from 0 up, got first -1 and every 6."),
        ("anchor:every=-2", "Anchors are counted from 0 up, got first 20 and every -2."),
        ("anchor:sink=-1", "counts frames from 0 up, got sink -1"),
    ],
)
def test_numbers_below_0(spec: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find(spec, 3)
    assert says in str(caught.value)
