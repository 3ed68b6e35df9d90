"""A bank of a fixed number of frames' worth of tokens, between the sink and the recent frames.

Frames that leave `recent` are appended while there is room; the rest wait behind the bank, unseen,
until a rule has chosen which of all stay: in each layer by itself, on the device, without waiting
for it. What stays keeps its raw keys, its values, and its own row and column.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from worldrt.errors import ConfigError
from worldrt.kernels.rope import Rope, rotate
from worldrt.memory.mid import Bounds, Mid, Tail
from worldrt.memory.slots import CacheShape, Span


class Bank(Mid):
    """Whole frames in time order; a subclass says when and by what they are chosen.

    Args:
        capacity: frames.
        shape: the model's numbers.
        bounds: how many frames may wait.
        tail: of the rows; room for those kept and those that wait.
    """

    def __init__(self, capacity: int, shape: CacheShape, bounds: Bounds, tail: Tail) -> None:
        self._capacity, self._shape, self._tail = capacity, shape, tail
        self._rope = Rope.of_grid(shape.head_dim, shape.rows, shape.columns)
        self._raw = torch.zeros_like(tail.keys)
        self._ids = torch.zeros(
            shape.layers, shape.batch, capacity + bounds.most, device=tail.keys.device
        )
        self.nbytes = self._raw.nbytes + self._ids.nbytes
        self._waiting = 0
        self._start = 0.0
        self._times = self._raw.new_zeros(0)
        self._stale = False

    def admit(self, spans: Sequence[Span], keys: Tensor, values: Tensor) -> None:
        first, count = self.frames + self._waiting, len(spans)
        here = self._tokens(first, first + count)
        self._raw[:, :, here], self._tail.values[:, :, here] = keys, values
        self._ids[:, :, first : first + count] = torch.tensor([float(span.frame) for span in spans])
        fitting = min(self._capacity - self.frames, count)
        self._waiting += count - fitting
        self.frames += fitting
        self.width = float(self.frames)
        self._stale = self._stale or fitting > 0

    def lay_out(self, start: float, spans: Sequence[Span]) -> None:
        del spans
        self.tokens = self.frames * self._shape.tokens
        if self._stale or start != self._start:
            self._start, self._stale = start, False
            ranks = [start + rank for rank in range(self.frames)]
            self._times = self._rope.times(ranks, self._raw.device)
            self._turn(slice(None))

    def commit(self, spans: Sequence[Span]) -> None:
        del spans
        self._waiting = 0

    def flush(self) -> None:
        self.frames, self.width, self._waiting = 0, 0.0, 0

    # For the rule.

    def _tokens(self, first: int, last: int) -> slice:
        """Tokens of the frames from `first` up to `last`."""
        return slice(first * self._shape.tokens, last * self._shape.tokens)

    def _keep(self, layer: int, scores: Tensor) -> Tensor:
        """Keep the units of highest score, in time order; ties go to the earlier one.

        Args:
            layer: index.
            scores: [B, U], one for each unit (a frame, or a token) of those kept and those that
                wait, which are divided evenly among them.

        Returns:
            [B, K] units that were kept, rising.
        """
        count = self.frames + self._waiting
        kept = scores.shape[1] * self.frames // count
        ranked = scores.argsort(dim=1, descending=True, stable=True)[:, :kept]
        chosen = ranked.sort(dim=1).values
        unit = count * self._shape.tokens // scores.shape[1]
        for store in (self._raw[layer], self._tail.values[layer]):
            _gather(store[:, self._tokens(0, count)], chosen, unit)
        return chosen

    def _turn(self, layers: int | slice) -> None:
        """Rotate what is kept to where it stands."""
        here = self._tokens(0, self.frames)
        self._tail.keys[layers, :, here] = rotate(self._raw[layers, :, here], self._table(layers))

    def _table(self, layers: int | slice) -> Tensor:
        """Rotary table of what is kept."""
        del layers  # whole frames stand alike in all of them
        return self._rope.spread(self._times)


def check_frames(name: str, **frames: int) -> None:
    """Raise ConfigError unless each of a policy's numbers of frames is at least 1."""
    for option, count in frames.items():
        if count < 1:
            raise ConfigError(f"Policy {name!r} needs {option} of at least 1 frame, got {count}.")


def _gather(store: Tensor, chosen: Tensor, unit: int) -> None:
    """Move the chosen units of `unit` tokens to the front of a store [B, S, H, D]."""
    units = store.unflatten(1, (-1, unit))
    batch = torch.arange(len(chosen), device=chosen.device)[:, None]
    # The right side is a copy, so units may move onto each other.
    units[:, : chosen.shape[1]] = units[batch, chosen]
