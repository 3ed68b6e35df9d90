"""The point map as a system under test: its splat, or the keyframes that it leads to.

Where pixels are told to show things that move, they go into the entity layer and not into the map,
and what is believed of them is drawn into its splat.
"""

import numpy as np
from numpy.typing import NDArray

from worldrt.bench.memory.frame_memory import Kept, ends, warp
from worldrt.bench.memory.setting import RECALLED, Setting
from worldrt.memory.retrieval.find import find
from worldrt.memory.retrieval.query import Candidates, Query
from worldrt.memory.spatial.entities import Entities
from worldrt.memory.spatial.frame import Frame, Splat
from worldrt.memory.spatial.map import SpatialMap
from worldrt.memory.spatial.memory import Recalled

OURS = "coverage"
"""Our way to choose."""


class MapMemory:
    """The point map; a view is its splat, or its keyframes' own pictures.

    Args:
        setting: the map's bytes and latents.
        draw: the way to choose the keyframes that are drawn; None: the points are.
    """

    def __init__(self, setting: Setting, *, draw: str | None = None) -> None:
        self.map = SpatialMap(setting.camera, setting.budget, setting.latent_shape)
        self._camera, self._method = setting.camera, find(draw or OURS)
        self._whole = draw is not None
        self._pictures: dict[int, Kept] = {}
        self._moving = setting.moving
        self._entities = None if setting.moving is None else Entities(setting.camera)

    def __len__(self) -> int:
        return len(self.map)

    @property
    def nbytes(self) -> int:
        pictures = sum(kept.rgb.nbytes + kept.depth.nbytes for kept in self._pictures.values())
        entities = 0 if self._entities is None else self._entities.nbytes
        return self.map.nbytes + pictures + entities

    def remember(
        self,
        rgb: NDArray[np.uint8],
        depth: NDArray[np.float32],
        poses: NDArray[np.float64],
        first: int,
        latents: NDArray[np.float32] | None = None,
    ) -> None:
        self._insert(rgb, depth, poses, None, first, latents)

    def imagine(
        self,
        rgb: NDArray[np.uint8],
        depth: NDArray[np.float32],
        poses: NDArray[np.float64],
        known: NDArray[np.float32],
        first: int,
        latents: NDArray[np.float32] | None = None,
    ) -> None:
        self._insert(rgb, depth, poses, known, first, latents)

    def view(self, poses: NDArray[np.float64], first: int) -> Splat:
        if not self._whole:
            view = self.map.view(poses)
            if self._entities is None:
                return view
            return self._entities.draw(view, poses, self._camera, range(first, first + len(poses)))
        candidates = self.map.keyframes.candidates()
        rows = self._rows(candidates, poses, RECALLED, first, 0)
        return warp([self._pictures[int(candidates.ids[row])] for row in rows], poses, self._camera)

    def retrieve(
        self, poses: NDArray[np.float64], count: int, now: int, recent: int
    ) -> Recalled | None:
        candidates, keyframes = self.map.keyframes.candidates(), self.map.keyframes
        rows = sorted(self._rows(candidates, poses, count, now, recent))
        if not rows or keyframes.latents is None:
            return None
        slots = candidates.ids[rows]
        return Recalled(
            ids=tuple(int(slot) << 16 | int(keyframes.generation[slot]) for slot in slots),
            frames=tuple(int(index) for index in candidates.index[rows]),
            latents=keyframes.latents[slots].astype(np.float32),
            poses=candidates.poses[rows],
        )

    def chosen(
        self, poses: NDArray[np.float64], count: int, now: int, recent: int = 0
    ) -> list[int]:
        candidates = self.map.keyframes.candidates()
        rows = self._rows(candidates, poses, count, now, recent)
        return [int(candidates.index[row]) for row in rows]

    def _insert(
        self,
        rgb: NDArray[np.uint8],
        depth: NDArray[np.float32],
        poses: NDArray[np.float64],
        known: NDArray[np.float32] | None,
        first: int,
        latents: NDArray[np.float32] | None,
    ) -> None:
        for offset, (image, far, pose) in enumerate(zip(rgb, depth, poses, strict=True)):
            moving = None if self._moving is None else self._moving[first + offset]
            if self._entities is not None and moving is not None:
                self._entities.observe(image, far, pose, moving, first + offset)
            frame = Frame(
                rgb=image,
                depth=far,
                pose=pose,
                index=first + offset,
                moving=moving,
                real=known is None,
                known=None if known is None else known[offset],
                latent=None if latents is None else latents[offset],
            )
            slot = self.map.insert(frame).keyframe
            if self._whole and slot is not None:
                self._pictures[slot] = Kept(image, far, pose, first + offset, None)

    def _rows(
        self,
        candidates: Candidates,
        poses: NDArray[np.float64],
        count: int,
        now: int,
        recent: int,
    ) -> list[int]:
        query = Query(poses=poses[ends(len(poses))], count=count, now=now, recent=recent)
        return self._method.choose(query, candidates, self.map.points)
