"""The spatial region of the cache: recalled frames beside everything else, in closed form."""

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.list_cache import ODD, Array, turned
from worldrt.errors import CacheError
from worldrt.memory.cache import KVCache
from worldrt.memory.policy import find
from worldrt.memory.slots import Region


class Oracle:
    """Frames by region in float64; positions are those that the policy's paper gives."""

    def __init__(self, sink: int, recent: int, contiguous: bool) -> None:
        self.sink, self.recent, self.contiguous = sink, recent, contiguous
        self.past: list[list[tuple[Tensor, Tensor]]] = []  # [frame][layer] raw key, value
        self.spatial: list[list[tuple[Tensor, Tensor]]] = []

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        frames = query.shape[1] // ODD.tokens
        done = len(self.past)
        first = self.past[: self.sink]
        last = self.past[self.sink :][-self.recent :] if self.recent else []
        block = float(done)
        recent = [done - len(last) + index for index in range(len(last))]
        spatial = [done - len(last) - len(self.spatial) + i for i in range(len(self.spatial))]
        sink = [float(index) for index in range(len(first))]
        if self.contiguous:
            start = done - len(last) - len(self.spatial) - len(first)
            sink = [float(start + index) for index in range(len(first))]
        own = [block + index for index in range(frames)]
        parts = [(held[layer], at) for held, at in zip(first, sink, strict=True)]
        parts += [(held[layer], at) for held, at in zip(self.spatial, spatial, strict=True)]
        parts += [(held[layer], at) for held, at in zip(last, recent, strict=True)]
        keys = torch.cat([part[0][0] for part in parts] + [key], dim=1).double().numpy()
        values = torch.cat([part[0][1] for part in parts] + [value], dim=1).double().numpy()
        where = _where([at for _, at in parts] + own)
        return _attended(query.double().numpy(), keys, values, _where(own), where)


def _where(frames: list[float]) -> Array:
    grid = np.stack(np.meshgrid(frames, range(ODD.rows), range(ODD.columns), indexing="ij"), -1)
    return grid.reshape(-1, 3).astype(np.float64)


def _attended(query: Array, keys: Array, values: Array, own: Array, where: Array) -> Tensor:
    out = []
    for q, k, v in zip(query, keys, values, strict=True):
        logits = np.einsum("qhd,khd->hqk", turned(q, own), turned(k, where).conj()).real
        weights = np.exp((logits - logits.max(-1, keepdims=True)) / ODD.head_dim**0.5)
        weights /= weights.sum(-1, keepdims=True)
        out.append(np.einsum("hqk,khd->qhd", weights, v))
    return torch.from_numpy(np.stack(out))


def _draw(frames: int, generator: torch.Generator) -> list[tuple[Tensor, Tensor, Tensor]]:
    size = (ODD.layers, 3, ODD.batch, frames * ODD.tokens, ODD.heads, ODD.head_dim)
    return [(one[0], one[1], one[2]) for one in torch.randn(size, generator=generator)]


def _frames(draws: list[tuple[Tensor, Tensor, Tensor]], count: int) -> list:
    size = ODD.tokens
    return [
        [(k[:, i * size : (i + 1) * size], v[:, i * size : (i + 1) * size]) for _, k, v in draws]
        for i in range(count)
    ]


