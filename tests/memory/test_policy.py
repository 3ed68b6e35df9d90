"""Finding a policy by name, and the maps that place a sink."""

import pytest

from worldrt.errors import ConfigError
from worldrt.memory.policy import (
    Partition,
    Policy,
    absolute,
    contiguous,
    describe,
    find,
    names,
)


def test_every_file_is_a_policy_that_says_where_it_comes_from() -> None:
    assert {"full", "pack", "window"} <= set(names()) and names() == sorted(names())
    for name in names():
        assert find(name, 3).name == name
        row = describe(name)
        assert row[0] == name
        assert row[1].endswith(".") and row[2]
        assert not any("\n" in cell for cell in row)


@pytest.mark.parametrize(
    "spec, says",
    [
        ("windw", "Unknown policy 'windw': did you mean 'window'? choose one of full, pack, "),
        ("", "Unknown policy '': choose one of full, pack, "),
        ("zzz", "Unknown policy 'zzz': choose one of"),
        ("policy", "Unknown policy 'policy'"),
        ("window:recnt=3", "Unknown option of policy 'window' 'recnt': did you mean 'recent'? "),
        ("window:block_frames=3", "Unknown option of policy 'window' 'block_frames'"),
        ("full:sink=1", "Unknown option of policy 'full' 'sink': choose one of none."),
        ("window:sink=two", "Option 'sink' of policy 'window' needs a whole number, got 'two'."),
        ("window:sink=2.5", "needs a whole number, got '2.5'."),
        ("window:sink", "Option 'sink' of policy 'window' needs a whole number, got ''."),
        ("window:sink=-1", "Policy 'window' counts frames from 0 up, got sink -1"),
        ("window:recent=-3", "recent -3"),
        ("pack:mid=-1", "mid -1"),
        ("pack:top=-1", "top -1"),
        ("pack:sink=4", "Policy 'pack' keeps whole blocks: sink=4 is no multiple of 3 frames."),
        ("pack:recent=5", "recent=5 is no multiple of 3 frames."),
    ],
)
def test_specs_that_make_no_sense(spec: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find(spec, 3)
    assert says in str(caught.value)


def test_options_are_read_in_any_order() -> None:
    one, two = find("window:sink=4,recent=8", 3), find("window:recent=8,sink=4", 3)
    assert one.partition == two.partition == Partition(sink=4, recent=8)


@pytest.mark.parametrize("mid, top, attended", [(16, 4, 4), (16, 0, 16), (3, 4, 3), (0, 4, 0)])
def test_attended_blocks(mid: int, top: int, attended: int) -> None:
    assert Partition(sink=0, recent=3, mid=mid, top=top).attended_mid == attended


def test_absolute_keeps_every_frame_where_it_was() -> None:
    assert absolute([0, 1, 2], 500) == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("after", [3, 4, 77, 1_000_000])
def test_contiguous_ends_right_before_what_follows(after: int) -> None:
    """The whole context is an unbroken run of positions: sink, then what is kept."""
    assert [*contiguous([0, 1, 2], after), after] == list(range(after - 3, after + 1))


def test_nothing_moves_before_something_is_forgotten() -> None:
    assert contiguous([0, 1, 2], 3) == absolute([0, 1, 2], 3)
    assert contiguous([], 9) == []


def test_keys_move_only_where_a_part_moves_them() -> None:
    partition = Partition(sink=3, recent=3)
    assert not Policy(name="still", partition=partition).moves
    assert Policy(name="moved", partition=partition, positions=contiguous).moves
    assert find("pack", 3).moves and not find("window", 3).moves and not find("full", 3).moves
