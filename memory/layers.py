"""Two clouds drawn as one: what was really seen lies before what was imagined.

An imagined surface is a guess, its depth too; where it would hide a place that was really seen, the
place wins. So nothing that a rollout imagines can spoil what it was given.
"""

import numpy as np
from numpy.typing import NDArray

from worldrt.geometry.camera import Camera
from worldrt.memory.cloud import COVERED, PointCloud
from worldrt.memory.spatial.frame import Splat


class LayeredCloud:
    """A point cloud of real frames and one of generated frames, each of its own capacity.

    Args:
        capacity: points of either cloud; at least a frame's pixels.
        camera: of the frames that are written and of the views.

    Raises:
        ConfigError: the capacity is less than a frame's pixels.
    """

    def __init__(self, capacity: int, camera: Camera) -> None:
        self.real = PointCloud(capacity, camera)
        self.imagined = PointCloud(capacity, camera)

    def __len__(self) -> int:
        return len(self.real) + len(self.imagined)

    @property
    def bytes(self) -> int:
        """Bytes of the arrays, the same from the first frame on."""
        return self.real.bytes + self.imagined.bytes

    def remember(
        self,
        rgb: NDArray[np.uint8],
        depth: NDArray[np.float32],
        poses: NDArray[np.float64],
        first: int = 0,
    ) -> int:
        """Write real frames; see `PointCloud.insert_block`. Returns the points written."""
        return self.real.insert_block(rgb, depth, poses, first)

    def imagine(
        self,
        rgb: NDArray[np.uint8],
        depth: NDArray[np.float32],
        poses: NDArray[np.float64],
        known: NDArray[np.float32],
        first: int = 0,
    ) -> int:
        """Write what generated frames show of places that nothing was known of.

        Args:
            rgb: [F, Y, X, 3].
            depth: [F, Y, X] metres along z.
            poses: [F, 4, 4] camera to world.
            known: [F, Y, X] mask of the view that the frames were generated from.
            first: index of the first frame.

        Returns:
            Points written.
        """
        indices = range(first, first + len(poses))
        frames = zip(rgb, depth, poses, indices, known > COVERED, strict=True)
        return sum(
            self.imagined.insert(image, far, pose, index, real=False, leave=kept)
            for image, far, pose, index, kept in frames
        )

    def view(self, poses: NDArray[np.float64]) -> Splat:
        """Both clouds seen from V poses, the imagined one where the real one shows nothing.

        Args:
            poses: [V, 4, 4] camera to world.
        """
        real, guess = self.real.view(poses), self.imagined.view(poses)
        one = np.float32(1)
        mask = real.mask + (one - real.mask) * guess.mask
        share = real.mask / np.maximum(mask, np.float32(1e-6))
        # Depths are mixed as their inverses, which are linear in the image of a plane.
        inverse = share * _inverse(real.depth) + (one - share) * _inverse(guess.depth)
        colour = share[..., None]
        return Splat(
            rgb=(colour * real.rgb + (one - colour) * guess.rgb).astype(np.float32, copy=False),
            depth=_inverse(inverse),
            mask=mask.astype(np.float32, copy=False),
            written=(share * real.written + (one - share) * guess.written).astype(
                np.float32, copy=False
            ),
        )


def _inverse(depth: NDArray[np.floating]) -> NDArray[np.float32]:
    """1 / depth, and 0 where depth is 0: nothing is known there."""
    inverse = np.zeros(depth.shape, np.float32)
    np.divide(1, depth, out=inverse, where=depth > 0)
    return inverse
