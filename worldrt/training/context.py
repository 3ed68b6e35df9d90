"""What the tokens of a training sample attend to: all its blocks in one pass, without a cache."""

import torch
from torch import Tensor

from worldrt.kernels.attention import attend
from worldrt.kernels.rope import rotate


class BlockCausalContext:
    """Every block sees itself and those before it: a third less work than a mask over three blocks.

    Recalled frames come first and see themselves alone.

    Args:
        table: [L, 1, D / 2] rotary table of all tokens.
        size: tokens of a block.
        recalled: tokens of the recalled frames.
    """

    def __init__(self, table: Tensor, size: int, recalled: int = 0) -> None:
        self._table = table
        self._ends = [*range(recalled, len(table) + 1, size)]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        del layer  # the same for all
        query, key = rotate(query, self._table), rotate(key, self._table)
        spans = zip([0, *self._ends], self._ends, strict=False)
        blocks = [
            attend(query[:, start:end], key[:, :end], value[:, :end])
            for start, end in spans
            if end > start
        ]
        return torch.cat(blocks, dim=1)
