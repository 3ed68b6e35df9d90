"""What a system under test is built for, and what is asked of it."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from worldrt.geometry.camera import Camera
from worldrt.memory.spatial.memory import Memory

RECALLED = 8
"""Frames that a view is drawn from, K."""


class System(Memory, Protocol):
    """A memory that also tells which frames it goes by."""

    def chosen(
        self, poses: NDArray[np.float64], count: int, now: int, recent: int = 0
    ) -> list[int]:
        """Indices of the frames that it would recall, the best first; see `Memory.retrieve`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a system is built for."""

    camera: Camera
    budget: int
    """Bytes of a map."""
    latent_shape: tuple[int, int, int] | None = None
    """[C, h, w] of the latents that come with the frames; None: there are none."""
    moving: NDArray[np.bool_] | None = None
    """[T, Y, X] pixels of the course's frames that show things that move, for `map`; None: nothing
    does."""
    seed: int = 0
    """Of methods that draw at random."""
    truth: NDArray[np.float32] | None = None
    """[T, Y, X] true depth of the whole course, for `frames:oracle` alone."""
