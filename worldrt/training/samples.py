"""Training samples of a world: three blocks in a row, each with the memory that it would have had.

The blocks come from a recorded walk; the memory is built by the runtime's own map from a
few frames of the same walk, damaged the way a generator damages what it remembers. How much is
remembered is drawn so that little-covered targets are common: on a plain walk nine tenths of every
view is known already, and nothing new would be learned.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from worldrt.codec import Codec, pack
from worldrt.conditioning import ages, camera_maps, spatial_maps
from worldrt.config import WorldConfig
from worldrt.geometry.camera import Camera
from worldrt.memory.spatial.frame import Frame
from worldrt.memory.spatial.map import SpatialMap
from worldrt.memory.spatial.surface import filled
from worldrt.training.episodes import Episodes
from worldrt.training.recording import Recording

BLOCKS = 3
"""Blocks of a sample; the context of the last is what the cache holds when the world runs."""
MAP_BYTES = 32_000_000
"""Of a sample's memory: more than its few frames can fill."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Tensors of one sample; F = BLOCKS * block_frames."""

    clean: Tensor  # [F, C, h, w]
    hint: Tensor  # [F, C, h, w]
    spatial: Tensor  # [F, spatial_channels, h, w]
    camera: Tensor  # [F, CAMERA_CHANNELS, h, w]
    hole: Tensor  # [F, h, w] share of each latent cell that nothing is remembered of
    recalled: Tensor  # [R, C, h, w] latents of past frames that show the same place
    recalled_camera: Tensor  # [R, CAMERA_CHANNELS, h, w] their rays

    @staticmethod
    def stack(samples: "list[Sample]") -> "Sample":
        """A batch: the same fields with a leading axis."""
        columns = zip(*(sample.tensors() for sample in samples), strict=True)
        return Sample(*(torch.stack(column) for column in columns))

    def tensors(self) -> list[Tensor]:
        return [
            self.clean,
            self.hint,
            self.spatial,
            self.camera,
            self.hole,
            self.recalled,
            self.recalled_camera,
        ]

    def alone(self) -> "Sample":
        """The same batch where no frame is recalled."""
        return replace(
            self, recalled=self.recalled[:, :0], recalled_camera=self.recalled_camera[:, :0]
        )

    def to(self, device: torch.device) -> "Sample":
        return Sample(*(tensor.to(device) for tensor in self.tensors()))

    def forgetting(self, which: Tensor, frames: int) -> "Sample":
        """The same batch where the memory shows nothing of some samples' last frames.

        Args:
            which: bool [B], the samples.
            frames: how many frames at their end.
        """
        seen = torch.ones_like(self.hole[..., 0, 0])  # [B, F]
        seen[which, -frames:] = 0
        maps = seen[..., None, None, None]
        hole = torch.where(maps[:, :, 0] > 0, self.hole, 1)
        return replace(self, hint=self.hint * maps, spatial=self.spatial * maps, hole=hole)


class Samples(IterableDataset[Sample]):
    """An endless stream of samples, the same for the same seed and worker.

    Args:
        recording: its training episodes are drawn from.
        world: camera, block and codec numbers.
        codec: encodes images; not trained here.
        seed: of the draws.
    """

    def __init__(self, recording: Recording, world: WorldConfig, codec: Codec, seed: int) -> None:
        super().__init__()
        self._recording, self._seed = recording, seed
        self._world, self._codec = world, codec

    def __iter__(self) -> Iterator[Sample]:
        torch.set_num_threads(1)
        worker = get_worker_info()
        rng = np.random.default_rng([self._seed, worker.id if worker else 0])
        builder = SampleBuilder(self._recording.open(), self._world, self._codec)
        while True:
            yield builder.draw(int(rng.choice(self._recording.training)), rng)

    def batches(self, size: int, loaders: int) -> Iterator[Sample]:
        """An endless stream of batches of `size` samples, built by `loaders` processes, or here.

        A resumed run that gives another seed draws other samples than before its kill.
        """
        return iter(
            DataLoader(
                self,
                batch_size=size,
                num_workers=loaders,
                collate_fn=Sample.stack,
                prefetch_factor=4 if loaders else None,
                multiprocessing_context="spawn" if loaders else None,
            )
        )


