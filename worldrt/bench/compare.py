"""Generated frames against the truth: what was seen in real frames, and what is new.

A pixel is seen if its surface was visible in a real frame that the session began from; only there
is there one right answer. Beside every figure stand two baselines that use no network: the last
real frame repeated, and the point cloud of the real frames with its holes filled.
"""

from collections import Counter

import numpy as np
import torch
from numpy.typing import NDArray

from worldrt.bench.metrics import psnr, seen_masks, sharpness_ratio
from worldrt.codec import unpack
from worldrt.memory.spatial.frame import Frame
from worldrt.memory.spatial.map import SpatialMap
from worldrt.memory.spatial.surface import filled
from worldrt.starts import Start
from worldrt.world import World

LEAST = 0.01
"""Share of a frame's pixels below which a part of it is not scored."""

Figures = dict[str, float]
"""`seen`: share of pixels seen in real frames; then `psnr_PART_OF` and `sharp_PART_OF` with PART
`seen` or `novel` and OF `world`, `splat` or `repeat`; a part that a frame lacks is left out."""


class Comparison:
    """Scores frames as they come; keeps sums, not frames.

    Args:
        world: gives the camera and the memory's numbers.
        start: the real frames.
    """

    def __init__(self, world: World, start: Start) -> None:
        self._camera, self._near = world.camera, world.config.codec.near
        self._start = start
        self._map = SpatialMap(world.camera, round(world.config.memory.budget_mb * 1e6))
        for index, seen in enumerate(zip(start.rgb, start.depth, start.poses, strict=True)):
            self._map.insert(Frame(*seen, index))
        self._sums: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()

    def add(
        self,
        frames: NDArray[np.uint8],
        truth: NDArray[np.uint8],
        depth: NDArray[np.float32],
        poses: NDArray[np.float64],
    ) -> list[Figures]:
        """Score frames.

        Args:
            frames: [F, Y, X, 3] generated.
            truth: [F, Y, X, 3] what is really there.
            depth: [F, Y, X] true metres along z.
            poses: [F, 4, 4] world_from_camera.
        """
        start = self._start
        seen = seen_masks(depth, poses, self._camera, start.depth, start.poses)
        found = []
        for image, real, plain, mask in zip(frames, truth, self.fill(poses), seen, strict=True):
            candidates = {"world": image, "splat": plain, "repeat": start.rgb[-1]}
            figures = score(candidates, real, mask)
            self._sums.update(figures)
            self._counts.update(figures.keys())
            found.append(figures)
        return found

    def fill(self, poses: NDArray[np.float64]) -> NDArray[np.uint8]:
        """[F, Y, X, 3]: the real frames' point cloud seen from `poses`, holes filled."""
        image = filled(self._map.view(poses), self._near)
        return unpack(torch.from_numpy(image), self._near)[0]

    def means(self) -> Figures:
        """Each figure's mean over the frames that have it."""
        return {name: self._sums[name] / count for name, count in sorted(self._counts.items())}


def score(
    candidates: dict[str, NDArray[np.uint8]], truth: NDArray[np.uint8], seen: NDArray[np.bool_]
) -> Figures:
    """Figures of one frame.

    Args:
        candidates: images [Y, X, 3] by name.
        truth: [Y, X, 3].
        seen: [Y, X] pixels seen in real frames.
    """
    figures = {"seen": float(seen.mean())}
    for part, mask in (("seen", seen), ("novel", ~seen)):
        if mask.mean() < LEAST:
            continue
        for name, image in candidates.items():
            # A capped PSNR keeps the mean finite where a candidate is the truth itself.
            figures[f"psnr_{part}_{name}"] = min(psnr(image, truth, mask), 60.0)
            figures[f"sharp_{part}_{name}"] = sharpness_ratio(image, truth, mask)
    return figures
