"""What a rollout becomes over time: how its look drifts, and whether places stay the same."""

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from worldrt.bench.metrics import psnr, sharpness
from worldrt.config import check
from worldrt.errors import ShapeError

NEAR_M, NEAR_DEGREES = 0.05, 1.0
"""How far two poses may lie apart and be one place."""
SHIFT = 0.3
"""Share of a revisit's gap by which its baseline's gap differs."""
CAP = 60.0
"""Decibels that stand for equal images, so that means stay finite."""
FLAT = 1e-3
"""Share of white, a quarter of an 8-bit level, that the least sharpness and saturation count as, so
that ratios stay finite."""


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """How a later stretch of video differs from an earlier one, beyond what the truth does."""

    sharpness: float
    """Ratio; below 1 it blurs, above 1 it grows noisy or harsh."""
    colour: float
    """Distance that the mean colour moved, 8-bit levels of RGB; 0 is none."""
    saturation: float
    """Ratio; below 1 colours pale, above 1 they burn."""


class Revisit(msgspec.Struct, frozen=True, kw_only=True):
    """How alike a rollout shows a place when it comes back."""

    psnr: float
    """dB of frames at revisited poses against what the rollout itself showed there first."""
    gain: float
    """dB by which that is closer than frames of other places are."""


def drift(
    first: NDArray[np.uint8],
    last: NDArray[np.uint8],
    true_first: NDArray[np.uint8],
    true_last: NDArray[np.uint8],
) -> Drift:
    """Compare two stretches of a rollout.

    Each figure is taken relative to the truth at the same poses before the two stretches are
    compared, so a camera that has walked into a darker or plainer room has not drifted: sharpness
    and saturation are ratios of ratios to the truth, the colour is the change of the difference
    from the truth.

    Args:
        first, last: [F, Y, X, 3] generated; the two may differ in length.
        true_first, true_last: what is really there, of the same shapes.

    Raises:
        ShapeError: a stretch and its truth differ in shape.
    """
    shift = (_colour(last) - _colour(true_last)) - (_colour(first) - _colour(true_first))
    ratios = [
        measure(last) / measure(true_last) / (measure(first) / measure(true_first))
        for measure in (_sharpness, _saturation)
    ]
    return Drift(sharpness=ratios[0], colour=float(np.linalg.norm(shift)), saturation=ratios[1])


def revisits(poses: NDArray[np.float64], gap: int) -> list[tuple[int, int]]:
    """Frames that stand where an earlier frame stood, each with the first such.

    Args:
        poses: [F, 4, 4] world_from_camera, level.
        gap: frames that must lie between the two, at least 1.

    Returns:
        (frame, earlier frame), by frame: position within 5 cm, yaw within 1 degree.

    Raises:
        ShapeError: poses of another shape.
        ConfigError: gap is not positive.
    """
    if poses.ndim != 3 or poses.shape[1:] != (4, 4):
        raise ShapeError("poses", poses.shape, "[F, 4, 4]")
    check(gap >= 1, f"A revisit lies at least 1 frame after the visit, got a gap of {gap}.")
    found = []
    for frame in range(gap, len(poses)):
        near = np.flatnonzero(_near(poses[: frame - gap + 1], poses[frame]))
        if len(near):
            found.append((frame, int(near[0])))
    return found


def revisit_gain(
    frames: NDArray[np.uint8], poses: NDArray[np.float64], pairs: list[tuple[int, int]]
) -> Revisit | None:
    """How much more a revisited place looks as before than any other place does.

    The mean PSNR of the pairs, less the mean PSNR of as many baselines: each revisiting frame
    against the rollout's frames 0.3 of the gap before and after the visit, where these exist and
    show another place. A video that never changes therefore gains 0, however alike its frames are,
    and fog gains little.

    Args:
        frames: [F, Y, X, 3] generated.
        poses: [F, 4, 4] their poses.
        pairs: from `revisits`; those beyond the last frame do not count.

    Returns:
        The figures; None where no pair with a baseline is left.

    Source: R2M-Bench's memory gain, the mean over revisit pairs less that over baseline pairs of
    like gaps; there poses match within 0.1 to 1 m, and pairs are drawn at random.
    """
    same, other = [], []
    for frame, earlier in pairs:
        shift = max(1, round(SHIFT * (frame - earlier)))
        baselines = [
            at
            for at in (earlier - shift, earlier + shift)
            if 0 <= at < len(frames) and not _near(poses[at], poses[frame])
        ]
        if frame < len(frames) and baselines:
            same.append(capped_psnr(frames[frame], frames[earlier]))
            other.append(np.mean([capped_psnr(frames[frame], frames[at]) for at in baselines]))
    if not same:
        return None
    mean = float(np.mean(same))
    return Revisit(psnr=mean, gain=mean - float(np.mean(other)))


def capped_psnr(
    image: NDArray[np.uint8], truth: NDArray[np.uint8], mask: NDArray[np.bool_] | None = None
) -> float:
    """`metrics.psnr`, at most CAP."""
    return min(psnr(image, truth, mask), CAP)


def _near(there: NDArray[np.float64], here: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which poses [..., 4, 4] are one place with a pose [4, 4]."""
    apart = np.linalg.norm(there[..., :3, 3] - here[:3, 3], axis=-1)
    ahead = there[..., :3, 2] @ here[:3, 2]  # cosine between the two views
    return (apart <= NEAR_M) & (ahead >= math.cos(math.radians(NEAR_DEGREES)))


def _colour(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """[3] mean colour."""
    return frames.mean(axis=tuple(range(frames.ndim - 1)), dtype=np.float64)


def _sharpness(frames: NDArray[np.uint8]) -> float:
    return max(sharpness(frames), FLAT)


def _saturation(frames: NDArray[np.uint8]) -> float:
    """Mean distance between a pixel's strongest and weakest colour, as a share of white."""
    return max(float(np.ptp(frames, axis=-1).mean()) / 255, FLAT)
