"""What a session asks of a spatial memory, whatever it is made of."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from worldrt.memory.spatial.frame import Frame, Splat


class Footage(NamedTuple):
    """Frames in a row, as a memory is told of them."""

    rgb: NDArray[np.uint8]
    """[F, Y, X, 3]"""
    depth: NDArray[np.float32]
    """[F, Y, X] metres along z; 0 or not finite is unknown."""
    poses: NDArray[np.float64]
    """[F, 4, 4] world_from_camera."""
    first: int
    """Index of the first one, from 0, the start's frames included."""
    latents: NDArray[np.float32] | None = None
    """[F, C, h, w] clean; None: they can't be given back."""
    moving: NDArray[np.bool_] | None = None
    """[F, Y, X] pixels that show things that move; None: it is not known."""

    def frames(self, known: NDArray[np.float32] | None = None) -> Iterator[Frame]:
        """Each frame by itself.

        Args:
            known: [F, Y, X] of generated frames, see `Memory.imagine`; None: they are real.
        """
        for row, (rgb, depth, pose) in enumerate(
            zip(self.rgb, self.depth, self.poses, strict=True)
        ):
            yield Frame(
                rgb=rgb,
                depth=depth,
                pose=pose,
                index=self.first + row,
                real=known is None,
                known=None if known is None else known[row],
                moving=None if self.moving is None else self.moving[row],
                latent=None if self.latents is None else self.latents[row],
            )


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

    def remember(self, footage: Footage) -> None:
        """Take in real frames."""
        ...

    def imagine(self, footage: Footage, known: NDArray[np.float32]) -> None:
        """Take in generated frames.

        Args:
            footage: the frames.
            known: [F, Y, X] the mask of the view of them before they were generated, 0 to 1: what
                is known is not written again.
        """
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
