"""What a session gives for each block: frames, and what is to be known of how they came about."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from worldrt.memory.occupancy import Occupancy
from worldrt.memory.slots import Region
from worldrt.rollout import Receipt


@dataclass(frozen=True, slots=True)
class Chunk:
    """The frames decoded from one block."""

    frames: NDArray[np.uint8]
    """[F, Y, X, 3] RGB, all generated."""
    depth: NDArray[np.float32]
    """[F, Y, X] metres along z."""
    poses: NDArray[np.float64]
    """[F, 4, 4] world_from_camera."""
    remembered: NDArray[np.float32]
    """[F, Y, X] how much of the pixel the memory knew before the block, 0 to 1."""
    latents: Tensor
    """[F, C, h, w] clean latents."""
    first: int
    """Index of the first frame since the start of the session."""
    stage_ms: Mapping[str, float]
    """Milliseconds by stage: splat (with the wait for the frames before), recall (choosing and
    writing past frames), steps, clean, decode, insert (handing over), and `policy`, the cache's own
    bookkeeping, moving and choosing; their sum is the block's time. Where the policy lets the clean
    pass run with the next block's first step, it is in `steps`; a switch before the block is in
    `clean`."""
    recalled: tuple[int, ...]
    """Indices of the past frames in the context, the start's counted."""
    partitions: Mapping[Region, Occupancy]
    """The cache after the block."""
    switches: tuple[Receipt, ...] = ()
    """Switches that took effect in this block."""

    @property
    def block_ms(self) -> float:
        """Milliseconds from the poses to the frames and the updated memory."""
        return sum(self.stage_ms.values())
