"""Mazes as Doom map files: UDMF text, a hand-assembled script that sets poses, a PWAD around them.

ZDoom builds its own nodes, so a map needs no more than its text. Sources: UDMF 1.1 specification;
Unofficial Doom Specs, chapter 2 (WAD); ZDoom wiki, ACS0 object format and p-codes.
"""

import struct
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from worldrt.errors import ConfigError
from worldrt.simulators.doom.maze import SOLID, Maze, centre

UNITS = 32
"""Map units a metre."""
MOST_MAPS = 99
TEXTURE = 128
"""Map units after which a wall texture repeats."""

POSE_SCRIPT = 1
"""Number of the script that takes x and y in 1/65536 units and an angle in 1/65536 turns."""


def write(mazes: Sequence[Maze]) -> bytes:
    """A PWAD with a map a maze, MAP01 onwards.

    Raises:
        ConfigError: there are no mazes or more than 99.
    """
    if not 1 <= len(mazes) <= MOST_MAPS:
        raise ConfigError(f"A map file holds 1 to {MOST_MAPS} mazes, got {len(mazes)}.")
    lumps: list[tuple[str, bytes]] = []
    for number, maze in enumerate(mazes, start=1):
        lumps += [
            (map_name(number), b""),
            ("TEXTMAP", textmap(maze).encode()),
            ("BEHAVIOR", behavior()),
            ("ENDMAP", b""),
        ]
    body, directory = bytearray(), bytearray()
    for name, data in lumps:
        directory += struct.pack("<ii8s", 12 + len(body), len(data), name.encode())
        body += data
    return struct.pack("<4sii", b"PWAD", len(lumps), 12 + len(body)) + body + directory


def map_name(number: int) -> str:
    """The lump name of map `number`, 1 to 99."""
    return f"MAP{number:02d}"


def behavior() -> bytes:
    """The compiled script that puts the player at an exact position and angle.

    It is `script 1 (int x, int y, int angle)
    { SetActorPosition(0, x, y, 0, 0); SetActorAngle(0, angle); }`.
    """
    constant, argument, drop, terminate, set_position, set_angle = 3, 28, 54, 1, 283, 276
    code = [constant, 0, argument, 0, argument, 1, constant, 0, constant, 0, set_position, drop]
    code += [constant, 0, argument, 2, set_angle, terminate]
    header = struct.pack("<4si", b"ACS\0", 8 + 4 * len(code))
    scripts = struct.pack("<iiii", 1, POSE_SCRIPT, len(header), 3)
    strings = struct.pack("<i", 0)
    return header + struct.pack(f"<{len(code)}i", *code) + scripts + strings


def textmap(maze: Maze) -> str:
    """The UDMF text of `maze`: a sector a region, a line a straight piece of boundary."""
    vertices: dict[tuple[int, int], int] = {}
    lines: list[str] = []
    sides: list[str] = []

    def side(front: int, back: int, offset: int) -> int:
        if back < 0:
            wall = maze.pillar if back != SOLID else maze.regions[front].wall
            place = f'texturemiddle="{wall}";offsetx={offset if back == SOLID else 0};'
        else:
            # The default pegs an upper wall's texture to its lower edge; this pegs it to the floor.
            lower = min(maze.regions[front].height, maze.regions[back].height) * UNITS
            place = f'texturetop="{maze.regions[front].wall}";offsetx={offset};'
            place += f"offsety={-int(lower) % TEXTURE};"
        sides.append(f"sidedef{{sector={front};{place}}}")
        return len(sides) - 1

    for start, end, right, left in _boundaries(maze.labels):
        if right < 0:
            start, end, right, left = end, start, left, right
        v1, v2 = (vertices.setdefault(point, len(vertices)) for point in (start, end))
        # Textures keep step with the world, not with the line they happen to start on.
        along = (end[0] - start[0]) + (end[1] - start[1])
        origin = start[0] if end[0] != start[0] else start[1]
        first = (origin if along > 0 else -origin) * UNITS % TEXTURE
        last = (-(origin + along) if along > 0 else origin + along) * UNITS % TEXTURE
        front = side(right, left, first)
        if left < 0:
            kind = "blocking=true;dontpegbottom=true;"
        else:
            kind = f"twosided=true;sideback={side(left, right, last)};"
        lines.append(f"linedef{{v1={v1};v2={v2};sidefront={front};{kind}}}")

    points = [f"vertex{{x={x * UNITS};y={z * UNITS};}}" for x, z in vertices]
    sectors = [
        f"sector{{heightfloor=0;heightceiling={int(region.height * UNITS)};"
        f'texturefloor="{maze.floor}";textureceiling="{maze.ceiling}";lightlevel={maze.light};}}'
        for region in maze.regions
    ]
    x, z = (metres * UNITS for metres in centre(maze.cells[0]))
    player = (
        f"thing{{x={x};y={z};angle=0;type=1;single=true;"
        "skill1=true;skill2=true;skill3=true;skill4=true;skill5=true;}"
    )
    return "\n".join(['namespace="ZDoom";', *points, *lines, *sides, *sectors, player])


def _boundaries(
    labels: NDArray[np.int8],
) -> Iterator[tuple[tuple[int, int], tuple[int, int], int, int]]:
    """Straight pieces of boundary between unlike squares, one of them open.

    Yields:
        start, end: grid points (x, z); the piece has the same two labels all along.
        right, left: the labels at either hand when walking from start to end.
    """
    for upright, grid in ((False, labels), (True, labels.T)):
        for row in range(1, len(grid)):
            near, far = grid[row - 1], grid[row]
            edge = (near != far) & ((near >= 0) | (far >= 0))
            change = (np.diff(near) != 0) | (np.diff(far) != 0)
            cuts = [0, *(np.flatnonzero(change) + 1), len(near)]
            for a, b in zip(cuts, cuts[1:], strict=False):
                if not edge[a]:
                    continue
                first, second = int(near[a]), int(far[a])
                if upright:
                    yield (row, int(a)), (row, int(b)), second, first
                else:
                    yield (int(a), row), (int(b), row), first, second
