"""Which frames show which points, as bitsets, and the frames that together show the most.

Cost: `sees` projects Q points into each of M frames, one point at about 8 ns, and reads four depths
of each; `greedy` counts M Q / 64 words for each pick. Neither depends on how many other frames
there are.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from worldrt.errors import ShapeError
from worldrt.geometry.camera import Camera
from worldrt.kernels.front import NEAR, lens

AGREEMENT = 0.02
"""How far a depth may lie from the point that it shows, relatively."""
SLACK = 0.03
"""And in metres besides."""
ALIKE_ANGLE = 15.0
"""Degrees; two frames whose views turn by less, from places less far apart, show the same."""
ALIKE_DISTANCE = 0.5
"""Metres."""
ALIKE_WORTH = 0.5
"""What a frame that shows the same as one chosen before is worth."""


def sees(
    points: NDArray[np.float32],
    poses: NDArray[np.float64],
    depth: NDArray[np.float32],
    camera: Camera,
) -> NDArray[np.uint64]:
    """Which frames see which points: nothing in the frame's own depth hides them.

    A depth agrees with a point if the pixel that it falls on does, or the depth between the four
    nearest pixels (at the border, half a pixel beyond them): inverse depth is linear on a plane, so
    a floor agrees however coarse the frame.

    Args:
        points: [Q, 3] world coordinates, metres; one that is not finite is seen by none.
        poses: [M, 4, 4] world_from_camera.
        depth: [M, y, x] metres along z; 0 or not finite is unknown.
        camera: of the depths.

    Returns:
        [M, ceil(Q / 64)] bit q % 64 of word q // 64 is point q.

    Raises:
        ShapeError: an array's shape does not fit.
    """
    if points.ndim != 2 or points.shape[1] != 3:
        raise ShapeError("points", points.shape, "[Q, 3]")
    if poses.ndim != 3 or poses.shape[1:] != (4, 4):
        raise ShapeError("poses", poses.shape, "[M, 4, 4]")
    if depth.shape != (len(poses), camera.height, camera.width):
        raise ShapeError("depth", depth.shape, f"[{len(poses)}, {camera.height}, {camera.width}]")
    bits = np.zeros((len(poses), -(-len(points) // 64)), np.uint64)
    for row, pose in enumerate(poses):
        _sees(points, lens(pose, camera), depth[row], bits[row])
    return bits


def pack(mask: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """[ceil(Q / 64)] the bitset of a mask [Q], in the order of `sees`."""
    padded = np.zeros(-(-len(mask) // 64) * 64, np.bool_)
    padded[: len(mask)] = mask
    return np.packbits(padded, bitorder="little").view("<u8").astype(np.uint64, copy=False)


def greedy(
    bits: NDArray[np.uint64],
    covered: NDArray[np.uint64],
    worth: NDArray[np.float64],
    poses: NDArray[np.float64],
    count: int,
    least: int,
    alike: float = ALIKE_WORTH,
) -> list[int]:
    """Choose frames one by one, each time the one that adds most.

    A frame adds the points that no chosen one shows, times its worth, times `alike` if a chosen
    frame stands within half a metre and 15 degrees.

    Args:
        bits: [M, W] what each frame shows.
        covered: [W] what is shown already.
        worth: [M] of a point by that frame, above 0.
        poses: [M, 4, 4] world_from_camera.
        count: most frames.
        least: points that a frame must add, at least 1.
        alike: what a frame that shows the same as a chosen one is worth, above 0 to 1.

    Returns:
        Rows, the best first, none twice; of equals the later row.

    Source: Nemhauser, Wolsey and Fisher, An analysis of approximations for maximizing submodular
    set functions, 1978: with equal worth and `alike` 1, at least 1 - 1/e of the best.
    """
    chosen = np.empty(max(count, 0), np.int64)
    found = _greedy(bits, covered.copy(), worth.copy(), poses, least, alike, chosen)
    return chosen[:found].tolist()


@njit(cache=True, nogil=True, error_model="numpy")
def _sees(points, lens, depth, bits):  # pragma: no cover
    height, width = depth.shape
    zero, half, one = np.float32(0.0), np.float32(0.5), np.float32(1.0)
    for q in range(len(points)):
        d0, d1, d2 = points[q, 0] - lens[9], points[q, 1] - lens[10], points[q, 2] - lens[11]
        z = lens[6] * d0 + lens[7] * d1 + lens[8] * d2
        if not z >= np.float32(NEAR):
            continue
        u = (lens[0] * d0 + lens[1] * d1 + lens[2] * d2) / z + lens[12]
        v = (lens[3] * d0 + lens[4] * d1 + lens[5] * d2) / z + lens[13]
        if not (0 <= u < np.float32(width) and 0 <= v < np.float32(height)):
            continue
        room = np.float32(AGREEMENT) * z + np.float32(SLACK)
        here = depth[np.int32(v), np.int32(u)]
        agrees = here > 0 and abs(here - z) <= room
        if not agrees:
            u, v = u - half, v - half
            left = min(np.int32(max(u, zero)), max(width - 2, 0))
            top = min(np.int32(max(v, zero)), max(height - 2, 0))
            right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
            a, b = depth[top, left], depth[top, right]
            c, d = depth[bottom, left], depth[bottom, right]
            if a > 0 and b > 0 and c > 0 and d > 0:
                across, down = u - np.float32(left), v - np.float32(top)
                upper = (one - across) / a + across / b
                lower = (one - across) / c + across / d
                inverse = (one - down) * upper + down * lower
                agrees = inverse > 0 and abs(one / inverse - z) <= room
        if agrees:
            bits[q >> 6] |= np.uint64(1) << np.uint64(q & 63)


@njit(cache=True, nogil=True, inline="always")
def _ones(word):  # pragma: no cover
    """Bits that are set: Warren, Hacker's Delight, section 5-1; compilers know the pattern."""
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + (
        (word >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(cache=True, nogil=True)
def _greedy(bits, covered, worth, poses, least, alike, chosen):  # pragma: no cover
    frames, words = bits.shape
    # trace(Ra^T Rb) = 1 + 2 cos(angle)
    alike_trace = 1 + 2 * np.cos(np.radians(ALIKE_ANGLE))
    open_ = np.ones(frames, np.bool_)
    known = np.zeros(frames, np.bool_)
    for pick in range(len(chosen)):
        best, most = -1, 0.0
        for m in range(frames):
            if not open_[m]:
                continue
            fresh = 0
            for word in range(words):
                fresh += _ones(bits[m, word] & ~covered[word])
            if fresh >= least and fresh * worth[m] >= most:
                best, most = m, fresh * worth[m]
        if best < 0:
            return pick
        chosen[pick] = best
        open_[best] = False
        for word in range(words):
            covered[word] |= bits[best, word]
        for m in range(frames):
            if known[m]:
                continue
            trace, square = 0.0, 0.0
            for i in range(3):
                square += (poses[m, i, 3] - poses[best, i, 3]) ** 2
                for j in range(3):
                    trace += poses[m, i, j] * poses[best, i, j]
            if trace >= alike_trace and square <= ALIKE_DISTANCE**2:
                known[m] = True
                worth[m] *= alike
    return len(chosen)
