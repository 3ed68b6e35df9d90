"""Rollouts under published policies against the same written in float64 from their text."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor

from tests.released import Infinity, Kept, LongLive, Released, Tether, rope
from worldrt.errors import CacheError, ConfigError
from worldrt.history import History, Past
from worldrt.kernels.attention import attend
from worldrt.memory.cache import KVCache
from worldrt.memory.coarse import CoarseHistory
from worldrt.memory.policy import SwitchMode, find, names
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
def test_longlive(tiny: Transformer, prompt: Tensor, global_sink: bool, switch_at: int) -> None:
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


# Contexts that are written anew.


def test_recompute_of_everything_is_the_unbounded_cache(tiny: Transformer, prompt: Tensor) -> None:
    """Block by block each clean pass sees what it saw the first time, so the keys are the same."""
    full, again = (rollout(tiny, prompt, spec, 3) for spec in ("full", "recompute:last=15"))
    for noise in noises(6, 3):
        close(generate(again, noise), generate(full, noise))


def test_recompute_follows_a_new_prompt_by_itself(tiny: Transformer, prompt: Tensor) -> None:
    """After a switch all keys are those of the new prompt, as if the latents were a given start."""
    roll, draws = rollout(tiny, prompt, "recompute:last=6", 3), noises(5, 3)
    past = [generate(roll, noise) for noise in draws[:4]]
    roll.switch(SwitchMode.KEEP, tiny.read_text(other(prompt)))
    fresh = rollout(tiny, other(prompt), "full", 3)
    for latents in past[-2:]:
        fresh.give(latents)
    close(generate(roll, draws[4]), generate(fresh, draws[4]))


def test_recompute_at_once_lets_the_first_frames_see_the_last(
    tiny: Transformer, prompt: Tensor
) -> None:
    first, last = noises(2, 3)[:, 0]
    noise = noises(1, 3)[0]

    def after_both(spec: str) -> Tensor:
        roll = rollout(tiny, prompt, spec, 3)
        roll.give(first)
        roll.give(last)
        return generate(roll, noise)

    options = "recompute:first=3,last=3,at_once="
    at_once, in_order = after_both(f"{options}true"), after_both(f"{options}false")
    assert (at_once - in_order).abs().max() > 1e-3
    close(in_order, after_both("full"))


def test_history_keeps_no_key_and_covers_what_it_says(tiny: Transformer, prompt: Tensor) -> None:
    """One block whole, 6 frames in cells of 2 x 2 x 2, 12 in cells of 4 x 4 x 4."""
    roll = rollout(tiny, prompt, "history", 3)
    frames, tokens = [], []
    for noise in noises(9, 3):
        generate(roll, noise)
        mid = roll.cache.occupancy()[Region.MID]
        frames.append(mid.frames)
        tokens.append(mid.tokens)
    # What a block sees: nothing coarse before there is more than a block; whole cells only.
    assert frames == [0, 0, 2, 6, 6, 10, 14, 18, 18]
    assert tokens[-1] == 3 * (2 * 3) + 3 * (1 * 1)


def test_coarse_and_packed_keys_follow_the_prompt(tiny: Transformer, prompt: Tensor) -> None:
    """Beyond the first layer, whose keys come before the prompt is read."""
    draws = noises(9, 3)
    found: list[Tensor] = []
    for text in (prompt, other(prompt)):
        roll = rollout(tiny, text, "history", 3)
        for latents in draws[:, 0]:
            roll.give(latents)
        roll.generate(lambda frames: draws[0, 1], 3)
        mid = roll.cache._mid
        assert isinstance(mid, CoarseHistory) and mid.tokens > 0
        found.append(mid._raw[:, :, : mid.tokens].clone())
    apart = (found[0] - found[1]).abs().amax(dim=(1, 2, 3, 4))
    assert apart[0] == 0 and (apart[1:] > 1e-3).all()


def test_history_groups_are_the_frames_before_each_other() -> None:
    policy = find("history:last=3,middle=2,far=4", 3)
    kept = History(policy, 3)
    for index in range(12):
        latents = torch.full((1, 1, 16, 8, 12), float(index))
        kept.keep(Past(latents, None, ()))
    assert [len(chosen) for _, chosen in kept._grouped(list(kept._last)[:-3])] == [2, 4]
    values = [
        [float(past.latents.mean()) for past in chosen]
        for _, chosen in kept._grouped(list(kept._last)[:-3])
    ]
    assert values == [[7.0, 8.0], [3.0, 4.0, 5.0, 6.0]]


class Stateful(Released):
    """An anchor frame, denoised with each block at position 0, replaces the one before."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.anchors: dict[int, tuple[Tensor, Tensor]] = {}
        self.fresh: dict[int, tuple[Tensor, Tensor]] = {}

    def commit(self) -> None:
        super().commit()
        self.anchors = dict(self.fresh)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        tokens, width = self.rows * self.columns, self.sink
        state = width * tokens
        buffer = self.layers.setdefault(layer, [])
        if not self.first:
            del buffer[-self.frames :]
        elif len(buffer) + self.frames > self.window:
            del buffer[: len(buffer) + self.frames - self.window]
        frames = zip(
            key[:, state:].chunk(self.frames, 1),
            value[:, state:].chunk(self.frames, 1),
            strict=True,
        )
        buffer += [Kept(0, k, v) for k, v in frames]
        self.fresh[layer] = (key[:, :state], value[:, :state])
        anchors = [self.anchors[layer]] if layer in self.anchors else []
        anchors.append(self.fresh[layer])
        grid = (self.rows, self.columns)
        where = [float(width + index) for index in range(len(buffer))]
        still = [float(index) for index in range(width)]
        keys = [rope(k, still, *grid) for k, _ in anchors]
        keys.append(rope(torch.cat([one.key for one in buffer], 1), where, *grid))
        values = [v for _, v in anchors] + [one.value for one in buffer]
        queries = rope(query, still + where[-self.frames :], *grid)
        return attend(queries, torch.cat(keys, 1), torch.cat(values, 1))


