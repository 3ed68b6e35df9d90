"""What every mid partition shares."""

import torch

from worldrt.memory.compress import Grid
from worldrt.memory.flow import Flow
from worldrt.memory.grab import Grab
from worldrt.memory.mid import Look, Mid, MidPart
from worldrt.memory.packed import Packed
from worldrt.memory.slots import Note, Span


def test_the_base_takes_up_no_room_and_does_nothing() -> None:
    """A policy without a mid partition has this one."""
    mid, nothing = Mid(), torch.zeros(1, 1, 0, 1, 6)
    mid.admit([Span(0, 0, 0.0)], nothing, nothing)
    mid.lay_out(3.0, [])
    mid.read(Look(0, True, True, *[nothing[0]] * 5))
    mid.offer(range(3), Grid([0.0], [0.0], [0.0]), nothing, nothing)
    mid.commit([])
    mid.switched(cut=True)
    mid.flush()
    mid.recall(Note())
    assert (mid.tokens, mid.frames, mid.width, mid.own, mid.nbytes) == (0, 0, 0.0, None, 0)
    assert mid.parts(0) is None


def test_a_part_says_only_what_differs() -> None:
    assert (MidPart.raw, MidPart.weights, MidPart.whole_blocks) == (False, "none", False)
    assert Packed.raw and Packed.whole_blocks and Packed.weights == "none"
    assert Grab.raw and not Grab.whole_blocks
    assert not Flow.raw
