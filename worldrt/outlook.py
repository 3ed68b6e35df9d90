"""What a block is told besides its past: where the camera goes, and what the memory shows there."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldrt.conditioning import ages, camera_maps, content, spatial_maps
from worldrt.config import MemoryUse
from worldrt.memory.slots import Note
from worldrt.memory.spatial.frame import Splat
from worldrt.memory.spatial.memory import Memory
from worldrt.memory.spatial.surface import filled
from worldrt.rollout import Told
from worldrt.world import World


class Plan(NamedTuple):
    """What a block is told, computed once for all its passes."""

    poses: NDArray[np.float64]
    """[T, 4, 4] world_from_camera."""
    known: NDArray[np.float32]
    """[T, Y, X] the mask of the memory's view, told or not."""
    splat: Tensor
    """[T, 4, Y, X] the view that is told, its holes filled."""
    mask: Tensor
    """[T, 1, Y, X] where it is memory."""
    told: Told


class Outlook:
    """Looks at a memory for one session.

    Args:
        world: whose model is told.
        memory: of the session.
        use: whether its points are told.
    """

    def __init__(self, world: World, memory: Memory, use: MemoryUse) -> None:
        self._world, self._memory, self._use = world, memory, use
        self._camera = world.camera.scaled(1 / world.config.codec.stride)

    def plan(self, poses: NDArray[np.float64], before: NDArray[np.float64], now: int) -> Plan:
        """What a block is told.

        Args:
            poses: [T, 4, 4] world_from_camera of its frames.
            before: [4, 4] of the frame before it.
            now: index of its first frame, the memory's and the start's counted.
        """
        world, device = self._world, self._world.device
        view = self._view(poses, now)
        image = filled(view, world.config.codec.near)
        splat = torch.from_numpy(image).to(device)
        mask = torch.from_numpy(view.mask)[:, None].to(device)
        age = ages(now + np.arange(len(poses)), view).to(device)
        spatial = spatial_maps(world.codec, splat, mask, age)
        camera = camera_maps(self._camera, poses, before).to(device)
        conditions = world.model.read_conditions(camera[None], spatial.maps[None])
        about = content(image)
        notes = tuple(Note(pose=pose, prompt=about) for pose in poses)
        # What is not told is known all the same: it must not be written a second time.
        unshown = self._use.recalls and not self._use.shows
        known = self._memory.view(poses, now).mask if unshown else view.mask
        return Plan(poses, known, splat, mask, Told(conditions, spatial.hint[None], notes))

    def _view(self, poses: NDArray[np.float64], now: int) -> Splat:
        """What the generator is shown of the memory."""
        if self._use.shows:
            return self._memory.view(poses, now)
        camera = self._world.camera
        return Splat.empty(len(poses), camera.height, camera.width)
