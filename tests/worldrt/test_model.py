"""The transformer against published numbers, and the laws that any of its sizes obeys."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from worldrt.checkpoints import keymap
from worldrt.config import ModelConfig
from worldrt.errors import ShapeError
from worldrt.kernels.rope import Rope, rotate
from worldrt.memory.cache import KVCache
from worldrt.memory.policy import find
from worldrt.memory.slots import CacheShape
from worldrt.model import Context, DenseContext, Transformer, sinusoid

Golden = Callable[[str], dict[str, Tensor]]
TOKENS = 24  # a frame of the golden models: 4 rows of 6


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def close(got: Tensor, expected: Tensor, name: str = "") -> None:
    """Within the tolerance of the golden numbers (tests/golden/README.md)."""
    torch.testing.assert_close(
        got, expected, atol=1.5e-5, rtol=0, msg=lambda text: f"{name}: {text}"
    )


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


def blocks_of(frames: int, block_frames: int) -> Tensor:
    """[L] the block that each token belongs to."""
    return (torch.arange(frames) // block_frames).repeat_interleave(TOKENS)


# Published numbers.


@pytest.mark.parametrize("run, block_frames", [("bs3", 3), ("bs1", 1)])
def test_golden_clean_pass_over_all_blocks_at_once(
    golden: Golden, tiny: Transformer, prompt: Tensor, run: str, block_frames: int
) -> None:
    clean, expected = golden("streaming")[f"{run}.output"], golden("single_pass")[f"{run}.clean"]
    frames = clean.shape[1]
    block = blocks_of(frames, block_frames)
    context = DenseContext(Rope.of_grid(24, 4, 6).table(range(frames)), block <= block[:, None])
    flow = tiny(clean, torch.zeros(1, frames), context, None, tiny.read_text(prompt))
    close(flow, expected)


@pytest.mark.parametrize("run, block_frames, steps", [("bs3", 3, (0, 1, 2, 3)), ("bs1", 1, (3,))])
def test_golden_teacher_forcing(
    golden: Golden,
    tiny: Transformer,
    prompt: Tensor,
    run: str,
    block_frames: int,
    steps: tuple[int, ...],
) -> None:
    """Clean and noisy frames in one pass: each noisy block sees the clean ones before it."""
    streaming, expected = golden("streaming"), golden("single_pass")[f"{run}.noisy"]
    clean = streaming[f"{run}.output"]
    frames = clean.shape[1]
    block = blocks_of(frames, block_frames)
    sees_clean, sees_noisy = block <= block[:, None], torch.zeros(2 * [len(block)]).bool()
    mask = torch.cat(
        [
            torch.cat([sees_clean, sees_noisy], dim=1),
            torch.cat([block < block[:, None], block == block[:, None]], dim=1),
        ]
    )
    table = Rope.of_grid(24, 4, 6).table([*range(frames), *range(frames)])
    for row, step in zip(expected, steps, strict=True):
        noisy = (
            streaming[f"{run}.noise"]
            if step == 0
            else streaming[f"{run}.renoised"][:, step - 1].flatten(0, 1)[None]
        )
        timestep = streaming[f"{run}.timesteps"][step]
        times = torch.cat([torch.zeros(1, frames), timestep.expand(1, frames)], dim=1)
        flow = tiny(
            torch.cat([clean, noisy], dim=1),
            times,
            DenseContext(table, mask),
            None,
            tiny.read_text(prompt),
        )
        close(flow[:, frames:], row)


def test_golden_bidirectional_batch(golden: Golden) -> None:
    """Two samples with their own timestep and prompt, every token seeing every other."""
    tensors = golden("bidirectional")
    config = ModelConfig(
        dim=96, num_heads=4, num_layers=2, ffn_dim=128, in_channels=4, text_dim=32, text_len=16
    )
    model = Transformer(config).eval().requires_grad_(False)
    published = {name: tensor for name, tensor in tensors.items() if name.startswith("model.")}
    model.load_state_dict(keymap.from_wan(published))
    latents = tensors["x"]
    frames = latents.shape[1]
    flow = model(
        latents,
        tensors["t"][:, None].expand(2, frames),
        DenseContext(Rope.of_grid(24, 4, 6).table(range(frames))),
        None,
        model.read_text(tensors["context"]),
    )
    close(flow, tensors["flow"])


def test_golden_prompt_keys(golden: Golden, tiny: Transformer, prompt: Tensor) -> None:
    keys = tiny.read_text(prompt)[2].key
    close(keys, golden("streaming")["bs3.text_keys"])


class Recorder:
    """Passes a cache's attention through and keeps what the layers asked with."""

    def __init__(self, inner: Context) -> None:
        self._inner = inner
        self.seen: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        self.seen[layer] = (query, key, value)
        return self._inner.attend(layer, query, key, value)


