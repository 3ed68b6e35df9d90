"""Which frame lies in which slot of the cache: numbers on the host, never on the device."""

from dataclasses import dataclass, field
from enum import StrEnum
from heapq import heapify, heappop, heappush

import numpy as np
from numpy.typing import NDArray

from worldrt.errors import CacheError


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheShape:
    """What the cache must know of a model.

    Args:
        layers, heads, head_dim: of the transformer.
        rows, columns: token grid of a latent frame.
        block_frames: the most latent frames in one block.
        batch: sequences side by side.
    """

    layers: int
    heads: int
    head_dim: int
    rows: int
    columns: int
    block_frames: int
    batch: int = 1

    @property
    def tokens(self) -> int:
        """Tokens of a latent frame."""
        return self.rows * self.columns


class Region(StrEnum):
    """A part of the context, asked for by name."""

    SINK = "sink"
    SPATIAL = "spatial"
    MID = "mid"
    RECENT = "recent"
    BLOCK = "block"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What is known of a latent frame besides its keys; parts that need more than keys ask for it.

    Args:
        pose: [4, 4] world_from_camera; None: the model has no camera.
        prompt: [C] what its prompt, or where there is none its content, is about; None: unknown.
    """

    pose: NDArray[np.float64] | None = None
    prompt: NDArray[np.float32] | None = None


@dataclass(slots=True)
class Span:
    """The cached tokens of one latent frame.

    Args:
        frame: its index since the start of the rollout.
        slot: where it lies.
        position: temporal rotary position at which its keys now stand.
        note: what else is known of it.
    """

    frame: int
    slot: int
    position: float
    note: Note = field(default_factory=Note)


class Slots:
    """A bounded set of numbered places; the lowest free one is given first.

    Because a freed place is the next one given, a full set is a ring: the newest frame lies where
    the oldest was, and nothing else moves.
    """

    def __init__(self, capacity: int) -> None:
        self._free = list(range(capacity))
        self._capacity = capacity

    @property
    def capacity(self) -> int:
        return self._capacity

    @property
    def free(self) -> int:
        """How many places are left."""
        return len(self._free)

    def take(self, count: int) -> list[int]:
        """The `count` lowest free slots, rising.

        Raises:
            CacheError: fewer are free.
        """
        if count > len(self._free):
            raise CacheError(
                f"{count} cache slots were asked for and {len(self._free)} of {self._capacity} are "
                "free; choose a policy that evicts, or a larger one."
            )
        return [heappop(self._free) for _ in range(count)]

    def give(self, slot: int) -> None:
        """Free a slot that was taken."""
        assert 0 <= slot < self._capacity and slot not in self._free
        heappush(self._free, slot)

    def grow(self, capacity: int) -> None:
        """Add places at the end."""
        self._free.extend(range(self._capacity, capacity))
        heapify(self._free)
        self._capacity = max(capacity, self._capacity)


def runs(slots: list[int]) -> list[tuple[int, int, int]]:
    """Group slots into stretches that can be written at once.

    Args:
        slots: one slot for each frame of a block.

    Returns:
        (index of the first frame, its slot, length) of each stretch of consecutive slots.
    """
    found: list[tuple[int, int, int]] = []
    for index, slot in enumerate(slots):
        if found and found[-1][1] + found[-1][2] == slot:
            start, first, length = found[-1]
            found[-1] = (start, first, length + 1)
        else:
            found.append((index, slot, 1))
    return found