@pytest.mark.parametrize(
    ("spec", "sink", "recent", "contiguous"),
    [
        ("window:sink=0,recent=4", 0, 4, False),
        ("window:sink=2,recent=4", 2, 4, False),
        ("infinity:sink=1,recent=5", 1, 5, True),
        ("infinity:sink=3,recent=3", 3, 3, True),
        ("full", 0, 10_000, False),
    ],
)
def test_a_block_sees_sink_recalled_recent_and_itself(
    spec: str, sink: int, recent: int, contiguous: bool
) -> None:
    generator = torch.Generator().manual_seed(3)
    cache = KVCache(find(spec, 3), ODD, spatial=4)
    oracle = Oracle(sink, recent, contiguous)
    for block in range(14):
        if block % 3 == 1:  # another set, of another size, now and then
            count = [4, 2, 0, 3, 4][block // 3]
            draws = _draw(count, generator)
            cache.open_spatial(count)
            if count:
                cache.begin_pass(first=True, clean=True)
                alone = Oracle(0, 0, contiguous=False)
                for layer, tensors in enumerate(draws):
                    torch.testing.assert_close(
                        cache.attend(layer, *tensors).double(),
                        alone.attend(layer, *tensors),
                        atol=1e-5,
                        rtol=0,
                    )
                cache.commit()
            oracle.spatial = _frames(draws, count)
        cache.open_block(3)
        draws = _draw(3, generator)
        for clean in (False, True):
            cache.begin_pass(first=not clean, clean=clean)
            for layer, tensors in enumerate(draws):
                torch.testing.assert_close(
                    cache.attend(layer, *tensors).double(),
                    oracle.attend(layer, *tensors),
                    atol=1e-5,
                    rtol=0,
                )
        cache.commit()
        oracle.past += _frames(draws, 3)
        assert cache.occupancy()[Region.SPATIAL].frames == len(oracle.spatial)


@pytest.mark.parametrize("spec", ["pack", "tether", "deep", "anchor", "state", "full", "history"])
def test_recalled_frames_live_beside_every_kind_of_policy(spec: str) -> None:
    """Bytes stay, nothing collides, and what is recalled stands where it says."""
    generator = torch.Generator().manual_seed(1)
    policy = find(spec, 3)
    cache = KVCache(policy, ODD, spatial=3)
    sizes = set()
    for block in range(30):
        if block > 1 and not policy.rebuild:
            cache.open_spatial(3)
            cache.begin_pass(first=True, clean=True)
            for layer, tensors in enumerate(_draw(3, generator)):
                cache.attend(layer, *tensors)
            cache.commit()
        cache.open_block(3)
        frames = 3 + policy.state
        for clean in (False, True):
            cache.begin_pass(first=not clean, clean=clean)
            for layer, tensors in enumerate(_draw(frames, generator)):
                assert cache.attend(layer, *tensors).isfinite().all()
        at = cache.positions()
        if block > 1 and not policy.rebuild:
            stands = at[Region.SPATIAL]
            assert [b - a for a, b in zip(stands, stands[1:], strict=False)] == [1, 1]
            assert max(stands) < min(at[Region.RECENT] + at[Region.BLOCK][policy.state :])
        cache.commit()
        if block > 20:
            sizes.add(cache.nbytes)
    assert len(sizes) == 1 or spec == "full"


def test_nothing_recalled_is_as_if_there_were_no_room_for_it() -> None:
    with_room = KVCache(find("infinity", 3), ODD, spatial=5)
    plain = KVCache(find("infinity", 3), ODD)
    generator = torch.Generator().manual_seed(0)
    for _ in range(6):
        draws = _draw(3, generator)
        for cache in (with_room, plain):
            cache.open_block(3)
            cache.begin_pass(first=True, clean=True)
        for layer, tensors in enumerate(draws):
            torch.testing.assert_close(
                with_room.attend(layer, *tensors), plain.attend(layer, *tensors)
            )
        with_room.commit()
        plain.commit()


def test_more_than_there_is_room_for_is_refused() -> None:
    cache = KVCache(find("window", 3), ODD, spatial=2)
    with pytest.raises(CacheError, match="3 frames are to be recalled, .* opened for 0 to 2"):
        cache.open_spatial(3)
    cache.open_block(3)
    with pytest.raises(CacheError, match="is open"):
        cache.open_spatial(1)


@pytest.mark.parametrize(
    "spec", ["window", "infinity", "full", "deep", "tether", "state", "memrope", "longlive"]
)
def test_what_will_stay_is_what_the_next_block_finds(spec: str) -> None:
    generator, policy = torch.Generator().manual_seed(2), find(spec, 3)
    cache = KVCache(policy, ODD, spatial=2)
    for _ in range(12):
        staying = cache.staying(3)
        cache.open_block(3)
        assert cache.occupancy()[Region.RECENT].frames == staying
        cache.begin_pass(first=True, clean=True)
        for layer, tensors in enumerate(_draw(3 + policy.state, generator)):
            cache.attend(layer, *tensors)
        cache.commit()