def watch(model: Transformer, seen: dict[str, Tensor]) -> list[RemovableHandle]:
    """Hook the modules whose inputs and outputs have a published counterpart."""

    def output(module: nn.Module, name: str) -> RemovableHandle:
        def keep(module: nn.Module, args: object, out: Tensor) -> None:
            seen[name] = out

        return module.register_forward_hook(keep)

    def entry(module: nn.Module, name: str) -> RemovableHandle:
        def keep(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            seen[name] = args[0]

        return module.register_forward_pre_hook(keep)

    modules = dict(model.named_modules())
    handles = [
        output(modules["text"], "text_embedding"),
        output(modules["patch"], "patch_embedding.tokens"),
        entry(modules["time"], "time_embedding.in"),
        output(modules["time"], "time_embedding"),
        output(modules["levels"], "time_projection"),
        entry(modules["head.out"], "head.head.in"),
        output(modules["head.out"], "head.head"),
    ]
    for index in (0, 2):
        layer, name = f"layers.{index}", f"blocks.{index}"
        handles += [
            entry(modules[layer], f"{name}.norm1.in"),
            entry(modules[f"{layer}.attention"], f"{name}.self_attn.in"),
            output(modules[f"{layer}.attention.norm_q"], f"{name}.self_attn.norm_q"),
            output(modules[f"{layer}.attention.norm_k"], f"{name}.self_attn.norm_k"),
            entry(modules[f"{layer}.attention.out"], f"{name}.self_attn.o.in"),
            output(modules[f"{layer}.attention"], f"{name}.self_attn"),
            entry(modules[f"{layer}.cross_norm"], f"{name}.norm3.in"),
            output(modules[f"{layer}.cross_norm"], f"{name}.norm3"),
            output(modules[f"{layer}.cross.norm_q"], f"{name}.cross_attn.norm_q"),
            entry(modules[f"{layer}.cross.out"], f"{name}.cross_attn.o.in"),
            output(modules[f"{layer}.cross"], f"{name}.cross_attn"),
            entry(modules[f"{layer}.ffn"], f"{name}.ffn.in"),
            output(modules[f"{layer}.ffn"], f"{name}.ffn"),
            output(modules[layer], f"{name}.block"),
        ]
    return handles


def test_golden_taps(golden: Golden, tiny: Transformer, prompt: Tensor) -> None:
    """Every intermediate value of one call with three timesteps: says where a fault begins."""
    streaming, taps = golden("streaming"), golden("taps")
    shape = CacheShape(layers=3, heads=4, head_dim=24, rows=4, columns=6, block_frames=3)
    cache = KVCache(find("full", 3), shape)
    text = tiny.read_text(prompt)
    cache.open_block(3)
    cache.begin_pass(first=True, clean=True)
    tiny(streaming["bs3.output"][:, :3], torch.zeros(1, 3), cache, None, text)
    cache.commit()
    cache.open_block(3)
    cache.begin_pass(first=True)
    context, seen = Recorder(cache), dict[str, Tensor]()
    handles = watch(tiny, seen)
    seen["flow"] = tiny(
        streaming["bs3.noise"][:, 3:6], taps["t"], context, None, tiny.read_text(prompt)
    )
    for handle in handles:
        handle.remove()
    table = Rope.of_grid(24, 4, 6).table([3, 4, 5])
    for layer in (0, 2):
        query, key, value = context.seen[layer]
        seen[f"blocks.{layer}.self_attn.q_rope"] = rotate(query, table)
        seen[f"blocks.{layer}.self_attn.k_rope"] = rotate(key, table)
        seen[f"blocks.{layer}.self_attn.v"] = value
    assert seen.keys() == taps.keys() - {"t"}
    for name, got in seen.items():
        close(got.reshape(taps[name].shape).float(), taps[name], name)


# Laws.


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
