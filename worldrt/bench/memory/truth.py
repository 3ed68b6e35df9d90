"""What is really there along a course, to the pixel."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from worldrt.bench.memory.course import Course
from worldrt.bench.memory.town import CROSSING, Town
from worldrt.geometry.camera import Camera
from worldrt.simulators.doom.engine import Doom


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truth:
    """Frames as the simulator draws them; 98 KB each at 128x96."""

    rgb: NDArray[np.uint8]
    """[T, Y, X, 3]"""
    depth: NDArray[np.float32]
    """[T, Y, X] metres along z, exact."""
    ids: NDArray[np.int8]
    """[T, Y, X] number of the thing that moves; -1: the maze."""
    poses: NDArray[np.float64]
    """[T, 4, 4] world_from_camera."""
    camera: Camera

    @classmethod
    def render(
        cls,
        course: Course,
        camera: Camera,
        frames: Iterable[int] | None = None,
        *,
        progress: Callable[[Iterable[int]], Iterable[int]] = iter,
    ) -> Self:
        """Walk a course in the simulator.

        Args:
            course: the way.
            camera: one that Doom can draw.
            frames: those wanted, in this order; None: all.
            progress: wraps the frames, to show how far it is.

        Raises:
            ConfigError: Doom has no such camera.
            BackendUnavailable: ViZDoom is not installed.
            SimulatorError: the engine has died.
        """
        wanted = list(range(len(course.poses)) if frames is None else frames)
        shape = len(wanted), camera.height, camera.width
        rgb = np.empty((*shape, 3), np.uint8)
        depth, ids = np.empty(shape, np.float32), np.full(shape, -1, np.int8)
        with _world(course, camera) as look:
            for row, frame in enumerate(progress(wanted)):
                pose = course.poses[frame]
                rgb[row], depth[row] = look(pose)
                if course.movers is not None:
                    rgb[row], depth[row], ids[row] = course.movers.draw(
                        rgb[row], depth[row], pose, camera, frame
                    )
        return cls(rgb=rgb, depth=depth, ids=ids, poses=course.poses[wanted], camera=camera)

    def at(self, frames: NDArray[np.int64]) -> Self:
        """Some of the frames [N], in this order."""
        return replace(
            self,
            rgb=self.rgb[frames],
            depth=self.depth[frames],
            ids=self.ids[frames],
            poses=self.poses[frames],
        )

    @property
    def still(self) -> NDArray[np.float32]:
        """[T, Y, X] the depth, and 0 where something that moves hides the maze."""
        return np.where(self.ids < 0, self.depth, 0) if (self.ids >= 0).any() else self.depth


_Look = Callable[[NDArray[np.float64]], tuple[NDArray[np.uint8], NDArray[np.float32]]]


@contextlib.contextmanager
def _world(course: Course, camera: Camera) -> Iterator[_Look]:
    """What is seen from a pose of the course: RGB and depth."""
    if course.in_town:
        yield Town(CROSSING, course.seed, camera).look
        return
    with Doom(camera, [course.seed]) as doom:

        def look(pose: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
            view = doom.observe(pose)
            return view.rgb, view.depth

        yield look
