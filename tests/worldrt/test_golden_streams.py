"""Whole streams of blocks through model, cache and sampler, against published numbers."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from worldrt.memory.cache import KVCache
from worldrt.memory.policy import find
from worldrt.memory.slots import CacheShape
from worldrt.model import TextKeys, Transformer
from worldrt.sampler import FlowSchedule, Step, sample, to_clean

Golden = Callable[[str], dict[str, Tensor]]
PUBLISHED = (1000, 750, 500, 250)


def close(got: Tensor, expected: Tensor) -> None:
    """Within the tolerance of the golden numbers (tests/golden/README.md)."""
    torch.testing.assert_close(got, expected, atol=1.5e-5, rtol=0)


class Seen(NamedTuple):
    """One step of a block."""

    noisy: Tensor
    flow: Tensor
    clean: Tensor


class Stream:
    """The transformer behind a cache, block after block."""

    def __init__(self, model: Transformer, prompt: Tensor, policy: str, block_frames: int) -> None:
        shape = CacheShape(
            layers=3, heads=4, head_dim=24, rows=4, columns=6, block_frames=block_frames
        )
        self.cache = KVCache(find(policy, block_frames), shape)
        self._model, self._frames = model, block_frames
        self._text: list[TextKeys] = model.read_text(prompt)

    def step(self, noisy: Tensor, timestep: float, first: bool, late: int = 0) -> Tensor:
        """One step; the first `late` frames are the clean ones of the block before."""
        self.cache.begin_pass(first=first)
        return self._pass(noisy, timestep, late)

    def close(self, clean: Tensor, given: bool = False) -> Tensor:
        """The clean pass; the only one of a block whose frames are given."""
        self.cache.begin_pass(first=given, clean=True)
        flow = self._pass(clean, 0.0)
        self.cache.commit()
        return flow

    def sample(self, noises: Iterable[Tensor]) -> list[Seen]:
        """Open a block and denoise it by `worldrt.sampler.sample`; what each step saw."""
        draws, seen = iter(noises), list[Seen]()

        def denoise(noisy: Tensor, step: Step, first: bool) -> Tensor:
            flow = self.step(noisy, step.timestep, first)
            clean = to_clean(flow, "flow", noisy, step.sigma, None)
            seen.append(Seen(noisy, flow, clean))
            return clean

        self.cache.open_block(self._frames)
        sample(denoise, FlowSchedule(5.0).steps(PUBLISHED), lambda: next(draws))
        return seen

    def _pass(self, latents: Tensor, timestep: float, late: int = 0) -> Tensor:
        times = torch.full(latents.shape[:2], timestep)
        times[:, :late] = 0
        return self._model(latents, times, self.cache, None, self._text)


@pytest.mark.parametrize("run, block_frames", [("bs3", 3), ("bs1", 1)])
@pytest.mark.parametrize("policy", ["full", "window:sink=2,recent=9"])
def test_golden_stream(
    golden: Golden,
    tiny: Transformer,
    prompt: Tensor,
    run: str,
    block_frames: int,
    policy: str,
) -> None:
    """All history attended: every step's input, flow and x0, the clean pass, the output."""
    tensors = {
        key.removeprefix(f"{run}."): value
        for key, value in golden("streaming").items()
        if key.startswith(run)
    }
    stream = Stream(tiny, prompt, policy, block_frames)
    noise = tensors["noise"].split(block_frames, dim=1)
    output = tensors["output"].split(block_frames, dim=1)
    for index in range(len(noise)):
        seen = stream.sample([noise[index], *tensors["renoise_eps"][index, :, None]])
        inputs = [noise[index], *tensors["renoised"][index, :, None]]
        for step, expected in enumerate(inputs):
            close(seen[step].noisy, expected)
            close(seen[step].flow[0], tensors["flow"][index, step])
            close(seen[step].clean[0], tensors["x0"][index, step])
        assert len(seen) == len(PUBLISHED)
        close(seen[-1].clean, output[index])
        close(stream.close(seen[-1].clean)[0], tensors["clean_flow"][index])
    assert stream.cache.frames == tensors["output"].shape[1]


