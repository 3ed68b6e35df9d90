"""What a session asks of a spatial memory, whatever it is made of."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from worldrt.memory.spatial.frame import Splat


class Recalled(NamedTuple):
    """Past frames that a memory gives back, in order of time."""

    ids: tuple[int, ...]
    """[K] what they are; a set that is chosen again has the same ids."""
    frames: tuple[int, ...]
    """[K] frame indices."""
    latents: NDArray[np.float32]
    """[K, C, h, w] clean latents."""
    poses: NDArray[np.float64]
    """[K, 4, 4] world_from_camera."""


class Memory(Protocol):
    """A spatial memory."""

    def __len__(self) -> int:
        """Points."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""
        ...

    def remember(
        self,
        rgb: NDArray[np.uint8],
        depth: NDArray[np.float32],
        poses: NDArray[np.float64],
        first: int,
        latents: NDArray[np.float32] | None = None,
    ) -> None:
        """Take in real frames.

        Args:
            rgb: [F, Y, X, 3].
            depth: [F, Y, X] metres along z; 0 or not finite is unknown.
            poses: [F, 4, 4] world_from_camera.
            first: index of the first one, from 0, the start's frames included.
            latents: [F, C, h, w] clean; None: they can't be given back.
        """
        ...

    def imagine(
        self,
        rgb: NDArray[np.uint8],
        depth: NDArray[np.float32],
        poses: NDArray[np.float64],
        known: NDArray[np.float32],
        first: int,
        latents: NDArray[np.float32] | None = None,
    ) -> None:
        """Take in generated frames; as `remember`, and `known` [F, Y, X] is the mask of the view
        of them before they were generated, 0 to 1: what is known is not written again."""
        ...

    def view(self, poses: NDArray[np.float64], first: int) -> Splat:
        """What is remembered of frames `first` on, seen from `poses` [V, 4, 4]."""
        ...

    def retrieve(
        self, poses: NDArray[np.float64], count: int, now: int, recent: int
    ) -> Recalled | None:
        """Past frames that show most of what is about to be seen.

        Args:
            poses: [V, 4, 4] world_from_camera of the views to come.
            count: K, the most frames.
            now: index of the first view's frame.
            recent: frames before `now` that the context holds anyway.

        Returns:
            The frames; None: none is worth it.
        """
        ...
