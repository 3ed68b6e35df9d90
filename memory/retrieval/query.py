"""What is asked of a retrieval: past frames that show what a camera is about to see."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from worldrt.geometry.camera import Camera
from worldrt.memory.spatial.points import Points


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Past frames to choose from, in order of time."""

    ids: NDArray[np.int64]
    """[N] keyframe slots, or frame indices where all frames are kept."""
    index: NDArray[np.int64]
    """[N] frame index of each, rising."""
    poses: NDArray[np.float64]
    """[N, 4, 4] world_from_camera."""
    depth: NDArray[np.float32]
    """[N, y, x] metres along z at the resolution of `camera`; 0 is unknown."""
    camera: Camera
    """Of the depths, usually a quarter of the world's."""


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """The views that are about to be generated."""

    poses: NDArray[np.float64]
    """[V, 4, 4] world_from_camera, 1 to 4 of the block's."""
    count: int
    """K, the most frames wanted, at least 1."""
    now: int
    """Index of the first frame to be generated."""
    recent: int = 0
    """Candidates of the last so many frames are in the context already: never chosen, and what they
    show counts as covered."""
    seed: int = 0
    """Of methods that draw at random."""
    truth: NDArray[np.float32] | None = None
    """[V, y, x] true depth of the views, for the oracle alone."""


def free(query: Query, candidates: Candidates) -> NDArray[np.intp]:
    """Rows of the candidates that may be chosen: those that the context does not hold already."""
    return np.flatnonzero(candidates.index < query.now - query.recent)


class Method(Protocol):
    """A way to choose; one short file each."""

    def choose(self, query: Query, candidates: Candidates, points: Points | None) -> list[int]:
        """Rows of `candidates`, at most `query.count`, none twice, the best first.

        Args:
            query: what is asked.
            candidates: what there is; may be empty.
            points: the map, whose `sources` are the candidates' `ids`; None: there is none.

        Raises:
            ConfigError: the method needs what is not given (the map, or the truth).
        """
        ...
