"""What the memory shows of recorded frames, and the errors put into latents."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from worldrt.errors import InputError
from worldrt.geometry.camera import Camera
from worldrt.training.remembered import Remembered, Walks, flawed_latents


class Wall:
    """Episodes of a camera that slides along a wall of smooth colours, one metre away."""

    frames = 12
    camera = Camera(width=40, height=24, fx=40, fy=40, cx=20, cy=12)

    def __len__(self) -> int:
        return 5

    def read(
        self, episode: int, start: int, stop: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.float16], NDArray[np.float64]]:
        moments = np.arange(start, stop)
        x = (np.arange(40) + 4 * moments[:, None])[:, None, :, None]
        y = np.arange(24)[None, :, None, None]
        phase = np.array([0, 2, 4]) + episode
        rgb = 128 + 100 * np.sin(x / 9 + phase) * np.cos(y / 7)
        poses = np.tile(np.eye(4), (len(moments), 1, 1))
        poses[:, 0, 3] = moments * 4 / 40
        return rgb.astype(np.uint8), np.ones(rgb.shape[:3], np.float16), poses


def walks(held_out: int = 2) -> Walks:
    return Walks(Wall(), held_out, near=0.5)  # pyright: ignore[reportArgumentType]


def test_the_memory_shows_the_image_where_it_remembers():
    rng = np.random.default_rng(0)
    drawn = Remembered.together([walks().draw(8, rng) for _ in range(8)])
    assert drawn.image.shape == drawn.splat.shape == (64, 4, 24, 40)
    assert drawn.mask.shape == (64, 1, 24, 40)
    assert 0 <= drawn.mask.min() and drawn.mask.max() == 1
    assert 0.2 < drawn.mask.mean() < 0.95
    known = drawn.mask > 0.99
    error = (drawn.splat - drawn.image).abs()
    assert (error[:, :3] * known).sum() / (3 * known.sum()) < 0.12
    assert (error[:, 3:] * known).sum() / known.sum() < 0.03


def test_draws_depend_on_the_generator_alone():
    again = walks()
    again.draw(4, np.random.default_rng(5))
    pairs = zip(
        walks().draw(4, np.random.default_rng(1)),
        again.draw(4, np.random.default_rng(1)),
        strict=True,
    )
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_batch_of_one_is_one_frame():
    assert len(walks().draw(1, np.random.default_rng(0)).image) == 1


def test_held_out_episodes_are_never_drawn(monkeypatch):
    seen: list[int] = []
    read = Wall.read
    monkeypatch.setattr(
        Wall, "read", lambda self, e, *span: (seen.append(e), read(self, e, *span))[1]
    )
    both = walks()
    for seed in range(20):
        both.draw(2, np.random.default_rng(seed))
    list(both.frames(100))
    assert set(seen) == {0, 1, 2}
    seen.clear()
    assert len(both.held_out(np.random.default_rng(0)).image) == 4
    assert set(seen) == {3, 4}


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (7, 7), (36, 36), (1000, 36)])
def test_frames_are_spread_and_come_once(count, expected):
    images = list(walks().frames(count))
    assert len(images) == expected
    assert len({image.numpy().tobytes() for image in images}) == expected


def test_nothing_left_to_train_on():
    with pytest.raises(InputError, match="has 5 episodes, 5 are held out"):
        walks(held_out=5)


def flaws(latents: torch.Tensor, noise: float, trust: float = 0.0, seed: int = 0) -> torch.Tensor:
    mask = torch.full((len(latents), 1, *latents.shape[2:]), trust)
    scale = torch.linspace(2, 0.2, latents.shape[1])
    hint = torch.full_like(latents, 5.0)
    return flawed_latents(latents, hint, mask, scale, noise, np.random.default_rng(seed))


def test_some_latents_are_whole_and_none_noisier_than_asked():
    deviations = flaws(torch.zeros(600, 2, 8, 8), noise=0.5).flatten(1).std(1)
    assert 0.25 < (deviations == 0).float().mean() < 0.42
    assert 0.3 < deviations.max() < 0.6


def test_without_noise_and_memory_latents_stay():
    latents = torch.randn(50, 2, 3, 3)
    assert torch.allclose(flaws(latents, noise=0.0), latents)


def test_latents_lean_on_the_hint_as_far_as_it_is_trusted():
    latents = torch.zeros(600, 1, 1, 1)
    full, half = (flaws(latents, noise=0.0, trust=trust).flatten() for trust in (1.0, 0.5))
    assert torch.allclose(half, full / 2)
    assert 0 <= full.min() and 4.9 < full.max() <= 5
    assert 0.25 < (full == 0).float().mean() < 0.42


def test_weak_components_shrink_first():
    strong, weak = flaws(torch.ones(600, 2, 64, 1), noise=0.3).mean((2, 3)).min(0).values
    assert weak < 0.7 < 0.85 < strong
