"""Frames of a block as one chunk."""

from dataclasses import replace

import numpy as np
import pytest

from tests.client.test_screen import frame
from worldrt.client.chunk import Timing, gather
from worldrt.errors import ProtocolError
from worldrt.protocol.packets import Header


def test_what_came_is_stacked() -> None:
    header = Header(epoch=2, chunk=5, seq=8, generate_ms=40, decode_ms=3, encode_ms=2, queue_ms=1)
    came = [
        replace(
            frame(0, at),
            header=replace(header, frame=number),
            rgb=np.full((3, 5, 3), number, np.uint8),
            pose=number * np.eye(4),
        )
        for number, at in ((21, 700), (23, 900))
    ]
    chunk = gather(came)
    assert (chunk.epoch, chunk.number, chunk.seq, chunk.indices) == (2, 5, 8, (21, 23))
    assert chunk.frames.shape == (2, 3, 5, 3) and chunk.frames[1, 0, 0, 0] == 23
    assert chunk.poses[:, 0, 0].tolist() == [21, 23] and chunk.depth is None
    assert chunk.timing == Timing(
        generate_ms=40, decode_ms=3, encode_ms=2, queue_ms=1, arrived_us=(700, 900)
    )


def test_depth_is_there_if_every_frame_has_it() -> None:
    deep = replace(frame(0, 0), depth=np.ones((2, 2), np.float32))
    found = gather([deep, deep]).depth
    assert found is not None and found.shape == (2, 2, 2)
    assert gather([deep, frame(1, 0)]).depth is None


def test_frames_of_several_sizes_are_nonsense() -> None:
    other = replace(frame(1, 0), rgb=np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(ProtocolError, match="^The frames of chunk 0 differ in size.$"):
        gather([frame(0, 0), other])
