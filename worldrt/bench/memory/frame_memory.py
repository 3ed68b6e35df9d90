"""A memory that keeps every frame and draws those that a method chooses from their own depth."""

import numpy as np
from numpy.typing import NDArray

from worldrt.bench.memory.setting import RECALLED, Setting
from worldrt.geometry.camera import Camera
from worldrt.kernels.splat import splat
from worldrt.memory.retrieval.find import find
from worldrt.memory.retrieval.query import Candidates, Query
from worldrt.memory.spatial import keyframes
from worldrt.memory.spatial.frame import Frame, Splat
from worldrt.memory.spatial.keyframes import PART
from worldrt.memory.spatial.map import FULL_WEIGHT
from worldrt.memory.spatial.memory import Footage, Recalled
from worldrt.memory.spatial.surface import on_surface


class FrameMemory:
    """All past frames; a view is drawn from the ones that a method chooses.

    Args:
        method: see `worldrt.memory.retrieval.find`.
        setting: `truth` is handed to the method where it is given.
    """

    def __init__(self, method: str, setting: Setting) -> None:
        self._method, self._setting = find(method), setting
        self._camera = setting.camera
        self._frames: list[Frame] = []
        self._seen = Quarters(setting.camera)

    def __len__(self) -> int:
        return sum(kept.depth.size for kept in self._frames)

    @property
    def nbytes(self) -> int:
        whole = sum(kept.rgb.nbytes + kept.depth.nbytes + kept.pose.nbytes for kept in self._frames)
        latents = sum(kept.latent.nbytes for kept in self._frames if kept.latent is not None)
        return whole + latents + self._seen.nbytes

    def remember(self, footage: Footage) -> None:
        for frame in footage.frames():
            self._frames.append(frame)
            self._seen.add(frame.depth, frame.pose, frame.index)

    def imagine(self, footage: Footage, known: NDArray[np.float32]) -> None:
        self.remember(footage)

    def view(self, poses: NDArray[np.float64], first: int) -> Splat:
        rows = self._rows(poses, RECALLED, first, 0)
        return warp([self._frames[row] for row in rows], poses, self._camera)

    def retrieve(
        self, poses: NDArray[np.float64], count: int, now: int, recent: int
    ) -> Recalled | None:
        rows = sorted(self._rows(poses, count, now, recent))
        return _recalled([self._frames[row] for row in rows], rows)

    def chosen(
        self, poses: NDArray[np.float64], count: int, now: int, recent: int = 0
    ) -> list[int]:
        return [self._frames[row].index for row in self._rows(poses, count, now, recent)]

    def _rows(self, poses: NDArray[np.float64], count: int, now: int, recent: int) -> list[int]:
        truth, two = self._setting.truth, ends(len(poses))
        # The last block of a course may reach beyond its end.
        at = np.minimum(np.arange(now, now + len(poses)), 0 if truth is None else len(truth) - 1)
        query = Query(
            poses=poses[two],
            count=count,
            now=now,
            recent=recent,
            seed=self._setting.seed,
            truth=None if truth is None else quarter(truth[at[two]]),
        )
        return self._method.choose(query, self._seen.candidates(), None)


class Ceiling(FrameMemory):
    """Knows the true frame of every view to come: what is left is what drawing itself loses."""

    def __init__(self, setting: Setting) -> None:
        super().__init__("last", setting)

    def view(self, poses: NDArray[np.float64], first: int) -> Splat:
        one = [
            warp([self._frames[first + row]], pose[None], self._camera)
            for row, pose in enumerate(poses)
        ]
        return Splat(*(np.concatenate(images) for images in zip(*one, strict=True)))


def warp(frames: list[Frame], poses: NDArray[np.float64], camera: Camera) -> Splat:
    """Frames drawn into other views from their own depth, the nearest surface first.

    Args:
        frames: none: the view is empty.
        poses: [V, 4, 4] world_from_camera.
        camera: of the frames and the views.
    """
    points, colours, source, written = [], [], [], []
    for kept in frames:
        known = np.isfinite(kept.depth) & (kept.depth > 0)
        depth = np.where(known, kept.depth, 0).astype(np.float32, copy=False)
        keep = known & on_surface(depth)
        points.append(camera.unproject(depth, kept.pose)[keep].astype(np.float32))
        colours.append(kept.rgb[keep])
        source.append(depth[keep])
        written.append(np.full(np.count_nonzero(keep), kept.index, np.int32))
    count = sum(len(place) for place in points)
    drawn = splat(
        np.concatenate([np.empty((0, 3), np.float32), *points]),
        np.concatenate([np.empty((0, 3), np.uint8), *colours]),
        np.concatenate([np.empty(0, np.float32), *source]),
        np.concatenate([np.empty(0, np.int32), *written]),
        np.ones(count, np.uint8),
        [np.array([[0, count]], np.int32)] * len(poses),
        poses,
        camera,
    )
    mask = np.minimum(drawn.weight / np.float32(FULL_WEIGHT), np.float32(1))
    return Splat(drawn.rgb, drawn.depth, mask, drawn.written)


def ends(views: int) -> slice:
    """The first and the last of a block's views, by which a session chooses too."""
    return slice(None, None, max(views - 1, 1))


def quarter(depth: NDArray[np.floating]) -> NDArray[np.float32]:
    """[..., y, x]: the depths [..., Y, X] at the pixels that retrieval looks at."""
    rows, columns = (side // PART * PART for side in depth.shape[-2:])
    found = depth[..., PART // 2 : rows : PART, PART // 2 : columns : PART]
    return found.astype(np.float32, copy=False)


class Quarters:
    """The candidates that all frames make, in arrays that double when they are full."""

    def __init__(self, camera: Camera) -> None:
        self._camera = keyframes.quarter(camera)
        self._count = 0
        self._index = np.empty(64, np.int64)
        self._poses = np.empty((64, 4, 4))
        self._depth = np.empty((64, self._camera.height, self._camera.width), np.float32)

    @property
    def nbytes(self) -> int:
        return self._index.nbytes + self._poses.nbytes + self._depth.nbytes

    def add(self, depth: NDArray[np.float32], pose: NDArray[np.float64], index: int) -> None:
        if self._count == len(self._index):
            self._index = np.concatenate([self._index, np.empty_like(self._index)])
            self._poses = np.concatenate([self._poses, np.empty_like(self._poses)])
            self._depth = np.concatenate([self._depth, np.empty_like(self._depth)])
        known = quarter(depth)
        self._index[self._count], self._poses[self._count] = index, pose
        self._depth[self._count] = np.where(np.isfinite(known), known, 0)
        self._count += 1

    def candidates(self) -> Candidates:
        found = slice(self._count)
        index = self._index[found]
        return Candidates(
            np.arange(self._count), index, self._poses[found], self._depth[found], self._camera
        )


def _recalled(frames: list[Frame], ids: list[int]) -> Recalled | None:
    latents = [kept.latent for kept in frames if kept.latent is not None]
    if not frames or len(latents) < len(frames):
        return None
    return Recalled(
        ids=tuple(ids),
        frames=tuple(kept.index for kept in frames),
        latents=np.stack(latents),
        poses=np.stack([kept.pose for kept in frames]),
    )
