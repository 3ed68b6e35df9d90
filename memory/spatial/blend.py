"""Two splats as one."""

import numpy as np
from numpy.typing import NDArray

from worldrt.kernels.splat import Drawn
from worldrt.memory.spatial.frame import Splat

FULL_WEIGHT = 0.25
"""Weight of a pixel amid points one pixel apart, at worst: the mask is 1 from here on."""


def masked(seen: Drawn) -> Splat:
    """What was drawn, its weight as a mask."""
    return Splat(seen.rgb, seen.depth, np.minimum(seen.weight / FULL_WEIGHT, 1), seen.written)


def layered(real: Splat, guess: Splat) -> Splat:
    """One splat before another, which shows where the first does not; of the same views."""
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
