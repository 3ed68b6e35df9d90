"""Stretches of a pass that are written, against their definition."""

from hypothesis import given
from hypothesis import strategies as st

from worldrt.memory.rows import targets
from worldrt.memory.slots import Span


def spans(slots: list[int]) -> list[Span]:
    return [Span(frame, slot, 0.0) for frame, slot in enumerate(slots)]


@given(
    st.lists(st.one_of(st.integers(0, 9), st.just(-1)), max_size=12).filter(
        lambda slots: len({slot for slot in slots if slot >= 0}) == sum(slot >= 0 for slot in slots)
    ),
    st.sampled_from([1, 9, 1560]),
)
def test_every_frame_that_is_kept_is_written_once(slots: list[int], tokens: int) -> None:
    found = targets(spans(slots), tokens)
    written = [
        (start // tokens + offset, slot + offset)
        for start, slot, frames in found
        for offset in range(frames)
    ]
    assert written == [(index, slot) for index, slot in enumerate(slots) if slot >= 0]
    assert all(start % tokens == 0 and frames > 0 for start, _, frames in found)
    for (start, slot, frames), (after, its, _) in zip(found, found[1:], strict=False):
        assert (start + frames * tokens, slot + frames) != (after, its)  # no longer stretch


def test_by_hand() -> None:
    assert targets(spans([4, 5, 6]), 9) == [(0, 4, 3)]
    assert targets(spans([4, 0, 1]), 9) == [(0, 4, 1), (9, 0, 2)]
    assert targets(spans([-1, -1, 2, 3]), 9) == [(18, 2, 2)]
    assert targets(spans([2, -1, 3]), 9) == [(0, 2, 1), (18, 3, 1)]
    assert targets(spans([-1]), 9) == targets([], 9) == []
