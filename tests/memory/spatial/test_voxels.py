"""The hash against a dictionary, and the place of a point against its definition."""

import numpy as np
import pytest

from worldrt.memory.spatial import voxels


@pytest.mark.parametrize("size, seed", [(7, 0), (63, 1), (63, 2), (997, 3)])
def test_the_hash_is_a_dictionary(size: int, seed: int) -> None:
    """Entries that come and go in any order are found, and no others."""
    random = np.random.default_rng(seed)
    keys, values = np.zeros(size, np.int64), np.full(size, -1, np.int32)
    names = random.integers(0, 2**62, size * 2)
    truth: dict[int, int] = {}
    for step in range(size * 20):
        name = int(random.choice(names))
        at = voxels._find(keys, values, name)
        assert (values[at] >= 0) == (name in truth)
        if name in truth:
            assert values[at] == truth[name]
            voxels._erase(keys, values, at)
            del truth[name]
        elif len(truth) < size - 1:
            keys[at], values[at] = name, step
            truth[name] = step
    assert np.count_nonzero(values >= 0) == len(truth)
    for name, value in truth.items():
        assert values[voxels._find(keys, values, name)] == value


@pytest.mark.parametrize("footprint", [1e-9, 1 / 4096, 0.0123, 1 / 64, 0.0313, 0.5, 3.0, 1e9])
def test_a_voxel_is_between_a_quarter_and_half_of_a_pixel(footprint: float) -> None:
    level = voxels._level(footprint)
    edge = 2.0 ** (level + voxels.BASE)
    if footprint < 2.0 ** (voxels.LOWEST + voxels.BASE + 1):
        assert level == voxels.LOWEST
    elif footprint > 2.0 ** (voxels.HIGHEST + voxels.BASE + 2):
        assert level == voxels.HIGHEST
    else:
        assert footprint / 4 < edge <= footprint / 2


def test_voxels_and_blocks_are_floors() -> None:
    random = np.random.default_rng(0)
    for level in (voxels.LOWEST, 0, 3):
        for place in random.normal(0, 5, (50, 3)).astype(np.float32):
            edge = 2.0 ** (level + voxels.BASE)
            wanted = np.floor(place.astype(np.float64) / edge)
            assert voxels._voxel(place, level) == tuple(wanted)


def test_names_differ_where_voxels_do() -> None:
    random = np.random.default_rng(1)
    levels = random.integers(voxels.LOWEST, voxels.HIGHEST + 1, 3000)
    places = random.integers(-(2**18), 2**18, (3000, 3))
    layers = random.integers(0, 2, 3000)
    rows = {
        (*place, level, layer)
        for place, level, layer in zip(
            map(tuple, places.tolist()), levels.tolist(), layers.tolist(), strict=True
        )
    }
    names = {voxels._name(layer, level, x, y, z) for x, y, z, level, layer in rows}
    assert len(names) == len(rows)
    assert min(names) >= 0
