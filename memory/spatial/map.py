"""The spatial map: points of what has been seen, and the keyframes that saw them.

A pixel becomes a point only if the map does not already show that place at least half as finely.
What was written first stays, so nothing drifts however often it is drawn and generated again; what
is written anew each time melts. What was really seen lies before what was imagined: an imagined
surface is a guess, its depth too, and where it would hide a real place the place wins. A real frame
deletes points that it sees through. All arrays have their size from the start; when they are full,
what is worth least makes room.
"""

from contextlib import AbstractContextManager

import cv2
import numpy as np
from numpy.typing import NDArray

from worldrt.errors import ConfigError, InputError, ShapeError
from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import check_pose
from worldrt.kernels.front import lens
from worldrt.kernels.splat import LONGEST_REACH, NEAR, Drawn, splat
from worldrt.memory.spatial import evict, observe
from worldrt.memory.spatial.blend import FULL_WEIGHT, layered, masked
from worldrt.memory.spatial.epochs import Epochs
from worldrt.memory.spatial.frame import Frame, Inserted, Splat
from worldrt.memory.spatial.keyframes import Keyframes, bin_of, quartered
from worldrt.memory.spatial.look import Sight, covered, look
from worldrt.memory.spatial.points import IMAGINED, REAL, Points
from worldrt.memory.spatial.surface import Bounds, normals, on_surface, places
from worldrt.memory.spatial.voxels import PAGE

COVERED = 0.6
"""Least mask at which a pixel counts as remembered."""
AGREEMENT = 0.08
"""How much farther than a pixel, relatively, the map may lie and still show its surface."""
CLOSER = 2.0
"""A pixel this many times nearer than the points that cover it is written once more."""
NOVEL = 0.12
"""A frame with a larger share of new pixels becomes a keyframe."""
EXPLAINED = 0.7
"""And one of which keyframes have seen a smaller share."""
RIM = 2
"""Pixels around a thing that moves which are left out with it."""
SPACING = 8
"""Frames from a keyframe to the next, at least."""
KEYFRAMES = 1024
"""Most keyframes: a retrieval looks at all of them."""


