"""Latents that are kept; what is written from them is tested in test_rollout.py."""

import numpy as np
import torch

from worldrt.history import History, Past
from worldrt.memory.policy import find
from worldrt.memory.slots import Note


def block(first: int, frames: int) -> Past:
    """Frames that hold their own index."""
    latents = torch.arange(first, first + frames, dtype=torch.float32)[None, :, None, None, None]
    notes = tuple(
        Note(prompt=np.array([index], np.float32)) for index in range(first, first + frames)
    )
    return Past(latents, latents[..., 0] * 10, notes)


def test_frames_come_apart_and_together() -> None:
    past = block(3, 4)
    again = Past.join([past.frame(index) for index in range(4)])
    assert again.conditions is not None and past.conditions is not None
    assert torch.equal(again.latents, past.latents)
    assert torch.equal(again.conditions, past.conditions)
    assert again.notes == past.notes
    bare = Past(past.latents, None, ())
    assert Past.join([bare.frame(0), bare.frame(2)]).conditions is None


def test_a_frame_keeps_nothing_else_alive() -> None:
    past = block(0, 4)
    assert past.frame(1).latents.untyped_storage().nbytes() == 4


def test_only_what_the_policy_asks_for_is_kept() -> None:
    for spec, kept in (
        ("window", 0),
        ("longlive", 12),
        ("recompute:first=2,last=5", 5),
        ("history:last=3,middle=2,far=4", 9),
    ):
        history = History(find(spec, 3), 3)
        for first in range(0, 60, 3):
            history.keep(block(first, 3))
        indices = [int(past.latents.item()) for past in history._last]
        assert indices == list(range(60 - kept, 60)), spec
        assert [int(past.latents.item()) for past in history._first] == (
            [0, 1] if "first" in spec else []
        )
