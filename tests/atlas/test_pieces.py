"""What has changed, applied to what was, is what is."""

import numpy as np
import pytest

from worldrt.atlas.pieces import PIECE, Arrays, apply, changes


def same(one: Arrays, other: Arrays) -> bool:
    """The very same names, types, shapes and bytes."""

    def told(arrays: Arrays) -> dict[str, tuple[object, ...]]:
        return {name: (a.dtype, a.shape, a.tobytes()) for name, a in arrays.items()}

    return told(one) == told(other)


def draw(random: np.random.Generator, rows: int) -> Arrays:
    return {
        "position": random.standard_normal((rows, 3)).astype(np.float32),
        "sources": random.integers(0, 2**16, (rows, 4), np.uint16),
        "used": random.random(rows) < 0.5,
        "poses": random.standard_normal((rows // 7, 4, 4)),
        "last": np.array(int(random.integers(1000))),
    }


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    "before, after", [(2000, 2000), (1100, 2311), (2311, 1100), (0, 63), (63, 0)]
)
def test_changes_lead_from_the_old_to_the_new(seed: int, before: int, after: int) -> None:
    random = np.random.default_rng(seed)
    old, new = draw(random, before), draw(random, after)
    for name in old:  # much is the same, some is not
        if old[name].ndim and random.random() < 0.8:
            rows = min(len(old[name]), len(new[name]))
            new[name][:rows] = old[name][:rows]
            if rows:
                new[name][random.integers(rows)] = new[name][0]
    if seed % 3 == 0:
        new["more"] = np.arange(5)
    if seed % 3 == 1:
        new["used"] = new["used"].astype(np.uint8)
    found = changes(old, new)
    apply(old, found)
    assert same(old, new)


def test_what_is_the_same_changes_nothing() -> None:
    old = draw(np.random.default_rng(1), 777)
    assert changes(old, {name: array.copy() for name, array in old.items()}) == {}


def test_a_byte_costs_a_piece() -> None:
    old: Arrays = {"a": np.zeros((5000, 3), np.float32), "b": np.zeros(9, np.uint8)}
    new = {name: array.copy() for name, array in old.items()}
    new["a"][4321, 1] = 7
    found = changes(old, new)
    assert found.keys() == {"a:pieces", "a:bytes", "a:length"}
    assert found["a:pieces"].tolist() == [(4321 * 3 + 1) * 4 // PIECE]
    assert found["a:bytes"].nbytes == PIECE


def test_not_a_number_is_no_change_and_a_minus_zero_is_one() -> None:
    """Bytes are compared, not numbers."""
    nan, zero = np.full(3000, np.nan), np.zeros(3000)
    assert changes({"a": nan, "b": zero}, {"a": nan.copy(), "b": zero.copy()}) == {}
    assert changes({"a": nan, "b": zero}, {"a": nan, "b": -zero}).keys() >= {"b:pieces"}


def test_pieces_of_what_is_not_there_are_refused() -> None:
    found = changes({"a": np.zeros(9)}, {"a": np.ones(9)})
    with pytest.raises(KeyError, match="a"):
        apply({}, found)
