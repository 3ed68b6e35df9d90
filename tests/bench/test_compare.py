"""Scores against a room whose truth is known: what is perfect, what was never seen, and means."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tiny import look, room_start, standing
from worldrt.bench.compare import LEAST, Comparison, Figures, score
from worldrt.bench.metrics import psnr
from worldrt.world import World


def truth_at(
    yaws: list[float],
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float64]]:
    poses = np.stack([standing(0.3, -1.0, yaw) for yaw in yaws])
    seen = [look(pose) for pose in poses]
    return np.stack([one[0] for one in seen]), np.stack([one[1] for one in seen]), poses


def test_truth_itself_is_as_good_as_can_be(world: World) -> None:
    rgb, depth, poses = truth_at([0.0, 35.0])
    for figures in Comparison(world, room_start(1)).add(rgb, rgb, depth, poses):
        assert figures["psnr_seen_world"] == 60
        assert figures["sharp_seen_world"] == pytest.approx(1)


def test_from_where_the_start_stood_everything_was_seen(world: World) -> None:
    rgb, depth, poses = truth_at([20.0])
    (figures,) = Comparison(world, room_start(3)).add(255 - rgb, rgb, depth, poses)
    assert figures["seen"] > 0.99
    assert not any("novel" in name for name in figures)
    assert figures["psnr_seen_repeat"] == 60
    assert figures["psnr_seen_splat"] > 30
    assert figures["psnr_seen_world"] < 15


def test_behind_the_start_nothing_was_seen(world: World) -> None:
    rgb, depth, poses = truth_at([180.0])
    (figures,) = Comparison(world, room_start(1)).add(rgb, rgb, depth, poses)
    assert figures["seen"] < LEAST
    assert not any("_seen_" in name for name in figures)
    assert figures["psnr_novel_world"] == 60
    assert {"psnr_novel_splat", "psnr_novel_repeat"} <= figures.keys()


def test_half_turned_away_both_parts_are_scored(world: World) -> None:
    rgb, depth, poses = truth_at([45.0])
    comparison = Comparison(world, room_start(1))
    (figures,) = comparison.add(rgb, rgb, depth, poses)
    assert 0.3 < figures["seen"] < 0.7
    assert figures["psnr_seen_splat"] > 25 > figures["psnr_novel_splat"]
    # The last real frame is another view; the memory is drawn from this one.
    assert figures["psnr_seen_splat"] > figures["psnr_seen_repeat"] + 5
    assert psnr(comparison.fill(poses), rgb) < 25


def test_more_real_frames_are_more_that_was_seen(world: World) -> None:
    rgb, depth, poses = truth_at([60.0])
    shares = [
        Comparison(world, room_start(count)).add(rgb, rgb, depth, poses)[0]["seen"]
        for count in (1, 4, 8)
    ]
    assert shares[0] < shares[1] < shares[2]


def test_means_are_over_the_frames_that_have_a_figure(world: World) -> None:
    rgb, depth, poses = truth_at([0.0, 45.0, 180.0])
    comparison = Comparison(world, room_start(1))
    found: list[Figures] = []
    for block in (slice(0, 2), slice(2, 3)):
        found += comparison.add(rgb[block] // 2, rgb[block], depth[block], poses[block])
    means = comparison.means()
    assert means.keys() == set().union(*found)
    for name, mean in means.items():
        assert mean == pytest.approx(np.mean([one[name] for one in found if name in one])), name


def test_comparison_of_nothing_has_no_means(world: World) -> None:
    assert Comparison(world, room_start(1)).means() == {}


@pytest.mark.parametrize("pixels, parts", [(0, 1), (5, 1), (20, 2), (300, 2)])
def test_part_of_less_than_a_hundredth_is_not_scored(pixels: int, parts: int) -> None:
    truth = np.random.default_rng(0).integers(0, 256, (20, 50, 3), dtype=np.uint8)
    seen = np.zeros(1000, np.bool_)
    seen[:pixels] = True
    figures = score({"a": truth}, truth, seen.reshape(20, 50))
    assert figures["seen"] == pixels / 1000
    assert len(figures) == 1 + 2 * parts
