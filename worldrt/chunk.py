"""What a session gives for each block: frames, and what is to be known of how they came about."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from worldrt.memory.occupancy import Occupancy
from worldrt.memory.slots import Region
from worldrt.rollout import PolicyReceipt, Receipt


@dataclass(frozen=True, slots=True)
class Sight:
    """What a block shows: there before its clean pass has run, so that nobody waits for that."""

    frames: NDArray[np.uint8]
    """[F, Y, X, 3] RGB, all generated."""
    depth: NDArray[np.float32]
    """[F, Y, X] metres along z."""
    poses: NDArray[np.float64]
    """[F, 4, 4] world_from_camera."""
    first: int
    """Index of the first frame since the start of the session."""
    stage_ms: Mapping[str, float]
    """Milliseconds by stage, so far: splat (with the wait for the frames before), recall (choosing
    and writing past frames), steps, decode, clean, insert (handing over), and `policy`, the cache's
    own bookkeeping, moving and choosing; their sum is the block's time. Where the policy lets the
    clean pass run with the next block's first step, it is in `steps`; a switch or a change of
    policy before the block is in `clean`."""

    @property
    def block_ms(self) -> float:
        """Milliseconds from the poses on."""
        return sum(self.stage_ms.values())


Show = Callable[[Sight], object]
"""Takes what a block shows as soon as it is there."""


@dataclass(frozen=True, slots=True)
class Chunk(Sight):
    """The frames decoded from one block, once it is in cache and memory."""

    remembered: NDArray[np.float32]
    """[F, Y, X] how much of the pixel the memory knew before the block, 0 to 1."""
    latents: Tensor
    """[F, C, h, w] clean latents."""
    recalled: tuple[int, ...]
    """Indices of the past frames in the context, the start's counted."""
    partitions: Mapping[Region, Occupancy]
    """The cache after the block."""
    evicted: int
    """Latent frames of the walk that lie in the cache no more, or no more at full resolution."""
    policy: str
    """Of the cache, as it was asked for."""
    switches: tuple[Receipt | PolicyReceipt, ...] = ()
    """Switches and changes of policy that took effect in this block, in order."""


class Digest:
    """SHA-256 of a walk's latents as float32, block by block: the same walk has the same."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def add(self, chunk: Chunk) -> None:
        """Count a block."""
        self._sha256.update(chunk.latents.float().cpu().numpy().tobytes())

    def __str__(self) -> str:
        return self._sha256.hexdigest()
