"""Controls: no memory at all, and the last frame for ever."""

import numpy as np
from numpy.typing import NDArray

from worldrt.bench.memory.setting import Setting
from worldrt.memory.spatial.frame import Splat
from worldrt.memory.spatial.memory import Recalled


class Nothing:
    """No memory: it knows nothing of any view."""

    def __init__(self, setting: Setting) -> None:
        self._size = setting.camera.height, setting.camera.width

    def __len__(self) -> int:
        return 0

    @property
    def nbytes(self) -> int:
        return 0

    def remember(
        self,
        rgb: NDArray[np.uint8],
        depth: NDArray[np.float32],
        poses: NDArray[np.float64],
        first: int,
        latents: NDArray[np.float32] | None = None,
    ) -> None:
        pass

    def imagine(
        self,
        rgb: NDArray[np.uint8],
        depth: NDArray[np.float32],
        poses: NDArray[np.float64],
        known: NDArray[np.float32],
        first: int,
        latents: NDArray[np.float32] | None = None,
    ) -> None:
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
        self._last: tuple[NDArray[np.uint8], NDArray[np.float32], int] | None = None

    def __len__(self) -> int:
        return 0 if self._last is None else self._last[1].size

    @property
    def nbytes(self) -> int:
        return 0 if self._last is None else self._last[0].nbytes + self._last[1].nbytes

    def remember(
        self,
        rgb: NDArray[np.uint8],
        depth: NDArray[np.float32],
        poses: NDArray[np.float64],
        first: int,
        latents: NDArray[np.float32] | None = None,
    ) -> None:
        self._last = rgb[-1], depth[-1], first + len(rgb) - 1

    def imagine(
        self,
        rgb: NDArray[np.uint8],
        depth: NDArray[np.float32],
        poses: NDArray[np.float64],
        known: NDArray[np.float32],
        first: int,
        latents: NDArray[np.float32] | None = None,
    ) -> None:
        self.remember(rgb, depth, poses, first)

    def view(self, poses: NDArray[np.float64], first: int) -> Splat:
        if self._last is None:
            return super().view(poses, first)
        image, far, index = self._last
        known = np.isfinite(far) & (far > 0)
        images = (
            image / np.float32(255),
            np.where(known, far, 0),
            known,
            np.where(known, index, 0),
        )
        return Splat(*(np.repeat(one[None].astype(np.float32), len(poses), 0) for one in images))
