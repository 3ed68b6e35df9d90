"""The memory of a session: a map of points, keyframes that are found by it, and what moves.

Frames are taken in by a thread of its own; a view waits for those given before it, so a walk is the
same however fast the thread is.
"""

import numpy as np
from numpy.typing import NDArray

from worldrt.config import MemoryConfig, check
from worldrt.geometry.camera import Camera
from worldrt.memory.retrieval.find import find
from worldrt.memory.retrieval.oracle import Oracle
from worldrt.memory.retrieval.query import Candidates, Query
from worldrt.memory.spatial.entities import Entities
from worldrt.memory.spatial.frame import Frame, Inserted, Splat
from worldrt.memory.spatial.map import SpatialMap
from worldrt.memory.spatial.memory import Footage, Recalled
from worldrt.memory.spatial.moving import moving_mask
from worldrt.memory.spatial.walls import Walls
from worldrt.memory.spatial.writer import Writer


class Places:
    """A map, its writer and the way its keyframes are found.

    Args:
        camera: of the frames and the views.
        config: bytes, and how keyframes are chosen.
        latent_shape: [C, h, w] of a frame's latent; None: frames can't be given back.
        map: one that was walked before, to go on with; None: an empty one.
        entities: what was seen to move in that walk; None: nothing yet.

    Raises:
        ConfigError: the bytes do not suffice, or there is no such way to choose.
    """

    def __init__(
        self,
        camera: Camera,
        config: MemoryConfig,
        latent_shape: tuple[int, int, int] | None = None,
        map: SpatialMap | None = None,
        entities: Entities | None = None,
    ) -> None:
        budget = round(config.budget_mb * 1e6)
        self.map = SpatialMap(camera, budget, latent_shape) if map is None else map
        self._method = find(config.retrieval)
        check(
            not isinstance(self._method, Oracle),
            f"Retrieval {config.retrieval!r} needs the true depth of what is to come, which a "
            "session does not know; say coverage.",
        )
        self._walls = Walls(self.map.points)
        if entities is None and config.entities:
            entities = Entities(camera, config.entities)
        self.entities = entities
        self._writer = Writer(self._insert)

    def __len__(self) -> int:
        self._writer.settle()
        return len(self.map)

    @property
    def nbytes(self) -> int:
        entities = 0 if self.entities is None else self.entities.nbytes
        return self.map.nbytes + entities

    @property
    def walked(self) -> int:
        """Index above those of all frames that are known of: where a walk goes on."""
        self._writer.settle()
        points, keyframes = self.map.points, self.map.keyframes
        last = max(int(points.written.max()), int(points.page_seen.max()))
        known = len(points) > 0 or len(keyframes) > 0
        walked = 1 + max(last, int(keyframes.index.max())) if known else 0
        return walked if self.entities is None else max(walked, self.entities.walked)

    def remember(self, footage: Footage) -> None:
        for frame in footage.frames():
            self._writer.submit(frame)

    def imagine(self, footage: Footage, known: NDArray[np.float32]) -> None:
        for frame in footage.frames(known):
            self._writer.submit(frame)

    def view(self, poses: NDArray[np.float64], first: int) -> Splat:
        self._writer.settle()
        still = self.map.view(poses)
        if self.entities is None:
            return still
        return self.entities.draw(still, poses, self.map.camera, range(first, first + len(poses)))

    def retrieve(
        self, poses: NDArray[np.float64], count: int, now: int, recent: int
    ) -> Recalled | None:
        candidates, rows = self.choose(Query(poses=poses, count=count, now=now, recent=recent))
        keyframes, rows = self.map.keyframes, sorted(rows)
        if not rows or keyframes.latents is None:
            return None
        slots = candidates.ids[rows]
        generations = keyframes.generation[slots]
        return Recalled(
            ids=tuple((slots << 16 | generations).tolist()),
            frames=tuple(candidates.index[rows].tolist()),
            latents=keyframes.latents[slots].astype(np.float32),
            poses=candidates.poses[rows],
        )

    def choose(self, query: Query) -> tuple[Candidates, list[int]]:
        """The keyframes, and the rows of those that show most of what is asked, the best first."""
        self._writer.settle()
        candidates = self.map.keyframes.candidates()
        return candidates, self._method.choose(query, candidates, self.map.points)

    def settle(self) -> None:
        """Wait until all frames that were given are taken in.

        Raises:
            WorldrtError: one of them could not be.
        """
        self._writer.settle()

    def slide(self, here: NDArray[np.float64], there: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where one comes to stand among the walls that were seen; see `Walls`."""
        self._writer.settle()
        return self._walls(here, there)

    def close(self) -> None:
        """End the thread; what was given before is taken in."""
        self._writer.close()

    def _insert(self, frame: Frame) -> Inserted:
        """Take in one frame: what moves goes to the entities, all else into the map."""
        if self.entities is not None:
            moving = frame.moving
            if moving is None:
                moving = moving_mask(frame.depth, self.map.view(frame.pose[None]))
            self.entities.observe(frame.rgb, frame.depth, frame.pose, moving, frame.index)
            frame = frame._replace(moving=moving)
        return self.map.insert(frame)
