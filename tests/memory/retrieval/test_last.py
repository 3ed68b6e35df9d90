"""The control that takes the newest frames."""

from tests.memory.retrieval.rooms import EAST, around, stand
from worldrt.memory.retrieval.last import Last


def test_the_newest_come_first_and_the_context_is_left_out() -> None:
    seen = around(3.0, 4.0, 11)
    pose = stand(3.0, 4.0, EAST)
    assert Last().choose(seen.query(pose, 3), seen.candidates, None) == [10, 9, 8]
    assert Last().choose(seen.query(pose, 3, recent=4), seen.candidates, None) == [6, 5, 4]
    assert Last().choose(seen.query(pose, 30, recent=9), seen.candidates, None) == [1, 0]
