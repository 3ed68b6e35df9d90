"""Codecs of stored keys and values: bfloat16, or integers that share a scale along the tokens.

A channel that is large is large in every token, so a group is 16 consecutive tokens of one channel
of one head: a large channel spends its own scale and leaves the others fine. The codes are truly
packed, and a frame never shares a byte or a group with another, so frames move without being coded
anew. Keys are coded raw: a rotation mixes a large channel with its neighbour and turns with time.

Bytes of a frame of F tokens, for each head and channel: 2 F in bf16, ceil(F bits / 8) +
2 ceil(F / 16) in integers. Where 16 divides F that is 9, 5 and 3 bits a value. Reading is bound by
memory, and a read costs one float32 copy of what is read, so read a few frames at a time.

Source: kv-quant-longhorizon, round-to-nearest layout (16 tokens, float16 scale, no zero point).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from worldrt.errors import ConfigError, ShapeError

GROUP = 16
"""Consecutive tokens that share a scale."""
FINEST = torch.finfo(torch.float16).smallest_normal
"""The smallest scale. Below it float16 is too coarse for codes to survive being coded again."""


class Codes(NamedTuple):
    """Frames as they are stored.

    Args:
        packed: [..., P, H, D] uint8, earlier tokens in lower bits; bf16: [..., F, H, D] bfloat16.
        scales: [..., G, H, D] float16, one a group; G = 0 for bf16.
    """

    packed: Tensor
    scales: Tensor


@dataclass(frozen=True, slots=True)
class Codec:
    """A way to store numbers.

    Args:
        name: as the user says it.
        bits: of a code: 8, 4 or 2; None: the number itself in bfloat16.
    """

    name: str
    bits: int | None

    def room(self, tokens: int) -> tuple[int, int]:
        """Packed rows P and groups G of a frame of `tokens` tokens."""
        if self.bits is None:
            return tokens, 0
        return -(-tokens * self.bits // 8), -(-tokens // GROUP)

    def encode(self, frames: Tensor) -> Codes:
        """Code frames.

        A code is round(x / scale), scale = max |x| of the group / (2^(bits - 1) - 1) as float16
        holds it and at least `FINEST`; so no number is off by more than half its scale. A group
        with a NaN, an infinity or a scale beyond 65504 is decoded as NaN throughout: it is seen,
        and it spreads no further than its 16 tokens of one channel.

        Args:
            frames: [..., F, H, D], F at least 1, any floating dtype; coded in float32.

        Returns:
            Codes that `decode(..., torch.float32)` and `encode` map to themselves, bit for bit,
            where the numbers are finite.
        """
        tokens = frames.shape[-3]
        size = [(*frames.shape[:-3], length, *frames.shape[-2:]) for length in self.room(tokens)]
        scales = frames.new_empty(size[1], dtype=torch.float16)
        if self.bits is None:
            return Codes(frames.bfloat16(), scales)
        most = 2 ** (self.bits - 1) - 1
        frames = frames.float()
        codes = torch.empty_like(frames, dtype=torch.uint8)
        for group, code, scale in _groups(frames, codes, scales):
            extent = group.abs().amax(-3, keepdim=True)
            scale.copy_((extent / most).clamp_(min=FINEST))
            # By the scale as it was rounded, or a decoded group would be coded differently. That
            # rounding is below 2^-11 of a scale, so no code needs to be clamped to the largest.
            steps = (group / scale).round_().nan_to_num_(0)
            code.copy_(steps.add_(most))
        packed = frames.new_zeros(size[0], dtype=torch.uint8)
        for lane, shift in enumerate(range(0, 8, self.bits)):
            mine = codes[..., lane :: 8 // self.bits, :, :]
            packed[..., : mine.shape[-3], :, :] |= mine << shift
        return Codes(packed, scales)

    def decode(self, codes: Codes, tokens: int, dtype: torch.dtype) -> Tensor:
        """The frames that were coded.

        Args:
            codes: of frames of `tokens` tokens.
            tokens: F.
            dtype: of the result; computed in float32, where code times scale is exact.

        Returns:
            [..., F, H, D]; for bf16 in bfloat16 the stored tensor itself.
        """
        packed, scales = codes
        if self.bits is None:
            return packed.to(dtype)
        most = 2 ** (self.bits - 1) - 1
        size = (*packed.shape[:-3], tokens, *packed.shape[-2:])
        frames = torch.empty(size, dtype=torch.float32, device=packed.device)
        for lane, shift in enumerate(range(0, 8, self.bits)):
            mine = frames[..., lane :: 8 // self.bits, :, :]
            mine.copy_((packed[..., : mine.shape[-3], :, :] >> shift) & (2**self.bits - 1))
        frames -= most
        for group, scale in _groups(frames, scales):
            group *= scale
        return frames.to(dtype)


CODECS = {
    codec.name: codec
    for codec in (Codec("bf16", None), Codec("int8", 8), Codec("int4", 4), Codec("int2", 2))
}


def find_codec(name: str) -> Codec:
    """The codec that a user named: bf16, int8, int4 or int2.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in CODECS:
        raise ConfigError.unknown("codec", name, CODECS)
    return CODECS[name]


