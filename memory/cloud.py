"""The write-once point cloud of what has been seen: a place looks the same when one comes back.

A pixel becomes a point only if the cloud does not already show that place at least half as finely.
What was written first stays, so nothing drifts however often it is drawn and generated again; what
is written anew each time melts. The points are a ring: when it is full the oldest make room, and no
array ever grows. Cost: 23 bytes a point; a view or an insertion reads all points once
(`kernels/splat.py`).
"""

import numpy as np
from numpy.typing import NDArray

from worldrt.errors import ConfigError, InputError, ShapeError
from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import check_pose
from worldrt.kernels.fill import fill
from worldrt.kernels.splat import LONGEST_REACH, Drawn, splat
from worldrt.memory.spatial.frame import Splat

FULL_WEIGHT = 0.25
"""Weight of a pixel amid points one pixel apart, at worst: the mask is 1 from here on."""
COVERED = 0.6
"""Least mask at which a pixel counts as remembered."""
AGREEMENT = 0.08
"""How much farther than a pixel, relatively, the cloud may lie and still show its surface."""
CLOSER = 2.0
"""A pixel this many times nearer than the points that cover it is written once more."""
BEND = 0.15
"""Largest second difference of inverse depth, relative to it, on one surface."""


class PointCloud:
    """Coloured points of what has been seen, at most `capacity`.

    Args:
        capacity: points; at least a frame's pixels.
        camera: of the frames that are written and of the views.

    Raises:
        ConfigError: the capacity is less than a frame's pixels.
    """

    def __init__(self, capacity: int, camera: Camera) -> None:
        pixels = camera.width * camera.height
        if capacity < pixels:
            raise ConfigError(
                f"A point cloud of {capacity} points can't hold one frame of {pixels} pixels; "
                "raise memory.capacity."
            )
        self.capacity, self.camera = capacity, camera
        self._points = np.zeros((capacity, 3), np.float32)
        self._colours = np.zeros((capacity, 3), np.uint8)
        self._source_depth = np.zeros(capacity, np.float32)
        self._written = np.zeros(capacity, np.int32)
        self._next = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def bytes(self) -> int:
        """Bytes of the arrays, the same from the first frame on."""
        arrays = self._points, self._colours, self._source_depth, self._written
        return sum(array.nbytes for array in arrays)

    @property
    def points(self) -> NDArray[np.float32]:
        """[P, 3] world coordinates in metres, a view that the next insertion may change."""
        return self._points[: self._size]

    @property
    def colours(self) -> NDArray[np.uint8]:
        """[P, 3] RGB of the points, a view likewise."""
        return self._colours[: self._size]

    @property
    def source_depth(self) -> NDArray[np.float32]:
        """[P] metres at which each point was recorded, a view likewise."""
        return self._source_depth[: self._size]

    def clear(self) -> None:
        """Forget everything."""
        self._next = self._size = 0

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Copies of all it takes to go on bit for bit, the ring's order and place included."""
        return {
            "points": self.points.copy(),
            "colours": self.colours.copy(),
            "source_depth": self.source_depth.copy(),
            "written": self._written[: self._size].copy(),
            "next": np.array(self._next),
        }

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        """Take over what `state` returned.

        Args:
            state: from a cloud of the same capacity.

        Raises:
            ShapeError: it is a full ring of another capacity, or does not fit.
        """
        size, next_ = len(state["points"]), int(state["next"])
        # A ring that is not full has not turned yet.
        if size > self.capacity or (size < self.capacity and next_ != size):
            raise ShapeError(
                "points", state["points"].shape, f"[{self.capacity}, 3], the capacity of this cloud"
            )
        self._points[:size] = state["points"]
        self._colours[:size] = state["colours"]
        self._source_depth[:size] = state["source_depth"]
        self._written[:size] = state["written"]
        self._size, self._next = size, next_

    def insert(
        self,
        rgb: NDArray[np.uint8],
        depth: NDArray[np.float32],
        world_from_camera: NDArray[np.float64],
        frame: int = 0,
        *,
        real: bool = True,
        leave: NDArray[np.bool_] | None = None,
    ) -> int:
        """Write what this frame shows and the cloud does not.

        Args:
            rgb: [Y, X, 3].
            depth: [Y, X] metres along z; 0 or not finite is unknown and not written.
            world_from_camera: [4, 4].
            frame: its index.
            real: the frame has detail of its own: seen from nearer, a place is written once more. A
                generated frame repeats the memory there, a little more blurred each time.
            leave: [Y, X] pixels that are not to be written; None: all may be.

        Returns:
            Points written.

        Raises:
            ShapeError: an array does not fit the camera.
            InputError: the pose is not rigid, or rgb not uint8.
        """
        size = (self.camera.height, self.camera.width)
        if rgb.shape != (*size, 3):
            raise ShapeError("rgb", rgb.shape, f"[{size[0]}, {size[1]}, 3]")
        if rgb.dtype != np.uint8:
            raise InputError(f"rgb is {rgb.dtype}, expected uint8; pass 0 to 255.")
        if depth.shape != size:
            raise ShapeError("depth", depth.shape, f"[{size[0]}, {size[1]}]")
        check_pose(world_from_camera)
        known = np.isfinite(depth) & (depth > 0)
        depth = np.where(known, depth, 0).astype(np.float32)
        new = known & on_surface(depth) & ~self._covers(depth, world_from_camera, real)
        if leave is not None:
            new &= ~leave
        at = (self._next + np.arange(np.count_nonzero(new))) % self.capacity
        self._points[at] = self.camera.unproject(depth, world_from_camera)[new]
        self._colours[at] = rgb[new]
        self._source_depth[at] = depth[new]
        self._written[at] = frame
        self._next = (self._next + len(at)) % self.capacity
        self._size = min(self._size + len(at), self.capacity)
        return len(at)

    def insert_block(
        self,
        rgb: NDArray[np.uint8],
        depth: NDArray[np.float32],
        poses: NDArray[np.float64],
        first: int = 0,
    ) -> int:
        """Write real frames one after the other.

        Args:
            rgb: [F, Y, X, 3].
            depth: [F, Y, X] metres along z.
            poses: [F, 4, 4] camera to world.
            first: index of the first frame.

        Returns:
            Points written.

        Raises:
            ShapeError: an array does not fit the camera or the others.
            InputError: a pose is not rigid.
        """
        if not len(rgb) == len(depth) == len(poses):
            raise ShapeError("depth", depth.shape, f"[{len(rgb)}, Y, X] for as many poses")
        indices = range(first, first + len(poses))
        frames = zip(rgb, depth, poses, indices, strict=True)
        return sum(self.insert(*frame) for frame in frames)

    def view(self, poses: NDArray[np.float64]) -> Splat:
        """The cloud seen from V poses.

        Args:
            poses: [V, 4, 4] camera to world.

        Raises:
            ShapeError: poses is not [V, 4, 4].
            InputError: a pose is not rigid.
        """
        _check_poses(poses)
        seen = self._splat(poses, LONGEST_REACH)
        return Splat(seen.rgb, seen.depth, np.minimum(seen.weight / FULL_WEIGHT, 1), seen.written)

    def _covers(
        self, depth: NDArray[np.float32], world_from_camera: NDArray[np.float64], real: bool
    ) -> NDArray[np.bool_]:
        """[Y, X]: the cloud shows the pixel already, at its depth or nearer, and finely enough."""
        # Unstretched: a gap between coarse points is worth a finer one, if that is real.
        reach = 1.0 if real else LONGEST_REACH
        _, known, weight, source, _ = (
            image[0] for image in self._splat(world_from_camera[None], longest_reach=reach)
        )
        shown = (weight > COVERED * FULL_WEIGHT) & (known < (1 + AGREEMENT) * depth)
        return shown & (source < CLOSER * depth) if real else shown

    def _splat(self, poses: NDArray[np.float64], longest_reach: float) -> Drawn:
        whole = np.array([[0, self._size]], np.int32)
        return splat(
            self.points,
            self.colours,
            self.source_depth,
            self._written[: self._size],
            np.ones(self._size, np.uint8),
            [whole] * len(poses),
            poses,
            self.camera,
            longest_reach,
        )


