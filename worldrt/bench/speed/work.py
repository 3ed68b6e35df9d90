"""What a block must cost: floating-point operations and bytes, by kind of work.

A multiplication and an addition count as two operations. Bytes are those that can't be avoided:
weights once a pass, cached keys and values once a pass and layer, activations of element-wise work
read once and written once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from worldrt.bench.speed.subject import Subject
from worldrt.config import ModelConfig

KINDS = ("linear", "attention", "elementwise")


class Cost(NamedTuple):
    """Of one kind of work in one block."""

    flops: int
    bytes: int

    def __add__(self, other: object) -> "Cost":
        assert isinstance(other, Cost)
        return Cost(self.flops + other.flops, self.bytes + other.bytes)


@dataclass(frozen=True, slots=True)
class Work:
    """What a block costs.

    Args:
        passes: forwards of the transformer: the steps and the clean pass.
        queries: L, tokens of a pass.
        keys: S, tokens that a pass attends to, its own included.
        by_kind: cost of each of KINDS.
    """

    passes: int
    queries: int
    keys: int
    by_kind: Mapping[str, Cost]

    @property
    def flops(self) -> int:
        return sum(cost.flops for cost in self.by_kind.values())


def work(subject: Subject, context: int) -> Work:
    """What a block of `subject` must cost behind `context` cached tokens."""
    config, queries = subject.model.config, subject.block_tokens
    passes, size = len(subject.steps) + 1, subject.dtype.itemsize
    keys = context + queries
    words = 0 if subject.prompt is None else config.text_len
    one = {
        "linear": _linear(config, queries, words, size),
        "attention": _attention(config, queries, keys, words, size),
        "elementwise": _elementwise(config, queries, words, size),
    }
    costs = {kind: Cost(passes * cost.flops, passes * cost.bytes) for kind, cost in one.items()}
    return Work(passes, queries, keys, costs)


def _linear(config: ModelConfig, queries: int, words: int, size: int) -> Cost:
    """Projections of a pass: weights are read once, inputs and outputs are counted elsewhere."""
    width = config.dim
    layer = 4 * width**2 + 2 * width * config.ffn_dim
    if words:
        layer += 2 * width**2  # query and output; the prompt's keys are made once a prompt
    patch = config.in_channels * config.patch**2
    weights = config.num_layers * layer + 2 * patch * width
    return Cost(2 * queries * weights, weights * size)


def _attention(config: ModelConfig, queries: int, keys: int, words: int, size: int) -> Cost:
    """Logits and weighted sums of a pass; keys and values of the context are read once."""
    seen = keys + words
    flops = 4 * queries * seen * config.dim * config.num_layers
    moved = 2 * seen * config.dim * config.num_layers * size
    return Cost(flops, moved)


def _elementwise(config: ModelConfig, queries: int, words: int, size: int) -> Cost:
    """Norms, modulation, rotation, gates and activations of a pass, each fused as far as it goes.

    A layer reads and writes the tokens for two modulated norms and two gated sums, queries and keys
    for norm and rotation, and the hidden row of the feed-forward net for its activation.
    """
    tokens = 2 * 2 + 2 * 3 + 2 * 2 + (2 + 3 if words else 0)
    layer = queries * (tokens * config.dim + 2 * config.ffn_dim)
    return Cost(0, config.num_layers * layer * size)
