"""What a system made of a course, and what that cost it."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from worldrt.bench.memory.ages import Counts, count_ages
from worldrt.bench.soak import peak_mb
from worldrt.memory.spatial.memory import Memory

SHOWN = 0.5
"""Least mask at which a pixel counts as memory."""


@dataclass(slots=True, kw_only=True, eq=False)
class Costs:
    """Milliseconds of each call, and what is held at the end."""

    insert_ms: list[float] = field(default_factory=list)
    """A frame each."""
    view_ms: list[float] = field(default_factory=list)
    """A view of a whole block each, choosing included."""
    retrieve_ms: list[float] = field(default_factory=list)
    """A choice of frames for one view each."""
    block_ms: list[float] = field(default_factory=list)
    """A generated block each, all in all."""
    bytes: int = 0
    points: int = 0
    peak_mb: float = 0.0
    """The most that the process held so far, all that is beside the memory included."""

    def hold(self, memory: Memory) -> None:
        """Note what is held."""
        self.bytes, self.points, self.peak_mb = memory.nbytes, len(memory), peak_mb()

    def figures(self) -> dict[str, float]:
        """`NAME_p50` and `NAME_p99` of each list that is not empty, and what is held."""
        found: dict[str, float] = {"bytes": self.bytes, "points": self.points}
        if self.peak_mb:
            found["peak_mb"] = self.peak_mb
        spent = {
            "insert_ms": self.insert_ms,
            "view_ms": self.view_ms,
            "retrieve_ms": self.retrieve_ms,
            "block_ms": self.block_ms,
        }
        for name, times in spent.items():
            if times:
                found[f"{name}_p50"], found[f"{name}_p99"] = np.percentile(times, [50, 99])
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Video:
    """A course as a system shows it."""

    frames: NDArray[np.uint8]
    """[T, Y, X, 3] what it was given, and what it made of the rest."""
    depth: NDArray[np.float32]
    """[S, Y, X] metres that it tells for the S scored frames; 0: it tells none."""
    mask: NDArray[np.float32]
    """[S, Y, X] how far the pixel is memory, 0 to 1."""
    chosen: dict[int, list[int]]
    """Frames that it would recall, by the scored frame that they were chosen for."""
    costs: Costs
    shown: Counts = field(default_factory=lambda: count_ages(np.empty(0)))
    """Pixels of the scored frames that are memory, by how long ago it was seen; see `ages.py`."""
    told_back: bool = False
    """Each scored frame was told after it was asked for."""
