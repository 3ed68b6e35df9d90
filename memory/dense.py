"""Rows as plain tensors, read where they lie.

A pass writes the block's keys into the block's slots and reads a prefix of the row: nothing is
shifted, cloned or concatenated, and nothing waits for the device.

Bytes: 2 E of keys and values a token and layer, E more where the policy moves keys (raw keys are
the truth, every rotation is taken anew from them).
"""

from collections.abc import Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor

from worldrt.kernels.attention import Part, attend, attend_parts
from worldrt.kernels.rope import Rope, turn_frames
from worldrt.memory.buckets import bucket_bias
from worldrt.memory.mid import Tail, Weights
from worldrt.memory.rows import ALL, Place, Write, targets
from worldrt.memory.slots import CacheShape, Span, runs


class DenseRows:
    """Rows as plain tensors.

    Args:
        shape: the model's numbers.
        slots: frame slots.
        room: tokens of the tail.
        raw: whether raw keys are kept beside the rotated ones.
        weights: what the tail's logit biases differ by.
        dtype, device: of keys and values.
    """

    def __init__(
        self,
        shape: CacheShape,
        slots: int,
        room: int,
        *,
        raw: bool,
        weights: Weights,
        dtype: torch.dtype,
        device: torch.device | None,
    ) -> None:
        self._shape, self._slots, self._device = shape, slots, device
        self._rope = Rope.of_grid(shape.head_dim, shape.rows, shape.columns)
        self._room = room
        lead = (shape.layers, shape.batch)
        width = (shape.heads, shape.head_dim)
        frames = slots * shape.tokens
        self._keys = torch.zeros(*lead, frames + room, *width, dtype=dtype, device=device)
        self._values = torch.zeros_like(self._keys)
        self._raw = self._keys.new_zeros(*lead, frames, *width) if raw else None
        self._bias: Tensor | None = None
        if weights != "none":
            heads = shape.heads if weights == "heads" else 1
            self._bias = torch.zeros(*lead, heads, frames + room, dtype=dtype, device=device)
        self._set_tail()

    @property
    def nbytes(self) -> int:
        tensors = (self._keys, self._values, self._raw, self._bias)
        return sum(tensor.nbytes for tensor in tensors if tensor is not None)

    @property
    def frame_bytes(self) -> int:
        tensors = (self._keys, self._values, self._raw)
        return sum(t[:, :, : self._shape.tokens].nbytes for t in tensors if t is not None)

    @property
    def token_bytes(self) -> int:
        return 2 * self._keys[:, :, :1].nbytes

    def place(self, written: Sequence[Span], read: Sequence[Span], tail: int) -> Place:
        tokens = self._shape.tokens
        stored = {span.slot for span in (*written, *read)} - {-1}
        used = self._slots if tail else 1 + max(stored, default=-1)
        end = used * tokens + tail
        hidden = [slot for slot in range(used) if slot not in stored]
        bias = self._hide(hidden, end)
        table = self._rope.table([span.position for span in written], self._device)
        return Place(
            tokens=len(written) * tokens,
            targets=targets(written, tokens),
            table=table,
            context=[(span.slot, span.position) for span in read],
            tail=tail,
            end=end,
            bias=bias,
            turns=None,
        )

    def attend(
        self,
        layer: int,
        place: Place,
        query: Tensor,
        write: Write,
        parts: Iterator[Part] | None = None,
    ) -> Tensor:
        keys, values = self._keys[layer], self._values[layer]
        tokens = self._shape.tokens
        for source, slot, frames in place.targets:
            here = slice(slot * tokens, (slot + frames) * tokens)
            there = slice(source, source + frames * tokens)
            keys[:, here] = write.key[:, there]
            values[:, here] = write.value[:, there]
            if write.keep and self._raw is not None:
                self._raw[layer, :, here] = write.raw_key[:, there]
        bias = place.bias
        if self._bias is not None:
            bias = self._bias[layer, :, :, None, : place.end]
        keys, values = keys[:, : place.end], values[:, : place.end]
        if write.planes is not None:
            bias = bucket_bias(query, keys, write.planes, bias)
        if parts is None:
            return attend(query, keys, values, bias)
        return attend_parts(query, chain([Part(keys, values, bias)], parts))

    def turn(self, spans: Sequence[Span], positions: Sequence[float]) -> None:
        tokens = self._shape.tokens
        times = self._rope.times(positions, self._device)
        for index, slot, frames in runs([span.slot for span in spans]):
            assert self._raw is not None
            here = slice(slot * tokens, (slot + frames) * tokens)
            raw, keys = (
                row[:, :, here].unflatten(2, (frames, tokens)) for row in (self._raw, self._keys)
            )
            turn_frames(raw, times[index : index + frames], keys)

    def take(self, spans: Sequence[Span], raw: bool, layers: slice = ALL) -> tuple[Tensor, Tensor]:
        tokens = self._shape.tokens
        index = torch.cat(
            [torch.arange(span.slot * tokens, (span.slot + 1) * tokens) for span in spans]
        ).to(self._device)
        keys = self._raw if raw else self._keys
        assert keys is not None
        return keys[layers, :, index], self._values[layers, :, index]

    def grow(self, slots: int) -> None:
        assert not self._room  # the policy that keeps everything has no mid
        more = (slots - self._slots) * self._shape.tokens
        self._keys, self._values = _longer(self._keys, more), _longer(self._values, more)
        if self._raw is not None:
            self._raw = _longer(self._raw, more)
        self._slots = slots
        self._set_tail()

    def _set_tail(self) -> None:
        frames = self._slots * self._shape.tokens
        bias = None if self._bias is None else self._bias[..., frames:]
        self.tail = Tail(self._keys[:, :, frames:], self._values[:, :, frames:], bias)

    def _hide(self, slots: Sequence[int], end: int) -> Tensor | None:
        """A bias that hides slots; written in place where the tail has biases of its own."""
        if self._bias is None and not slots:
            return None
        tokens = self._shape.tokens
        frames = end if self._bias is None else self._slots * tokens
        bias = torch.zeros(1, 1, 1, frames, dtype=self._keys.dtype)
        for slot in slots:
            bias[..., slot * tokens : (slot + 1) * tokens] = -torch.inf
        bias = bias.to(self._device)
        if self._bias is None:
            return bias
        self._bias[..., :frames] = bias[0]
        return None


def _longer(row: Tensor, tokens: int) -> Tensor:
    """The row with room for more tokens behind those it has, [N, B, S, H, D]."""
    more = row.new_zeros(*row.shape[:2], tokens, *row.shape[3:])
    return torch.cat([row, more], dim=2)