def filled(splat: Splat, near: float) -> NDArray[np.float32]:
    """The splat as a whole RGB-D image for the codec, its holes filled from their surroundings.

    Args:
        splat: V views.
        near: metres at which the inverse-depth channel saturates.

    Returns:
        [V, 4, Y, X]: RGB in [-1, 1] and 2 min(1, near / z) - 1; a view that shows nothing is 0.
    """
    # Linear across the image of a plane, which depth is not, so this is what may be averaged.
    inverse = np.minimum(1, near / np.where(splat.mask > 0, splat.depth, np.inf))
    channels = np.concatenate([np.moveaxis(splat.rgb, -1, 1), inverse[:, None]], axis=1)
    return 2 * fill(channels.astype(np.float32, copy=False), splat.mask) - 1


def on_surface(depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels away from depth edges, where colours and depths of two surfaces mix.

    Inverse depth is linear in the image of a plane, however steeply it is seen, so its second
    difference is 0 there; at a step it is as large as the step.

    Args:
        depth: [Y, X] metres along z; 0 is unknown and counts as infinitely far.

    Returns:
        [Y, X] whether the pixel and its neighbours lie on one surface.
    """
    inverse = 1 / np.where(depth > 0, depth, np.inf)
    across = np.pad(np.abs(np.diff(inverse, n=2, axis=1)), ((0, 0), (1, 1)), mode="edge")
    down = np.pad(np.abs(np.diff(inverse, n=2, axis=0)), ((1, 1), (0, 0)), mode="edge")
    return np.maximum(across, down) < BEND * inverse


def _check_poses(poses: NDArray[np.float64]) -> None:
    if poses.ndim != 3 or poses.shape[1:] != (4, 4):
        raise ShapeError("poses", poses.shape, "[V, 4, 4]")
    for pose in poses:
        check_pose(pose)