@pytest.mark.parametrize("anchor", [1, 2])
def test_state(tiny: Transformer, prompt: Tensor, anchor: int) -> None:
    """The state is denoised beside the block; only the block is returned."""
    released = Stateful(ROWS, COLUMNS, window=9, sink=anchor)
    reference = Reference(tiny, prompt, released, 3)
    roll = rollout(tiny, prompt, f"state:anchor={anchor},recent=6", 3)
    for noise in noises(6, 3 + anchor):
        draws = iter(noise)
        latents = roll.generate(lambda frames, draws=draws: next(draws), 3)
        roll.commit()
        close(latents, reference.generate(noise)[:, anchor:])
    assert roll.cache.positions()[Region.SINK] == [float(index) for index in range(anchor)]


def test_reground_depends_on_the_last_frame_given_and_on_no_other(
    tiny: Transformer, prompt: Tensor
) -> None:
    draws, ahead = noises(4, 3), noises(4, 1)[:, 0]

    def roll(*shifts: int) -> tuple[Rollout, Tensor]:
        """Each block's sink is written once for each shift of what lies ahead."""
        one, made = rollout(tiny, prompt, "reground:recent=3", 3), list[Tensor]()
        for noise, frame in zip(draws, ahead, strict=True):
            for shift in shifts:
                one.give_sink(frame.roll(shift, -1))
            made.append(generate(one, noise))
        return one, made[-1]

    once, latents = roll(0)
    assert once.cache.positions()[Region.SINK] == [12.0]  # right behind the block, 9 to 11
    assert once.cache.occupancy()[Region.SINK].frames == 1
    assert torch.equal(roll(1, 0)[1], latents)
    assert (roll(1)[1] - latents).abs().max() > 1e-3


# What a switch does, and what is refused.


@pytest.mark.parametrize("spec", ["window:sink=3,recent=3", "full", "tether:sink=3,memory=3"])
def test_keeping_everything_at_a_switch_changes_nothing(
    tiny: Transformer, prompt: Tensor, spec: str
) -> None:
    """Also where a clean pass was still to run."""
    plain, switched = rollout(tiny, prompt, spec, 3), rollout(tiny, prompt, spec, 3)
    for index, noise in enumerate(noises(5, 3)):
        assert switched.switch(SwitchMode.KEEP) == Receipt(SwitchMode.KEEP, index)
        close(generate(switched, noise), generate(plain, noise))


@pytest.mark.parametrize(
    "spec, mode, says",
    [
        ("window", "recache", "'window' has no switch mode 'recache'; it knows keep."),
        ("full", "flush", "'full' has no switch mode 'flush'"),
        ("longlive", "cut", "it knows keep, recache."),
        ("infinity", "recall", "it knows keep, flush, cut."),
    ],
)
def test_switch_modes_that_a_policy_lacks(
    tiny: Transformer, prompt: Tensor, spec: str, mode: str, says: str
) -> None:
    one, two = rollout(tiny, prompt, spec, 3), rollout(tiny, prompt, spec, 3)
    draws = noises(2, 3)
    for roll in (one, two):
        generate(roll, draws[0])
    with pytest.raises(ConfigError) as caught:
        one.switch(SwitchMode(mode), tiny.read_text(other(prompt)))
    assert says in str(caught.value)
    assert torch.equal(generate(one, draws[1]), generate(two, draws[1]))


# Another cache in the middle of a walk.


def opened(roll: Rollout, spec: str) -> KVCache:
    return KVCache(find(spec, roll.cache.shape.block_frames), roll.cache.shape)


