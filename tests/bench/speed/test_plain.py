"""The plain loop is the same mathematics as ours."""

import torch

from worldrt.bench.speed.plain import PlainLoop
from worldrt.bench.speed.subject import random_subject


@torch.inference_mode()
def test_the_plain_loop_generates_what_ours_does() -> None:
    frames = 6
    subject = random_subject(
        "small",
        (80, 48),
        policy=f"window:sink=0,recent={frames}",
        steps=2,
        dtype=torch.float32,
        device=torch.device("cpu"),
    )
    told = subject.told()
    ours, plain = subject.rollout(), PlainLoop(subject, frames)
    for block in range(5):  # longer than the window
        torch.manual_seed(block)
        mine = ours.generate(subject.draw, subject.block_frames, told)
        ours.commit()
        torch.manual_seed(block)
        theirs = plain.block(told)
        assert (mine - theirs).abs().max() < 1e-4 * theirs.abs().max()
