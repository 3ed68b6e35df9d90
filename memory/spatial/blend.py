"""Two splats as one."""

import numpy as np
from numba import njit

from worldrt.kernels.splat import Drawn
from worldrt.memory.spatial.frame import Splat

FULL_WEIGHT = 0.25
"""Weight of a pixel amid points one pixel apart, at worst: the mask is 1 from here on."""


def masked(seen: Drawn) -> Splat:
    """What was drawn, its weight as a mask."""
    return Splat(seen.rgb, seen.depth, np.minimum(seen.weight / FULL_WEIGHT, 1), seen.written)


def layered(real: Splat, guess: Splat) -> Splat:
    """One splat before another, which shows where the first does not; of the same views."""
    both = Splat(*(np.empty_like(image) for image in real))
    _layer(*((s.rgb.reshape(-1, 3), *(i.ravel() for i in s[1:])) for s in (real, guess, both)))
    return both


@njit(cache=True, nogil=True, error_model="numpy")
def _layer(real, guess, both):  # pragma: no cover
    """Each [P, 3] colours, then [P] depths, masks and frames."""
    one, none = np.float32(1), np.float32(0)
    for p in range(len(both[2])):
        mask = real[2][p] + (one - real[2][p]) * guess[2][p]
        share = real[2][p] / mask if mask > 0 else none
        rest = one - share if mask > 0 else none
        for channel in range(3):
            both[0][p, channel] = share * real[0][p, channel] + rest * guess[0][p, channel]
        # Depths are mixed as their inverses, which are linear in the image of a plane.
        inverse = share / real[1][p] if share > 0 else none
        inverse += rest / guess[1][p] if rest > 0 else none
        both[1][p] = one / inverse if inverse > 0 else none
        both[2][p] = mask
        both[3][p] = share * real[3][p] + rest * guess[3][p]
