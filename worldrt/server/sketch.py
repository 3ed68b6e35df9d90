"""Pictures of what a session remembers, for a person: a floor plan, and the frames it finds again.

They are made in any thread, beside the one that walks and the one that writes to the memory. None
is waited for, so a picture may be a block old; a plan keeps nobody waiting, and `recalled` only a
writer that needs to use a slot again, while it chooses. Cost of one core with 360,000 points and 46
keyframes of the maze: 9 ms a plan, 8 ms the frames; the long parts let other threads run.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from worldrt.atlas.floor import paint
from worldrt.codec import unpack
from worldrt.geometry.se3 import yaw_pitch
from worldrt.memory.retrieval.coverage import Coverage
from worldrt.memory.retrieval.query import Query
from worldrt.memory.spatial.map import SpatialMap
from worldrt.protocol.packets import Plan, Recalled
from worldrt.world import World

SIDE = 256
"""Pixels of a plan's longer side, at most."""
KEYFRAMES = 256
"""Keyframes that a plan tells of, at most: the latest."""
MOST = 4
"""Past frames that are shown, at most."""
QUALITY = 80
"""Of the JPEG of past frames, 0 to 100."""


def plan(memory: SpatialMap) -> tuple[bytes, Plan] | None:
    """The memory seen from above.

    Args:
        memory: of a session.

    Returns:
        A PNG of at most SIDE pixels a side, and where it lies; None: nothing is remembered.
    """
    floor = paint(memory, SIDE)
    if floor is None:
        return None
    poses = memory.keyframes.candidates().poses[-KEYFRAMES:]
    options = cv2.IMWRITE_PNG_COMPRESSION, 3
    notes = Plan(left=floor.left, far=floor.far, cell=floor.cell, keyframes=_standing(poses))
    return _coded(".png", floor.image, options), notes


def recalled(
    world: World, memory: SpatialMap, pose: NDArray[np.float64], held: Sequence[int] = ()
) -> tuple[bytes, Recalled] | None:
    """Past frames that are in the context, or else those that show most of a view.

    Args:
        world: whose codec decodes them.
        memory: of a session.
        pose: [4, 4] world_from_camera of the view.
        held: frames in the context, `Chunk.recalled`; empty: none is recalled there, and the ones
            that are found are for the eye alone.

    Returns:
        A JPEG of at most MOST frames side by side, and which they are; None: there is none.
    """
    with memory.reading():  # no slot is given to another frame or point until they are copied
        candidates = memory.keyframes.candidates()
        latents = memory.keyframes.latents
        if not len(candidates.ids) or latents is None:
            return None
        if held:
            rows = np.flatnonzero(np.isin(candidates.index, held))[:MOST]
        else:
            query = Query(poses=pose[None], count=MOST, now=int(candidates.index[-1]) + 1)
            rows = np.array(Coverage().choose(query, candidates, memory.points), np.intp)
        chosen = latents[candidates.ids[rows]].astype(np.float32)
    if not len(chosen):
        return None
    with torch.inference_mode():
        image = world.codec.decode(torch.from_numpy(chosen).to(world.device))
    strip = np.concatenate(list(unpack(image, world.config.codec.near)[0]), axis=1)
    notes = Recalled(
        frames=candidates.index[rows].tolist(),
        poses=_standing(candidates.poses[rows]),
        used=bool(held),
    )
    return _coded(".jpg", strip, (cv2.IMWRITE_JPEG_QUALITY, QUALITY)), notes


def _standing(poses: NDArray[np.float64]) -> list[tuple[float, float, float]]:
    """x, z and yaw of each pose [K, 4, 4], as the wire has them."""
    yaws = yaw_pitch(poses)[0]
    return [
        (round(x, 3), round(z, 3), round(yaw, 4))
        for x, z, yaw in zip(
            poses[:, 0, 3].tolist(), poses[:, 2, 3].tolist(), yaws.tolist(), strict=True
        )
    ]


def _coded(kind: str, picture: NDArray[np.uint8], options: Sequence[int]) -> bytes:
    done, coded = cv2.imencode(kind, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    assert done, "a picture of whole numbers can be coded"
    return coded.tobytes()
