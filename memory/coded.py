"""Rows whose frames are stored in a codec, decoded a few at a time as they are read.

Only a tile of two or three frames exists decoded at any moment, and the block's own keys are not
stored before its clean pass: the peak, not only the sum, falls. Raw keys are stored and turned
after they are decoded, so moving a frame is free. The tail of the mid partition is not coded: what
is chosen token by token would be coded anew with every choice.

Source: kv-quant-longhorizon, whose peak rose because a copy in bfloat16 lay beside the codes.
"""

from collections.abc import Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor

from worldrt.kernels.attention import Part, attend_parts
from worldrt.kernels.rope import Rope, rotate
from worldrt.memory.mid import Tail, Weights
from worldrt.memory.quantize import Codec, FrameCodes
from worldrt.memory.rows import ALL, Place, Write, targets
from worldrt.memory.slots import CacheShape, Span, runs

TILES = 16
"""Least number of tiles that full rows are read in: a tile's share of the peak."""


class CodedRows:
    """Rows in a codec.

    Args:
        codec: of the frames.
        shape: the model's numbers.
        slots: frame slots.
        room: tokens of the tail.
        weights: what the tail's logit biases differ by.
        dtype: of keys and values as the model computes them.
        device: where they lie.
    """

    def __init__(
        self,
        codec: Codec,
        shape: CacheShape,
        slots: int,
        room: int,
        weights: Weights,
        dtype: torch.dtype,
        device: torch.device | None,
    ) -> None:
        self._shape, self._slots, self._device, self._dtype = shape, slots, device, dtype
        self._rope = Rope.of_grid(shape.head_dim, shape.rows, shape.columns)
        self._keys, self._values = (
            FrameCodes(
                codec,
                shape.layers,
                shape.batch,
                slots,
                shape.tokens,
                shape.heads,
                shape.head_dim,
                torch.float32,  # as parts are summed, so that a tile is not held in two dtypes
                device,
            )
            for _ in range(2)
        )
        lead = (shape.layers, shape.batch)
        keys = torch.zeros(*lead, room, shape.heads, shape.head_dim, dtype=dtype, device=device)
        heads = shape.heads if weights == "heads" else 1
        bias = keys.new_zeros(*lead, heads, room) if weights != "none" else None
        self.tail = Tail(keys, torch.zeros_like(keys), bias)

    @property
    def nbytes(self) -> int:
        tail = sum(tensor.nbytes for tensor in self.tail if tensor is not None)
        return self._keys.nbytes + self._values.nbytes + tail

    @property
    def frame_bytes(self) -> int:
        return (self._keys.nbytes + self._values.nbytes) // self._slots

    @property
    def token_bytes(self) -> int:
        shape = self._shape
        size = torch.finfo(self._dtype).bits // 8
        return 2 * size * shape.layers * shape.batch * shape.heads * shape.head_dim

    def place(self, written: Sequence[Span], read: Sequence[Span], tail: int) -> Place:
        tokens = self._shape.tokens
        ordered = sorted(read, key=lambda span: span.slot)
        return Place(
            tokens=len(written) * tokens,
            targets=targets(written, tokens),
            table=self._rope.table([span.position for span in written], self._device),
            context=[(span.slot, span.position) for span in ordered],
            tail=tail,
            end=0,
            bias=None,
            turns=self._rope.times([span.position for span in ordered], self._device),
        )

    def attend(
        self,
        layer: int,
        place: Place,
        query: Tensor,
        write: Write,
        parts: Iterator[Part] | None = None,
    ) -> Tensor:
        out = attend_parts(query, chain(self._parts(layer, place, write), parts or ()))
        if write.keep:
            tokens = self._shape.tokens
            for source, slot, frames in place.targets:
                here = slice(source, source + frames * tokens)
                self._keys.write(layer, slot, write.raw_key[:, here])
                self._values.write(layer, slot, write.value[:, here])
        return out

    def turn(self, spans: Sequence[Span], positions: Sequence[float]) -> None:
        """Nothing: keys are turned as they are read."""

    def take(self, spans: Sequence[Span], raw: bool, layers: slice = ALL) -> tuple[Tensor, Tensor]:
        stretches = runs([span.slot for span in spans])

        def read(row: FrameCodes, layer: int) -> Tensor:
            found = [row.read(layer, slot, frames) for _, slot, frames in stretches]
            return torch.cat(found, dim=1).to(self._dtype)

        which = range(self._shape.layers)[layers]
        found = [
            torch.stack([read(row, layer) for layer in which]) for row in (self._keys, self._values)
        ]
        if not raw:
            table = self._rope.table([span.position for span in spans], self._device)
            found[0] = rotate(found[0], table)
        return found[0], found[1]

    def grow(self, slots: int) -> None:
        self._keys.grow(slots)
        self._values.grow(slots)
        self._slots = slots

    def _parts(self, layer: int, place: Place, write: Write) -> Iterator[Part]:
        """What the pass itself brings, then the context a tile at a time, then the tail.

        No name is bound to what is decoded: a tile is let go before the next one is drawn.
        """
        assert place.turns is not None
        most, tokens = max(1, self._slots // TILES), self._shape.tokens
        for source, _, frames in place.targets:
            for first in range(0, frames, most):
                end = min(first + most, frames)
                here = slice(source + first * tokens, source + end * tokens)
                yield Part(write.key[:, here], write.value[:, here])
        for first, slot, count in runs([slot for slot, _ in place.context]):
            for start in range(0, count, most):
                frames = min(most, count - start)
                turns = place.turns[first + start : first + start + frames]
                yield Part(
                    rotate(self._keys.read(layer, slot + start, frames), self._rope.spread(turns)),
                    self._values.read(layer, slot + start, frames),
                )
        if place.tail:
            here = slice(0, place.tail)
            bias = self.tail.bias
            yield Part(
                self.tail.keys[layer, :, here],
                self.tail.values[layer, :, here],
                None if bias is None else bias[layer, :, :, None, here],
            )
