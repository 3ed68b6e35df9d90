"""What a block must cost, against torch's own count of a forward."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from worldrt.bench.speed.subject import MODELS, Subject, random_subject
from worldrt.bench.speed.work import KINDS, work
from worldrt.model import DenseContext, Transformer

CPU = torch.device("cpu")


def small(steps: int = 2, size: tuple[int, int] = (80, 48), policy: str = "window") -> Subject:
    return random_subject(
        "small", size, policy=policy, steps=steps, dtype=torch.float32, device=CPU
    )


def counted(subject: Subject) -> dict[str, int]:
    """FLOPs by operator of a forward without any context, from torch's counter."""
    model, length = subject.model, subject.block_tokens
    table = torch.ones(length, 1, model.config.head_dim // 2, dtype=torch.complex64)
    latents = subject.draw(subject.block_frames)
    # The fused kernel of a CPU is not counted; its mathematics is.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(latents, torch.full(latents.shape[:2], 500.0), DenseContext(table))
    found = counter.get_flop_counts()["Global"]
    return {str(operator): count for operator, count in found.items()}


def test_operations_are_those_that_torch_counts() -> None:
    subject = small()
    cost, found = work(subject, 0), counted(subject)
    attention = sum(count for name, count in found.items() if "bmm" in name)
    linear = sum(found.values()) - attention
    assert cost.by_kind["attention"].flops == cost.passes * attention
    # The noise level's own layers see one row a frame, not one a token, and are left out.
    assert cost.by_kind["linear"].flops == pytest.approx(cost.passes * linear, rel=0.03)


def test_passes_are_steps_and_the_clean_one() -> None:
    two, four = work(small(steps=2), 90), work(small(steps=4), 90)
    assert (two.passes, four.passes) == (3, 5)
    for kind in KINDS:
        for one, other in zip(two.by_kind[kind], four.by_kind[kind], strict=True):
            assert 5 * one == 3 * other


def test_context_costs_attention_alone() -> None:
    near, far = work(small(), 0), work(small(), 450)
    assert far.keys == 450 + far.queries
    assert near.by_kind["linear"] == far.by_kind["linear"]
    ratio = far.by_kind["attention"].flops / near.by_kind["attention"].flops
    assert ratio == far.keys / near.keys


def test_the_published_size_has_its_published_weights() -> None:
    """Wan2.1 1.3B: linear layers of a pass read its 1.3 billion weights but the prompt's."""
    config = MODELS["wan-1.3b"]
    with torch.device("meta"):
        model = Transformer(config)
    assert sum(one.numel() for one in model.parameters()) == pytest.approx(1.42e9, rel=0.01)
    subject = Subject(
        name="wan-1.3b",
        model=model,
        rows=30,
        columns=52,
        block_frames=3,
        policy=small().policy,
        steps=small(steps=4).steps,
        prediction="flow",
        prompt=torch.empty(1, 512, 4096, device="meta"),
    )
    cost = work(subject, 21 * 1560)
    assert cost.queries == 4680
    # Five passes: 1.27e9 weights x 2 x 4,680 tokens, and attention over 24 frames and 512 words.
    assert cost.by_kind["linear"].flops == pytest.approx(5 * 1.27e9 * 2 * 4680, rel=0.02)
    assert cost.by_kind["attention"].flops == 5 * 4 * 4680 * (24 * 1560 + 512) * 1536 * 30