class SpatialMap:
    """A map within a budget, of which keyframes take at most a quarter.

    Args:
        camera: of the frames that are written and of the views.
        budget_bytes: of all arrays.
        latent_shape: [C, h, w] of the keyframes' latents, and a frame without one becomes no
            keyframe; None: keyframes have none.

    Raises:
        ConfigError: the budget is less than a keyframe and the points of a frame.
    """

    def __init__(
        self,
        camera: Camera,
        budget_bytes: int,
        latent_shape: tuple[int, int, int] | None = None,
    ) -> None:
        each = Keyframes.bytes_of(camera, latent_shape)
        pixels = camera.width * camera.height
        least = each + Points.bytes_of(-(-pixels // PAGE))
        if budget_bytes < least:
            raise ConfigError(
                f"A budget of {budget_bytes} bytes can't hold a keyframe and the {pixels} points "
                f"of one frame, {least} bytes; raise it."
            )
        slots = min(max(budget_bytes // 4 // each, 1), KEYFRAMES)
        pages = (budget_bytes - slots * each) // (Points.bytes_of(64) // 64 + 1)
        self.camera, self.budget_bytes, self.latent_shape = camera, budget_bytes, latent_shape
        self.points = Points(max(pages, -(-pixels // PAGE)), max(camera.fx, camera.fy))
        self.keyframes = Keyframes(slots, camera, latent_shape)
        self._epochs = Epochs()
        self._last = -SPACING  # index of the newest keyframe
        self._freed = False  # slots that a reader inside may still see

    def __len__(self) -> int:
        """Living points."""
        return len(self.points)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, the same from the first frame on."""
        return self.points.nbytes + self.keyframes.nbytes

    def reading(self) -> AbstractContextManager[None]:
        """While inside, in a thread that doesn't write, no slot is given to another point."""
        return self._epochs.reading()

    def insert(self, frame: Frame) -> Inserted:
        """Write what a frame shows and the map does not.

        Args:
            frame: its index is above those of all before it. A generated one has no detail of its
                own: it writes only where nothing is known, and deletes nothing.

        Raises:
            ShapeError: an array does not fit the camera.
            InputError: the pose is not rigid, or rgb not uint8.
        """
        depth = self._checked(frame)
        pose, layer = frame.pose, REAL if frame.real else IMAGINED
        surface = on_surface(depth)
        bounds = Bounds(depth, surface)
        pages = self.points.cull(pose, self.camera, NEAR, float(bounds.behind.max()))
        own = self.points.page_block[pages, 0] == layer
        sight = look(self.points, pages, own & frame.real, lens(pose, self.camera), bounds)
        carved = self._note(frame, sight)
        new = surface & ~self._covered(frame, depth, sight, pages[own])
        if frame.known is not None:
            new &= frame.known <= COVERED
        written = self._write(frame, depth, new, layer, pages)
        novel = float(np.count_nonzero(new) / new.size)
        keyframe = None
        if self._is_keyframe(frame, novel, sight.explained, depth):
            # A slot that was seen may have been given up since for a point of this frame.
            before = sight.seen[self.points.written[sight.seen] < frame.index]
            keyframe = self._keep(frame, depth, np.concatenate([before, written]))
        return Inserted(len(written), carved, novel, keyframe)

    def view(self, poses: NDArray[np.float64]) -> Splat:
        """The map seen from V poses, what was imagined where nothing real shows.

        Args:
            poses: [V, 4, 4] camera to world.

        Raises:
            ShapeError: poses is not [V, 4, 4].
            InputError: a pose is not rigid.
        """
        if poses.ndim != 3 or poses.shape[1:] != (4, 4):
            raise ShapeError("poses", poses.shape, "[V, 4, 4]")
        for pose in poses:
            check_pose(pose)
        with self.reading():
            culled = [self.points.cull(pose, self.camera, NEAR, np.inf) for pose in poses]
            layers = [self.points.page_block[pages, 0] for pages in culled]
            parts = [
                pages[of == layer]
                for layer in (REAL, IMAGINED)
                for pages, of in zip(culled, layers, strict=True)
            ]
            # All at once, so that no thread waits for the other layer.
            both = masked(self._splat(parts, np.tile(poses, (2, 1, 1))))
        halves = slice(len(poses)), slice(len(poses), None)
        return layered(*(Splat(*(image[half] for image in both)) for half in halves))

    def clear(self) -> None:
        """Forget everything."""
        self.points.clear()
        self.keyframes.clear()
        self._last, self._freed = -SPACING, True

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Copies of all it takes to go on bit for bit."""
        points = {f"points.{name}": array for name, array in self.points.state().items()}
        keyframes = {f"keyframes.{name}": array for name, array in self.keyframes.state().items()}
        return points | keyframes | {"last": np.array(self._last)}

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        """Take over what `state` returned, of a map of this camera and budget.

        Raises:
            ShapeError: an array does not fit.
        """
        self._epochs.synchronize()
        for name, part in (("points.", self.points), ("keyframes.", self.keyframes)):
            part.restore({k.removeprefix(name): v for k, v in state.items() if k.startswith(name)})
        self._last = int(state["last"])

    # The steps of an insertion.

    def _checked(self, frame: Frame) -> NDArray[np.float32]:
        """[Y, X] depth of what stands still, 0 where it is unknown."""
        size = (self.camera.height, self.camera.width)
        if frame.rgb.shape != (*size, 3):
            raise ShapeError("rgb", frame.rgb.shape, f"[{size[0]}, {size[1]}, 3]")
        if frame.rgb.dtype != np.uint8:
            raise InputError(f"rgb is {frame.rgb.dtype}, expected uint8; pass 0 to 255.")
        for name in ("depth", "known", "moving"):
            image = getattr(frame, name)
            if image is not None and image.shape != size:
                raise ShapeError(name, image.shape, f"[{size[0]}, {size[1]}]")
        if frame.latent is not None:
            latents = self.keyframes.latents
            expected = None if latents is None else latents.shape[1:]
            if frame.latent.shape != expected:
                wanted = "none: this map keeps no latents" if expected is None else str([*expected])
                raise ShapeError("latent", frame.latent.shape, wanted)
        check_pose(frame.pose)
        known = np.isfinite(frame.depth) & (frame.depth > 0)
        if frame.moving is not None:
            # Beside a thing pixels are mixed with it, or lie in its shadow.
            rim = np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8)
            known &= cv2.dilate(frame.moving.view(np.uint8), rim) == 0
        return np.where(known, frame.depth, 0).astype(np.float32)

    def _note(self, frame: Frame, sight: Sight) -> int:
        """Weigh what was seen, and delete what a real frame sees through."""
        points = self.points
        pierced = sight.pierced if frame.real else sight.pierced[:0]
        arrays = points.weight, points.page_seen, points.page_visits
        dead = observe.note(*arrays, sight.seen, pierced, frame.index)
        self._remove(dead)
        return len(dead)

    def _covered(
        self,
        frame: Frame,
        depth: NDArray[np.float32],
        sight: Sight,
        pages: NDArray[np.int32],
    ) -> NDArray[np.bool_]:
        """[Y, X]: its layer shows the pixel already, at its depth or nearer, and finely enough."""
        limit, least = np.float32(1 + AGREEMENT) * depth, COVERED * FULL_WEIGHT
        if frame.real:
            # Unstretched: a gap between coarse points is worth a finer one, if that is real.
            eye, coarsest = lens(frame.pose, self.camera), np.float32(CLOSER) * depth
            return covered(self.points, sight, eye, limit, coarsest, least)
        drawn = self._splat([pages], frame.pose[None])
        return (drawn.weight[0] > least) & (drawn.depth[0] < limit)

    def _write(
        self,
        frame: Frame,
        depth: NDArray[np.float32],
        new: NDArray[np.bool_],
        layer: int,
        in_sight: NDArray[np.int32],
    ) -> NDArray[np.int32]:
        """Points of the new pixels; room is made where there is none."""
        place = places(depth, new, self.camera, frame.pose)
        arrays = place, frame.rgb[new], depth[new], frame.index, layer
        facing = normals(depth, new, self.camera, frame.pose)
        written, done = [], 0
        while True:
            if self._freed:
                self._epochs.synchronize()
                self._freed = False
            ids, done = self.points.add(*arrays, done, facing)
            written.append(ids[ids >= 0])
            if done == len(place):
                break
            self._remove(self.points.living(evict.least(self.points, in_sight, frame.index)))
        ids = np.sort(np.concatenate(written))
        # A slot that was given up for others of the same frame is named twice.
        return ids[(self.points.weight[ids] > 0) & (np.diff(ids, prepend=-1) > 0)]

    def _remove(self, ids: NDArray[np.int32]) -> None:
        self.points.remove(ids)
        self._freed |= len(ids) > 0

    def _is_keyframe(
        self,
        frame: Frame,
        novel: float,
        explained: NDArray[np.bool_],
        depth: NDArray[np.float32],
    ) -> bool:
        if self.keyframes.latents is not None and frame.latent is None:
            return False
        if frame.index - self._last < SPACING and len(self.keyframes) > 0:
            return False
        known = quartered(depth) > 0
        share = np.count_nonzero(explained & known) / max(np.count_nonzero(known), 1)
        empty = bin_of(frame.pose) not in self.keyframes.bins
        return bool(novel > NOVEL or share < EXPLAINED or empty)

    def _keep(self, frame: Frame, depth: NDArray[np.float32], seen: NDArray[np.int32]) -> int:
        """The frame becomes a keyframe, a source of what it has seen."""
        points, keyframes = self.points, self.keyframes
        slot = keyframes.free()
        if slot is None:
            alone = observe.unique(points.sources, points.weight, keyframes.capacity)
            slot = keyframes.least(alone)
            keyframes.drop(slot)
            observe.disown(points.sources, slot)
            self._epochs.synchronize()
        keyframes.write(slot, depth, frame.pose, frame.index, frame.real, frame.latent)
        centres = keyframes.poses[:, :3, 3].astype(np.float32)
        observe.attribute(
            points.sources, points.position, seen[points.weight[seen] > 0], slot, centres
        )
        self._last = frame.index
        return slot

    def _splat(
        self,
        pages: list[NDArray[np.int32]],
        poses: NDArray[np.float64],
        longest_reach: float = LONGEST_REACH,
    ) -> Drawn:
        points = self.points
        return splat(
            points.position,
            points.colour,
            points.source_depth,
            points.written,
            points.weight,
            [points.spans(each) for each in pages],
            poses,
            self.camera,
            longest_reach,
            points.facing,
            [points.boxes(each) for each in pages],
        )
