"""What goes into the spatial memory, and what comes out of it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Frame(NamedTuple):
    """One frame as the memory is told of it."""

    rgb: NDArray[np.uint8]
    """[Y, X, 3]"""
    depth: NDArray[np.float32]
    """[Y, X] metres along z; 0 or not finite is unknown (sky)."""
    pose: NDArray[np.float64]
    """[4, 4] world_from_camera."""
    index: int  # pyright: ignore[reportIncompatibleMethodOverride]  # nobody searches a frame
    """Frames walked before it, the start's included."""
    real: bool = True
    """It was seen, not generated."""
    known: NDArray[np.float32] | None = None
    """[Y, X] of a generated frame: the mask of the view that it was generated from, 0 to 1."""
    moving: NDArray[np.bool_] | None = None
    """[Y, X] pixels that show things that move; they never become points."""
    latent: NDArray[np.float32] | None = None
    """[C, h, w] clean latent; None: it can't be given back to a generator."""


class Inserted(NamedTuple):
    """What became of a frame."""

    points: int
    """Points written."""
    carved: int
    """Points deleted because the frame sees through them."""
    novel: float
    """Share of its pixels that the memory did not show before."""
    keyframe: int | None
    """Slot of the keyframe that it became; None: it did not."""


class Splat(NamedTuple):
    """The memory as V cameras see it; all are 0 where it shows nothing."""

    rgb: NDArray[np.float32]
    """[V, Y, X, 3], 0 to 1."""
    depth: NDArray[np.float32]
    """[V, Y, X] metres along z."""
    mask: NDArray[np.float32]
    """[V, Y, X] how well the pixel is covered, 0 to 1."""
    written: NDArray[np.float32]
    """[V, Y, X] mean frame at which what is shown was recorded."""

    @classmethod
    def empty(cls, views: int, height: int, width: int) -> "Splat":
        """Nothing, seen by as many cameras."""
        return cls(
            np.zeros((views, height, width, 3), np.float32),
            *np.zeros((3, views, height, width), np.float32),
        )
