"""Toys drawn over a picture by exact ray casting: prisms with patterned faces, and their shadow.

A toy is a stack of upright prisms in a unit box: x and z in [-1/2, 1/2], y from 0 at its base to -1
at its top. Nothing is approximated but the area of a pixel, which is 3x3 rays; the middle one is
the pixel's centre and tells depth and identity.
"""

import math
from functools import cache

import numba
import numpy as np
from numpy.typing import NDArray

from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import inverse

BODIES = {
    "block": ((4, 0.50, 0.00, 1.00),),
    "robot": ((4, 0.50, 0.00, 0.62), (4, 0.32, 0.62, 1.00)),
    "tower": ((6, 0.50, 0.00, 0.40), (6, 0.40, 0.40, 0.74), (6, 0.29, 0.74, 1.00)),
    "house": ((4, 0.42, 0.00, 0.68), (4, 0.50, 0.68, 0.80), (3, 0.24, 0.80, 1.00)),
    "tent": ((3, 0.30, 0.00, 1.00),),
}
"""Prisms of each toy: sides, distance of the sides from the axis, bottom and top; shares of it."""

RAYS = 3
"""Rays a pixel, a side; odd, so that one is the centre's."""
LIGHT = np.array([-3.0, -6.0, -2.0]) / 7
"""Direction towards the light, of length 1: above and to the left of who looks along +z."""
AMBIENT = 0.62
"""Share of a face's colour that it has turned away from the light."""
SHADE = 0.5
"""How dark the floor is right beside a toy."""
PENUMBRA = 0.35
"""Metres from a toy at which its shadow ends."""
NEAR = 0.05
"""Metres; what is nearer is not drawn."""


def paint(
    rgb: NDArray[np.uint8],
    depth: NDArray[np.float32],
    ids: NDArray[np.int16],
    pose: NDArray[np.float64],
    camera: Camera,
    *,
    name: int,
    body: str,
    world_from_toy: NDArray[np.float64],
    size: NDArray[np.float64],
    hue: float,
    seed: int,
) -> None:
    """Draw one toy into a picture, in place, where it lies before what is there.

    Args:
        rgb: [Y, X, 3]; the toy and its shadow go here.
        depth: [Y, X] metres along z.
        ids: [Y, X]; `name` goes where the pixel's centre shows the toy.
        pose: [4, 4] world_from_camera.
        camera: pinhole intrinsics of the picture.
        name: of the toy, at least 0.
        body: one of BODIES.
        world_from_toy: [4, 4] pose of the middle of its base.
        size: [3] width, height and length, metres.
        hue: of its first face, turns.
        seed: of its patterns.
    """
    toy_from_camera = inverse(world_from_toy) @ pose
    # Where the shadow may fall, and within it where the toy may.
    outer = _window(toy_from_camera, camera, size, PENUMBRA)
    inner = _window(toy_from_camera, camera, size, 0.0)
    light = world_from_toy[:3, :3].T @ LIGHT
    lens = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
    planes = _planes(body)
    _shade(rgb, depth, outer, lens, toy_from_camera, size)
    _paint(
        rgb, depth, ids, inner, lens, toy_from_camera, size, planes, light, hue, seed & 0xFFFF, name
    )


def _window(
    toy_from_camera: NDArray[np.float64],
    camera: Camera,
    size: NDArray[np.float64],
    margin: float,
) -> tuple[int, int, int, int]:
    """Rows and columns (first, end) that may show a toy's box, widened by `margin` metres."""
    x, z = size[[0, 2]] / 2 + margin
    corners = np.array([(a, b, c) for a in (-x, x) for b in (0, -size[1]) for c in (-z, z)])
    pixels, far = camera.project(corners, toy_from_camera)
    if np.all(far < NEAR):
        return 0, 0, 0, 0
    if np.any(far < NEAR):
        return 0, camera.height, 0, camera.width
    limits = camera.width, camera.height
    left, top = (int(edge) for edge in np.clip(np.floor(pixels.min(axis=0)), 0, limits))
    right, bottom = (int(edge) for edge in np.clip(np.ceil(pixels.max(axis=0)), 0, limits))
    return top, bottom, left, right