@pytest.mark.parametrize(
    "old, spec, frames, given",
    [
        *(("window", spec, 3, 5) for spec in names()),
        ("state", "window", 5, 3),
        ("state", "state", 4, 4),
        ("temp:prompt_bits=4", "infinity", 3, 5),
    ],
)
def test_another_cache_is_as_if_its_walk_had_begun_with_the_last_blocks(
    tiny: Transformer, prompt: Tensor, old: str, spec: str, frames: int, given: int
) -> None:
    """Those of at most 16 frames; what was before them is gone. Also with a clean pass to run."""
    roll = rollout(tiny, prompt, old, frames)

    def walk(one: Rollout, noise: Tensor) -> Tensor:
        draws = iter(noise)
        latents = one.generate(lambda wanted: next(draws)[:, :wanted], frames)
        one.commit()
        return latents

    made = [walk(roll, noise) for noise in noises(given + 1, 2 * frames)]
    moved, fresh = roll.under(opened(roll, spec)), rollout(tiny, prompt, spec, frames)
    for block in made[-given:]:
        fresh.give(block)
    assert (moved.blocks, fresh.blocks) == (given + 1, 0)
    for noise in noises(2, 2 * frames):
        assert torch.equal(walk(moved, noise), walk(fresh, noise))


@pytest.mark.parametrize("mode, kept", [("flush", 1), ("cut", 1), ("keep", 5)])
def test_another_cache_is_given_nothing_that_a_switch_has_made_forgotten(
    tiny: Transformer, prompt: Tensor, mode: str, kept: int
) -> None:
    """The last two frames survive a flush of this policy: one block of three."""
    roll = rollout(tiny, prompt, "infinity:recent=2", 3)
    made = [generate(roll, noise) for noise in noises(6, 3)]
    roll.switch(SwitchMode(mode), tiny.read_text(other(prompt)))
    moved = roll.under(opened(roll, "window"))
    fresh = rollout(tiny, other(prompt), "window", 3)
    for block in made[-kept:]:
        fresh.give(block)
    noise = noises(1, 3)[0]
    assert torch.equal(generate(moved, noise), generate(fresh, noise))


def test_another_cache_waits_for_the_open_block(tiny: Transformer, prompt: Tensor) -> None:
    roll = rollout(tiny, prompt, "window", 3)
    draws = iter(noises(1, 3)[0])
    roll.generate(lambda frames: next(draws), 3)
    with pytest.raises(CacheError, match="A generated block is open; commit it first."):
        roll.under(opened(roll, "window"))


def test_a_block_is_committed_before_the_next(tiny: Transformer, prompt: Tensor) -> None:
    roll = rollout(tiny, prompt, "window", 3)
    draws = iter(noises(1, 3)[0])
    roll.generate(lambda frames: next(draws), 3)
    with pytest.raises(CacheError, match="commit it first"):
        roll.generate(lambda frames: next(draws), 3)
    roll.commit()
    with pytest.raises(CacheError, match="no generated block"):
        roll.commit()


@pytest.mark.parametrize("spec", ["window", "infinity", "tether", "deep", "state", "history"])
def test_a_batch_is_its_sequences_side_by_side(
    tiny: Transformer, prompt: Tensor, spec: str
) -> None:
    prompts = torch.cat([prompt, other(prompt)])
    draws = noises(9, 4, batch=2)
    shown = 4 if spec == "state" else 3

    def roll(text: Tensor, rows: slice) -> Tensor:
        one, made = rollout(tiny, text, spec, 3), []
        for noise in draws:
            steps = iter(noise[:, rows, :shown])
            made.append(one.generate(lambda frames, steps=steps: next(steps), 3))
            one.commit()
        return torch.cat(made, dim=1)

    both = roll(prompts, slice(None))
    close(both[:1], roll(prompt, slice(0, 1)))
    close(both[1:], roll(other(prompt), slice(1, 2)))


def test_buckets_hide_words_and_keys_only_where_asked(tiny: Transformer, prompt: Tensor) -> None:
    """Among 48 tables of one plane some are shared by all; 12 planes are shared by few."""
    draws = noises(3, 3)

    def roll(options: str) -> Tensor:
        one = rollout(tiny, prompt, f"temp{options}", 3)
        return torch.cat([generate(one, noise) for noise in draws], dim=1)

    plain = roll("")
    assert torch.equal(plain, roll(":tables=9"))
    for option in ("prompt_bits", "self_bits"):
        wide, narrow = (roll(f":{option}={b},tables={t}") for b, t in ((1, 48), (12, 1)))
        close(wide, plain)
        assert (narrow - plain).abs().mean() > 0.01


def test_buckets_and_a_codec_are_refused() -> None:
    with pytest.raises(ConfigError, match="can't do that tile by tile"):
        find("temp:self_bits=4,codec=int4", 3)
