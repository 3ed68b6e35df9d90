"""Blocks timed behind a full context."""

from pathlib import Path

import msgspec
import pytest
import torch

from worldrt.bench.speed.measure import Walk, full_context, kind_of, measure, shares, side_by_side
from worldrt.bench.speed.subject import Subject, random_subject


@pytest.fixture(scope="module")
def subject() -> Subject:
    return random_subject(
        "small",
        (48, 32),
        policy="window:sink=1,recent=6",
        steps=2,
        dtype=torch.float32,
        device=torch.device("cpu"),
    )


def test_the_context_is_full_and_known_before(subject: Subject) -> None:
    walk = Walk(subject)
    walk.fill()
    before = walk.tokens
    assert before == 7 * 6  # a sink of one frame and six recent ones of 2 x 3 tokens
    with torch.inference_mode():
        walk.block()
    assert walk.tokens == before == full_context(subject)


def test_blocks_are_timed_and_traced(subject: Subject, tmp_path: Path) -> None:
    ticks: list[None] = []
    timing = measure(subject, 3, tmp_path / "trace.json", lambda: ticks.append(None))
    assert len(ticks) == 3
    assert 0 < timing.spread_ms[0] <= timing.block_ms <= timing.spread_ms[1]
    assert 0 < timing.policy_ms < timing.block_ms
    assert sum(timing.share.values()) == pytest.approx(1) and min(timing.share.values()) > 0
    assert timing.context == 42 and timing.peak_bytes is None
    events = msgspec.json.decode((tmp_path / "trace.json").read_bytes())["traceEvents"]
    assert any(event.get("name") == "aten::addmm" for event in events)


def test_both_loops_are_timed_in_turns(subject: Subject) -> None:
    ours, plain = side_by_side(subject, 6, 3, lambda: None)
    assert ours > 0 and plain > 0


@pytest.mark.parametrize(
    "operator, kind",
    [
        ("aten::addmm", "linear"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", "attention"),
        ("aten::bmm", "attention"),
        ("aten::mul", "elementwise"),
        ("aten::native_layer_norm", "elementwise"),
    ],
)
def test_operators_are_told_apart(operator: str, kind: str) -> None:
    assert kind_of(operator) == kind


def test_shares_add_up() -> None:
    found = shares([("aten::addmm", 3.0), ("aten::mm", 1.0), ("aten::add", 4.0)])
    assert found == {"linear": 0.5, "attention": 0.0, "elementwise": 0.5}
    assert sum(shares([]).values()) == 0
