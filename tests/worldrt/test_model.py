"""The laws that the transformer obeys at any size; test_golden_passes has the published numbers."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from worldrt.checkpoints import keymap
from worldrt.config import ModelConfig
from worldrt.errors import ShapeError
from worldrt.kernels.rope import Rope
from worldrt.model import DenseContext, Transformer, sinusoid

Golden = Callable[[str], dict[str, Tensor]]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def small(
    *,
    patch: int = 1,
    text_dim: int = 0,
    text_len: int = 4,
    camera_channels: int = 0,
    spatial_channels: int = 0,
) -> Transformer:
    """A model of odd sizes with random weights."""
    torch.manual_seed(0)
    config = ModelConfig(
        dim=42,
        num_heads=3,
        num_layers=2,
        ffn_dim=30,
        in_channels=5,
        freq_dim=10,
        patch=patch,
        text_dim=text_dim,
        text_len=text_len,
        camera_channels=camera_channels,
        spatial_channels=spatial_channels,
    )
    return Transformer(config).eval().requires_grad_(False)


def test_sinusoid_is_cosines_then_sines_in_float64() -> None:
    row = sinusoid(torch.tensor([[0.0, 937.5]]), 6)
    assert row.dtype == torch.float64 and row.shape == (1, 2, 6)
    np.testing.assert_allclose(row[0, 0], [1, 1, 1, 0, 0, 0])
    angles = 937.5 / 10_000 ** (np.arange(3) / 3)
    np.testing.assert_allclose(row[0, 1], [*np.cos(angles), *np.sin(angles)], atol=1e-12)


def test_a_later_block_changes_nothing_before_it() -> None:
    model = small()
    frames, block = 6, (torch.arange(6) // 2).repeat_interleave(15)
    context = DenseContext(Rope.of_grid(14, 3, 5).table(range(frames)), block <= block[:, None])
    latents, times = normal(1, frames, 5, 3, 5), torch.linspace(0, 1000, frames)[None]
    changed = latents.clone()
    changed[:, 4:] = normal(1, 2, 5, 3, 5, seed=1)
    before, after = model(latents, times, context), model(changed, times, context)
    torch.testing.assert_close(after[:, :4], before[:, :4])
    assert (after[:, 4:] - before[:, 4:]).abs().max() > 1e-2


def test_noise_levels_belong_to_frames() -> None:
    """With frames that don't see each other, a frame's output depends on its own level alone."""
    model = small()
    frame = torch.arange(3).repeat_interleave(15)
    context = DenseContext(Rope.of_grid(14, 3, 5).table(range(3)), frame == frame[:, None])
    latents = normal(1, 3, 5, 3, 5)
    one = model(latents, torch.tensor([[900.0, 500.0, 0.0]]), context)
    two = model(latents, torch.tensor([[900.0, 100.0, 0.0]]), context)
    torch.testing.assert_close(one[:, ::2], two[:, ::2])
    assert (one[:, 1] - two[:, 1]).abs().max() > 1e-3


def test_a_batch_is_its_samples_side_by_side() -> None:
    model = small(text_dim=7, text_len=4, camera_channels=6, spatial_channels=2)
    context = DenseContext(Rope.of_grid(14, 3, 5).table([4, 5]))
    latents, times = normal(2, 2, 5, 3, 5), torch.tensor([[900.0, 500.0], [20.0, 0.0]])
    prompt, camera, spatial = normal(2, 4, 7), normal(2, 2, 6, 3, 5), normal(2, 2, 2, 3, 5)
    both = model(
        latents, times, context, model.read_conditions(camera, spatial), model.read_text(prompt)
    )
    for index in range(2):
        one = slice(index, index + 1)
        alone = model(
            latents[one],
            times[one],
            context,
            model.read_conditions(camera[one], spatial[one]),
            model.read_text(prompt[one]),
        )
        torch.testing.assert_close(both[one], alone, atol=1e-5, rtol=0)


def test_patches_go_back_where_they_came_from() -> None:
    """An output depends on the patch at its own place when tokens don't see each other."""
    model = small(patch=2)
    context = DenseContext(Rope.of_grid(14, 3, 5).table([0]), torch.eye(15, dtype=torch.bool))
    latents, times = normal(1, 1, 5, 6, 10), torch.tensor([[500.0]])
    changed = latents.clone()
    changed[..., 2:4, 6:8] += 1  # the token of row 1, column 3
    moved = (model(changed, times, context) - model(latents, times, context)).abs().amax(2)[0, 0]
    assert (moved[2:4, 6:8] > 1e-4).all()
    moved[2:4, 6:8] = 0
    assert moved.max() < 1e-6


