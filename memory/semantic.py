"""A bank of past blocks, thinned to the tokens they were read by, recalled by what they are about.

Source: BlockVid (arXiv 2511.22973), semantic sparse key/value cache.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldrt.errors import ConfigError
from worldrt.kernels.rope import Rope
from worldrt.memory.mass import check_sample, key_mass, thinned
from worldrt.memory.mid import Bounds, Look, Mid, MidPart, Tail
from worldrt.memory.relocate import Patch, relocate
from worldrt.memory.slots import CacheShape, Span

Vector = NDArray[np.float32] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Semantic(MidPart):
    """Blocks that left `recent`, and the choice of those that a block attends to.

    Args:
        blocks: blocks kept; the oldest is dropped.
        top: how many of them a block attends to.
        mass: share of a block's attention to itself that its stored tokens received, 0 to 1.
        share: of a block's tokens that are stored at most, above 0, up to 1.
        sample: how many queries of a block are looked at for that mass, spread evenly; 0: all.
        slots: frame slots of the cache.
        key_patch, value_patch: mend what is recalled; None: it is recalled as it was.
    """

    blocks: int
    top: int
    mass: float
    share: float
    sample: int
    slots: int
    key_patch: Patch | None = None
    value_patch: Patch | None = None
    raw = True
    weights = "keys"

    def __post_init__(self) -> None:
        if min(self.blocks, self.top) < 1:
            raise ConfigError(
                f"Blocks are stored and recalled from 1 up, got {self.blocks} and {self.top}."
            )
        if not 0 <= self.mass <= 1 or not 0 < self.share <= 1:
            raise ConfigError(
                f"Attention mass is 0 to 1 and a share of tokens above 0 up to 1, got {self.mass} "
                f"and {self.share}."
            )
        check_sample(self.sample)

    @property
    def recalled(self) -> int:
        """Blocks in the context of one block."""
        return min(self.top, self.blocks)

    def stored(self, shape: CacheShape) -> int:
        """Tokens stored of a block."""
        return max(1, round(self.share * shape.block_frames * shape.tokens))

    def room(self, shape: CacheShape, bounds: Bounds) -> int:
        del bounds
        return self.recalled * self.stored(shape)

    def open(self, shape: CacheShape, bounds: Bounds, tail: Tail) -> "SemanticBank":
        del bounds
        return SemanticBank(self, shape, tail)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A stored block; frames that leave together count as one."""

    place: int
    """Where it lies in the bank."""
    frames: int
    prompt: Vector
    """What it is about."""


class SemanticBank(Mid):
    """The state of `Semantic`.

    A frame's tokens are weighed in its block's clean pass: the mean over heads and queries of the
    block's attention to itself. The weights lie by the frame's slot until it leaves. Of a group of
    frames that leave, tokens are stored in order of weight until the mass is reached; a smaller set
    leaves places empty, which a logit bias hides. A recalled block takes up `block_frames`
    positions, in time order, the last ones directly before `recent`.
    """

    def __init__(self, part: Semantic, shape: CacheShape, tail: Tail) -> None:
        self._part, self._shape, self._tail = part, shape, tail
        self._rope = Rope.of_grid(shape.head_dim, shape.rows, shape.columns)
        self._stored = part.stored(shape)
        self._bank: deque[_Entry] = deque()  # oldest first
        size = (shape.layers, shape.batch, part.blocks, self._stored)
        device = tail.keys.device
        self._keys = tail.keys.new_zeros(*size, shape.heads, shape.head_dim)
        self._values = torch.zeros_like(self._keys)
        self._tokens = torch.zeros(size, dtype=torch.int32, device=device)
        self._empty = torch.ones(size, dtype=torch.bool, device=device)
        held = (shape.layers, shape.batch, part.slots, shape.tokens)
        self._weights = torch.zeros(held, device=device)
        self._slots = self._judges = torch.zeros(0, dtype=torch.long)
        tensors = (self._keys, self._values, self._tokens, self._empty, self._weights)
        self.nbytes = sum(tensor.nbytes for tensor in tensors)

    def admit(self, spans: Sequence[Span], keys: Tensor, values: Tensor) -> None:
        full = len(self._bank) == self._part.blocks
        place = self._bank.popleft().place if full else len(self._bank)
        self._bank.append(_Entry(place, len(spans), _about(spans)))
        weights = self._weights[:, :, [span.slot for span in spans]].flatten(2)  # [N, B, L]
        ranked = weights.argsort(dim=-1, descending=True, stable=True)
        falling = weights.gather(-1, ranked).double()
        reached = falling.cumsum(-1)
        beyond = reached - falling >= self._part.mass * reached[..., -1:]
        tokens, order = ranked[..., : self._stored].sort(dim=-1)
        count = tokens.shape[-1]
        self._tokens[:, :, place, :count] = tokens.int()
        self._empty[:, :, place] = True
        self._empty[:, :, place, :count] = beyond.gather(-1, order)
        for stored, new in ((self._keys, keys), (self._values, values)):
            index = tokens[..., None, None].expand(*tokens.shape, *new.shape[3:])
            stored[:, :, place, :count] = new.gather(2, index)
        self.width = float(min(len(self._bank), self._part.top) * self._shape.block_frames)

    def lay_out(self, start: float, spans: Sequence[Span]) -> None:
        """Rotate the recalled blocks to where they stand now, from their raw keys."""
        device, part, size = self._tail.keys.device, self._part, self._stored
        self._slots = torch.tensor([span.slot for span in spans], device=device)
        judges = thinned(len(spans) * self._shape.tokens, part.sample)
        self._judges = torch.tensor(judges, device=device)
        chosen = _closest(_about(spans), self._bank, part.top)
        assert self._tail.bias is not None
        for rank, entry in enumerate(chosen):
            here, place = slice(rank * size, (rank + 1) * size), entry.place
            first = start + rank * self._shape.block_frames
            positions = [first + offset for offset in range(self._shape.block_frames)]
            self._tail.keys[:, :, here] = relocate(
                self._keys[:, :, place],
                self._rope,
                positions,
                self._tokens[:, :, place],
                part.key_patch,
            )
            values = self._values[:, :, place]
            mended = part.value_patch.mend(values) if part.value_patch else values
            self._tail.values[:, :, here] = mended
            bias = self._tail.bias[:, :, 0, here]
            bias.zero_().masked_fill_(self._empty[:, :, place], -torch.inf)
        self.tokens = len(chosen) * size
        self.frames = sum(entry.frames for entry in chosen)

    def read(self, look: Look) -> None:
        """Weigh the block's tokens."""
        if look.clean:
            mass = key_mass(look.query[:, self._judges], [look.key]).mean(1)
            self._weights[look.layer, :, self._slots] = mass.unflatten(1, (len(self._slots), -1))


def _about(spans: Sequence[Span]) -> Vector:
    """What a block is about: the first of its frames that says so."""
    return next((span.note.prompt for span in spans if span.note.prompt is not None), None)


def _closest(now: Vector, bank: Sequence[_Entry], count: int) -> list[_Entry]:
    """The blocks most like this one, in time order; ties go to the earlier block."""
    ranked = sorted(range(len(bank)), key=lambda index: -_cosine(now, bank[index].prompt))
    return [bank[index] for index in sorted(ranked[:count])]


def _cosine(one: Vector, other: Vector) -> float:
    """0 where one of them is unknown."""
    if one is None or other is None:
        return 0.0
    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.dot(one, other)) / norms if norms else 0.0
