"""Rollouts under published policies against the same written in float64 from their text."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor

from tests.released import Infinity, LongLive, Released, Tether
from worldrt.errors import CacheError, ConfigError
from worldrt.memory.cache import KVCache
from worldrt.memory.policy import SwitchMode, find
from worldrt.memory.slots import CacheShape, Region
from worldrt.model import TextKeys, Transformer
from worldrt.rollout import Receipt, Rollout
from worldrt.sampler import FlowSchedule, add_noise, flow_to_clean

STEPS = FlowSchedule(5.0).steps((1000, 750, 500, 250))
ROWS, COLUMNS = 4, 6


def close(got: Tensor, expected: Tensor) -> None:
    """Within the tolerance of the golden numbers (tests/golden/README.md)."""
    torch.testing.assert_close(got.double(), expected.double(), atol=1.5e-5, rtol=0)


def noises(blocks: int, frames: int, batch: int = 1) -> Tensor:
    """[blocks, steps, B, T, C, h, w]"""
    size = (blocks, len(STEPS), batch, frames, 16, 2 * ROWS, 2 * COLUMNS)
    return torch.randn(size, generator=torch.Generator().manual_seed(5))


def other(prompt: Tensor) -> Tensor:
    """Another prompt of the same shape."""
    return prompt.roll(3, dims=-1).flip(1)


def rollout(model: Transformer, prompt: Tensor, spec: str, frames: int) -> Rollout:
    shape = CacheShape(
        layers=3,
        heads=4,
        head_dim=24,
        rows=ROWS,
        columns=COLUMNS,
        block_frames=frames,
        batch=len(prompt),
    )
    cache = KVCache(find(spec, frames), shape)
    return Rollout(model, cache, STEPS, "flow", model.read_text(prompt))


def generate(roll: Rollout, noise: Tensor) -> Tensor:
    """One block from its noises [steps, B, T, C, h, w]."""
    draws = iter(noise)
    latents = roll.generate(lambda frames: next(draws), noise.shape[2])
    roll.commit()
    return latents


class Reference:
    """The model in float64 over a released cache."""

    def __init__(self, model: Transformer, prompt: Tensor, cache: Released, frames: int) -> None:
        self.model = deepcopy(model).double()
        self.cache, self.frames = cache, frames
        self.text = self.read(prompt)
        self.made: list[Tensor] = []

    def read(self, prompt: Tensor) -> list[TextKeys]:
        return self.model.read_text(prompt.double())

    def generate(self, noise: Tensor) -> Tensor:
        self.cache.open(self.frames)
        noisy = clean = noise[0].double()
        for index, step in enumerate(STEPS):
            if index:
                noisy = add_noise(clean, noise[index].double(), step.sigma)
            flow = self.run(noisy, step.timestep, first=index == 0)
            clean = flow_to_clean(noisy, flow, step.sigma)
        self.run(clean, 0.0, clean=True)
        self.cache.commit()
        self.made.append(clean)
        return clean

    def run(
        self, latents: Tensor, timestep: float, *, first: bool = False, clean: bool = False
    ) -> Tensor:
        self.cache.begin(first, clean)
        times = torch.full(latents.shape[:2], timestep, dtype=torch.float64)
        return self.model(latents, times, self.cache, None, self.text)

    def recache(self, prompt: Tensor, window: int, global_sink: bool) -> None:
        cache = self.cache
        assert isinstance(cache, LongLive)
        self.text = self.read(prompt)
        past = torch.cat(self.made, 1)[:, -window:]
        cache.recache(past.shape[1], global_sink)

        class Again:
            def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
                return cache.attend_again(layer, query, key, value)

        zeros = torch.zeros(past.shape[:2], dtype=torch.float64)
        self.model(past, zeros, Again(), None, self.text)


@pytest.mark.parametrize("frames", [3, 1, 2])
def test_tether(tiny: Transformer, prompt: Tensor, frames: int) -> None:
    """Seven blocks fill the window; then memory is chosen and aligned, in every layer by itself."""
    blocks = {3: 12, 1: 14, 2: 12}[frames]
    sink, memory = frames, 6 * frames - frames - 1
    spec = f"tether:sink={sink},memory={memory},recent=1"
    released = Tether(ROWS, COLUMNS, window=7 * frames, sink=sink)
    released.memory = memory
    reference = Reference(tiny, prompt, released, frames)
    roll = rollout(tiny, prompt, spec, frames)
    for noise in noises(blocks, frames):
        close(generate(roll, noise), reference.generate(noise))
    assert find("tether", 3) == find("tether:sink=3,memory=14,recent=1", 3)


@pytest.mark.parametrize(
    "switch_at, mode",
    [(None, None), (4, "flush"), (4, "cut"), (1, "flush")],
    ids=["plain", "flush", "cut", "early flush"],
)
def test_infinity(
    tiny: Transformer, prompt: Tensor, switch_at: int | None, mode: str | None
) -> None:
    released = Infinity(ROWS, COLUMNS, window=6, sink=1)
    reference = Reference(tiny, prompt, released, 3)
    roll = rollout(tiny, prompt, "infinity", 3)
    for index, noise in enumerate(noises(8, 3)):
        released.cut = False
        if index == switch_at and mode:
            receipt = roll.switch(SwitchMode(mode), tiny.read_text(other(prompt)))
            assert receipt == Receipt(SwitchMode(mode), index)
            reference.text = reference.read(other(prompt))
            released.flush()
            released.cut = mode == "cut"
        close(generate(roll, noise), reference.generate(noise))


@pytest.mark.parametrize("global_sink", [True, False])
@pytest.mark.parametrize("switch_at", [2, 4, 6], ids=["early", "window full", "later"])
def test_longlive(
    tiny: Transformer, prompt: Tensor, global_sink: bool, switch_at: int
) -> None:
    """A window of 12; the block that follows a recache depends on every recached key."""
    reference = Reference(tiny, prompt, LongLive(ROWS, COLUMNS, window=12, sink=3), 3)
    roll = rollout(tiny, prompt, f"longlive:global_sink={str(global_sink).lower()}", 3)
    for index, noise in enumerate(noises(9, 3)):
        if index == switch_at:
            receipt = roll.switch(SwitchMode.RECACHE, tiny.read_text(other(prompt)))
            assert receipt.block == switch_at
            reference.recache(other(prompt), 12, global_sink)
        close(generate(roll, noise), reference.generate(noise))


def test_longlive_without_a_switch_is_the_window(tiny: Transformer, prompt: Tensor) -> None:
    one, two = (rollout(tiny, prompt, spec, 3) for spec in ("longlive", "window"))
    for noise in noises(6, 3):
        assert torch.equal(generate(one, noise), generate(two, noise))
