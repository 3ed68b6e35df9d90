"""Rigid poses: functions on float64 arrays [..., 4, 4], with any leading axes.

A pose maps points from its own axes to its parent's; `a @ b` composes. Axes are OpenCV's (x right,
y down, z forward) and the world's y points down likewise, so that a level camera turns about +y.
"""

import numpy as np
from numpy.typing import NDArray

from worldrt.errors import InputError, ShapeError

TOLERANCE = 1e-6
"""Largest error of a rotation's entries that `check_pose` lets pass; float32 poses do."""

_SMALL = 1e-2
"""Radians below which a series replaces a quotient that cancels; both are exact to 1e-15 there."""

_POLE = 1e-8
"""Cosine of the pitch below which the view axis no longer tells the yaw."""


def inverse(pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of rigid poses.

    Args:
        pose: [..., 4, 4].

    Returns:
        [..., 4, 4]; of a camera-to-world pose, the world-to-camera one.
    """
    rotation = np.swapaxes(pose[..., :3, :3], -1, -2)
    return _assemble(rotation, -np.einsum("...ij,...j->...i", rotation, pose[..., :3, 3]))


def exp(twist: NDArray[np.float64]) -> NDArray[np.float64]:
    """The pose reached by following a constant twist for one unit of time.

    Args:
        twist: [..., 6] linear velocity (metres), then angular velocity (radians).

    Returns:
        [..., 4, 4].

    Source: Sola, Deray, Atchuthan, A micro Lie theory for state estimation in robotics, (145) and
    (172) to (174).
    """
    angle = np.linalg.norm(twist[..., 3:], axis=-1)[..., None, None]
    cross = cross_matrix(twist[..., 3:])
    square = cross @ cross
    first, second, third = _series(angle)
    eye = np.eye(3)
    path = eye + second * cross + third * square
    return _assemble(
        eye + first * cross + second * square,
        np.einsum("...ij,...j->...i", path, twist[..., :3]),
    )


def log(pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """The twist of least rotation that leads to a pose, the inverse of `exp`.

    Args:
        pose: [..., 4, 4].

    Returns:
        [..., 6] linear velocity (metres), then angular velocity (radians, length at most pi).
        At half a turn both senses are right; which one comes back is not specified.

    Source: Sola, Deray, Atchuthan, A micro Lie theory for state estimation in robotics, (146) and
    (173).
    """
    spin = _rotation_log(pose)
    angle = np.linalg.norm(spin, axis=-1)[..., None, None]
    first, second, _ = _series(angle)
    square = angle * angle
    quotient = (1 - first / (2 * second)) / np.where(angle < _SMALL, 1, square)
    factor = np.where(angle < _SMALL, 1 / 12 + square / 720 + square * square / 30240, quotient)
    cross = cross_matrix(spin)
    path = np.eye(3) - cross / 2 + factor * (cross @ cross)
    return np.concatenate([np.einsum("...ij,...j->...i", path, pose[..., :3, 3]), spin], axis=-1)


def from_quaternion(
    wxyz: NDArray[np.float64], translation: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The pose with a quaternion's rotation.

    Args:
        wxyz: [..., 4] quaternion of any length but 0, real part first.
        translation: [..., 3] metres.

    Returns:
        [..., 4, 4].

    Raises:
        ShapeError: the last axes are not 4 and 3.
        InputError: a quaternion is zero or not finite.
    """
    if wxyz.shape[-1:] != (4,):
        raise ShapeError("wxyz", wxyz.shape, "[..., 4]")
    if translation.shape[-1:] != (3,):
        raise ShapeError("translation", translation.shape, "[..., 3]")
    largest = np.abs(wxyz).max(axis=-1, keepdims=True)  # first: squares may under- or overflow
    bad = np.count_nonzero(~(np.isfinite(largest) & (largest > 0)))
    if bad:
        raise InputError(
            f"{bad} of {largest.size} quaternions are zero or not finite; pass finite ones."
        )
    unit = wxyz / largest
    unit = unit / np.linalg.norm(unit, axis=-1, keepdims=True)
    real, imaginary = unit[..., :1, None], unit[..., 1:]
    cross = cross_matrix(imaginary)
    return _assemble(np.eye(3) + 2 * (real * cross + cross @ cross), translation)


def quaternion(pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """The unit quaternions of poses' rotations.

    Args:
        pose: [..., 4, 4].

    Returns:
        [..., 4] wxyz, real part not negative.

    Source: Shepperd, Quaternion from rotation matrix, 1978: divide by the largest component.
    """
    r = pose[..., :3, :3]
    x, y, z = r[..., 0, 0], r[..., 1, 1], r[..., 2, 2]
    wx, wy, wz = (
        r[..., 2, 1] - r[..., 1, 2],
        r[..., 0, 2] - r[..., 2, 0],
        r[..., 1, 0] - r[..., 0, 1],
    )
    xy, xz, yz = (
        r[..., 0, 1] + r[..., 1, 0],
        r[..., 0, 2] + r[..., 2, 0],
        r[..., 1, 2] + r[..., 2, 1],
    )
    products = np.stack(  # 4 q q^T: each row is the quaternion times 4 of its own components
        [1 + x + y + z, wx, wy, wz]
        + [wx, 1 + x - y - z, xy, xz]
        + [wy, xy, 1 - x + y - z, yz]
        + [wz, xz, yz, 1 - x - y + z],
        axis=-1,
    ).reshape(*x.shape, 4, 4)
    largest = np.diagonal(products, axis1=-2, axis2=-1).argmax(axis=-1)
    row = np.take_along_axis(products, largest[..., None, None], axis=-2)[..., 0, :]
    row = np.where(row[..., :1] < 0, -row, row)
    return row / np.linalg.norm(row, axis=-1, keepdims=True)


def yaw_pitch(pose: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where cameras look; a roll is ignored, and straight up or down it is taken to be none.

    Args:
        pose: [..., 4, 4] camera to world.

    Returns:
        yaw: [...] radians in [-pi, pi], 0 along +z, positive to the right.
        pitch: [...] radians in [-pi/2, pi/2], positive looks up.
    """
    ahead, side = pose[..., :3, 2], pose[..., :3, 0]
    level = np.hypot(ahead[..., 0], ahead[..., 2])
    yaw = np.where(
        level > _POLE,
        np.arctan2(ahead[..., 0], ahead[..., 2]),
        np.arctan2(-side[..., 2], side[..., 0]),
    )
    return yaw, np.arctan2(-ahead[..., 1], level)


def from_yaw_pitch(
    position: NDArray[np.float64],
    yaw: float | NDArray[np.float64],
    pitch: float | NDArray[np.float64],
) -> NDArray[np.float64]:
    """Poses without roll.

    Args:
        position: [..., 3] metres.
        yaw: [...] radians, 0 along +z, positive to the right.
        pitch: [...] radians, positive looks up.

    Returns:
        [..., 4, 4] camera to world.
    """
    yaw, pitch = np.broadcast_arrays(np.asarray(yaw, np.float64), np.asarray(pitch, np.float64))
    rotation = np.zeros((*yaw.shape, 3, 3))
    rotation[..., 0, 0], rotation[..., 2, 0] = np.cos(yaw), -np.sin(yaw)
    rotation[..., 0, 1] = np.sin(yaw) * np.sin(pitch)
    rotation[..., 1, 1] = np.cos(pitch)
    rotation[..., 2, 1] = np.cos(yaw) * np.sin(pitch)
    rotation[..., 0, 2] = np.sin(yaw) * np.cos(pitch)
    rotation[..., 1, 2] = -np.sin(pitch)
    rotation[..., 2, 2] = np.cos(yaw) * np.cos(pitch)
    return _assemble(rotation, position)


def interpolate(
    a: NDArray[np.float64], b: NDArray[np.float64], t: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Poses between two: the position on the straight line, the rotation on the shortest arc.

    Args:
        a: [..., 4, 4] the pose at t = 0.
        b: [..., 4, 4] the pose at t = 1.
        t: [...] share of the way, meant for [0, 1].

    Returns:
        [..., 4, 4].

    Source: Shoemake, Animating rotation with quaternion curves, 1985, section 3.3.
    """
    share = np.asarray(t, np.float64)[..., None]
    spin = share * _rotation_log(inverse(a) @ b)
    turn = exp(np.concatenate([np.zeros_like(spin), spin], axis=-1))
    start, end = a[..., :3, 3], b[..., :3, 3]
    return _assemble((a @ turn)[..., :3, :3], (1 - share) * start + share * end)


def cross_matrix(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """The matrix that takes u to vector x u.

    Args:
        vector: [..., 3].

    Returns:
        [..., 3, 3].
    """
    cross = np.zeros((*vector.shape, 3))
    x, y, z = vector[..., 0], vector[..., 1], vector[..., 2]
    cross[..., 0, 1], cross[..., 0, 2] = -z, y
    cross[..., 1, 0], cross[..., 1, 2] = z, -x
    cross[..., 2, 0], cross[..., 2, 1] = -y, x
    return cross


def check_pose(pose: NDArray[np.floating]) -> None:
    """Refuse what is no rigid pose.

    Args:
        pose: [4, 4] camera to world.

    Raises:
        ShapeError: it is not [4, 4].
        InputError: it is not finite, its last row is not 0 0 0 1, or its rotation is not
            orthonormal with determinant 1.
    """
    if pose.shape != (4, 4):
        raise ShapeError("pose", pose.shape, "[4, 4]")
    bad = 16 - np.count_nonzero(np.isfinite(pose))
    if bad:
        raise InputError(f"{bad} of a pose's 16 numbers are not finite; pass finite ones.")
    if not np.array_equal(pose[3], (0, 0, 0, 1)):
        raise InputError(
            f"A pose's last row is {pose[3].tolist()}, expected [0, 0, 0, 1]; pass it row-major, "
            "camera to world."
        )
    rotation = pose[:3, :3].astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.abs(rotation.T @ rotation - np.eye(3)).max()
        determinant = np.linalg.det(rotation)
    if not (error <= TOLERANCE and determinant > 0):
        raise InputError(
            f"A pose's rotation is {error:.2g} from orthonormal (at most {TOLERANCE:g}) with "
            f"determinant {determinant:.6g} (expected 1); pass one without scale, shear or mirror."
        )


def _assemble(
    rotation: NDArray[np.float64], translation: NDArray[np.float64]
) -> NDArray[np.float64]:
    pose = np.zeros((*np.broadcast_shapes(rotation.shape[:-2], translation.shape[:-1]), 4, 4))
    pose[..., :3, :3] = rotation
    pose[..., :3, 3] = translation
    pose[..., 3, 3] = 1
    return pose


def _series(
    angle: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """sin(a)/a, (1 - cos a)/a^2 and (a - sin a)/a^3, without cancellation near 0."""
    square = angle * angle
    first = np.sinc(angle / np.pi)
    second = np.sinc(angle / (2 * np.pi)) ** 2 / 2
    quotient = (1 - first) / np.where(angle < _SMALL, 1, square)
    third = np.where(angle < _SMALL, 1 / 6 - square / 120 + square * square / 5040, quotient)
    return first, second, third


def _rotation_log(pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """[..., 3]: axis times angle; by way of the quaternion, which is exact at 0 and at pi."""
    unit = quaternion(pose)
    real, imaginary = unit[..., :1], unit[..., 1:]
    sine = np.linalg.norm(imaginary, axis=-1, keepdims=True)
    safe = np.where(sine > 0, sine, 1)
    return imaginary * np.where(sine > 0, 2 * np.arctan2(sine, real) / safe, 2)
