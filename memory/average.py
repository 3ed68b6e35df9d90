"""Two memory frames that are running means of everything that left: one slow, one quick.

Source: MemRoPE (arXiv 2603.12513), memory tokens.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from worldrt.errors import ConfigError
from worldrt.kernels.rope import Rope, rotate
from worldrt.memory.mid import Bounds, Mid, MidPart, Tail
from worldrt.memory.slots import CacheShape, Span

LEAST, MOST = 0.1, 5.0
"""Share of the quick rate that a token still takes, and that the one that moved most takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Averages(MidPart):
    """Means of raw keys and of values, over all tokens of a frame or cell by cell.

    Args:
        long: share of what leaves in the slow mean, above 0 to 1.
        short: share in the quick mean, above 0 to 1.
        grid: whether each cell of the frame has a mean of its own, and the quick one follows the
            cells that move more; else all cells of a memory frame hold the same mean.
    """

    long: float
    short: float
    grid: bool = False
    raw = True

    def __post_init__(self) -> None:
        if not (0 < self.long <= 1 and 0 < self.short <= 1):
            raise ConfigError(
                f"A running mean takes a share above 0 and up to 1, got long {self.long} and short "
                f"{self.short}."
            )

    def room(self, shape: CacheShape, bounds: Bounds) -> int:
        del bounds
        return 2 * shape.tokens

    def open(self, shape: CacheShape, bounds: Bounds, tail: Tail) -> "RunningMeans":
        del bounds
        return RunningMeans(self, shape, tail)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoneAverages(Averages):
    """As `Averages` over all tokens, but a memory frame is one token that counts as all of them.

    Copies of one key that stand at all cells differ by their rotation only. The lone key is the
    mean of the rotated copies, so that its logit is the mean of theirs, for every query; log F is
    added, F tokens of a frame. Copies weigh the mean of exp(logit), the lone token exp of the mean:
    the same up to half the variance of the copies' logits, and never more. Equal where F is 1.
    """

    weights = "keys"

    def room(self, shape: CacheShape, bounds: Bounds) -> int:
        del shape, bounds
        return 2


class RunningMeans(Mid):
    """The slow frame, then the quick one; between sink and recent they take two positions.

    Means are kept in float32: a hundredth of a difference is less than bfloat16 can add.

    Args:
        part: the policy's.
        shape: the model's numbers.
        tail: where the two frames are laid out.
    """

    def __init__(self, part: Averages, shape: CacheShape, tail: Tail) -> None:
        self._part, self._shape, self._tail = part, shape, tail
        self._rope = Rope.of_grid(shape.head_dim, shape.rows, shape.columns)
        cells = shape.tokens if part.grid else 1
        size = (2, shape.layers, shape.batch, cells, shape.heads, shape.head_dim)
        self._keys = tail.keys.new_zeros(size, dtype=torch.float32)
        self._values = torch.zeros_like(self._keys)
        if tail.bias is not None:
            tail.bias.fill_(math.log(shape.tokens))
        self.nbytes = self._keys.nbytes + self._values.nbytes

    def admit(self, spans: Sequence[Span], keys: Tensor, values: Tensor) -> None:
        """Frames that leave together enter as one mean; the first begin both memory frames."""
        key, value = self._mean(keys), self._mean(values)
        if not self.frames:
            self._keys[:], self._values[:] = key, value
            self.frames, self.width = 2, 2.0
            return
        quick = self._quick(key)
        for kept, new in ((self._keys, key), (self._values, value)):
            kept[0] += self._part.long * (new - kept[0])
            kept[1] += quick * (new - kept[1])

    def lay_out(self, start: float, spans: Sequence[Span]) -> None:
        del spans
        lone = self._tail.bias is not None
        cells = 1 if lone else self._shape.tokens
        self.tokens = self.frames * cells
        if not self.tokens:
            return
        times = self._rope.times([start, start + 1], self._keys.device)
        spread = self._rope.cells(times.device).mean(0).expand(2, -1)
        table = torch.cat([times, spread], 1)[:, None] if lone else self._rope.spread(times)
        self._tail.keys[:, :, : self.tokens] = rotate(_laid(self._keys, cells), table)
        self._tail.values[:, :, : self.tokens] = _laid(self._values, cells)

    def flush(self) -> None:
        self.frames, self.width = 0, 0.0

    def _mean(self, tokens: Tensor) -> Tensor:
        """Mean over frames, and over cells unless each has its own; [N, B, 1 or F, H, D]."""
        frames = tokens.unflatten(2, (-1, self._shape.tokens)).mean(2, dtype=torch.float32)
        return frames if self._part.grid else frames.mean(2, keepdim=True)

    def _quick(self, key: Tensor) -> Tensor | float:
        """Share that the quick mean takes: more where keys moved more since, in that layer."""
        if not self._part.grid:
            return self._part.short
        motion = (key - self._keys[1]).norm(dim=-1).mean(-1)  # [N, B, F]
        moved = motion / motion.amax(-1, keepdim=True).clamp_min(1e-8)
        share = self._part.short * (LEAST + moved * (MOST - LEAST))
        return share.clamp_max(1)[..., None, None]


def _laid(means: Tensor, cells: int) -> Tensor:
    """Means [2, N, B, 1 or F, H, D] as the tokens of two frames, [N, B, 2 cells, H, D]."""
    spread = means.expand(-1, -1, -1, cells, -1, -1)
    return rearrange(spread, "M N B S H D -> N B (M S) H D")
