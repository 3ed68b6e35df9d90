"""Slots against a set, and runs against their definition."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from worldrt.errors import CacheError
from worldrt.memory.slots import CacheShape, Slots, runs


class SlotsMachine(RuleBasedStateMachine):
    """Any order of taking, giving and growing, beside two plain sets."""

    def __init__(self) -> None:
        super().__init__()
        self.slots = Slots(5)
        self.free, self.taken = set(range(5)), set[int]()

    @rule(count=st.integers(0, 7))
    def take(self, count: int) -> None:
        if count > len(self.free):
            with pytest.raises(CacheError, match=f"{count} cache slots .* {len(self.free)} of"):
                self.slots.take(count)
            return
        lowest = sorted(self.free)[:count]
        assert self.slots.take(count) == lowest
        self.free -= set(lowest)
        self.taken |= set(lowest)

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def give(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.taken)))
        self.slots.give(slot)
        self.taken.remove(slot)
        self.free.add(slot)

    @rule(capacity=st.integers(0, 12))
    def grow(self, capacity: int) -> None:
        self.slots.grow(capacity)
        self.free |= set(range(len(self.free) + len(self.taken), capacity))

    @invariant()
    def agrees(self) -> None:
        assert self.slots.free == len(self.free)
        assert self.slots.capacity == len(self.free) + len(self.taken)


SlotsMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestSlots = SlotsMachine.TestCase


def test_a_full_set_is_a_ring() -> None:
    """Freeing the oldest and taking again cycles through the places; nothing else moves."""
    slots = Slots(4)
    held = slots.take(4)
    places = []
    for _ in range(10):
        slots.give(held.pop(0))
        held += slots.take(1)
        places.append(held[-1])
    assert places == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]


@pytest.mark.parametrize("slot", [-1, 0, 3])
def test_a_free_or_unknown_slot_is_not_given_back(slot: int) -> None:
    slots = Slots(3)
    slots.take(3)
    slots.give(0)
    with pytest.raises(AssertionError):
        slots.give(slot)


@given(st.lists(st.integers(0, 9), max_size=12))
def test_runs_cover_the_list_in_the_fewest_stretches(slots: list[int]) -> None:
    found = runs(slots)
    rebuilt = [first + step for _, first, length in found for step in range(length)]
    assert rebuilt == slots
    assert [start for start, _, _ in found] == [
        index for index in range(len(slots)) if index == 0 or slots[index] != slots[index - 1] + 1
    ]


def test_tokens_of_a_frame() -> None:
    shape = CacheShape(layers=2, heads=3, head_dim=14, rows=3, columns=5, block_frames=2)
    assert shape.tokens == 15 and shape.batch == 1
