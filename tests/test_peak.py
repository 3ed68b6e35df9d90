"""The measure of peak memory on what is known."""

import pytest
import torch

from tests.peak import peak

MIB = 2**20


def test_what_lives_at_once_is_counted_and_what_died_is_not() -> None:
    with peak() as found:
        a = torch.zeros(MIB, dtype=torch.uint8)
        b = a + 1
        del a
        c = b + 1
        del b
    assert c.nbytes == MIB
    assert (found.bytes, found.left) == pytest.approx((2 * MIB, MIB), abs=256)


def test_a_view_is_free() -> None:
    with peak() as found:
        row = torch.zeros(MIB, dtype=torch.uint8)
        views = [row[index:].view(-1) for index in range(99)]
    assert len(views) == 99
    assert found.bytes == pytest.approx(MIB, abs=256)


def test_what_lived_before_does_not_count_not_even_when_it_dies() -> None:
    old = torch.zeros(8 * MIB, dtype=torch.uint8)
    with peak() as found:
        del old
        torch.zeros(MIB, dtype=torch.uint8)
    assert (found.bytes, found.left) == pytest.approx((MIB, 0), abs=256)


def test_what_an_operation_takes_for_itself_counts() -> None:
    """Both operands are cast to float32 before they are multiplied."""
    a, b = torch.zeros(MIB, dtype=torch.bfloat16), torch.zeros(MIB, dtype=torch.float16)
    with peak() as found:
        torch.mul(a, b)
    assert found.bytes == pytest.approx(3 * 4 * MIB, abs=256)


def test_nothing_costs_nothing() -> None:
    with peak() as found:
        pass
    assert (found.bytes, found.left) == (0, 0)
