"""Controls: no memory at all, and the last frame for ever."""

import numpy as np
from numpy.typing import NDArray

from worldrt.bench.memory.setting import Setting
from worldrt.memory.spatial.frame import Frame, Splat
from worldrt.memory.spatial.memory import Footage, Recalled


class Nothing:
    """No memory: it knows nothing of any view."""

    def __init__(self, setting: Setting) -> None:
        self._size = setting.camera.height, setting.camera.width

    def __len__(self) -> int:
        return 0

    @property
    def nbytes(self) -> int:
        return 0

    def remember(self, footage: Footage) -> None:
        pass

    def imagine(self, footage: Footage, known: NDArray[np.float32]) -> None:
        pass

    def view(self, poses: NDArray[np.float64], first: int) -> Splat:
        return Splat.empty(len(poses), *self._size)

    def retrieve(
        self, poses: NDArray[np.float64], count: int, now: int, recent: int
    ) -> Recalled | None:
        return None

    def chosen(
        self, poses: NDArray[np.float64], count: int, now: int, recent: int = 0
    ) -> list[int]:
        return []


class Repeat(Nothing):
    """The last frame, shown as it is wherever the camera looks."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._last: Frame | None = None

    def __len__(self) -> int:
        return 0 if self._last is None else self._last.depth.size

    @property
    def nbytes(self) -> int:
        return 0 if self._last is None else self._last.rgb.nbytes + self._last.depth.nbytes

    def remember(self, footage: Footage) -> None:
        for frame in footage.frames():
            self._last = frame

    def imagine(self, footage: Footage, known: NDArray[np.float32]) -> None:
        self.remember(footage)

    def view(self, poses: NDArray[np.float64], first: int) -> Splat:
        if self._last is None:
            return super().view(poses, first)
        depth = self._last.depth
        known = np.isfinite(depth) & (depth > 0)
        images = (
            self._last.rgb / np.float32(255),
            np.where(known, depth, 0),
            known,
            np.where(known, self._last.index, 0),
        )
        return Splat(*(np.repeat(one[None].astype(np.float32), len(poses), 0) for one in images))
