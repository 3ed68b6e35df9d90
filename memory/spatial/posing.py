"""Things that move, put where they are at a moment and drawn over the static view."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from worldrt.geometry.camera import Camera
from worldrt.kernels.splat import splat
from worldrt.memory.spatial.colours import hue_chroma_value, rgb_of
from worldrt.memory.spatial.focus import Rates
from worldrt.memory.spatial.frame import Splat
from worldrt.memory.spatial.map import FULL_WEIGHT
from worldrt.memory.spatial.motion import Law

TRUSTED = 0.12
"""Metres of error below which a law tells better where a thing was than each sighting does."""
BACK = 0.2
"""Cosine between where a point was seen from and where it is drawn from, below which it may lie on
the far side and is left out."""
DENSE = 1.5
"""Points a pixel that close a surface."""
WIDEST = 3.0
"""Sizes of a source pixel that a point may cover where there are too few."""


EDGE = (0.2, 0.8)
"""Weights, as shares of the largest beside a pixel, at which it is none of a thing's and all."""
HALF = 0.5
"""Share of a pixel that is a thing's from which on it is shown where nothing else is known."""


class Posed(NamedTuple):
    """A thing in the world."""

    points: NDArray[np.float32]
    """[P, 3] metres."""
    colours: NDArray[np.uint8]
    """[P, 3] RGB."""
    source_depth: NDArray[np.float32]
    """[P] metres at which a pixel is as large as what the point stands for."""


def relative(
    position: NDArray[np.float32], seen: NDArray[np.float64], law: Law
) -> NDArray[np.float64]:
    """Points from the middle of a thing's base, in its heights, as it stood when they were seen.

    Args:
        position: [P, 3] metres from where it was measured to be, in the world's axes.
        seen: [P, 8] the sighting of each; see `Entities`.
        law: of the thing.
    """
    if np.linalg.norm(law.error[:3]) > TRUSTED:
        return position / seen[:, 4:5]
    frames, which = np.unique(seen[:, 0], return_inverse=True)
    told = law.at(frames)[which]
    return (position + seen[:, 1:4] - told[:, :3]) / told[:, 3:]


def posed(
    position: NDArray[np.float32],
    colour: NDArray[np.uint8],
    depth: NDArray[np.float32],
    seen: NDArray[np.float64],
    law: Law,
    rates: Rates,
    state: NDArray[np.float64],
    eye: NDArray[np.float64],
) -> Posed:
    """A thing where and as it is.

    Args:
        position: [P, 3] metres from where it was measured to be, in the world's axes.
        colour: [P, 3] RGB.
        depth: [P] metres at which the points were seen.
        seen: [P, 8] the sighting of each; see `Entities`.
        law, rates: of the thing.
        state: [6] see `Belief`.
        eye: [3] who looks: what they would see from behind is left out.
    """
    since = seen[:, 0] - law.since
    turn = state[3] - rates.yaw * since
    cos, sin = np.cos(turn), np.sin(turn)
    sight = seen[:, 5:7] - seen[:, [1, 3]]
    sight = np.stack([cos * sight[:, 0] + sin * sight[:, 1], cos * sight[:, 1] - sin * sight[:, 0]])
    now = (eye - state[:3])[[0, 2]]
    lengths = np.linalg.norm(sight, axis=0) * np.linalg.norm(now)
    shown = now @ sight >= BACK * lengths
    cos, sin, seen = cos[shown], sin[shown], seen[shown]
    local = state[4] * relative(position[shown], seen, law)
    x, y, z = local.T
    points = np.stack([cos * x + sin * z, y, cos * z - sin * x], axis=1) + state[:3]
    change = state[5] - rates.hue * since[shown]
    colours = colour[shown]
    if np.any(change):
        tints = hue_chroma_value(colours / np.float32(255))
        tints[:, 0] += change
        colours = np.rint(255 * np.clip(rgb_of(tints), 0, 1)).astype(np.uint8)
    few = np.sqrt(DENSE * seen[:, 7].mean() / len(seen)) if len(seen) else 1.0
    grown = state[4] / seen[:, 4]
    source = depth[shown] * grown * np.clip(few, 1, WIDEST)
    return Posed(points.astype(np.float32), colours, source.astype(np.float32))


def over(
    view: Splat,
    things: list[Posed],
    seen: NDArray[np.int64],
    pose: NDArray[np.float64],
    camera: Camera,
) -> Splat:
    """One view with things drawn over it, each before what is farther.

    Args:
        view: [Y, X] of the static map.
        things: in the world.
        seen: frame at which each was last seen.
        pose: [4, 4] world_from_camera.
        camera: of the view.
    """
    counts = [len(thing.points) for thing in things]
    drawn = splat(
        np.concatenate([thing.points for thing in things]),
        np.concatenate([thing.colours for thing in things]),
        np.concatenate([thing.source_depth for thing in things]),
        np.repeat(seen, counts).astype(np.int32),
        np.ones(sum(counts), np.uint8),
        [np.array([[0, sum(counts)]], np.int32)],
        pose[None],
        camera,
    )
    one = np.float32(1)
    # Points are so dense that a pixel just outside gets weight enough; it gets less than those
    # beside it, half of theirs at the thing's edge.
    weight, around = drawn.weight[0], np.ones((3, 3), np.uint8)
    inner = np.maximum(cv2.dilate(weight, around), np.float32(1e-6))
    cover = np.clip((weight / inner - EDGE[0]) / (EDGE[1] - EDGE[0]), 0, 1).astype(np.float32)
    # Within it some get less too; no hole is as small as a pixel or two.
    cover = cv2.morphologyEx(cover, cv2.MORPH_CLOSE, around)
    cover *= np.minimum(weight / np.float32(FULL_WEIGHT), one)
    before = (view.mask <= 0) | (drawn.depth[0] < view.depth)
    cover = np.where(before, cover, np.float32(0))
    # Beside the map's holes there is nothing to mix with: the thing alone is shown, or nothing.
    share = np.where(view.mask > 0, cover, (cover >= HALF).astype(np.float32))
    inverse = share * _inverse(drawn.depth[0]) + (one - share) * _inverse(view.depth)
    mixed = share[..., None]
    return Splat(
        rgb=(mixed * drawn.rgb[0] + (one - mixed) * view.rgb).astype(np.float32),
        depth=_inverse(inverse),
        mask=np.maximum(view.mask, np.where(share > 0, cover, 0)).astype(np.float32),
        written=(share * drawn.written[0] + (one - share) * view.written).astype(np.float32),
    )


def _inverse(depth: NDArray[np.floating]) -> NDArray[np.float32]:
    """1 / depth, and 0 where depth is 0: nothing is known there."""
    inverse = np.zeros(depth.shape, np.float32)
    np.divide(1, depth, out=inverse, where=depth > 0)
    return inverse
