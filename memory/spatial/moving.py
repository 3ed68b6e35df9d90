"""Which pixels of a frame show things that move, where nothing but a static map tells.

What was seen to be open is now hidden by something nearer: it came there. A thing that has stood
still ever since the map was made is part of the map, and what moves in front of unknown ground
can't be told; so this misses things at first and finds them once the place behind has been seen.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from worldrt.memory.spatial.frame import Splat

NEARER = (0.10, 0.05)
"""Metres, and relatively, by which a pixel lies before the map's surface, at least."""
KNOWN = 0.6
"""Least mask of the view at which a pixel of it counts as known."""
FEWEST = 20
"""Pixels of a connected region, at least."""


def moving_mask(depth: NDArray[np.float32], view: Splat) -> NDArray[np.bool_]:
    """The pixels that show something where the static map shows a free view beyond.

    Args:
        depth: [Y, X] metres along z of the frame; 0 or not finite is unknown and never moving.
        view: one view [1, Y, X] of the static map from the frame's pose, made before the frame was
            inserted.

    Returns:
        [Y, X]

    Source: the free-space test of Palazzolo and Stachniss, Fast image-based geometric change
    detection given a 3D model, ICRA 2018, with depths in the place of colours.
    """
    known = np.isfinite(depth) & (depth > 0)
    depth = np.where(known, depth, 0).astype(np.float32)
    behind = view.depth[0]
    gap = np.maximum(NEARER[0], NEARER[1] * behind)
    before = known & (view.mask[0] >= KNOWN) & (depth < behind - gap)
    # At a surface's own edge the map is a pixel off, so what is nowhere three pixels wide is none.
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    solid = cv2.morphologyEx(before.view(np.uint8), cv2.MORPH_OPEN, cross)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=4)
    large = stats[:, cv2.CC_STAT_AREA] >= FEWEST
    large[0] = False
    return large[labels.astype(np.int64)]