@cache
def _planes(body: str) -> NDArray[np.float64]:
    """[N, 7] the half-spaces normal . p <= offset of a toy's prisms in its unit box.

    Columns: normal (3), offset, prism, face (-2 top, -1 bottom, else a side), sides of its prism.
    """
    planes = []
    for prism, (sides, apothem, bottom, top) in enumerate(BODIES[body]):
        planes.append((0, -1, 0, top, prism, -2, sides))
        planes.append((0, 1, 0, -bottom, prism, -1, sides))
        for side in range(sides):
            angle = math.tau * side / sides
            planes.append((math.cos(angle), 0, math.sin(angle), apothem, prism, side, sides))
    return np.array(planes, np.float64)


@numba.njit(cache=True, nogil=True)
def _shade(rgb, depth, window, lens, toy_from_camera, size):  # pragma: no cover
    fx, fy, cx, cy = lens
    eye = toy_from_camera[:, 3]
    for row in range(window[0], window[1]):
        for column in range(window[2], window[3]):
            v, u = (row + 0.5 - cy) / fy, (column + 0.5 - cx) / fx
            light = _shadow(toy_from_camera, eye, u, v, depth[row, column], size)
            if light < 1:
                for channel in range(3):
                    rgb[row, column, channel] = int(light * rgb[row, column, channel] + 0.5)


