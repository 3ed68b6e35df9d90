"""Moments joined and moved without the tokens, against moments of the tokens."""

import pytest
import torch
from torch import Tensor

from worldrt.memory.moments import LEAST_DEVIATION, Moments


def close(got: Moments, expected: Moments) -> None:
    for one, two in zip(got, expected, strict=True):
        torch.testing.assert_close(one.double(), two.double(), atol=1e-5, rtol=1e-5)


def tokens(*size: int) -> Tensor:
    """Far from zero, so that sums of squares would cancel."""
    return 30 + torch.randn(size, generator=torch.Generator().manual_seed(len(size)))


def exact(frames: Tensor) -> Moments:
    """Of [..., L, H, D] in float64."""
    variance, mean = torch.var_mean(frames.double(), dim=-3, correction=0)
    return Moments(mean, variance)


def test_moments_are_those_of_the_definition() -> None:
    frames = tokens(2, 7, 3, 5)
    close(Moments.of(frames), exact(frames))
    both = Moments.of_both(frames, -2 * frames)
    close(Moments(both.mean[:, 1], both.variance[:, 1]), exact(-2 * frames))


def test_frames_together_are_all_their_tokens() -> None:
    frames = tokens(2, 4, 1, 7, 3, 5)  # [B, K, X, L, H, D]
    own = Moments.of(frames)
    close(own.pooled(), exact(frames.transpose(1, 2).flatten(2, 3)))


@pytest.mark.parametrize("mine, its", [(3, 2), (1, 9), (0, 4)])
def test_joining_weighs_by_frames(mine: int, its: int) -> None:
    one, two = tokens(mine * 6, 3, 5), tokens(its * 6, 3, 5) - 4
    first = Moments.of(one) if mine else Moments(torch.zeros(3, 5), torch.zeros(3, 5))
    close(first.joined(Moments.of(two), mine, its), exact(torch.cat([one, two])))


@pytest.mark.parametrize("share", [0.0, 0.35, 1.0])
def test_moving_tokens_moves_their_moments(share: float) -> None:
    """All of the way, a frame has the goal's moments; and the moments are told in advance."""
    frames, goal = tokens(2, 4, 1, 7, 3, 5), Moments.of(5 * tokens(2, 1, 9, 3, 5))
    own = Moments.of(frames)
    scale, shift = own.towards(goal, share)
    moved = frames * scale.unsqueeze(3) + shift.unsqueeze(3)
    close(own.moved(scale, shift), exact(moved))
    if share == 1:
        close(
            own.moved(scale, shift), Moments(*(m.unsqueeze(1).expand(2, 4, 1, 3, 5) for m in goal))
        )


def test_equal_tokens_are_divided_by_a_floor() -> None:
    still = Moments.of(torch.ones(7, 3, 5))
    assert (still.deviation == LEAST_DEVIATION).all()
