"""The closed set: every name is in the game file that ViZDoom ships, and is what it says."""

import struct
from pathlib import Path

import pytest

from worldrt.simulators.doom import textures


@pytest.fixture(scope="module")
def lumps() -> list[tuple[str, bytes]]:
    vizdoom = pytest.importorskip("vizdoom")
    content = (Path(vizdoom.__file__).parent / "freedoom2.wad").read_bytes()
    count, where = struct.unpack_from("<ii", content, 4)
    entries = [struct.unpack_from("<ii8s", content, where + 16 * i) for i in range(count)]
    return [
        (name.rstrip(b"\0").decode("latin1"), content[start : start + size])
        for start, size, name in entries
    ]


def test_walls_are_128_high_and_repeat_every_128(lumps: list[tuple[str, bytes]]) -> None:
    table = dict(lumps)["TEXTURE1"]
    (count,) = struct.unpack_from("<i", table)
    sizes = {}
    for (start,) in struct.iter_unpack("<i", table[4 : 4 + 4 * count]):
        name, _, width, height = struct.unpack_from("<8sihh", table, start)
        sizes[name.rstrip(b"\0").decode("latin1")] = width, height
    for name in (*textures.WALLS, *textures.PILLARS):
        assert sizes[name] in ((64, 128), (128, 128)), name


def test_flats_are_there(lumps: list[tuple[str, bytes]]) -> None:
    sizes = {name: len(data) for name, data in lumps}
    for name in (*textures.FLOORS, *textures.CEILINGS):
        assert sizes[name] == 64 * 64, name


def test_names_are_distinct_and_suffice() -> None:
    for names in (textures.WALLS, textures.PILLARS, textures.FLOORS, textures.CEILINGS):
        assert len(set(names)) == len(names)
    assert not set(textures.WALLS) & set(textures.PILLARS), "a pillar must stand out"
