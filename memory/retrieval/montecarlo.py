"""Frames whose fields of view overlap the query's, by points drawn at random; walls hide nothing.

Source: WorldMem and its released code: 10,000 points in a ball of radius 30,
overlap less 0.2 of the relative age, greedy.

In the released code the sense of the elevation looks reversed, and once all points are covered the
overlap is 0/0, so that the rest is arbitrary, and slots left over repeat frame 0. Here a field of
view is that of the camera's own axes, the choice stops when nothing is left to cover, and no frame
comes twice. Their field of view is 105 by 75 degrees; here it is the camera's unless said. Time is
in proportion to the history: every frame is looked at.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldrt.errors import ConfigError
from worldrt.geometry.camera import Camera
from worldrt.memory.retrieval.query import Candidates, Query, free
from worldrt.memory.spatial.points import Points


@dataclass(frozen=True, slots=True, kw_only=True)
class MonteCarlo:
    """Overlap of fields of view."""

    samples: int = 10_000
    """Points drawn for each query."""
    radius: float = 30.0
    """Metres about the query's camera."""
    across: float | None = None
    """Degrees of the field of view from side to side; None: the camera's."""
    down: float | None = None
    """Degrees from top to bottom, likewise."""
    age: float = 0.2
    """What the oldest frame loses of its score, which is at most 1."""

    def __post_init__(self) -> None:
        wide = max(self.across or 0, self.down or 0)
        if self.samples < 1 or self.radius <= 0 or wide >= 180:
            raise ConfigError(
                "Monte-Carlo retrieval needs at least 1 sample, a radius above 0 m and a field of "
                f"view below 180 degrees, got {self.samples}, {self.radius:g} and {wide:g}."
            )

    def choose(self, query: Query, candidates: Candidates, points: Points | None) -> list[int]:
        """See `Method.choose`; the map is not looked at."""
        rows = free(query, candidates)
        slopes = self._slopes(candidates.camera)
        random = np.random.default_rng([query.seed, query.now])
        places = query.poses[-1, :3, 3] + self._ball(random)
        wanted = np.zeros(self.samples, np.bool_)
        for pose in query.poses:
            wanted |= inside(places, pose, slopes)
        left = places[wanted].astype(np.float32)
        seen = [inside(left, pose, slopes) for pose in candidates.poses[rows].astype(np.float32)]
        shown = np.packbits(np.array(seen, np.bool_).reshape(len(rows), len(left)), axis=1)
        age = self.age * (query.now - candidates.index[rows]) / max(query.now, 1)
        rest = np.packbits(np.ones(len(left), np.bool_))
        open_ = np.ones(len(rows), np.bool_)
        chosen: list[int] = []
        while len(chosen) < min(query.count, len(rows)) and rest.any():
            overlap = np.bitwise_count(shown & rest).sum(axis=1) / np.bitwise_count(rest).sum()
            score = np.where(open_, overlap - age, -np.inf)
            best = int(len(rows) - 1 - score[::-1].argmax())
            chosen.append(int(rows[best]))
            open_[best] = False
            rest &= ~shown[best]
        return chosen

    def _slopes(self, camera: Camera) -> tuple[float, float]:
        """Tangents of half the field of view, to the side and down."""
        across = camera.width / camera.fx / 2
        down = camera.height / camera.fy / 2
        if self.across is not None:
            across = math.tan(math.radians(self.across / 2))
        if self.down is not None:
            down = math.tan(math.radians(self.down / 2))
        return across, down

    def _ball(self, random: np.random.Generator) -> NDArray[np.float64]:
        """[samples, 3] points drawn evenly from a ball about 0."""
        ways = random.standard_normal((self.samples, 3))
        ways /= np.linalg.norm(ways, axis=1, keepdims=True)
        return self.radius * np.cbrt(random.random((self.samples, 1))) * ways


def inside(
    places: NDArray[np.floating], pose: NDArray[np.floating], slopes: tuple[float, float]
) -> NDArray[np.bool_]:
    """Whether points [N, 3] lie within a camera's azimuth and elevation."""
    x, y, z = ((places - pose[:3, 3]) @ pose[:3, :3]).T
    side, slope = slopes
    return (z > 0) & (np.abs(x) <= side * z) & (y * y <= slope * slope * (x * x + z * z))