@numba.njit(cache=True, nogil=True)
def _paint(
    rgb, depth, ids, window, lens, toy_from_camera, size, planes, light, hue, seed, name
):  # pragma: no cover
    fx, fy, cx, cy = lens
    eye = toy_from_camera[:, 3]
    colour, total = np.empty(3), np.empty(3)
    for row in range(window[0], window[1]):
        for column in range(window[2], window[3]):
            far = float(depth[row, column])
            if not (far > 0 and far < math.inf):
                far = math.inf
            total[:], hits, middle = 0.0, 0, 0.0
            for sample in range(RAYS * RAYS):
                v = (row + (sample // RAYS + 0.5) / RAYS - cy) / fy
                u = (column + (sample % RAYS + 0.5) / RAYS - cx) / fx
                found, plane = _hit(toy_from_camera, eye, u, v, size, planes)
                if found < far:
                    _colour(
                        toy_from_camera,
                        eye,
                        u,
                        v,
                        found,
                        size,
                        planes[plane],
                        light,
                        hue,
                        seed,
                        colour,
                    )
                    total += colour
                    hits += 1
                    if sample == RAYS * RAYS // 2:
                        middle = found
            for channel in range(3):
                rest = (RAYS * RAYS - hits) * rgb[row, column, channel]
                value = (255 * total[channel] + rest) / (RAYS * RAYS)
                rgb[row, column, channel] = int(value + 0.5)
            if middle > 0:
                depth[row, column] = middle
                ids[row, column] = name


@numba.njit(cache=True, nogil=True, inline="always")
def _local(matrix, eye, u, v, depth, axis):  # pragma: no cover
    """Coordinate of the point at `depth` along a pixel's ray, in the toy's axes."""
    return eye[axis] + depth * (matrix[axis, 0] * u + matrix[axis, 1] * v + matrix[axis, 2])


@numba.njit(cache=True, nogil=True)
def _hit(matrix, eye, u, v, size, planes):  # pragma: no cover
    """Depth at which a ray meets a toy first, and the plane it meets there; infinite: never."""
    origin_x, origin_y, origin_z = eye[0] / size[0], eye[1] / size[1], eye[2] / size[2]
    along_x = (matrix[0, 0] * u + matrix[0, 1] * v + matrix[0, 2]) / size[0]
    along_y = (matrix[1, 0] * u + matrix[1, 1] * v + matrix[1, 2]) / size[1]
    along_z = (matrix[2, 0] * u + matrix[2, 1] * v + matrix[2, 2]) / size[2]
    best, which, first = math.inf, -1, 0
    while first < len(planes):
        enter, leave, face, plane = -math.inf, math.inf, -1, first
        while plane < len(planes) and planes[plane, 4] == planes[first, 4]:
            x, y, z = planes[plane, 0], planes[plane, 1], planes[plane, 2]
            gap = planes[plane, 3] - x * origin_x - y * origin_y - z * origin_z
            slope = x * along_x + y * along_y + z * along_z
            if slope < 0:
                if gap / slope > enter:
                    enter, face = gap / slope, plane
            elif slope > 0:
                leave = min(leave, gap / slope)
            elif gap < 0:
                leave = -math.inf
            plane += 1
        if enter < leave and NEAR < enter < best:
            best, which = enter, face
        first = plane
    return best, which


@numba.njit(cache=True, nogil=True)
def _colour(matrix, eye, u, v, depth, size, plane, light, hue, seed, out):  # pragma: no cover
    """What a face shows where a ray meets it, 0 to 1: two tones in a pattern of its own, lit."""
    x = _local(matrix, eye, u, v, depth, 0) / size[0]
    y = _local(matrix, eye, u, v, depth, 1) / size[1]
    z = _local(matrix, eye, u, v, depth, 2) / size[2]
    part, face, sides = int(plane[4]), int(plane[5]), int(plane[6])
    if face == -2:
        a, b, turn = x, z, 0.5
        lit = -light[1]
    elif face == -1:
        a, b, turn = x, z, 0.5
        lit = light[1]
    else:
        angle = 2 * math.pi * face / sides
        a, b, turn = math.cos(angle) * z - math.sin(angle) * x, -y, 0.382 * face
        normal_x, normal_z = math.cos(angle) / size[0], math.sin(angle) / size[2]
        lit = (normal_x * light[0] + normal_z * light[2]) / math.hypot(normal_x, normal_z)
    code = _hash(seed, 16 * part + face + 2)
    a, b = 4 * (a + 0.5), 4 * b
    pattern = code % 4
    if pattern == 0:
        second = (math.floor(a) + math.floor(b)) % 2 == 0
    elif pattern == 1:
        second = math.floor(a + code // 4 % 2) % 2 == 0
    elif pattern == 2:
        second = math.floor(b + code // 4 % 2) % 2 == 0
    else:
        second = math.hypot(a - 2, b - 2) < 1.1
    shade = AMBIENT + (1 - AMBIENT) * max(lit, 0.0)
    tint = hue + turn + part / 8  # a golden angle apart: no turn looks like a change of hue
    if second:
        _rgb(tint + (code // 8 % 3 - 1) / 12, 0.25, shade, out)
    else:
        _rgb(tint, 0.80, 0.92 * shade, out)


@numba.njit(cache=True, nogil=True)
def _shadow(matrix, eye, u, v, far, size):  # pragma: no cover
    """Share of its light that the floor keeps where a ray meets it, 1 if it meets something else"""
    if not 0 < far < math.inf or abs(_local(matrix, eye, u, v, far, 1)) > 0.02:
        return 1.0
    aside_x = max(abs(_local(matrix, eye, u, v, far, 0)) - 0.42 * size[0], 0.0)
    aside_z = max(abs(_local(matrix, eye, u, v, far, 2)) - 0.42 * size[2], 0.0)
    light = min(math.hypot(aside_x, aside_z) / PENUMBRA, 1.0)
    return 1 - SHADE * (1 - light) ** 2


@numba.njit(cache=True, nogil=True)
def _hash(seed, number):  # pragma: no cover
    """0 to 65535, any two of which are unrelated."""
    code = (seed * 40503 + number * 30011 + 12345) & 0xFFFFFF
    for _ in range(3):
        code = ((code ^ (code >> 7)) * 69069 + 1) & 0xFFFFFF
    return code >> 8


@numba.njit(cache=True, nogil=True)
def _rgb(hue, saturation, value, out):  # pragma: no cover
    """RGB of a colour in hue (turns), saturation and value."""
    for channel in range(3):
        place = (hue * 6 + (5, 3, 1)[channel]) % 6
        out[channel] = value * (1 - saturation * max(0.0, min(place, 4 - place, 1.0)))
