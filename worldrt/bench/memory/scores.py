"""Scores of what a memory shows: pictures, depths, choices of frames, and how sure they are."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from worldrt.bench.drift import capped_psnr
from worldrt.bench.memory.pairs import Mined, gain
from worldrt.bench.metrics import sharpness_ratio, ssim

LEAST = 0.01
"""Share of a frame's pixels below which a part of it is not scored."""
GHOST = 0.05
"""A memory pixel this much nearer than the truth, relatively, is a ghost."""
WELL = 1.25
"""Depths within this ratio of the truth count as right."""
ALIKE_M, ALIKE_DEGREES = 0.5, 15.0
"""Frames nearer to each other than both show the same."""
RESAMPLES = 1000
LEVEL = 0.95


def picture(
    image: NDArray[np.uint8], truth: NDArray[np.uint8], parts: Mapping[str, NDArray[np.bool_]]
) -> dict[str, float]:
    """How close a frame is to the truth, or to what was shown on the first visit.

    Args:
        image: [Y, X, 3]
        truth: [Y, X, 3] what it is held against.
        parts: [Y, X] pixels by name: `seen` those that earlier frames showed, `novel` the others.

    Returns:
        `psnr_PART` (dB, at most 60), `ssim_PART` and `sharpness_PART` (share of the truth's); a
        part of less than 1 % of the pixels is left out, as is a figure that can't be told.

    Raises:
        ShapeError: the shapes differ.
    """
    found: dict[str, float] = {}
    for part, mask in parts.items():
        if mask.mean() >= LEAST:
            found[f"psnr_{part}"] = capped_psnr(image, truth, mask)
            found[f"ssim_{part}"] = ssim(image, truth, mask)
            found[f"sharpness_{part}"] = sharpness_ratio(image, truth, mask)
    return {name: value for name, value in found.items() if np.isfinite(value)}


def gains(frames: NDArray[np.uint8], mined: Mined) -> dict[str, float]:
    """How much more alike a video shows revisited places than others, see `pairs.py`.

    Args:
        frames: [T, Y, X, 3] of one video, Y and X at least 11.
        mined: its pairs.

    Returns:
        `LIKE_revisit`, `LIKE_baseline`, `LIKE_short`, `LIKE_mg`, `LIKE_dr` and `LIKE_nmr` with LIKE
        `psnr` (dB, at most 60) and `ssim`. What can't be told is left out: NMR of a video that
        hardly moves, all but `short` of one without revisits.
    """
    found: dict[str, float] = {}
    for name, alike in (("psnr", capped_psnr), ("ssim", ssim)):
        told = gain(mined, lambda a, b, alike=alike: alike(frames[a], frames[b]))
        found |= {
            f"{name}_revisit": told.revisit,
            f"{name}_baseline": told.baseline,
            f"{name}_short": told.short,
            f"{name}_mg": told.gain,
            f"{name}_dr": told.range,
            f"{name}_nmr": told.normalised,
        }
    return {name: value for name, value in found.items() if np.isfinite(value)}


def geometry(
    depth: NDArray[np.float32],
    truth: NDArray[np.float32],
    mask: NDArray[np.bool_],
) -> dict[str, float]:
    """How close remembered depths are to the truth.

    Args:
        depth: [..., Y, X] metres along z; 0 or not finite is unknown.
        truth: the same shape; unknown likewise.
        mask: the same shape, pixels that show memory.

    Returns:
        `absrel`: mean error as a share of the truth; `delta`: share of pixels within a ratio of
        1.25; `ghost`: share more than 5 % before the truth; `known`: share of the mask's pixels
        that have a depth. Without any there is `known` alone; with an empty mask nothing.

    Source: Eigen et al., Depth Map Prediction from a Single Image, NeurIPS 2014 (AbsRel, delta).
    """
    if not mask.any():
        return {}
    known = mask & np.isfinite(depth) & (depth > 0) & np.isfinite(truth) & (truth > 0)
    found = {"known": float(known.sum() / mask.sum())}
    if known.any():
        told, real = depth[known].astype(np.float64), truth[known].astype(np.float64)
        ratio = told / real
        found["absrel"] = float(np.abs(ratio - 1).mean())
        found["delta"] = float((np.maximum(ratio, 1 / ratio) < WELL).mean())
        found["ghost"] = float((ratio < 1 - GHOST).mean())
    return found


def duplicates(chosen: NDArray[np.float64]) -> float:
    """Share of chosen frames that show what a better one of the same choice shows.

    Args:
        chosen: [K, 4, 4] their poses, the best first.

    Returns:
        Frames within 0.5 m and 15 degrees of an earlier one, of all but the first; nan below two.
    """
    if len(chosen) < 2:
        return float("nan")
    apart = np.linalg.norm(chosen[:, None, :3, 3] - chosen[:, :3, 3], axis=-1)
    ahead = chosen[:, :3, 2] @ chosen[:, :3, 2].T
    alike = (apart < ALIKE_M) & (ahead > np.cos(np.radians(ALIKE_DEGREES)))
    return float(np.tril(alike, -1).any(axis=1)[1:].mean())


def bootstrap(values: NDArray[np.float64], seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of a mean, from 1,000 resamplings.

    Args:
        values: [N] one a seed of the benchmark, at least one.
        seed: of the resampling.

    Returns:
        low, high: 2.5th and 97.5th percentile of the resampled means; equal for one value.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.
    """
    values = np.asarray(values, np.float64)
    drawn = np.random.default_rng([9, seed]).integers(len(values), size=(RESAMPLES, len(values)))
    means = values[drawn].mean(axis=1)
    low, high = np.percentile(means, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)


def exponent(frames: NDArray[np.integer], latency: NDArray[np.floating]) -> float:
    """The power of the history's length that a latency grows with.

    Args:
        frames: [N] lengths, at least two different ones.
        latency: [N] times, above 0.

    Returns:
        Slope of log latency over log length by least squares: 0 is constant, 1 linear.
    """
    return float(np.polyfit(np.log(frames), np.log(latency), 1)[0])
