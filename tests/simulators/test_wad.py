"""Map files read back: the directory, the script's code, and every line's two hands."""

import re
import struct

import numpy as np
import pytest

from worldrt.errors import ConfigError
from worldrt.simulators.doom import maze, wad
from worldrt.simulators.doom.maze import PILLAR, SOLID

WORLD = maze.generate(7)


def entries(text: str, kind: str) -> list[dict[str, str]]:
    """The blocks of one kind in a UDMF text."""
    blocks = re.findall(rf"^{kind}\{{(.*)\}}$", text, re.MULTILINE)
    return [dict(pair.split("=") for pair in block.split(";") if pair) for block in blocks]


def test_a_file_reads_back() -> None:
    content = wad.write([WORLD, maze.generate(8)])
    magic, count, where = struct.unpack_from("<4sii", content)
    assert (magic, count, where + 16 * count) == (b"PWAD", 8, len(content))
    lumps = {}
    for i in range(count):
        start, size, name = struct.unpack_from("<ii8s", content, where + 16 * i)
        lumps[i, name.rstrip(b"\0").decode()] = content[start : start + size]
    assert [name for _, name in lumps] == [
        *("MAP01", "TEXTMAP", "BEHAVIOR", "ENDMAP"),
        *("MAP02", "TEXTMAP", "BEHAVIOR", "ENDMAP"),
    ]
    assert lumps[1, "TEXTMAP"].decode() == wad.textmap(WORLD)
    assert lumps[6, "BEHAVIOR"] == wad.behavior()
    assert lumps[0, "MAP01"] == b""


@pytest.mark.parametrize("count", [0, 100])
def test_too_few_or_many_maps(count: int) -> None:
    with pytest.raises(ConfigError, match=f"1 to 99 mazes, got {count}"):
        wad.write([WORLD] * count)


def test_the_script_is_what_its_source_says() -> None:
    """Run the code on a stack, as the engine does."""
    content = wad.behavior()
    magic, directory = struct.unpack_from("<4si", content)
    assert magic == b"ACS\0"
    scripts, number, start, arguments, strings = struct.unpack_from("<5i", content, directory)
    assert (scripts, number, arguments, strings) == (1, wad.POSE_SCRIPT, 3, 0)
    given = 111, 222, 333
    stack: list[int] = []
    calls: list[tuple[object, ...]] = []
    code = iter(struct.unpack_from(f"<{(directory - start) // 4}i", content, start))
    for word in code:
        match word:
            case 3:
                stack.append(next(code))
            case 28:
                stack.append(given[next(code)])
            case 54:
                stack.pop()
            case 283:
                calls.append(("SetActorPosition", *stack[-5:]))
                del stack[-5:]
                stack.append(1)
            case 276:
                calls.append(("SetActorAngle", *stack[-2:]))
                del stack[-2:]
            case 1:
                break
            case _:
                pytest.fail(f"p-code {word}")
    assert not stack and next(code, None) is None
    assert calls == [("SetActorPosition", 0, 111, 222, 0, 0), ("SetActorAngle", 0, 333)]


def test_lines_have_the_right_hands() -> None:
    text = wad.textmap(WORLD)
    points = [(int(v["x"]), int(v["y"])) for v in entries(text, "vertex")]
    sides, sectors = entries(text, "sidedef"), entries(text, "sector")
    assert len(sectors) == len(WORLD.regions)
    length = 0
    for line in entries(text, "linedef"):
        start, end = (np.array(points[int(line[v])]) / wad.UNITS for v in ("v1", "v2"))
        along = (end - start) / np.abs(end - start).sum()
        length += int(np.abs(end - start).sum())
        right = np.array([along[1], -along[0]])
        for metre in range(int(np.abs(end - start).sum())):
            middle = start + (metre + 0.5) * along
            x, z = np.floor(middle + right / 2).astype(int)
            other_x, other_z = np.floor(middle - right / 2).astype(int)
            front, back = WORLD.labels[z, x], WORLD.labels[other_z, other_x]
            assert int(sides[int(line["sidefront"])]["sector"]) == front
            if back >= 0:
                assert int(sides[int(line["sideback"])]["sector"]) == back
                assert line["twosided"] == "true"
            else:
                assert line["blocking"] == "true" and "sideback" not in line
                wall = sides[int(line["sidefront"])]["texturemiddle"].strip('"')
                assert wall == (WORLD.pillar if back == PILLAR else WORLD.regions[front].wall)
    labels = WORLD.labels
    unlike = 0
    for near, far in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        unlike += int(np.sum((near != far) & ((near >= 0) | (far >= 0))))
    assert length == unlike, "every boundary has one line"


def test_textures_keep_step_with_the_world() -> None:
    """Where a wall's texture begins is the same for all lines on the same side of a wall."""
    text = wad.textmap(WORLD)
    points = [(int(v["x"]), int(v["y"])) for v in entries(text, "vertex")]
    sides = entries(text, "sidedef")
    seen = 0
    for line in entries(text, "linedef"):
        for v1, v2, side in (("v1", "v2", "sidefront"), ("v2", "v1", "sideback")):
            if side not in line or sides[int(line[side])].get("texturemiddle") == (
                f'"{WORLD.pillar}"'
            ):
                continue
            start, end = np.array(points[int(line[v1])]), np.array(points[int(line[v2])])
            along = np.sign(end - start)
            assert (int(sides[int(line[side])]["offsetx"]) - start @ along) % wad.TEXTURE == 0
            seen += 1
    assert seen > 20


def test_the_player_stands_in_the_open() -> None:
    (player,) = entries(wad.textmap(WORLD), "thing")
    place = np.array([float(player["x"]), 0, float(player["y"])]) / wad.UNITS
    assert WORLD.free(place) and WORLD.labels[0, 0] == SOLID
