"""The point map as a system under test: its splat, or the keyframes that it leads to.

Where pixels are told to show things that move, they go into the entity layer and not into the map,
and what is believed of them is drawn into its splat.
"""

import numpy as np
from numpy.typing import NDArray

from worldrt.bench.memory.frame_memory import ends, warp
from worldrt.bench.memory.setting import RECALLED, Setting
from worldrt.config import MemoryConfig
from worldrt.memory.retrieval.query import Query
from worldrt.memory.spatial.entities import Entities
from worldrt.memory.spatial.frame import Frame, Splat
from worldrt.memory.spatial.memory import Footage
from worldrt.memory.spatial.places import Places

OURS = "coverage"
"""Our way to choose."""


class MapMemory(Places):
    """A session's own memory, which takes each frame in before it goes on; a view is its splat.

    Args:
        setting: the map's bytes and latents, and what moves.
        method: the way to choose keyframes.

    Raises:
        ConfigError: the bytes do not suffice, or there is no such way.
    """

    def __init__(self, setting: Setting, *, method: str = OURS) -> None:
        self._moving = setting.moving
        super().__init__(
            setting.camera,
            MemoryConfig(budget_mb=setting.budget / 1e6, retrieval=method),
            setting.latent_shape,
            entities=None if setting.moving is None else Entities(setting.camera),
        )

    def remember(self, footage: Footage) -> None:
        if self._moving is not None:
            told = slice(footage.first, footage.first + len(footage.rgb))
            footage = footage._replace(moving=self._moving[told])
        super().remember(footage)
        self.settle()  # the time that a frame takes is told by who waits for it

    def chosen(
        self, poses: NDArray[np.float64], count: int, now: int, recent: int = 0
    ) -> list[int]:
        query = Query(poses=poses[ends(len(poses))], count=count, now=now, recent=recent)
        candidates, rows = self.choose(query)
        return candidates.index[rows].tolist()


class KeyframeMemory(MapMemory):
    """The same, but a view is drawn from its keyframes' own pictures."""

    def __init__(self, setting: Setting, *, method: str) -> None:
        super().__init__(setting, method=method)
        self._pictures: dict[int, Frame] = {}

    @property
    def nbytes(self) -> int:
        pictures = self._pictures.values()
        return super().nbytes + sum(one.rgb.nbytes + one.depth.nbytes for one in pictures)

    def remember(self, footage: Footage) -> None:
        super().remember(footage)
        frames, candidates = list(footage.frames()), self.map.keyframes.candidates()
        for slot, index in zip(candidates.ids.tolist(), candidates.index.tolist(), strict=True):
            if index >= footage.first:
                self._pictures[slot] = frames[index - footage.first]

    def view(self, poses: NDArray[np.float64], first: int) -> Splat:
        candidates, rows = self.choose(
            Query(poses=poses[ends(len(poses))], count=RECALLED, now=first)
        )
        frames = [self._pictures[int(candidates.ids[row])] for row in rows]
        return warp(frames, poses, self.map.camera)
