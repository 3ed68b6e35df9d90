"""Groups of coarse tokens: where they stand, and that what was offered is what is read."""

import pytest
import torch

from tests.list_cache import ODD, Array, turned
from worldrt.memory.coarse import Coarse, Group
from worldrt.memory.mid import Bounds, Tail
from worldrt.memory.slots import CacheShape

GROUPS = (Group(frames=4, time=2, side=2), Group(frames=8, time=4, side=4))


def test_a_group_covers_its_frames_evenly() -> None:
    grid = GROUPS[0].grid(4, 6, 8)
    assert grid.frames == [0.5, 2.5]
    assert grid.rows == [0.5, 2.5, 4.5] and grid.columns == [0.5, 2.5, 4.5, 6.5]
    assert GROUPS[1].grid(4, 3, 5).tokens == 1  # what is smaller than a cell is one


@pytest.mark.parametrize("rows, columns, room", [(6, 8, 2 * 12 + 2 * 2), (3, 3, 2 + 2)])
def test_room_is_that_of_full_groups(rows: int, columns: int, room: int) -> None:
    shape = CacheShape(layers=1, heads=1, head_dim=6, rows=rows, columns=columns, block_frames=3)
    assert Coarse(GROUPS).room(shape, Bounds(3, 0)) == room


def test_offers_stand_one_after_the_other_in_time() -> None:
    """The coarser group first, as it is the older; keys are turned to cell centres."""
    part, lead = Coarse(GROUPS), (ODD.layers, ODD.batch)
    size = (*lead, part.room(ODD, Bounds(3, 0)), ODD.heads, ODD.head_dim)
    tail = Tail(torch.zeros(size), torch.zeros(size), None)
    mid = part.open(ODD, Bounds(3, 0), tail)
    offered: list[tuple[torch.Tensor, Array]] = []
    start = 5.0
    for group, frames, first in ((GROUPS[1], 4, start), (GROUPS[0], 4, start + 4)):
        grid = group.grid(frames, ODD.rows, ODD.columns)
        raw = torch.randn(*lead, grid.tokens, ODD.heads, ODD.head_dim)
        mid.offer(range(frames), grid, raw, -raw)
        where = [[first + t, r, c] for t in grid.frames for r in grid.rows for c in grid.columns]
        offered.append((raw, torch.tensor(where, dtype=torch.float64).numpy()))
    mid.lay_out(start, [])
    assert (mid.tokens, mid.frames, mid.width) == (1 + 2, 8, 8.0)
    raw = torch.cat([each for each, _ in offered], dim=2)
    assert torch.equal(tail.values[:, :, :3], -raw)
    places = torch.cat([torch.from_numpy(where) for _, where in offered]).numpy()
    for layer in range(ODD.layers):
        expected = turned(raw[layer, 0].double().numpy(), places)
        got = torch.view_as_complex(tail.keys[layer, 0, :3].unflatten(-1, (-1, 2)).contiguous())
        torch.testing.assert_close(got, torch.from_numpy(expected).to(got), atol=1e-5, rtol=0)
    mid.flush()
    mid.lay_out(0.0, [])
    assert (mid.tokens, mid.frames, mid.width) == (0, 0, 0.0)
