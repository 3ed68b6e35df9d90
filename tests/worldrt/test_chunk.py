"""A chunk's account of its time."""

import numpy as np
import torch

from worldrt.chunk import Chunk


def test_the_time_of_a_block_is_that_of_its_stages() -> None:
    chunk = Chunk(
        frames=np.zeros((1, 1, 1, 3), np.uint8),
        depth=np.ones((1, 1, 1), np.float32),
        poses=np.eye(4)[None],
        remembered=np.zeros((1, 1, 1), np.float32),
        latents=torch.zeros(1, 1, 1, 1),
        first=0,
        stage_ms={"splat": 9.5, "steps": 30.0, "decode": 0.5},
        recalled=(),
        partitions={},
        evicted=0,
        policy="window",
    )
    assert chunk.block_ms == 40.0
    assert chunk.switches == ()