@pytest.mark.parametrize("policy", ["full", "window:sink=3,recent=9"])
def test_golden_continuation(
    golden: Golden, tiny: Transformer, prompt: Tensor, policy: str
) -> None:
    """Given frames go through the clean pass alone, then generation goes on behind them."""
    tensors = golden("streaming")
    stream = Stream(tiny, prompt, policy, 3)
    for given in tensors["ext.initial_latent"].split(3, dim=1):
        stream.cache.open_block(3)
        stream.close(given, given=True)
    for index, noise in enumerate(tensors["ext.noise"].split(3, dim=1)):
        clean = stream.sample([noise, *tensors["ext.renoise_eps"][index, :, None]])[-1].clean
        close(clean, tensors["ext.output"][:, 3 * index : 3 * index + 3])
        stream.close(clean)


def test_golden_timestep_of_given_frames(golden: Golden) -> None:
    assert golden("streaming")["ext.timestep_of_initial_pass"].item() == 0.0


@pytest.mark.parametrize(
    "run, block_frames, policy",
    [
        ("bs3_w9_s3", 3, "window:sink=3,recent=3"),
        ("bs1_w4_s1", 1, "window:sink=1,recent=2"),
        ("bs3_w6_s0", 3, "window:sink=0,recent=3"),
    ],
)
def test_golden_window(
    golden: Golden,
    tiny: Transformer,
    prompt: Tensor,
    run: str,
    block_frames: int,
    policy: str,
) -> None:
    """Past the window: what a block's first step sees, and what its clean pass leaves behind."""
    tensors = golden("window")
    stream = Stream(tiny, prompt, policy, block_frames)
    noise = tensors[f"{run}.noise"].split(block_frames, dim=1)
    output = tensors[f"{run}.output"].split(block_frames, dim=1)
    for index, (noisy, clean) in enumerate(zip(noise, output, strict=True)):
        stream.cache.open_block(block_frames)
        close(stream.step(noisy, 1000.0, True)[0], tensors[f"{run}.first_flow"][index])
        close(stream.close(clean)[0], tensors[f"{run}.clean_flow"][index])
    assert stream.cache.evicted > 0


def test_golden_window_stream(golden: Golden, tiny: Transformer, prompt: Tensor) -> None:
    """The same window, all steps, feeding on its own output."""
    tensors = golden("window")
    stream = Stream(tiny, prompt, "window:sink=3,recent=3", 3)
    output = tensors["bs3_w9_s3.output"].split(3, dim=1)
    for index, noise in enumerate(tensors["bs3_w9_s3.noise"].split(3, dim=1)):
        seen = stream.sample([noise, *tensors["bs3_w9_s3.renoise_eps"][index, :, None]])
        clean = seen[-1].clean
        close(clean, output[index])
        close(stream.close(clean)[0], tensors["bs3_w9_s3.clean_flow"][index])


@pytest.mark.parametrize(
    "file, run, block_frames, policy",
    [
        ("streaming", "bs3", 3, "full"),
        ("streaming", "bs1", 1, "full"),
        ("window", "bs3_w9_s3", 3, "window:sink=3,recent=3"),
        ("window", "bs1_w4_s1", 1, "window:sink=1,recent=2"),
    ],
)
def test_golden_late_clean_passes(
    golden: Golden,
    tiny: Transformer,
    prompt: Tensor,
    file: str,
    run: str,
    block_frames: int,
    policy: str,
) -> None:
    """A block's clean pass in one forward with the next block's first step changes neither."""
    tensors = golden(file)
    first_flow = tensors[f"{run}.first_flow"] if file == "window" else tensors[f"{run}.flow"][:, 0]
    stream = Stream(tiny, prompt, policy, block_frames)
    noise = tensors[f"{run}.noise"].split(block_frames, dim=1)
    output = tensors[f"{run}.output"].split(block_frames, dim=1)
    late = noise[0][:, :0]
    for index, noisy in enumerate(noise):
        stream.cache.open_block(block_frames)
        flow = stream.step(torch.cat([late, noisy], dim=1), 1000.0, True, late.shape[1])[0]
        close(flow[-block_frames:], first_flow[index])
        if index:
            close(flow[:block_frames], tensors[f"{run}.clean_flow"][index - 1])
        late = output[index]
        stream.cache.commit(late=True)


def test_same_inputs_give_the_same_bits(golden: Golden, tiny: Transformer, prompt: Tensor) -> None:
    tensors = golden("streaming")

    def roll() -> Tensor:
        stream, made = Stream(tiny, prompt, "window:sink=1,recent=1", 1), []
        for index in range(4):
            noise = tensors["bs1.noise"][:, index : index + 1]
            seen = stream.sample([noise, *tensors["bs1.renoise_eps"][index, :, None]])
            made.append(seen[-1].clean)
            stream.close(made[-1])
        return torch.cat(made, dim=1)

    assert torch.equal(roll(), roll())