class SampleBuilder:
    """Builds samples from episodes; owns one map and uses it again."""

    def __init__(self, episodes: Episodes, world: WorldConfig, codec: Codec) -> None:
        self._episodes, self._world, self._codec = episodes, world, codec
        camera = Camera.centred(world.camera)
        self._latent_camera = camera.scaled(1 / world.codec.stride)
        self._camera, self._map = camera, SpatialMap(camera, MAP_BYTES)

    @torch.no_grad()
    def draw(self, episode: int, rng: np.random.Generator) -> Sample:
        """A random sample of one episode."""
        size = self._world.block_frames
        rgb, depth, poses = self._episodes.read(episode, 0, self._episodes.frames)
        starts = self._starts(poses, rng)
        remembered = self._remember(rng, rgb, depth, poses, starts)
        write_own = rng.random() < 0.65
        recalled = self._recall(rng, depth, poses, starts, remembered)
        anchor = poses[starts[int(rng.integers(1, BLOCKS))] - 1]
        splats, masks, old = [], [], []
        # Frames of an earlier visit are older than the walk by an unknown time.
        now = starts[0] + int(2 ** rng.uniform(0, 12))
        for start in starts:
            block = slice(start, start + size)
            splat = self._map.view(poses[block])
            splats.append(torch.from_numpy(filled(splat, self._world.codec.near)))
            masks.append(torch.from_numpy(splat.mask)[:, None])
            old.append(ages(now + np.arange(size), splat))
            if write_own:
                for frame in (0, size - 1):
                    self._insert(rng, rgb, depth, poses, start + frame, now + frame)
            now += size
        frames = np.concatenate([np.arange(start, start + size) for start in starts])
        mask = torch.cat(masks)
        spatial = spatial_maps(self._codec, torch.cat(splats), mask, torch.cat(old))
        camera = [
            camera_maps(self._latent_camera, poses[s : s + size], poses[s - 1]) for s in starts
        ]
        near = self._world.codec.near
        image = pack(rgb[frames], depth[frames], near)
        past = rgb[recalled]
        for index, frame in enumerate(past):
            past[index] = _damaged(rng, frame)
        return Sample(
            clean=self._codec.encode(image),
            hint=spatial.hint,
            spatial=spatial.maps,
            camera=torch.cat(camera),
            hole=1 - avg_pool2d(mask, self._world.codec.stride)[:, 0],
            recalled=self._codec.encode(pack(past, depth[recalled], near)),
            recalled_camera=camera_maps(self._latent_camera, poses[recalled], anchor),
        )

    def _starts(self, poses: NDArray[np.float64], rng: np.random.Generator) -> list[int]:
        """First frames of the blocks: the last two in a row, the first before them or far back."""
        size = self._world.block_frames
        candidates = rng.integers(size + 1, len(poses) - 2 * size, 2)
        turned = [_turn(poses[s - 1], poses[s + 2 * size - 1]) for s in candidates]
        second = int(candidates[int(np.argmax(turned))])
        first = second - size if rng.random() < 0.7 else int(rng.integers(1, second - size + 1))
        return [first, second, second + size]

    def _remember(
        self,
        rng: np.random.Generator,
        rgb: NDArray[np.uint8],
        depth: NDArray[np.floating],
        poses: NDArray[np.float64],
        starts: list[int],
    ) -> NDArray[np.int64]:
        """Write frames into the memory; returns which."""
        self._map.clear()
        kind = rng.random()
        if kind < 0.25:
            return np.empty(0, np.int64)
        if kind < 0.65:  # a little, from before
            frames = rng.integers(0, starts[1], rng.integers(1, 3))
        else:  # a place that is well known: frames from after it count as an earlier visit
            outside = np.r_[0 : starts[1], starts[2] + self._world.block_frames : len(rgb)]
            frames = rng.choice(outside, min(len(outside), int(rng.integers(4, 11))), replace=False)
        for frame in frames:
            self._insert(rng, rgb, depth, poses, frame, 0)
        return frames

    def _recall(
        self,
        rng: np.random.Generator,
        depth: NDArray[np.floating],
        poses: NDArray[np.float64],
        starts: list[int],
        remembered: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Frames brought back into the context: mostly those that show most of the last blocks.

        They are drawn from what is remembered and from as much again of what is not, so that they
        show more than the splat does.
        """
        count = self._world.memory.recalled
        outside = np.r_[0 : starts[1], starts[2] + self._world.block_frames : len(poses)]
        others = rng.choice(outside, min(len(outside), max(count, len(remembered))), replace=False)
        pool = np.unique(np.concatenate([remembered, others]))
        views = [starts[1], starts[2] + self._world.block_frames - 1]
        sees = np.concatenate([self._sees(depth, poses, view, pool) for view in views], axis=1)
        if rng.random() < 0.2:
            chosen = rng.permutation(len(pool))[:count]
        else:
            chosen = _greedy(sees, count)
        return np.sort(pool[chosen])

    def _sees(
        self,
        depth: NDArray[np.floating],
        poses: NDArray[np.float64],
        view: int,
        pool: NDArray[np.int64],
    ) -> NDArray[np.bool_]:
        """[N, Q] which of a view's surfaces, on a coarse grid, each frame of the pool shows."""
        camera, grain = self._camera, self._world.codec.stride
        surface = camera.unproject(depth[view].astype(np.float32), poses[view])
        surface = surface[grain // 2 :: grain, grain // 2 :: grain].reshape(-1, 3)
        found = np.zeros((len(pool), len(surface)), bool)
        for row, frame in enumerate(pool):
            pixels, z = camera.project(surface.astype(np.float64), poses[frame])
            x, y = np.floor(np.where(z[:, None] > 0, pixels, -1)).astype(int).T
            inside = (z > 0) & (x >= 0) & (x < camera.width) & (y >= 0) & (y < camera.height)
            there = depth[frame][y[inside], x[inside]].astype(np.float32)
            found[row, inside] = np.abs(there - z[inside]) < 0.05 * z[inside]
        return found

    def _insert(
        self,
        rng: np.random.Generator,
        rgb: NDArray[np.uint8],
        depth: NDArray[np.floating],
        poses: NDArray[np.float64],
        frame: int,
        index: int,
    ) -> None:
        """Write a frame into the memory as a generator would have made it: a little wrong."""
        image = _damaged(rng, rgb[frame])
        scaled = depth[frame].astype(np.float32) * np.float32(rng.normal(1, 0.01))
        self._map.insert(Frame(image, scaled, poses[frame], index))


def _damaged(rng: np.random.Generator, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A frame [Y, X, 3] as a generator would have made it: tinted, perhaps blurred or noisy."""
    image = rgb.astype(np.float32)
    image = image * rng.normal(1, 0.03, 3) + rng.normal(0, 4, 3)
    if rng.random() < 0.4:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.0))
    if rng.random() < 0.5:
        image = image + rng.normal(0, rng.uniform(0, 10), image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def _greedy(sees: NDArray[np.bool_], count: int) -> list[int]:
    """Rows that together cover most columns of [N, Q], one after the other."""
    left, chosen = sees.copy(), []
    for _ in range(min(count, len(sees))):
        gains = left.sum(axis=1)
        gains[chosen] = -1
        best = int(np.argmax(gains))
        chosen.append(best)
        left &= ~left[best]
    return chosen


def held_out(recording: Recording, world: WorldConfig, codec: Codec, each: int = 1) -> list[Sample]:
    """`each` samples of every held-out episode, always the same, as batches of one."""
    builder = SampleBuilder(recording.open(), world, codec)
    generators = {episode: np.random.default_rng(episode) for episode in recording.validation}
    return [
        Sample.stack([builder.draw(episode, rng)])
        for episode, rng in generators.items()
        for _ in range(each)
    ]


def _turn(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Angle between two poses, radians."""
    cosine = (np.trace(a[:3, :3].T @ b[:3, :3]) - 1) / 2
    return float(np.arccos(np.clip(cosine, -1, 1)))
