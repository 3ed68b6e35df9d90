"""The schedule's tables against published numbers, and the few-step loop."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from worldrt.config import SamplerConfig
from worldrt.errors import ConfigError
from worldrt.sampler import (
    FlowSchedule,
    Step,
    add_noise,
    clean_to_flow,
    flow_to_clean,
    sample,
    steps_of,
    to_clean,
)

Golden = Callable[[str], dict[str, Tensor]]
PUBLISHED = (1000, 750, 500, 250)
SIGMA_MIN = 0.003 / 1.002  # of the released scheduler's constructor when nothing is said


# The schedule.


@pytest.mark.parametrize("shift", [5.0, 8.0])
@pytest.mark.parametrize("count", [4, 50, 1000])
def test_golden_tables(golden: Golden, shift: float, count: int) -> None:
    tensors, name = golden("scheduler"), f"shift{shift:.0f}.n{count}"
    schedule = FlowSchedule(shift, count)
    assert torch.equal(schedule.sigmas, tensors[f"{name}.sigmas"])
    assert torch.equal(schedule.timesteps, tensors[f"{name}.timesteps"])


@pytest.mark.parametrize("shift", [5.0, 8.0])
@pytest.mark.parametrize("count", [4, 50])
def test_golden_tables_that_reach_their_last_level(
    golden: Golden, shift: float, count: int
) -> None:
    tensors, name = golden("scheduler"), f"shift{shift:.0f}.n{count}.default_ctor"
    schedule = FlowSchedule(shift, count, SIGMA_MIN, extra_step=False)
    torch.testing.assert_close(schedule.sigmas, tensors[f"{name}.sigmas"], atol=1e-7, rtol=0)
    torch.testing.assert_close(schedule.timesteps, tensors[f"{name}.timesteps"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("shift", [5.0, 8.0])
@pytest.mark.parametrize("listed", [(1000, 750, 500, 250), (1000, 500, 0), (1000, 757, 522)])
def test_golden_warped_lists(golden: Golden, shift: float, listed: tuple[int, ...]) -> None:
    name = f"shift{shift:.0f}.warp.{'_'.join(map(str, listed))}"
    assert torch.equal(FlowSchedule(shift).warp(listed), golden("scheduler")[name])


@pytest.mark.parametrize("shift", [5.0, 8.0])
def test_golden_conversions(golden: Golden, shift: float) -> None:
    tensors, name = golden("scheduler"), f"shift{shift:.0f}"
    schedule = FlowSchedule(shift)
    sigma = schedule.sigma(tensors[f"{name}.t"])
    assert torch.equal(sigma, tensors[f"{name}.sigma_used"])
    sigma = sigma[:, None, None, None]
    noisy = add_noise(tensors["x0"], tensors["noise"], sigma)
    torch.testing.assert_close(noisy, tensors[f"{name}.add_noise"], atol=1e-6, rtol=0)
    clean = flow_to_clean(noisy, tensors["flow"], sigma)
    torch.testing.assert_close(clean, tensors[f"{name}.flow_to_x0"], atol=1e-6, rtol=0)
    flow = clean_to_flow(noisy, tensors["x0"], sigma)
    torch.testing.assert_close(flow, tensors[f"{name}.x0_to_flow"], atol=2e-4, rtol=1e-5)


@pytest.mark.parametrize("shift", [5.0, 8.0])
def test_golden_euler_steps_follow_the_table(golden: Golden, shift: float) -> None:
    """Many-step sampling moves by differences of this table's levels, the last one to zero."""
    tensors, name = golden("scheduler"), f"shift{shift:.0f}.n50"
    sigmas = torch.cat([FlowSchedule(shift, 50).sigmas, torch.zeros(1)])
    moved = tensors["noise"]
    for index, expected in enumerate(tensors[f"{name}.euler_first5"]):
        moved = moved + tensors["flow"] * (sigmas[index + 1] - sigmas[index])
        torch.testing.assert_close(moved, expected, atol=1e-6, rtol=0)
    last = tensors["noise"] - tensors["flow"] * sigmas[-2]
    torch.testing.assert_close(last, tensors[f"{name}.euler_last"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("shift", [5.0, 8.0])
def test_golden_training_weights_follow_the_table(golden: Golden, shift: float) -> None:
    """The released trainer weighs timesteps by a bell over this table, with mean one."""
    times = FlowSchedule(shift).timesteps
    bell = torch.exp(-2 * ((times - 500) / 1000) ** 2)
    bell = bell - bell.min()
    expected = golden("scheduler")[f"shift{shift:.0f}.n1000.linear_timesteps_weights"]
    torch.testing.assert_close(bell * (1000 / bell.sum()), expected, atol=1e-5, rtol=1e-5)


def test_golden_clean_latents_of_a_batch(golden: Golden) -> None:
    """Per-sample timesteps find their level in the shift-8 table."""
    tensors = golden("bidirectional")
    sigma = FlowSchedule(8.0).sigma(tensors["t"])[:, None, None, None, None]
    clean = flow_to_clean(tensors["x"], tensors["flow"], sigma)
    torch.testing.assert_close(clean, tensors["x0_shift8"], atol=1e-6, rtol=0)


def test_published_steps_are_float32_levels() -> None:
    steps = FlowSchedule(5.0).steps(PUBLISHED)
    assert [step.timestep for step in steps] == [1000.0, 937.5, 833.3333129882812, 625.0]
    assert [step.sigma for step in steps] == [float(np.float32(s.timestep / 1000)) for s in steps]


def test_shift_one_is_linear_and_higher_shifts_dwell_in_noise() -> None:
    linear = FlowSchedule(1.0, 10).sigmas
    torch.testing.assert_close(linear, torch.linspace(1, 0.1, 10))
    assert (FlowSchedule(5.0, 10).sigmas[1:] > linear[1:]).all()


def test_nearest_level_wins_and_zero_is_the_last() -> None:
    schedule = FlowSchedule(5.0)
    assert schedule.index(torch.tensor([[1000.0, 0.0]])).tolist() == [[0, 999]]
    between = (schedule.timesteps[10] * 0.6 + schedule.timesteps[11] * 0.4).item()
    assert schedule.index(torch.tensor(between)).item() == 10


# The loop and its conversions.


def test_flow_and_clean_are_inverse() -> None:
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 1, 3, 5, 7, 9, generator=generator)
    for sigma in (1.0, 0.625, 0.01):
        noisy = add_noise(clean, noise, sigma)
        torch.testing.assert_close(
            flow_to_clean(noisy, noise - clean, sigma), clean, atol=1e-6, rtol=0
        )
        torch.testing.assert_close(
            clean_to_flow(noisy, clean, sigma), noise - clean, atol=1e-6 / sigma, rtol=0
        )


def test_what_a_network_returns() -> None:
    output, noisy, hint = torch.tensor([0.5]), torch.tensor([2.0]), torch.tensor([10.0])
    assert to_clean(output, "flow", noisy, 0.5, None).item() == 1.75
    assert to_clean(output, "clean", noisy, 0.5, None).item() == 0.5
    assert to_clean(output, "residual", noisy, 0.5, hint).item() == 10.5


def test_steps_of_a_world_are_its_levels() -> None:
    config = SamplerConfig(sigmas=(1.0, 0.7, 0.25), prediction="clean")
    assert steps_of(config) == (Step(1000.0, 1.0), Step(700.0, 0.7), Step(250.0, 0.25))


@pytest.mark.parametrize("count", [1, 2, 4, 7, 100])
def test_steps_that_are_asked_for_are_those_of_an_unshifted_schedule(count: int) -> None:
    """But as many as the world has are its own."""
    config = SamplerConfig(sigmas=(1.0, 0.7, 0.25), prediction="clean")
    steps = steps_of(config, count)
    even = FlowSchedule(1.0).steps([round(1000 * (1 - k / count)) for k in range(count)])
    assert len(steps) == count and steps[0] == Step(1000.0, 1.0)
    for step, wanted in zip(steps, even, strict=True):
        assert step.timestep == 1000 * step.sigma
        assert step.sigma == pytest.approx(wanted.sigma, abs=1e-3)
    assert steps_of(config, 3) == steps_of(config)


@pytest.mark.parametrize("count", [0, -1, 101])
def test_steps_out_of_range_are_refused(count: int) -> None:
    config = SamplerConfig(sigmas=(1.0,), prediction="clean")
    with pytest.raises(ConfigError, match=f"in 1 to 100 steps, got {count}"):
        steps_of(config, count)


@pytest.mark.parametrize("sigmas", [(1.0,), (1.0, 0.7, 0.25)])
def test_loop_draws_once_a_step_and_mixes_to_its_level(sigmas: tuple[float, ...]) -> None:
    """With noise n and a network that answers c, step k receives (1 - s) c + s n."""
    draws = iter(torch.arange(1.0, 9.0))
    calls: list[tuple[float, float, bool]] = []

    def denoise(noisy: Tensor, step: Step, first: bool) -> Tensor:
        calls.append((noisy.item(), step.sigma, first))
        return torch.tensor(-3.0)

    steps = tuple(Step(1000 * sigma, sigma) for sigma in sigmas)
    assert sample(denoise, steps, lambda: next(draws)).item() == -3
    for index, (noisy, sigma, first) in enumerate(calls):
        assert math.isclose(noisy, -3 * (1 - sigma) + sigma * (index + 1), rel_tol=1e-6)
        assert sigma == sigmas[index] and first == (index == 0)
    assert len(calls) == len(sigmas) and next(draws).item() == len(sigmas) + 1


def test_a_sure_network_is_obeyed_whatever_the_noise() -> None:
    """A network that knows the clean block in flow form gives it back from any noise."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(1, 2, 3, 5, 7, generator=generator)

    def denoise(noisy: Tensor, step: Step, first: bool) -> Tensor:
        flow = clean_to_flow(noisy, target, step.sigma)
        return to_clean(flow, "flow", noisy, step.sigma, None)

    steps = FlowSchedule(5.0).steps(PUBLISHED)
    got = sample(denoise, steps, lambda: torch.randn(target.shape, generator=generator))
    torch.testing.assert_close(got, target, atol=1e-6, rtol=0)
