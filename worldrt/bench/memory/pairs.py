"""Pairs of frames that tell whether places stay: revisits, and what to hold against them.

A place shown twice alike means little in a video that hardly moves. So the likeness of revisits is
told relative to that of frames as far apart in time that are no revisits, and as a share of what
frames close in time reach.

Source: R2M-Bench's recipe (relative revisit memory): tolerances, gaps and counts are its own.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldrt.errors import ShapeError
from worldrt.geometry.se3 import yaw_pitch

Pairs = NDArray[np.int64]
"""[N, 2] earlier and later frame."""

PLACE_M, YAW_DEGREES = (0.1, 1.0), (1.0, 5.0)
"""Least and largest tolerance of a revisit; between them it is twice the 95th percentile step."""
GAP_SHARE, LEAST_GAP = 0.2, 10
"""Frames between the two of a revisit: this share of the video, and never fewer."""
SLACK_SHARE, LEAST_SLACK = 0.3, 10
"""Frames by which a baseline's gap may differ from its revisit's: this share of it, or more."""
MARGIN_SHARE, LEAST_MARGIN = 1 / 20, 10
"""Frames between a baseline's ends and any revisit's, likewise."""
SHORT_SHARE, SHORTEST, LEAST_SHORT = 0.02, 2, 6
"""Largest separation of a short pair as a share of the video, the least, and the least largest."""
FEWEST, MOST = 20, 100
"""Short pairs: as many as revisits within these."""
FLAT = 1e-8
"""A dynamic range that is none."""
COLLAPSED, DOUBT = 0.05, 2.0
"""A range below this share of the short pairs' likeness, or below so many of its standard errors,
has collapsed: a share of it would be noise."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mined:
    """The pairs of one video."""

    revisits: Pairs
    """R: the same place and view after a long time, by the later frame."""
    baselines: Pairs
    """B: about as far apart in time, one a revisit where the video has one."""
    short: Pairs
    """S: a moment apart."""
    margin: int
    """Frames kept between baselines and revisits; 0 where the recipe's own left no baseline, as in
    a course that is one long return: then baselines are only no revisits themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """How much more alike revisited places are than others."""

    revisit: float
    """Mean likeness of R; nan: there are none."""
    baseline: float
    """Of B."""
    short: float
    """Of S."""
    gain: float
    """MG, revisit less baseline."""
    range: float
    """DR, short less baseline: all that a perfect memory could gain."""
    normalised: float
    """NMR, gain / range; nan where the range has collapsed: in a video that stands still, and in
    one so fast that frames a moment apart are as unlike as any."""


def mine(poses: NDArray[np.float64], seed: int = 0) -> Mined:
    """Find the pairs that the recipe calls for.

    Args:
        poses: [T, 4, 4] commanded world_from_camera.
        seed: of the draws of baselines and short pairs.

    Raises:
        ShapeError: poses of another shape.
    """
    found = revisits(poses)
    random = np.random.default_rng([4, seed])
    frames = len(poses)
    margin = max(LEAST_MARGIN, math.ceil(MARGIN_SHARE * frames))
    free = np.ones(frames, np.bool_)
    for end in np.unique(found):
        free[max(end - margin + 1, 0) : end + margin] = False
    baselines = _baselines(found, _Draw(free, None), random)
    if len(found) and not len(baselines):
        margin = 0
        baselines = _baselines(found, _Draw(np.ones(frames, np.bool_), poses), random)
    return Mined(
        revisits=found,
        baselines=baselines,
        short=_short(frames, len(found), random),
        margin=margin,
    )


def revisits(poses: NDArray[np.float64]) -> Pairs:
    """R: each frame that sees what one long before saw, with the one that matches best.

    Position within twice the 95th percentile step, 0.1 to 1 m, yaw within twice that of the turns,
    1 to 5 degrees, at least a fifth of the video and 10 frames before. The best has the least sum
    of both differences, each as a share of its tolerance; of equals, the first.

    Args:
        poses: [T, 4, 4] world_from_camera.

    Raises:
        ShapeError: poses of another shape.
    """
    place_m, degrees = tolerances(poses)
    gap = least_gap(len(poses))
    position, yaw = poses[:, :3, 3], yaw_pitch(poses)[0]
    found = []
    for later in range(gap, len(poses)):
        before = slice(0, later - gap + 1)
        apart = np.linalg.norm(position[before] - position[later], axis=-1)
        turned = _degrees(yaw[before] - yaw[later])
        near = (apart <= place_m) & (turned <= degrees)
        if near.any():
            unlike = np.where(near, apart / place_m + turned / degrees, np.inf)
            found.append((int(unlike.argmin()), later))
    return np.array(found, np.int64).reshape(-1, 2)


def tolerances(poses: NDArray[np.float64]) -> tuple[float, float]:
    """Metres and degrees within which two poses are one place.

    Args:
        poses: [T, 4, 4] world_from_camera.

    Raises:
        ShapeError: poses of another shape.
    """
    if poses.ndim != 3 or poses.shape[1:] != (4, 4):
        raise ShapeError("poses", poses.shape, "[T, 4, 4]")
    if len(poses) < 2:
        return PLACE_M[0], YAW_DEGREES[0]
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=-1)
    turns = _degrees(np.diff(yaw_pitch(poses)[0]))
    return (
        float(np.clip(2 * np.percentile(steps, 95), *PLACE_M)),
        float(np.clip(2 * np.percentile(turns, 95), *YAW_DEGREES)),
    )


def least_gap(frames: int) -> int:
    """Frames from a visit to what counts as a revisit."""
    return math.ceil(max(GAP_SHARE * frames, LEAST_GAP))


def gain(mined: Mined, likeness: Callable[[int, int], float]) -> Gain:
    """How much more alike the revisits of a video are than its baselines.

    Args:
        mined: its pairs.
        likeness: of two frames by their indices, the earlier first; higher is more alike, finite.
    """
    alike = [
        np.array([likeness(int(a), int(b)) for a, b in pairs])
        for pairs in (mined.revisits, mined.baselines, mined.short)
    ]
    revisit, baseline, short = (float(np.mean(one)) if one.size else math.nan for one in alike)
    gained, reach = revisit - baseline, short - baseline
    error = math.sqrt(sum(one.var() / one.size for one in alike[1:] if one.size))
    moves = reach > max(FLAT, COLLAPSED * abs(short), DOUBT * error)
    return Gain(
        revisit=revisit,
        baseline=baseline,
        short=short,
        gain=gained,
        range=reach,
        normalised=gained / reach if moves else math.nan,
    )


class _Draw:
    """Draws pairs of free frames a given time apart."""

    def __init__(self, free: NDArray[np.bool_], poses: NDArray[np.float64] | None) -> None:
        """`poses`: pairs of one place are not free; None: all pairs of free frames are."""
        self._free, self._poses = free, poses
        self._counts: dict[int, int] = {}
        if poses is not None:
            self._tolerances, self._yaw = tolerances(poses), yaw_pitch(poses)[0]

    def starts(self, gap: int) -> NDArray[np.int64]:
        """Frames with a free one `gap` frames later."""
        both = self._free[:-gap] & self._free[gap:]
        if self._poses is not None:
            place_m, degrees = self._tolerances
            position = self._poses[:, :3, 3]
            apart = np.linalg.norm(position[gap:] - position[:-gap], axis=-1)
            turned = _degrees(self._yaw[gap:] - self._yaw[:-gap])
            both &= (apart > place_m) | (turned > degrees)
        return np.flatnonzero(both)

    def count(self, gap: int) -> int:
        """How many these are; kept, for all revisits of like gaps ask for it."""
        if gap not in self._counts:
            self._counts[gap] = len(self.starts(gap))
        return self._counts[gap]

    def pair(self, gaps: range, random: np.random.Generator) -> tuple[int, int] | None:
        """One of all the free pairs with such a gap, each as likely as any other."""
        counts = np.cumsum([self.count(gap) for gap in gaps])
        if not len(counts) or counts[-1] == 0:
            return None
        at = int(random.integers(counts[-1]))
        which = int(np.searchsorted(counts, at, side="right"))
        start = int(self.starts(gaps[which])[at - counts[which]])  # from the end of its own
        return start, start + gaps[which]


def _baselines(found: Pairs, draw: _Draw, random: np.random.Generator) -> Pairs:
    frames = len(draw._free)
    pairs = []
    for earlier, later in found.tolist():
        gap = later - earlier
        slack = max(LEAST_SLACK, int(SLACK_SHARE * gap))
        gaps = range(max(gap - slack, 1), min(gap + slack, frames - 1) + 1)
        if (pair := draw.pair(gaps, random)) is not None:
            pairs.append(pair)
    return np.array(pairs, np.int64).reshape(-1, 2)


def _short(frames: int, revisits: int, random: np.random.Generator) -> Pairs:
    """S, drawn with return."""
    longest = min(max(LEAST_SHORT, int(SHORT_SHARE * frames)), frames - 1)
    if longest < SHORTEST:
        return np.empty((0, 2), np.int64)
    count = min(MOST, max(FEWEST, revisits))
    apart = random.integers(SHORTEST, longest + 1, count)
    first = (random.random(count) * (frames - apart)).astype(np.int64)
    return np.stack([first, first + apart], axis=-1)


def _degrees(radians: NDArray[np.float64]) -> NDArray[np.float64]:
    """Size of angles, 0 to 180."""
    return np.abs(np.degrees((radians + np.pi) % (2 * np.pi) - np.pi))