def test_conditions_add_up() -> None:
    model = small(camera_channels=6, spatial_channels=2)
    camera, spatial = normal(1, 2, 6, 3, 5), normal(1, 2, 2, 3, 5)

    def embed(camera: Tensor, spatial: Tensor) -> Tensor:
        total = model.read_conditions(camera, spatial)
        assert total is not None and total.shape == (1, 2, 15, 42)
        return total

    none, dark = torch.zeros_like(camera), torch.zeros_like(spatial)
    parts = embed(camera, dark) + embed(none, spatial) - embed(none, dark)
    torch.testing.assert_close(embed(camera, spatial), parts)
    assert small().read_conditions(None, None) is None


def test_same_inputs_give_the_same_bits(tiny: Transformer, prompt: Tensor) -> None:
    latents, times = normal(1, 3, 16, 8, 12), torch.full((1, 3), 625.0)
    context = DenseContext(Rope.of_grid(24, 4, 6).table(range(3)))
    runs = [tiny(latents, times, context, None, tiny.read_text(prompt)) for _ in range(2)]
    assert torch.equal(*runs)


def test_half_precision_stays_near(
    golden: Golden, tiny_config: ModelConfig, prompt: Tensor
) -> None:
    """Published weights run in bfloat16; the drift is that of its 8 bits, not of a wrong dtype."""
    tensors = golden("weights")
    published = {name: value for name, value in tensors.items() if name != "prompt"}
    model = Transformer(tiny_config).eval().requires_grad_(False)
    model.load_state_dict(keymap.from_wan(published))
    latents, times = normal(1, 3, 16, 8, 12), torch.full((1, 3), 625.0)
    context = DenseContext(Rope.of_grid(24, 4, 6).table(range(3)))
    exact = model(latents, times, context, None, model.read_text(prompt))
    half = model.bfloat16()
    rough = half(latents.bfloat16(), times, context, None, half.read_text(prompt.bfloat16()))
    assert rough.dtype == torch.bfloat16
    assert (rough.float() - exact).abs().mean() < 0.02 * exact.std()


@pytest.mark.parametrize(
    "shape, says",
    [
        ((1, 2, 4, 4, 6), "latents has shape [1, 2, 4, 4, 6], expected [B, T, 5, h, w]."),
        ((2, 5, 4, 6), "latents has shape [2, 5, 4, 6], expected [B, T, 5, h, w]."),
        ((1, 2, 5, 3, 6), "expected h and w that are multiples of 2."),
        ((1, 2, 5, 4, 7), "expected h and w that are multiples of 2."),
    ],
)
def test_latents_that_do_not_fit(shape: tuple[int, ...], says: str) -> None:
    context = DenseContext(Rope.of_grid(14, 2, 3).table([0, 1]))
    with pytest.raises(ShapeError) as caught:
        small(patch=2)(torch.zeros(shape), torch.zeros(1, 2), context)
    assert says in str(caught.value)


@pytest.mark.parametrize("rows, width", [(3, 7), (4, 8), (5, 7)])
def test_prompts_that_do_not_fit(rows: int, width: int) -> None:
    with pytest.raises(ShapeError, match=r"prompt has shape .* expected \[B, 4, 7\]"):
        small(text_dim=7, text_len=4).read_text(torch.zeros(1, rows, width))


def test_a_model_without_text_reads_no_prompt() -> None:
    with pytest.raises(ShapeError, match="prompt"):
        small().read_text(torch.zeros(1, 512, 0))


@pytest.mark.parametrize(
    "camera, spatial, says",
    [
        (None, 2, "camera condition"),
        (5, 2, "camera condition"),
        (6, None, "spatial condition"),
        (6, 3, "spatial condition"),
    ],
)
def test_conditions_that_do_not_fit(camera: int | None, spatial: int | None, says: str) -> None:
    model = small(camera_channels=6, spatial_channels=2)
    maps = [None if n is None else torch.zeros(1, 2, n, 3, 5) for n in (camera, spatial)]
    with pytest.raises(ShapeError, match=says):
        model.read_conditions(*maps)


def test_a_condition_that_the_model_does_not_take() -> None:
    with pytest.raises(ShapeError, match="spatial condition"):
        small(camera_channels=6).read_conditions(
            torch.zeros(1, 1, 6, 3, 5), torch.zeros(1, 1, 1, 3, 5)
        )
