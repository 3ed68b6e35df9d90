"""Switches as a user writes them."""

import pytest

from worldrt.errors import ConfigError
from worldrt.memory.policy import SwitchMode, find
from worldrt.schedule import Due, read_schedule, take_due

INFINITY = find("infinity", 4)


def test_switches_are_read_in_order_of_time() -> None:
    found = read_schedule("4.5:cut  2:flush 0:keep", 10, INFINITY)
    assert found == [
        Due(0, SwitchMode.KEEP),
        Due(20, SwitchMode.FLUSH),
        Due(45, SwitchMode.CUT),
    ]
    assert read_schedule("", 10, INFINITY) == []


def test_each_is_taken_once_by_the_first_block_at_its_time_or_later() -> None:
    waiting = read_schedule("0:keep 0.5:flush 0.6:cut 2:flush", 10, INFINITY)
    taken = [list(take_due(waiting, frame)) for frame in range(0, 28, 4)]
    assert taken == [["keep"], [], ["flush", "cut"], [], [], ["flush"], []]
    assert waiting == []


@pytest.mark.parametrize(
    "text, says",
    [
        ("flush", "A switch is SECONDS:MODE, for example 2:flush, got 'flush'."),
        ("two:flush", "got 'two:flush'"),
        ("-1:flush", "at -1 seconds is never due"),
        ("nan:flush", "at nan seconds is never due"),
        ("2:flsh", "Unknown switch mode 'flsh': did you mean 'flush'?"),
        ("2:", "Unknown switch mode ''"),
        ("2:recache", "Policy 'infinity' has no switch mode 'recache'; it knows keep, flush, cut."),
    ],
)
def test_switches_that_make_no_sense(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_schedule(text, 10, INFINITY)
    assert says in str(caught.value)
