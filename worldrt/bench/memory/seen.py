"""Which pixels show a surface that earlier frames showed, among thousands of frames.

A pixel's point is seen in a frame if it falls inside that image and its depth there lies between
those of the four pixels around it, give or take 1 % and 2 cm. Between four pixels of one plane that
interval is exact, however steep the plane.

A frame is asked in tiles of 8x8 pixels. The ball around a tile's points is held against each known
frame's pyramid and its farthest depths, and only a tile that could be seen there is looked at pixel
by pixel; so the result is that of asking every pixel of every frame.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from worldrt.bench.memory.truth import Truth
from worldrt.geometry.se3 import inverse

SHARE, METRES = 0.01, 0.02
"""How far a depth may be off: this share of it and so many metres more."""
TILE = 8
"""Pixels a side."""
TURN_M = 4.0
"""Metres that count as far as looking the other way does, in the order of asking."""


class Past:
    """Asks which pixels of a truth were seen in others of its frames.

    Args:
        truth: all frames, the asked and the known; things that move are never seen.
    """

    def __init__(self, truth: Truth) -> None:
        depth = truth.still
        if not (np.isfinite(depth).all() and (depth >= 0).all()):
            depth = np.where(np.isfinite(depth) & (depth > 0), depth, 0)
        self._depth = np.ascontiguousarray(depth, np.float32)
        self._poses = np.ascontiguousarray(truth.poses, np.float64)
        self._inverse = np.ascontiguousarray(inverse(self._poses))
        camera = truth.camera
        self._intrinsics = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
        self._farthest = _farthest(self._depth)

    def seen(self, frame: int, known: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which pixels of a frame show what earlier frames showed.

        Args:
            frame: the one asked about.
            known: [K] frames to look in; those not before `frame` do not count.

        Returns:
            [Y, X]
        """
        found = np.zeros(self._depth.shape[1:], np.bool_)
        known = np.asarray(known, np.int64)
        known = known[known < frame]
        # Where the camera stood and looked alike most is found soonest; the result is the same.
        apart = np.linalg.norm(self._poses[known, :3, 3] - self._poses[frame, :3, 3], axis=-1)
        alike = self._poses[known, :3, 2] @ self._poses[frame, :3, 2]
        order = known[np.argsort(apart - TURN_M / 2 * alike, kind="stable")]
        _mark(
            self._depth,
            self._poses[frame],
            self._inverse,
            self._intrinsics,
            self._farthest,
            frame,
            order,
            found,
        )
        return found

    def explained(self, frame: int, chosen: NDArray[np.int64], seen: NDArray[np.bool_]) -> float:
        """Share of a frame's seen pixels that some chosen frames show.

        Args:
            frame: the one asked about.
            chosen: [K] earlier frames.
            seen: [Y, X] what all known frames show.

        Returns:
            0 to 1; nan where nothing was seen.
        """
        if not seen.any():
            return float("nan")
        return float((self.seen(frame, chosen) & seen).sum() / seen.sum())


@njit(cache=True, nogil=True)
def _farthest(depth):  # pragma: no cover
    """Farthest depth of each tile and the pixels next to it, [T, tiles down, tiles across]."""
    frames, height, width = depth.shape
    rows, columns = (height + TILE - 1) // TILE, (width + TILE - 1) // TILE
    farthest = np.zeros((frames, rows, columns), np.float32)
    for f in range(frames):
        for i in range(rows):
            for j in range(columns):
                most = np.float32(0.0)
                for y in range(max(i * TILE - 1, 0), min((i + 1) * TILE + 1, height)):
                    for x in range(max(j * TILE - 1, 0), min((j + 1) * TILE + 1, width)):
                        most = max(most, depth[f, y, x])
                farthest[f, i, j] = most
    return farthest


