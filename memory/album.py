"""Scenes that were left, one frame each, to be found again by what they were about.

They lie in the host's memory: one is written or read at a switch, between blocks.
"""

from collections import deque
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Scene(NamedTuple):
    """A scene that was left."""

    place: int
    left: int
    """Index of the frame after its last one."""
    about: NDArray[np.float32] | None
    """[C] what its prompts were about, of any length; None: unknown."""


class Album:
    """A bounded number of scenes; the oldest makes room.

    Args:
        capacity: scenes.
        like: [N, B, L, H, D] keys, or values, of a frame, on any device.
    """

    def __init__(self, capacity: int, like: Tensor) -> None:
        size = (capacity, *like.shape)
        self._keys, self._values = (torch.zeros(size, dtype=like.dtype) for _ in range(2))
        self._scenes: deque[Scene] = deque(maxlen=capacity)
        self.nbytes = self._keys.nbytes + self._values.nbytes

    def add(
        self, keys: Tensor, values: Tensor, about: NDArray[np.float32] | None, left: int
    ) -> None:
        """Keep a scene.

        Args:
            keys, values: [N, B, L, H, D] of its frame.
            about: [C] what it was about; None: unknown.
            left: index of the frame after its last one.
        """
        kept = len(self._scenes)
        place = self._scenes[0].place if kept == self._scenes.maxlen else kept
        self._keys[place], self._values[place] = keys, values
        self._scenes.append(Scene(place, left, about))

    def find(self, about: NDArray[np.float32] | None) -> Scene | None:
        """The scene whose prompts are nearest; ties go to the earlier. None: there is no scene.

        What is unknown is as far as what has nothing in common.
        """
        # The first of equals is the oldest.
        return max(self._scenes, key=lambda scene: _cosine(scene.about, about), default=None)

    def frame(self, scene: Scene) -> tuple[Tensor, Tensor]:
        """Keys and values of a scene's frame, on the host."""
        return self._keys[scene.place], self._values[scene.place]


def _cosine(one: NDArray[np.float32] | None, two: NDArray[np.float32] | None) -> float:
    if one is None or two is None:
        return 0.0
    length = float(np.linalg.norm(one) * np.linalg.norm(two))
    return float(one @ two) / length if length else 0.0
