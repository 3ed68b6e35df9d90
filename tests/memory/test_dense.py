"""Dense rows: what a pass writes, what it reads, and what it never sees."""

from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor

from tests.list_cache import ODD
from worldrt.kernels.attention import Part, attend
from worldrt.kernels.rope import Rope, rotate
from worldrt.memory.buckets import bucket_bias, sign_planes
from worldrt.memory.dense import DenseRows
from worldrt.memory.mid import Weights
from worldrt.memory.rows import Place, Write
from worldrt.memory.slots import Span

F = ODD.tokens
ROPE = Rope.of_grid(ODD.head_dim, ODD.rows, ODD.columns)


def rows(
    slots: int = 6, room: int = 0, *, raw: bool = True, weights: Weights = "none"
) -> DenseRows:
    return DenseRows(ODD, slots, room, raw=raw, weights=weights, dtype=torch.float32, device=None)


def normal(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def draw(frames: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Query, raw key and value of a pass."""
    query, key, value = normal(3, 2, frames * F, 2, 14, seed=seed)
    return query, key, value


def run(
    found: DenseRows,
    written: Sequence[Span],
    read: Sequence[Span] = (),
    *,
    tail: int = 0,
    keep: bool = True,
    seed: int = 0,
    parts: Iterator[Part] | None = None,
) -> tuple[Tensor, Place]:
    """A pass through both layers, the same in each; the second's output."""
    place = found.place(written, read, tail)
    query, key, value = draw(len(written), seed)
    write = Write(key, rotate(key, place.table), value, keep)
    found.attend(0, place, rotate(query, place.table), write)
    return found.attend(1, place, rotate(query, place.table), write, parts), place


def span(frame: int, slot: int) -> Span:
    return Span(frame, slot, float(frame))


def expected(pieces: Sequence[tuple[int, int, int]], seed: int, positions: list[float]) -> Tensor:
    """What a pass sees of (seed, frame of its draw, position) each; it is drawn with `seed`."""
    keys, values = list[Tensor](), list[Tensor]()
    for which, index, position in pieces:
        _, key, value = draw(3, which)
        here = slice(index * F, (index + 1) * F)
        keys.append(rotate(key[:, here], ROPE.table([position])))
        values.append(value[:, here])
    query = rotate(draw(3, seed)[0], ROPE.table(positions))
    return attend(query, torch.cat(keys, 1), torch.cat(values, 1))


def test_a_pass_sees_itself_and_what_was_written_before() -> None:
    found = rows()
    first, second = ([span(at + i, at + i) for i in range(3)] for at in (0, 3))
    run(found, first)
    got, _ = run(found, second, first, seed=1)
    pieces = [(0, i, i) for i in range(3)] + [(1, i, 3 + i) for i in range(3)]
    torch.testing.assert_close(got, expected(pieces, 1, [3.0, 4, 5]))


def test_order_of_slots_is_no_matter() -> None:
    found = rows()
    first = [span(0, 5), span(1, 0), span(2, 3)]
    run(found, first)
    got, place = run(found, [span(3, 1), span(4, 4), span(5, 2)], first, seed=1)
    pieces = [(0, i, i) for i in range(3)] + [(1, i, 3 + i) for i in range(3)]
    torch.testing.assert_close(got, expected(pieces, 1, [3.0, 4, 5]))
    assert place.end == 6 * F and place.bias is None


def test_a_hole_is_hidden_whatever_finite_it_holds_and_the_rest_not_even_read() -> None:
    """A slot below the highest one is read with a weight of zero; those above are not read."""
    found = rows()
    run(found, [span(0, 0), span(1, 1), span(2, 2)])
    for row in (found._keys, found._values):
        row[:, :, F : 2 * F] = 1e18
        row[:, :, 4 * F :] = torch.nan
    read = [span(0, 0), span(2, 2)]
    place = found.place([span(9, 3)], read, 0)
    assert place.end == 4 * F and place.bias is not None
    hidden = place.bias.flatten() == -torch.inf
    assert hidden.nonzero().flatten().tolist() == list(range(F, 2 * F))
    query, key, value = (x[:, :F] for x in draw(3, 1))
    write = Write(key, rotate(key, place.table), value, True)
    got = found.attend(1, place, rotate(query, place.table), write)
    pieces = [(0, 0, 0), (0, 2, 2), (1, 0, 9)]
    keys = [rotate(draw(3, s)[1][:, i * F : (i + 1) * F], ROPE.table([p])) for s, i, p in pieces]
    values = [draw(3, s)[2][:, i * F : (i + 1) * F] for s, i, _ in pieces]
    seen = attend(rotate(query, ROPE.table([9.0])), torch.cat(keys, 1), torch.cat(values, 1))
    torch.testing.assert_close(got, seen)


def test_only_a_clean_pass_keeps_raw_keys() -> None:
    found, block = rows(), [span(i, i) for i in range(3)]
    run(found, block, keep=False)
    assert found._raw is not None and not found._raw.any()
    run(found, block, seed=1)
    assert torch.equal(found._raw[0, :, : 3 * F], draw(3, 1)[1])
    assert torch.equal(found._keys[0, :, : 3 * F], rotate(draw(3, 1)[1], ROPE.table([0, 1, 2])))


def test_a_frame_that_only_asks_is_not_written() -> None:
    found = rows()
    run(found, [span(i, i) for i in range(3)])
    before = found._keys.clone(), found._values.clone()
    found._keys[:, :, F : 2 * F] = found._values[:, :, F : 2 * F] = 0
    run(found, [span(0, -1), span(1, 1), span(2, -1)], [span(0, 0), span(2, 2)])
    assert torch.equal(found._keys, before[0]) and torch.equal(found._values, before[1])


# The tail.


@pytest.mark.parametrize("weights", ["none", "keys", "heads"])
def test_a_prefix_of_the_tail_is_read_and_free_slots_are_not(weights: Weights) -> None:
    found = rows(4, 7, weights=weights)
    tail = found.tail
    assert tail.keys.shape == (2, 2, 7, 2, 14)
    run(found, [span(0, 0)])
    keys, values, bias = normal(2, 7, 2, 14, seed=5), normal(2, 7, 2, 14, seed=6), None
    tail.keys[:], tail.values[:] = keys, values
    tail.keys[:, :, 5:] = tail.values[:, :, 5:] = torch.nan
    if weights != "none":
        assert tail.bias is not None
        bias = normal(2, 2, {"keys": 1, "heads": 2}[weights], 7, seed=7)
        tail.bias[:] = bias
        tail.bias[..., 5:] = torch.nan
    found._keys[:, :, 2 * F : 4 * F] = found._values[:, :, 2 * F : 4 * F] = 1e18
    place = found.place([span(1, 1)], [span(0, 0)], 5)
    query, key, value = (x[:, :F] for x in draw(3, 1))
    got = found.attend(1, place, query, Write(key, key, value, True))
    old = rotate(draw(1)[1], ROPE.table([0.0]))
    full = torch.cat([old, key, keys[:, :5]], 1), torch.cat([draw(1)[2], value, values[:, :5]], 1)
    mask = torch.zeros(2, 2, 1, 2 * F + 5)
    if bias is not None:
        mask[..., 2 * F :] = bias[1, :, :, None, :5]
    torch.testing.assert_close(got, attend(query, *full, mask))


def test_what_was_hidden_is_seen_again() -> None:
    """The bias of a row with weights is written in place, block by block."""
    found = rows(3, 2, weights="keys")
    one, two = [span(0, 0)], [span(1, 1)]
    run(found, one)
    hidden = found.place(two, [], 0)
    assert hidden.bias is None and found._bias is not None
    assert (found._bias[..., :F] == -torch.inf).all()
    found.place(two, one, 2)
    assert not found._bias[..., : 2 * F].any()
    assert (found._bias[..., 2 * F : 3 * F] == -torch.inf).all()
    assert found.tail.bias is not None and not found.tail.bias.any()


def test_parts_are_read_besides() -> None:
    key, value, weight = normal(2, 4, 2, 14, seed=8), normal(2, 4, 2, 14, seed=9), torch.ones(1)
    found, block = rows(), [span(i, i) for i in range(3)]
    parts = iter([Part(key[:, :1], value[:, :1], weight), Part(key[:, 1:], value[:, 1:])])
    got, place = run(found, block, parts=parts)
    query, own, its = draw(3)
    bias = torch.zeros(1, 1, 1, 3 * F + 4)
    bias[..., 3 * F] = 1
    keys = torch.cat([rotate(own, place.table), key], 1)
    seen = attend(rotate(query, place.table), keys, torch.cat([its, value], 1), bias)
    torch.testing.assert_close(got, seen)


def test_planes_hide_keys_from_queries() -> None:
    found, planes = rows(), sign_planes(2, 14, 3)
    place = found.place([span(i, i) for i in range(3)], [], 0)
    query, key, value = draw(3)
    got = found.attend(0, place, query, Write(key, key, value, True, planes))
    assert torch.equal(got, attend(query, key, value, bucket_bias(query, key, planes)))


# Moving, taking, growing.


def test_a_frame_that_moves_is_turned_from_its_raw_key() -> None:
    """There and back a thousand times it is what it was, to the bit: no rounding adds up."""
    found, block = rows(), [span(3, 2), span(4, 0)]
    run(found, block)
    found.turn(block, [3.0, 4.0])
    before = found._keys.clone()
    for shift in range(1, 1000):
        found.turn(block, [3.0 + shift, 4.0 + 7 * shift])
    table = ROPE.table([3.0 + 999, 4.0 + 7 * 999])
    moved = torch.cat([found._keys[0, :, 2 * F : 3 * F], found._keys[0, :, :F]], dim=1)
    torch.testing.assert_close(moved, rotate(draw(2)[1], table))
    found.turn(block, [3.0, 4.0])
    assert torch.equal(found._keys, before)


@pytest.mark.parametrize("layers", [slice(None), slice(1, 2)])
def test_a_copy_is_taken_in_the_order_asked_for(layers: slice) -> None:
    found = rows()
    run(found, [span(i, i) for i in range(3)])
    _, key, value = draw(3)
    order = torch.cat([torch.arange(2 * F, 3 * F), torch.arange(F)])
    both = [span(2, 2), span(0, 0)]
    raw, values = found.take(both, True, layers)
    assert raw.shape[0] == len(range(2)[layers])
    assert torch.equal(raw[0], key[:, order]) and torch.equal(values[0], value[:, order])
    rotated, _ = found.take(both, False, layers)
    assert torch.equal(rotated[0], rotate(key, ROPE.table([0, 1, 2]))[:, order])
    raw.zero_()
    assert found._raw is not None and found._raw[:, :, : 3 * F].all()


def test_rows_grow_at_their_end() -> None:
    found = rows(3)
    run(found, [span(i, i) for i in range(3)])
    before = found._keys.clone()
    size = found.nbytes
    found.grow(6)
    assert found.nbytes == 2 * size and torch.equal(found._keys[:, :, : 3 * F], before)
    got, _ = run(found, [span(3 + i, 3 + i) for i in range(3)], [span(i, i) for i in range(3)])
    pieces = [(0, i, i) for i in range(3)] + [(0, i, 3 + i) for i in range(3)]
    torch.testing.assert_close(got, expected(pieces, 0, [3.0, 4, 5]))


@pytest.mark.parametrize("raw, stores", [(False, 2), (True, 3)])
def test_bytes(raw: bool, stores: int) -> None:
    token = 4 * 2 * 2 * 2 * 14  # float32, layers, batch, heads, channels
    found = rows(5, 7, raw=raw, weights="heads")
    assert found.frame_bytes == stores * F * token and found.token_bytes == 2 * token
    bias = 4 * 2 * 2 * 2 * (5 * F + 7)
    assert found.nbytes == 5 * stores * F * token + 7 * 2 * token + bias
