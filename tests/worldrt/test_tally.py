"""The figures of a rendering: sums over its blocks, and percentiles of them in constant memory."""

import numpy as np
import pytest
import torch

from tests.tiny import BLOCK
from worldrt.chunk import Chunk
from worldrt.session import Session
from worldrt.starts import Start
from worldrt.tally import Tally
from worldrt.world import World


def chunk(block_ms: float) -> Chunk:
    return Chunk(
        frames=np.zeros((BLOCK, 1, 1, 3), np.uint8),
        depth=np.ones((BLOCK, 1, 1), np.float32),
        poses=np.stack([np.eye(4)] * BLOCK),
        remembered=np.zeros((BLOCK, 1, 1), np.float32),
        latents=torch.zeros(BLOCK, 1, 1, 1),
        first=0,
        stage_ms={"steps": 0.75 * block_ms, "decode": 0.25 * block_ms},
        recalled=(),
        partitions={},
        evicted=0,
        policy="window",
    )


@pytest.fixture
def tally(world: World, start: Start) -> Tally:
    return Tally(Session(world, start), start, None, 0)


@pytest.mark.parametrize("kind", ["lognormal", "uniform", "spikes", "one"])
def test_percentiles_are_true_to_one_percent(tally: Tally, kind: str) -> None:
    random = np.random.default_rng(0)
    spent = {
        "lognormal": random.lognormal(3, 1.5, 2000),
        "uniform": random.uniform(0.2, 90_000, 2000),
        "spikes": np.r_[np.full(980, 12.0), np.full(20, 4000.0)],
        "one": np.array([33.3]),
    }[kind]
    for block_ms in spent:
        tally.add(chunk(block_ms))
    for share in (0.05, 0.5, 0.95, 0.99):
        wanted = np.percentile(spent, 100 * share, method="inverted_cdf")
        assert tally.percentile(share) == pytest.approx(wanted, rel=0.01)


def test_figures_are_sums_over_the_blocks(tally: Tally) -> None:
    assert tally.fps == 0
    for block_ms in (100.0, 300.0):
        tally.add(chunk(block_ms))
    report = tally.report(7, {})
    assert (report.frames, tally.frames, tally.blocks) == (7, 8, 2)
    assert report.fps == 20
    assert report.stage_ms == {"steps": 150, "decode": 50}
    assert report.policy == "window" and report.psnr_seen is None
