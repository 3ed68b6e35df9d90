"""What the cache refuses, and in which sentence."""

import pytest
import torch
from torch import Tensor

from tests.list_cache import ODD, play
from worldrt.errors import CacheError, ShapeError
from worldrt.memory.cache import KVCache
from worldrt.memory.policy import find


def opened(spec: str = "window", frames: int = 2) -> KVCache:
    cache = KVCache(find(spec, 3), ODD)
    cache.open_block(frames)
    return cache


def tokens(frames: int) -> Tensor:
    return torch.zeros(ODD.batch, frames * ODD.tokens, ODD.heads, ODD.head_dim)


@pytest.mark.parametrize("frames", [0, -1, 4])
def test_blocks_of_impossible_size(frames: int) -> None:
    with pytest.raises(CacheError, match=f"A block of {frames} frames .* takes 1 to 3."):
        KVCache(find("window", 3), ODD).open_block(frames)


def test_two_open_blocks() -> None:
    with pytest.raises(CacheError, match="A block of 2 frames is open; commit it first."):
        opened().open_block(2)


def test_a_pass_without_a_block() -> None:
    with pytest.raises(CacheError, match="call open_block first"):
        KVCache(find("window", 3), ODD).begin_pass(first=True)


def test_a_pass_that_skips_the_choice_of_packed_blocks() -> None:
    """Else it would read what the block before had chosen."""
    cache = opened("pack", 3)
    with pytest.raises(CacheError, match="say first=True"):
        cache.begin_pass(clean=True)
    cache.begin_pass(first=True)
    cache.begin_pass(clean=True)


@pytest.mark.parametrize("frames", [1, 3])
def test_queries_of_another_length(frames: int) -> None:
    cache = opened()
    cache.begin_pass(first=True)
    with pytest.raises(ShapeError, match=r"query has shape .* expected \[B, 18, H, D\]"):
        cache.attend(0, tokens(frames), tokens(frames), tokens(frames))


def test_commit_before_the_clean_pass() -> None:
    cache = opened()
    with pytest.raises(CacheError, match="clean pass"):
        cache.commit()
    cache.begin_pass(first=True, clean=True)
    cache.begin_pass()  # another step after it
    with pytest.raises(CacheError, match="clean pass"):
        cache.commit()


def test_attention_without_a_block() -> None:
    """A pass after the commit would overwrite what was committed."""
    cache = opened()
    cache.begin_pass(first=True, clean=True)
    cache.commit()
    for each in (cache, KVCache(find("window", 3), ODD)):
        with pytest.raises(CacheError, match="call open_block first"):
            each.attend(0, tokens(2), tokens(2), tokens(2))


def test_commit_without_a_block() -> None:
    cache = opened()
    cache.begin_pass(first=True, clean=True)
    cache.commit()
    with pytest.raises(CacheError, match="clean pass"):
        cache.commit()
    assert cache.frames == 2


def test_blocks_that_the_packer_can_not_take() -> None:
    cache = KVCache(find("pack:sink=0,recent=0", 3), ODD)
    play(cache, [3, 2])
    with pytest.raises(CacheError, match="2 frames leave the recent partition.* blocks of 3"):
        cache.open_block(3)


@pytest.mark.parametrize("flags", [{}, {"clean": True}, {"first": True, "clean": True}])
def test_a_late_clean_pass_can_not_be_skipped(flags: dict[str, bool]) -> None:
    cache = opened("full")
    cache.begin_pass(first=True)
    cache.commit(late=True)
    cache.open_block(3)
    with pytest.raises(CacheError, match="goes with the next block's first step"):
        cache.begin_pass(**flags)
    cache.begin_pass(first=True)
    with pytest.raises(ShapeError, match=r"expected \[B, 45, H, D\]"):
        cache.attend(0, tokens(3), tokens(3), tokens(3))
    assert cache.attend(0, tokens(5), tokens(5), tokens(5)).shape == tokens(5).shape
    cache.begin_pass()
    assert cache.attend(0, tokens(3), tokens(3), tokens(3)).shape == tokens(3).shape