class FrameCodes:
    """Coded frames of all layers in numbered slots; memory is taken once.

    Args:
        codec: how they are stored.
        layers, batch, slots, tokens, heads, head_dim: sizes; `tokens` of a frame.
        dtype: of what is read.
        device: where the codes lie.
    """

    def __init__(
        self,
        codec: Codec,
        layers: int,
        batch: int,
        slots: int,
        tokens: int,
        heads: int,
        head_dim: int,
        dtype: torch.dtype,
        device: torch.device | None = None,
    ) -> None:
        self._codec, self._tokens, self._dtype = codec, tokens, dtype
        rows, groups = codec.room(tokens)
        held = torch.bfloat16 if codec.bits is None else torch.uint8
        lead = (layers, batch, slots)
        self._codes = Codes(
            torch.zeros((*lead, rows, heads, head_dim), dtype=held, device=device),
            torch.zeros((*lead, groups, heads, head_dim), dtype=torch.float16, device=device),
        )

    @property
    def slots(self) -> int:
        """Frames that there is room for."""
        return self._codes.packed.shape[2]

    @property
    def nbytes(self) -> int:
        """Bytes of codes and scales."""
        return sum(row.nbytes for row in self._codes)

    def write(self, layer: int, slot: int, frames: Tensor) -> None:
        """Code frames into consecutive slots.

        Args:
            layer: index.
            slot: of the first frame.
            frames: [B, n F, H, D] raw keys, or values.

        Raises:
            ShapeError: the tokens are no whole number of frames, or another size differs.
        """
        _, batch, _, _, heads, head_dim = self._codes.packed.shape
        count, rest = divmod(frames.shape[1], self._tokens)
        if rest or frames.shape != (batch, frames.shape[1], heads, head_dim):
            expected = f"[{batch}, n * {self._tokens}, {heads}, {head_dim}]"
            raise ShapeError("frames", frames.shape, expected)
        assert 0 <= slot and slot + count <= self.slots
        coded = self._codec.encode(frames.unflatten(1, (count, self._tokens)))
        for row, new in zip(self._codes, coded, strict=True):
            row[layer, :, slot : slot + count] = new

    def read(self, layer: int, slot: int, count: int = 1) -> Tensor:
        """Decode consecutive slots.

        Args:
            layer: index.
            slot: of the first frame.
            count: frames.

        Returns:
            [B, count F, H, D], zero where nothing was written; read it only, for it may be a view.
        """
        assert 0 <= slot and slot + count <= self.slots
        found = Codes(*(row[layer, :, slot : slot + count] for row in self._codes))
        return self._codec.decode(found, self._tokens, self._dtype).flatten(1, 2)

    def grow(self, slots: int) -> None:
        """Make room for `slots` frames in all, no fewer than there are; what is stored stays."""
        assert slots >= self.slots
        self._codes = Codes(*(_widened(row, slots) for row in self._codes))


def _groups(*rows: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Views by group: all full ones at once, then the shorter last one of a frame.

    Args:
        rows: [..., F, H, D] tensors, and last the scales [..., G, H, D].

    Yields:
        [..., g, t, H, D] views, t at most 16, and the scales' [..., g, 1, H, D].
    """
    *rows_of_tokens, scales = rows
    whole, rest = divmod(rows_of_tokens[0].shape[-3], GROUP)
    scales = scales.unsqueeze(-3)
    if whole:
        end = whole * GROUP
        full = (row[..., :end, :, :].unflatten(-3, (whole, GROUP)) for row in rows_of_tokens)
        yield *full, scales[..., :whole, :, :, :]
    if rest:
        short = (row[..., -rest:, :, :].unsqueeze(-4) for row in rows_of_tokens)
        yield *short, scales[..., whole:, :, :, :]


def _widened(row: Tensor, slots: int) -> Tensor:
    wide = row.new_zeros((*row.shape[:2], slots, *row.shape[3:]))
    wide[:, :, : row.shape[2]] = row
    return wide
