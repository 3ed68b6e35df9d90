"""Training samples of a world: three blocks in a row, each with the memory that it would have had.

The blocks come from a recorded walk; the memory is built by the runtime's own point cloud from a
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
from worldrt.conditioning import camera_maps, spatial_maps
from worldrt.config import WorldConfig
from worldrt.geometry.camera import Camera
from worldrt.memory.cloud import PointCloud, filled
from worldrt.training.episodes import Episodes
from worldrt.training.recording import Recording

BLOCKS = 3
"""Blocks of a sample; the context of the last is what the cache holds when the world runs."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Tensors of one sample; F = BLOCKS * block_frames."""

    clean: Tensor  # [F, C, h, w]
    hint: Tensor  # [F, C, h, w]
    spatial: Tensor  # [F, spatial_channels, h, w]
    camera: Tensor  # [F, CAMERA_CHANNELS, h, w]
    hole: Tensor  # [F, h, w] share of each latent cell that nothing is remembered of

    @staticmethod
    def stack(samples: "list[Sample]") -> "Sample":
        """A batch: the same fields with a leading axis."""
        columns = zip(*(sample.tensors() for sample in samples), strict=True)
        return Sample(*(torch.stack(column) for column in columns))

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        return self.clean, self.hint, self.spatial, self.camera, self.hole

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
    """Builds samples from episodes; owns one point cloud and uses it again."""

    def __init__(self, episodes: Episodes, world: WorldConfig, codec: Codec) -> None:
        self._episodes, self._world, self._codec = episodes, world, codec
        camera = Camera.centred(world.camera)
        self._latent_camera = camera.scaled(1 / world.codec.stride)
        self._cloud = PointCloud(world.memory.capacity, camera)

    @torch.no_grad()
    def draw(self, episode: int, rng: np.random.Generator) -> Sample:
        """A random sample of one episode."""
        size = self._world.block_frames
        rgb, depth, poses = self._episodes.read(episode, 0, self._episodes.frames)
        starts = self._starts(poses, rng)
        self._remember(rng, rgb, depth, poses, starts)
        write_own = rng.random() < 0.65
        splats, masks = [], []
        for start in starts:
            block = slice(start, start + size)
            splat = self._cloud.view(poses[block])
            splats.append(torch.from_numpy(filled(splat, self._world.codec.near)))
            masks.append(torch.from_numpy(splat.mask)[:, None])
            if write_own:
                for frame in (start, start + size - 1):
                    self._insert(rng, rgb[frame], depth[frame], poses[frame])
        frames = np.concatenate([np.arange(start, start + size) for start in starts])
        mask = torch.cat(masks)
        spatial = spatial_maps(self._codec, torch.cat(splats), mask)
        camera = [
            camera_maps(self._latent_camera, poses[s : s + size], poses[s - 1]) for s in starts
        ]
        image = pack(rgb[frames], depth[frames], self._world.codec.near)
        return Sample(
            clean=self._codec.encode(image),
            hint=spatial.hint,
            spatial=spatial.maps,
            camera=torch.cat(camera),
            hole=1 - avg_pool2d(mask, self._world.codec.stride)[:, 0],
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
    ) -> None:
        self._cloud.clear()
        kind = rng.random()
        if kind < 0.25:
            return
        if kind < 0.65:  # a little, from before
            frames = rng.integers(0, starts[1], rng.integers(1, 3))
        else:  # a place that is well known: frames from after it count as an earlier visit
            outside = np.r_[0 : starts[1], starts[2] + self._world.block_frames : len(rgb)]
            frames = rng.choice(outside, min(len(outside), int(rng.integers(4, 11))), replace=False)
        for frame in frames:
            self._insert(rng, rgb[frame], depth[frame], poses[frame])

    def _insert(
        self,
        rng: np.random.Generator,
        rgb: NDArray[np.uint8],
        depth: NDArray[np.floating],
        pose: NDArray[np.float64],
    ) -> None:
        """Write a frame into the memory as a generator would have made it: a little wrong."""
        image = rgb.astype(np.float32)
        image = image * rng.normal(1, 0.03, 3) + rng.normal(0, 4, 3)
        if rng.random() < 0.4:
            image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.0))
        if rng.random() < 0.5:
            image = image + rng.normal(0, rng.uniform(0, 10), image.shape)
        scaled = depth.astype(np.float32) * np.float32(rng.normal(1, 0.01))
        self._cloud.insert(np.clip(image, 0, 255).astype(np.uint8), scaled, pose)


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
