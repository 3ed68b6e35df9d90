"""Single passes of the transformer, and all that happens inside one, against published numbers."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from worldrt.checkpoints import keymap
from worldrt.config import ModelConfig
from worldrt.kernels.rope import Rope, rotate
from worldrt.memory.cache import KVCache
from worldrt.memory.policy import find
from worldrt.memory.slots import CacheShape
from worldrt.model import Context, DenseContext, Transformer

Golden = Callable[[str], dict[str, Tensor]]
TOKENS = 24  # a frame of the golden models: 4 rows of 6


def close(got: Tensor, expected: Tensor, name: str = "") -> None:
    """Within the tolerance of the golden numbers (tests/golden/README.md)."""
    torch.testing.assert_close(
        got, expected, atol=1.5e-5, rtol=0, msg=lambda text: f"{name}: {text}"
    )


def blocks_of(frames: int, block_frames: int) -> Tensor:
    """[L] the block that each token belongs to."""
    return (torch.arange(frames) // block_frames).repeat_interleave(TOKENS)


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