@njit(cache=True, nogil=True)
def _mark(depth, pose, inverses, intrinsics, farthest, frame, order, found):  # pragma: no cover
    """Set `found` [Y, X] where a frame of `order` sees what `frame` shows."""
    height, width = found.shape
    rows, columns = farthest.shape[1:]
    fx, fy, cx, cy = intrinsics
    points = np.empty((height, width, 3))
    left = np.zeros((rows, columns), np.int64)  # pixels of a tile not found so far
    balls = np.empty((rows, columns, 4))
    for i in range(rows):
        for j in range(columns):
            low = np.full(3, np.inf)
            high = np.full(3, -np.inf)
            for y in range(i * TILE, min((i + 1) * TILE, height)):
                for x in range(j * TILE, min((j + 1) * TILE, width)):
                    d = np.float64(depth[frame, y, x])
                    if d <= 0:
                        continue
                    left[i, j] += 1
                    dx, dy = d * (x + 0.5 - cx) / fx, d * (y + 0.5 - cy) / fy
                    for a in range(3):
                        points[y, x, a] = (
                            pose[a, 0] * dx + pose[a, 1] * dy + pose[a, 2] * d + pose[a, 3]
                        )
                        low[a] = min(low[a], points[y, x, a])
                        high[a] = max(high[a], points[y, x, a])
            square = 0.0
            for a in range(3):
                balls[i, j, a] = (low[a] + high[a]) / 2
                square += (high[a] - low[a]) ** 2
            balls[i, j, 3] = np.sqrt(square) / 2 + 1e-6
    total = left.sum()
    for known in order:
        if total == 0:
            return
        m = inverses[known]
        for i in range(rows):
            for j in range(columns):
                if left[i, j] == 0 or not _may_see(
                    balls[i, j], m, intrinsics, farthest[known], found
                ):
                    continue
                for y in range(i * TILE, min((i + 1) * TILE, height)):
                    for x in range(j * TILE, min((j + 1) * TILE, width)):
                        if found[y, x] or depth[frame, y, x] <= 0:
                            continue
                        if _sees(points[y, x], m, intrinsics, depth[known]):
                            found[y, x] = True
                            left[i, j] -= 1
                            total -= 1


@njit(cache=True, nogil=True, inline="always")
def _may_see(ball, m, intrinsics, farthest, found):  # pragma: no cover
    """Whether a camera could see a point of a ball; never false where it does."""
    height, width = found.shape
    fx, fy, cx, cy = intrinsics
    radius = ball[3]
    z = m[2, 0] * ball[0] + m[2, 1] * ball[1] + m[2, 2] * ball[2] + m[2, 3]
    nearest = z - radius
    if z + radius <= 0:
        return False
    if nearest <= 0.01:
        return True
    x = m[0, 0] * ball[0] + m[0, 1] * ball[1] + m[0, 2] * ball[2] + m[0, 3]
    y = m[1, 0] * ball[0] + m[1, 1] * ball[1] + m[1, 2] * ball[2] + m[1, 3]
    # |(x + dx) / (z + dz) - x / z| = |z dx - x dz| / (z (z + dz)), by Cauchy and Schwarz at most:
    wide = fx * radius * np.sqrt(x * x + z * z) / (z * nearest)
    tall = fy * radius * np.sqrt(y * y + z * z) / (z * nearest)
    column, row = fx * x / z + cx, fy * y / z + cy
    if column + wide < 0 or column - wide >= width or row + tall < 0 or row - tall >= height:
        return False
    first_row, last_row = int(max(row - tall, 0)) // TILE, int(min(row + tall, height - 1)) // TILE
    first, last = int(max(column - wide, 0)) // TILE, int(min(column + wide, width - 1)) // TILE
    for i in range(first_row, last_row + 1):
        for j in range(first, last + 1):
            if nearest * (1 - SHARE) - METRES <= farthest[i, j]:
                return True
    return False


@njit(cache=True, nogil=True, inline="always")
def _sees(point, m, intrinsics, depth):  # pragma: no cover
    """Whether a camera sees a point, by the depths of the four pixels around it."""
    height, width = depth.shape
    fx, fy, cx, cy = intrinsics
    z = m[2, 0] * point[0] + m[2, 1] * point[1] + m[2, 2] * point[2] + m[2, 3]
    if z <= 0:
        return False
    x = m[0, 0] * point[0] + m[0, 1] * point[1] + m[0, 2] * point[2] + m[0, 3]
    y = m[1, 0] * point[0] + m[1, 1] * point[1] + m[1, 2] * point[2] + m[1, 3]
    column, row = fx * x / z + cx, fy * y / z + cy
    if not (0 <= column < width and 0 <= row < height):
        return False
    # Of the pixels around, those outside the image are left out.
    bottom, right = int(row + 0.5), int(column + 0.5)
    nearest, farthest = np.inf, -np.inf
    for i in range(max(bottom - 1, 0), min(bottom + 1, height)):
        for j in range(max(right - 1, 0), min(right + 1, width)):
            if depth[i, j] > 0:
                nearest = min(nearest, depth[i, j])
                farthest = max(farthest, depth[i, j])
    slack = SHARE * z + METRES
    return nearest - slack <= z <= farthest + slack
