"""Keyframes: the few past frames that are kept, in slots that are used again.

A slot's generation tells whether it still holds the frame that one remembers. Depths are a quarter
of the frame's resolution, each the depth of one pixel, never a mean across an edge.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldrt.errors import ConfigError, ShapeError
from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import yaw_pitch
from worldrt.memory.retrieval.query import Candidates
from worldrt.memory.spatial.voxels import NONE

PART = 4
"""Pixels of a frame along a pixel of a keyframe's depth."""
BIN_METRES = 2.0
BIN_DEGREES = 30.0
"""A pose bin: a cube and a range of yaw."""
SAVED = ("used", "generation", "index", "poses", "depth", "real", "pinned")
"""Arrays of a keyframe, besides its latent."""


class Bin(NamedTuple):
    """Where a camera stands and looks, coarsely."""

    x: int
    y: int
    z: int
    yaw: int


def bin_of(pose: NDArray[np.float64]) -> Bin:
    """The pose bin of a camera."""
    x, y, z = (int(metres // BIN_METRES) for metres in pose[:3, 3].tolist())
    yaw = int(np.degrees(yaw_pitch(pose)[0]) // BIN_DEGREES)
    return Bin(x, y, z, yaw % int(360 / BIN_DEGREES))


def quarter(camera: Camera) -> Camera:
    """The camera of every fourth pixel, the third of four: its centre is that pixel's centre."""
    return Camera(
        width=camera.width // PART,
        height=camera.height // PART,
        fx=camera.fx / PART,
        fy=camera.fy / PART,
        cx=camera.cx / PART - 1 / 8,
        cy=camera.cy / PART - 1 / 8,
    )


def quartered(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """[y, x]: the pixels (4 r + 2, 4 c + 2) of [Y, X]."""
    height, width = image.shape
    return image[PART // 2 :: PART, PART // 2 :: PART][: height // PART, : width // PART]


class Keyframes:
    """At most `capacity` keyframes.

    Args:
        capacity: slots, 1 to 65535.
        camera: of the frames.
        latent_shape: [C, h, w] of their latents; None: they have none.

    Raises:
        ConfigError: the capacity is out of range.
    """

    def __init__(
        self, capacity: int, camera: Camera, latent_shape: tuple[int, int, int] | None = None
    ) -> None:
        if not 1 <= capacity <= NONE:
            raise ConfigError(f"There can be 1 to {NONE} keyframes, not {capacity}.")
        self.camera = quarter(camera)
        """Of the depths."""
        size = self.camera.height, self.camera.width
        self.used = np.zeros(capacity, np.bool_)
        """[K]"""
        self.generation = np.zeros(capacity, np.uint16)
        """[K] how often a slot was given up."""
        self.index = np.zeros(capacity, np.int64)
        """[K] frame index."""
        self.poses = np.tile(np.eye(4), (capacity, 1, 1))
        """[K, 4, 4] world_from_camera."""
        self.depth = np.zeros((capacity, *size), np.float16)
        """[K, y, x] metres along z; 0 is unknown."""
        self.latents = None if latent_shape is None else np.zeros((capacity, *latent_shape), "f2")
        """[K, C, h, w]"""
        self.real = np.zeros(capacity, np.bool_)
        """[K] seen, not generated."""
        self.pinned = np.zeros(capacity, np.bool_)
        """[K] never given up."""
        self.bins: dict[Bin, set[int]] = {}
        """Slots in use by pose bin, none empty."""
        self._version = 0
        self._candidates = -1, self._gather()

    def __len__(self) -> int:
        return int(np.count_nonzero(self.used))

    @property
    def capacity(self) -> int:
        """Slots."""
        return len(self.used)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, the same from the first keyframe on."""
        arrays = [getattr(self, name) for name in SAVED]
        return sum(a.nbytes for a in arrays) + (0 if self.latents is None else self.latents.nbytes)

    @staticmethod
    def bytes_of(camera: Camera, latent_shape: tuple[int, int, int] | None) -> int:
        """Bytes of a keyframe."""
        return Keyframes(1, camera, latent_shape).nbytes

    def write(
        self,
        slot: int,
        depth: NDArray[np.float32],
        pose: NDArray[np.float64],
        index: int,
        real: bool,
        latent: NDArray[np.float32] | None,
    ) -> None:
        """Put a frame into a free slot; the first of all is pinned.

        Args:
            slot: one that is not in use.
            depth: [Y, X] metres along z; 0 is unknown.
            pose: [4, 4] world_from_camera.
            index: of the frame, above those of all keyframes.
            real: it was seen, not generated.
            latent: [C, h, w]; None: zeros.
        """
        part = quartered(depth)
        self.depth[slot] = np.where(part <= np.finfo(np.float16).max, part, 0)
        self.poses[slot], self.index[slot], self.real[slot] = pose, index, real
        self.pinned[slot] = not self.used.any()
        if self.latents is not None:
            self.latents[slot] = 0 if latent is None else latent
        self.used[slot] = True
        self.bins.setdefault(bin_of(pose), set()).add(slot)
        self._version += 1

    def drop(self, slot: int) -> None:
        """Give up a slot."""
        self.used[slot] = self.pinned[slot] = False
        self.generation[slot] += np.uint16(1)
        place = bin_of(self.poses[slot])
        self.bins[place].remove(slot)
        if not self.bins[place]:
            del self.bins[place]
        self._version += 1

    def free(self) -> int | None:
        """The lowest free slot."""
        return None if self.used.all() else int(np.argmin(self.used))

    def least(self, unique: NDArray[np.int64]) -> int:
        """The keyframe to give up: of least unique coverage, the oldest of several.

        Never the pinned one unless it is alone, nor the last in its pose bin while others have
        company.

        Args:
            unique: [K] points that no other keyframe saw.
        """
        bins = self.bins.values()
        crowd = [slot for slots in bins if len(slots) > 1 for slot in slots]
        lone = [slot for slots in bins for slot in slots]
        for slots in (crowd, lone):
            loose = [slot for slot in slots if not self.pinned[slot]]
            if loose:
                return min(loose, key=lambda slot: (unique[slot], self.index[slot]))
        return int(np.argmax(self.used))

    def candidates(self) -> Candidates:
        """The keyframes in order of time, with float32 depths; arrays not to be written to."""
        version = self._version
        if self._candidates[0] != version:
            self._candidates = version, self._gather()
        return self._candidates[1]

    def _gather(self) -> Candidates:
        slots = np.flatnonzero(self.used.copy())  # one moment of it, should another thread write
        slots = slots[np.argsort(self.index[slots], kind="stable")]
        return Candidates(
            ids=slots,
            index=self.index[slots],
            poses=self.poses[slots],
            depth=self.depth[slots].astype(np.float32),
            camera=self.camera,
        )

    def clear(self) -> None:
        """Forget everything; generations go on."""
        for slot in np.flatnonzero(self.used).tolist():
            self.drop(slot)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Copies of the arrays, up to the last slot that was ever used."""
        ever = np.flatnonzero(self.used | (self.generation > 0))
        slots = int(ever[-1]) + 1 if len(ever) else 0
        state: dict[str, NDArray[np.generic]] = {
            name: getattr(self, name)[:slots].copy() for name in SAVED
        }
        if self.latents is not None:
            state["latents"] = self.latents[:slots].copy()
        return state

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        """Take over what `state` returned, of as many slots or fewer, of the same sizes.

        Raises:
            ShapeError: an array does not fit.
        """
        names = SAVED if self.latents is None else (*SAVED, "latents")
        slots = len(state["used"])
        for name in names:
            own = getattr(self, name)
            if state[name].shape != (slots, *own.shape[1:]) or slots > len(own):
                most = ", ".join(map(str, own.shape))
                raise ShapeError(name, state[name].shape, f"[{most}] or fewer, {slots} keyframes")
        self.used[:] = self.pinned[:] = False
        self.generation[:] = 0
        for name in names:
            getattr(self, name)[:slots] = state[name]
        self.bins.clear()
        for slot in np.flatnonzero(self.used).tolist():
            self.bins.setdefault(bin_of(self.poses[slot]), set()).add(slot)
        self._version += 1
