"""Position maps: distances that two maps share, and places by hand."""

import pytest

from worldrt.memory.positions import Absolute, Ahead, Contiguous, Layout, Places, TriRegion, Window


def layout(
    sink: int = 0,
    recent: int = 2,
    block: int = 3,
    *,
    done: int = 500,
    width: float = 0,
    own: float | None = None,
    cut: bool = False,
) -> Layout:
    """A context whose block begins with frame `done`."""
    return Layout(
        sink=range(sink),
        width=width,
        own=own,
        recent=range(done - recent, done),
        block=range(done, done + block),
        cut=cut,
    )


def test_absolute_keeps_every_frame_where_it_was() -> None:
    places = Absolute()(layout(2))
    assert places == Places([0, 1], 498, [498, 499], [500, 501, 502])
    assert Absolute()(layout(2, width=2)).mid == 496
    assert Absolute()(layout(2, own=77)).mid == 77


@pytest.mark.parametrize("done", [3, 4, 77, 1_000_000])
def test_contiguous_ends_right_before_what_follows(done: int) -> None:
    """The whole context is an unbroken run of positions: sink, then what is kept."""
    places = Contiguous()(layout(3, 0, 1, done=done))
    assert [*places.sink, *places.block] == list(range(done - 3, done + 1))


def test_nothing_moves_before_something_is_forgotten() -> None:
    early = layout(3, 0, 1, done=3)
    assert Contiguous()(early) == Absolute()(early)
    assert Contiguous()(layout(0)) == Absolute()(layout(0))


@pytest.mark.parametrize("own", [None, 400.0])
def test_a_sink_stands_before_a_mid_wherever_that_is(own: float | None) -> None:
    places = Contiguous()(layout(2, width=4, own=own))
    start = 494 if own is None else 400
    assert places.mid == start and places.sink == [start - 2, start - 1]


@pytest.mark.parametrize("width", [0, 2, 5])
def test_a_window_has_the_distances_of_a_contiguous_context(width: int) -> None:
    """It counts from 0 and moves what comes last; the other moves what comes first."""
    given = layout(3, 4, width=width)
    window, contiguous = Window()(given), Contiguous()(given)
    shift = contiguous.sink[0]
    for one, two in zip(window, contiguous, strict=True):
        assert one == ([place - shift for place in two] if isinstance(two, list) else two - shift)
    assert window.block[-1] == 3 + width + 4 + 3 - 1


def test_a_cut_block_stands_far_away() -> None:
    places = Window()(layout(1, 2, cut=True))
    assert places == Places([0], 1, [1, 2], [45, 46, 47])
    assert Window(cut=9)(layout(1, 2, cut=True)).block == [9, 10, 11]


def test_three_regions_of_a_range_that_was_trained_for() -> None:
    """Anchor-Forcing at blocks of 3: sink from 0, anchor at 6, recent from 12, block at 18."""
    places = TriRegion(end=21, anchor=6)(layout(3, 6))
    assert places == Places([0, 1, 2], 6, list(range(12, 18)), [18, 19, 20])
    filling = TriRegion(end=21, anchor=6)(layout(3, 6, done=15))
    assert (filling.recent, filling.block) == ([9, 10, 11, 12, 13, 14], [15, 16, 17])
    early = TriRegion(end=21, anchor=6)(layout(3, 6, done=9))
    assert early.recent + early.block == list(range(3, 12))
    assert early.mid <= early.recent[0]  # before what came later


def test_a_sink_that_is_ahead_stands_right_behind_the_block() -> None:
    places = Ahead()(layout(2, 3, 2))
    assert places == Places([502, 503], 497, [497, 498, 499], [500, 501])


def test_which_maps_move() -> None:
    maps = (Absolute, Contiguous, Window, TriRegion, Ahead)
    assert [kind.moves for kind in maps] == [False, True, True, True, True]
