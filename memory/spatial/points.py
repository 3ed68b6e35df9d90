"""Points: a bounded store of coloured points, one a voxel, in pages that a camera can cull.

A voxel's edge follows the size of the pixel that was written: between a quarter and a half of it,
so no two pixels of a surface seen from the front fall into one voxel, and a nearer view writes a
finer level. What was really seen and what was imagined are two layers that don't share voxels.

A point's id is its slot, and stays until the point is removed. Cost: 55 bytes a slot, of which 35
are the point and 18 its share of the hash; adding or removing a point is a few probes. A cull
reads 24 bytes a page.
"""

import numpy as np
from numpy.typing import NDArray

from worldrt.errors import ConfigError, ShapeError
from worldrt.geometry.camera import Camera
from worldrt.kernels.splat import LONGEST_REACH
from worldrt.memory.spatial import voxels
from worldrt.memory.spatial.cull import cull
from worldrt.memory.spatial.voxels import GROUP, PAGE, Store

REAL, IMAGINED = 0, 1
"""Layers."""
SAVED = (
    "position",
    "colour",
    "source_depth",
    "written",
    "weight",
    "sources",
    "facing",
    "page_block",
    "page_seen",
    "page_visits",
)
"""Arrays from which all others follow."""


class Points:
    """At most `pages` * 64 points.

    Args:
        pages: of 64 slots, at least 1.
        focal: pixels, the larger focal length of the frames that are written: sets the levels.

    Raises:
        ConfigError: there is no page.
    """

    def __init__(self, pages: int, focal: float) -> None:
        if pages < 1:
            raise ConfigError(f"A point store needs at least 1 page of {PAGE} slots, got {pages}.")
        slots, self.focal = pages * PAGE, focal
        self.position = np.zeros((slots, 3), np.float32)
        """[S, 3] world coordinates, metres."""
        self.colour = np.zeros((slots, 3), np.uint8)
        """[S, 3] RGB."""
        self.source_depth = np.zeros(slots, np.float32)
        """[S] metres at which the frame that wrote the point saw it."""
        self.written = np.zeros(slots, np.int32)
        """[S] index of that frame."""
        self.weight = np.zeros(slots, np.uint8)
        """[S] how often it was seen, at most 255; 0: the slot is dead."""
        self.sources = np.full((slots, 4), voxels.NONE, np.uint16)
        """[S, 4] keyframe slots that saw it, the nearest first; NONE after the last."""
        self.facing = np.zeros((slots, 3), np.int8)
        """[S, 3] the direction from which its surface is seen, of length 127; 0: any."""
        self.page_block = np.zeros((pages, 5), np.int32)
        """[G, 5] layer, level and x, y, z of the block of 128^3 voxels that a page belongs to."""
        self.page_low = np.full((pages, 3), np.inf, np.float32)
        """[G, 3] metres, least coordinates of its points."""
        self.page_high = np.full((pages, 3), -np.inf, np.float32)
        """[G, 3] metres, largest coordinates."""
        self.page_count = np.zeros(pages, np.int32)
        """[G] slots up to the last that holds a point; 0: the page is free."""
        self.page_seen = np.zeros(pages, np.int32)
        """[G] index of the last frame that saw one of its points."""
        self.page_visits = np.zeros(pages, np.int32)
        """[G] how often it was come back to."""
        self._store = Store(
            **{name: getattr(self, name) for name in SAVED},
            page_low=self.page_low,
            page_high=self.page_high,
            page_count=self.page_count,
            page_used=np.zeros(pages, np.uint64),
            page_next=np.full(pages, -1, np.int32),
            group_free=np.zeros(-(-pages // GROUP), np.int32),
            keys=np.zeros(slots * 3 // 2, np.int64),
            ids=np.full(slots * 3 // 2, -1, np.int32),
            blocks=np.zeros(pages * 2, np.int64),
            heads=np.full(pages * 2, -1, np.int32),
            totals=np.zeros(2, np.int64),
        )
        voxels.rebuild(self._store)

    def __len__(self) -> int:
        """Living points."""
        return int(self._store.totals[0])

    @property
    def capacity(self) -> int:
        """Slots."""
        return len(self.weight)

    @property
    def free_pages(self) -> int:
        """Pages without a point."""
        return int(self._store.totals[1])

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, the same from the first point on."""
        return sum(array.nbytes for array in self._store)

    @staticmethod
    def bytes_of(pages: int) -> int:
        """Bytes of a store of so many pages."""
        hashed = PAGE * 3 // 2 * 12 + 2 * 12
        return pages * (PAGE * 35 + 20 + 24 + 12 + 8 + 4 + hashed) + -(-pages // GROUP) * 4 + 16

    def add(
        self,
        position: NDArray[np.float32],
        colour: NDArray[np.uint8],
        depth: NDArray[np.float32],
        frame: int,
        layer: int = REAL,
        first: int = 0,
        facing: NDArray[np.int8] | None = None,
    ) -> tuple[NDArray[np.int32], int]:
        """Write points whose voxels are empty, in their order; each starts with weight 1.

        Args:
            position: [N, 3] world coordinates, metres; one out of the map's reach (8 km for the
                finest points, farther for coarser ones) or not finite is not written.
            colour: [N, 3] RGB.
            depth: [N] metres at which the frame sees it, above 0.
            frame: its index.
            layer: REAL or IMAGINED.
            first: number of the point to begin with.
            facing: [N, 3] the surface's normal, of length 127; None: seen from all sides.

        Returns:
            ids: [done - first] of the points that were written, -1 of those that were not.
            done: N, or the number of the first point for which there is no page: make room, and go
                on from it.
        """
        ids = np.full(len(position), -1, np.int32)
        if facing is None:
            facing = np.zeros(position.shape, np.int8)
        arrays = position, colour, depth, facing
        done = voxels.add(self._store, *arrays, layer, self.focal, frame, first, ids)
        ids = ids[first:done]
        # Only now, in another call: a reader sees a point whole or not at all.
        self.weight[ids[ids >= 0]] = 1
        return ids, done

    def remove(self, ids: NDArray[np.int32]) -> None:
        """Delete living points; their slots and voxels are free.

        Args:
            ids: [N] rising.
        """
        voxels.remove(self._store, ids)

    def cull(
        self,
        pose: NDArray[np.float64],
        camera: Camera,
        near: float,
        far: float,
        margin: float = LONGEST_REACH,
    ) -> NDArray[np.int32]:
        """Pages whose box meets what a camera sees; never one too few.

        Args:
            pose: [4, 4] world_from_camera.
            camera: the image.
            near, far: metres along z; `far` may be infinite.
            margin: pixels by which the image is widened.

        Returns:
            [n] pages, rising.
        """
        return cull(self.page_low, self.page_high, self.page_count, pose, camera, near, far, margin)

    def spans(self, pages: NDArray[np.int32]) -> NDArray[np.int32]:
        """[n, 2] first slot and one past the last of each page."""
        start = pages * PAGE
        return np.stack([start, start + self.page_count[pages]], axis=1).astype(
            np.int32, copy=False
        )

    def boxes(self, pages: NDArray[np.int32]) -> NDArray[np.float32]:
        """[n, 2, 3] least and largest coordinates of each page's points."""
        return np.stack([self.page_low[pages], self.page_high[pages]], axis=1)

    def living(self, pages: NDArray[np.int32]) -> NDArray[np.int32]:
        """[n] points of pages that rise, rising."""
        slots = pages[:, None] * PAGE + np.arange(PAGE, dtype=np.int32)
        return slots[self.weight[slots] > 0]

    def rebuild(self) -> None:
        """Recompute hash, directory and counts from the points and the blocks of their pages.

        Every id, page and cull stays the same.
        """
        voxels.rebuild(self._store)

    def clear(self) -> None:
        """Forget everything."""
        self.weight[:] = 0
        voxels.rebuild(self._store)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Copies of the arrays from which all others follow, up to the last page in use."""
        used = np.flatnonzero(self.page_count)
        pages = int(used[-1]) + 1 if len(used) else 0
        state = {
            name: getattr(self, name)[: pages if name.startswith("page_") else pages * PAGE].copy()
            for name in SAVED
        }
        # What the dead left behind tells nothing, and differs from map to map.
        for name in SAVED:
            if not name.startswith("page_"):
                state[name][state["weight"] == 0] = 0
        return state

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        """Take over what `state` returned, of a store of this capacity or less.

        Raises:
            ShapeError: an array does not fit, or holds more than this store.
        """
        pages = len(state["page_block"])
        for name in SAVED:
            own = getattr(self, name)
            rows = pages if name.startswith("page_") else pages * PAGE
            if state[name].shape != (rows, *own.shape[1:]) or rows > len(own):
                most = ", ".join(map(str, own.shape))
                raise ShapeError(name, state[name].shape, f"[{most}] or fewer, {pages} pages")
        self.weight[:] = 0
        for name in SAVED:
            getattr(self, name)[: len(state[name])] = state[name]
        voxels.rebuild(self._store)
