"""Past frames brought back into a rollout's context: those that show most of what is to come."""

import numpy as np
import torch
from numpy.typing import NDArray

from worldrt.conditioning import camera_maps
from worldrt.geometry.se3 import inverse, log
from worldrt.memory.slots import Region
from worldrt.memory.spatial.memory import Memory
from worldrt.rollout import Rollout, Told
from worldrt.world import World

ANCHOR_METRES, ANCHOR_DEGREES = 0.9, 20.0
"""How far the camera may go from where recalled frames were written before their rays, told in its
axes, are told anew: as far as in training."""


class Recall:
    """Keeps the right past frames in the context of one rollout.

    Args:
        world: what is walked.
        memory: gives the frames.
        rollout: whose cache was opened for as many.
        most: K, the most frames.
    """

    def __init__(self, world: World, memory: Memory, rollout: Rollout, most: int) -> None:
        self.frames: tuple[int, ...] = ()
        """Indices of those that are in the context now."""
        self._world, self._memory, self._rollout = world, memory, rollout
        self._most = most
        self._camera = world.camera.scaled(1 / world.config.codec.stride)
        self._ids: tuple[int, ...] = ()
        self._anchor = np.eye(4)

    def renew(
        self, poses: NDArray[np.float64], pose: NDArray[np.float64], now: int, recent: int
    ) -> None:
        """Choose for a block, and write what is chosen if it is not there already.

        Frames are written again only when others are chosen, when a switch has forgotten them, or
        when the camera has left the place in whose axes their rays were told. Where none is chosen
        those that are there are forgotten.

        Args:
            poses: [T, 4, 4] world_from_camera of the block.
            pose: [4, 4] of the frame before it.
            now: index of its first frame.
            recent: frames before it that the context holds anyway.
        """
        found = self._memory.retrieve(poses[[0, -1]], self._most, now, recent)
        held = self._rollout.cache.occupancy()[Region.SPATIAL].frames
        if found is None:
            if held:
                self._rollout.recall(torch.empty(1, 0))
            self.frames, self._ids = (), ()
            return
        if len(found.ids) == held and found.ids == self._ids and _near(pose, self._anchor):
            return
        world = self._world
        self.frames, self._ids, self._anchor = found.frames, found.ids, pose
        camera = camera_maps(self._camera, found.poses, pose).to(world.device)
        # A recalled frame is told by its latent; the splat of its own view would add nothing.
        size = 1, len(camera), world.config.model.spatial_channels, *camera.shape[2:]
        spatial = torch.zeros(size, device=world.device)
        conditions = world.model.read_conditions(camera[None], spatial)
        latents = torch.from_numpy(found.latents).to(world.device)
        self._rollout.recall(latents[None], Told(conditions))


def _near(pose: NDArray[np.float64], anchor: NDArray[np.float64]) -> bool:
    away = log(inverse(anchor) @ pose)
    metres, degrees = np.linalg.norm(away[:3]), np.degrees(np.linalg.norm(away[3:]))
    return bool(metres < ANCHOR_METRES and degrees < ANCHOR_DEGREES)
