"""Frames with what the runtime's own memory shows of them, and a generator's errors."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldrt.codec import pack
from worldrt.errors import InputError
from worldrt.memory.spatial.frame import Frame
from worldrt.memory.spatial.map import SpatialMap
from worldrt.memory.spatial.surface import filled
from worldrt.training.episodes import Episodes

MEMORY_FRAMES = 10
"""Most frames of a walk that are remembered when others of it are restored."""
POINT_BYTES = 128
"""Twice what a point takes, so that no memory is ever full."""


class Remembered(NamedTuple):
    """Images and what is remembered of them."""

    image: Tensor
    """[F, 4, Y, X]"""
    splat: Tensor
    """[F, 4, Y, X], holes filled."""
    mask: Tensor
    """[F, 1, Y, X], 0 to 1."""

    @classmethod
    def together(cls, parts: Sequence["Remembered"]) -> "Remembered":
        return cls(*map(torch.cat, zip(*parts, strict=True)))

    def to(self, device: str) -> "Remembered":
        return Remembered(*(tensor.to(device) for tensor in self))


class Walks:
    """Frames of recorded walks, each with what the runtime's own memory shows of it."""

    def __init__(self, episodes: Episodes, held_out: int, near: float) -> None:
        """Divide a recording.

        Args:
            episodes: the recording.
            held_out: episodes at its end that are not trained on.
            near: metres at which the inverse depth saturates.

        Raises:
            InputError: none is left to train on.
        """
        self.episodes, self.near = episodes, near
        self.training = len(episodes) - held_out
        if self.training < 1:
            raise InputError(
                f"The recording has {len(episodes)} episodes, {held_out} are held out; "
                "record more or hold out fewer."
            )
        camera = episodes.camera
        self._map = SpatialMap(camera, POINT_BYTES * MEMORY_FRAMES * camera.width * camera.height)

    def frames(self, count: int) -> Iterator[Tensor]:
        """About `count` images, spread evenly over the training episodes."""
        length = self.episodes.frames
        for moment in np.unique(np.linspace(0, self.training * length - 1, count).astype(int)):
            episode, frame = divmod(int(moment), length)
            rgb, depth, _ = self.episodes.read(episode, frame, frame + 1)
            yield pack(rgb, depth, self.near)

    def draw(self, batch: int, rng: np.random.Generator) -> "Remembered":
        """`batch` frames from two training episodes."""
        halves = (batch // 2, batch - batch // 2)
        chosen = rng.integers(0, self.training, 2)
        return Remembered.together(
            [
                self._walk(int(e), count, rng)
                for e, count in zip(chosen, halves, strict=True)
                if count
            ]
        )

    def held_out(self, rng: np.random.Generator) -> "Remembered":
        """Two frames from each held-out episode."""
        chosen = range(self.training, len(self.episodes))
        return Remembered.together([self._walk(episode, 2, rng) for episode in chosen])

    def _walk(self, episode: int, count: int, rng: np.random.Generator) -> "Remembered":
        """`count` frames of a walk of which 0 to MEMORY_FRAMES others are remembered."""
        rgb, depth, poses = self.episodes.read(episode, 0, self.episodes.frames)
        order = rng.permutation(len(rgb))
        targets, others = order[:count], order[count:]
        self._map.clear()
        # As they were: a refiner that has seen damaged memories blurs the sound ones.
        for index, frame in enumerate(others[: rng.integers(0, MEMORY_FRAMES + 1)]):
            far = depth[frame].astype(np.float32)
            self._map.insert(Frame(rgb[frame], far, poses[frame], index))
        seen = self._map.view(poses[targets])
        return Remembered(
            pack(rgb[targets], depth[targets], self.near),
            torch.from_numpy(filled(seen, self.near)),
            torch.from_numpy(seen.mask)[:, None],
        )


def flawed_latents(
    latents: Tensor,
    hint: Tensor,
    trust: Tensor,
    scale: Tensor,
    noise: float,
    rng: np.random.Generator,
) -> Tensor:
    """Latents with the errors of a generator; a third of the frames have none.

    Where something is remembered a generator leans on it and repeats its errors. And a network that
    minimises squared error returns the mean of what is possible: components of little variance
    shrink, by Wiener's gain, variance / (variance + noise^2).

    Args:
        latents: [F, C, h, w].
        hint: [F, C, h, w] latents of what is remembered.
        trust: [F, 1, h, w] share of a latent cell that is remembered.
        scale: [C] component scale of the codec.
        noise: largest deviation of the noise.
    """

    def each(values: NDArray) -> Tensor:
        return torch.from_numpy(values.reshape(-1, 1, 1, 1)).to(latents)

    frames = len(latents)
    flawed = each(rng.random(frames) > 1 / 3)
    lean, level = each(rng.random(frames)) * flawed, noise * each(rng.random(frames)) * flawed
    grain = torch.from_numpy(rng.standard_normal(latents.shape, np.float32)).to(latents)
    leaning = torch.lerp(latents, hint, lean * trust) + level * grain
    # sigma / rms = scale^(1 / 0.6), and the latent's deviation is sigma / rms / scale.
    variance = (scale ** (4 / 3))[:, None, None]
    gain = variance / (variance + level.square())
    shrunken = each(rng.random(frames) < 0.5) > 0
    return torch.where(shrunken, gain * leaning, leaning)
