"""Scenes: a sink that swings through a scene's first frames, chosen tokens, and what is left of it.

A scene begins with the rollout and with every flush, cut and recall. Its time is its own, and what
stands between it and the one before is a single frame, mixed from that scene's first ones, whose
weight fades and which may be brought back much later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldrt.errors import ConfigError
from worldrt.kernels.rope import Rope, rotate
from worldrt.memory.album import Album
from worldrt.memory.mid import Bounds, Look, Mid, MidPart, Tail
from worldrt.memory.slots import CacheShape, Note, Span
from worldrt.memory.trigonometric import ChosenTokens, QueryMeans

CANDIDATES = 3
"""Frames of a scene that its recall frame is mixed from, evenly spaced in the sink's."""
FIRST_SHARE = 0.9
"""Share of the first frame in it; the others get the rest by affinity."""
JUMP = 6
"""Most positions between a recalled frame and the block that follows."""


class Fade(NamedTuple):
    """Weight of the recall frame's tokens, from most where a block looks like it to least."""

    least: float
    most: float
    blocks: int | None
    """Blocks after which the frame is dropped; None: when its place is needed."""


SMOOTH = Fade(0.80, 0.95, None)
RECALLED = Fade(0.55, 0.90, 5)
CUT = Fade(0.80, 0.80, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenes(MidPart):
    """All frames that are not recent: a rolling sink, and tokens chosen from those after it.

    Args:
        sink: frames of the sink, and of the scene that it swings through; more than `kept`.
        chosen: frames' worth of tokens that are chosen.
        calibration: first frames of a scene whose clean queries the choice goes by.
        kept: last frames that survive a smooth switch.
        uses: times that a token may be chosen.
        scenes: scenes that may be recalled; the oldest makes room.

    Raises:
        ConfigError: a number that is too small.

    Source: Echo-Forcing.
    """

    sink: int
    chosen: int
    calibration: int
    kept: int
    uses: int
    scenes: int
    raw = True
    weights = "keys"

    def __post_init__(self) -> None:
        for name, number, least in (
            ("kept", self.kept, 0),
            ("sink", self.sink, self.kept + 1),
            ("chosen", self.chosen, 0),
            ("calibration", self.calibration, 1),
            ("uses", self.uses, 1),
            ("scenes", self.scenes, 1),
        ):
            if number < least:
                raise ConfigError(f"Scenes need {name} of at least {least}, got {number}.")

    def room(self, shape: CacheShape, bounds: Bounds) -> int:
        del bounds
        return (self.sink + self.chosen) * shape.tokens

    def open(self, shape: CacheShape, bounds: Bounds, tail: Tail) -> "RollingScene":
        return RollingScene(self, shape, bounds, tail)


class RollingScene(Mid):
    """The scene that is played, and the album of those before it.

    The sink is a ring of the tail, filled from a sequence: the recall frame if there is one, the
    frames that were kept at the switch, then the scene's first frames forwards, backwards, forwards
    and so on. A frame that leaves `recent` when sink and chosen tokens are full moves it on by one.

    Args:
        part: the policy's.
        shape: the model's numbers.
        bounds: of frames that come at once.
        tail: sink first, then the chosen tokens.
    """

    def __init__(self, part: Scenes, shape: CacheShape, bounds: Bounds, tail: Tail) -> None:
        self._part, self._shape, self._tail = part, shape, tail
        self._rope = Rope.of_grid(shape.head_dim, shape.rows, shape.columns)
        # The recall frame, the frames kept at the switch, the scene's first ones; keys raw.
        size = (shape.layers, shape.batch, (1 + part.kept + part.sink) * shape.tokens)
        self._keys = tail.keys.new_zeros(*size, shape.heads, shape.head_dim)
        self._values = torch.zeros_like(self._keys)
        self._means = QueryMeans(shape, tail.keys.device)
        self._tokens = ChosenTokens(part.chosen, part.uses, shape, bounds, tail, self._means)
        self._album = Album(part.scenes, self._keys[:, :, : shape.tokens])
        parts = (self._keys, self._values, self._means, self._tokens, self._album)
        self.nbytes = sum(each.nbytes for each in parts)
        self._next = 0
        """Frames committed."""
        self._cut = False
        self._recalls = False
        self._chosen: tuple[int, Tensor, Tensor] | None = None
        """Whether the sequence begins with the recall frame."""
        self._times = torch.zeros(0)
        self._block: Sequence[Span] = ()
        self._begin(SMOOTH)

    def admit(self, spans: Sequence[Span], keys: Tensor, values: Tensor) -> None:
        for index, span in enumerate(spans):
            there = self._here(index)
            if span.frame < self._begun:
                here = self._here(1 + self._kept)
                self._keys[:, :, here] = keys[:, :, there]
                self._values[:, :, here] = values[:, :, there]
                self._kept += 1
                continue
            if self._ahead + self._left >= self._part.sink:
                self._tokens.take(span.frame, keys[:, :, there], values[:, :, there])
            self._left += 1
        self._measure()

    def lay_out(self, start: float, spans: Sequence[Span]) -> None:
        sink, self._block = self._part.sink, spans
        first = self._rolled
        count = min(self._ahead + self._left, sink)
        places = [start + rank for rank in range(self.frames)]
        times = self._rope.times(places, self._keys.device)
        table = self._rope.spread(times[:count])
        for rank in range(count):
            there = ((first + rank) % sink, self._source(first + rank))
            self._lay(*there, places[rank], table[self._here(rank)])
        self._times = times[count:]
        self.tokens = self.frames * self._shape.tokens
        assert self._tail.bias is not None
        self._tail.bias[:, :, :, : self._shape.tokens] = 0

    def read(self, look: Look) -> None:
        if look.first:
            if self._recalls and not self._rolled:
                self._fade(look)
            first = self.tokens - self._tokens.frames * self._shape.tokens
            self._tokens.lay_out(look.layer, first, self._times, self._block[0].frame)
        if look.clean:
            self._means.note(look)
            self._keep(look)

    def commit(self, spans: Sequence[Span]) -> None:
        first, self._next = spans[0].frame, spans[-1].frame + 1
        self._tokens.commit()
        if first - self._begun < self._part.calibration:
            self._means.add(len(spans) * self._shape.tokens)
        for span in spans:
            if span.frame - self._begun < self._part.sink and span.note.prompt is not None:
                self._about = span.note.prompt + (0 if self._about is None else self._about)
        self._age += 1
        self._jump = 0
        self._recalls = self._recalls and self._age != self._fading.blocks
        self._measure()

    def switched(self, cut: bool) -> None:
        self._cut = cut

    def recall(self, note: Note) -> None:
        """Choose the stored scene that is nearest, before the present one is stored."""
        scene = self._album.find(note.prompt)
        if scene is not None:
            # Copied: it may be the one that makes room for the scene that is left.
            keys, values = self._album.frame(scene)
            self._chosen = (scene.left, keys.clone(), values.clone())

    def flush(self) -> None:
        """Leave the scene: all that stays of it is its recall frame, which begins the next one.

        A recalled scene's frame takes its place, and the block that follows stands up to `JUMP`
        positions after it: the frames since that scene was left, as a share of the rollout.
        """
        here = self._here(0)
        if self._next > self._begun:
            self._mix()
            frame = (self._keys[:, :, here], self._values[:, :, here])
            self._album.add(*frame, self._about, self._next)
            self._recalls = True
        self._begin(CUT if self._cut else SMOOTH)
        if self._chosen is not None:
            left, self._keys[:, :, here], self._values[:, :, here] = self._chosen
            self._chosen, self._recalls, self._fading = None, True, RECALLED
            self._jump = round(JUMP * (self._next - left) / self._next)
            self._measure()

    # Inside.

    @property
    def _ahead(self) -> int:
        """Frames of the sequence before the scene's own."""
        return self._recalls + self._kept

    @property
    def _rolled(self) -> int:
        """Frames of the sequence that have left the sink."""
        return max(0, self._ahead + self._left - self._part.sink - self._part.chosen)

    def _begin(self, fading: Fade) -> None:
        """Begin a scene with the next frame."""
        self._begun, self._fading = self._next, fading
        # Frames of the scene, and from before it, that have left `recent`; its blocks; positions
        # between mid and block.
        self._left = self._kept = self._age = self._jump = 0
        self._about: NDArray[np.float32] | None = None
        self._lying: list[tuple[int, float] | None] = [None] * self._part.sink
        """Frame and position of each of the sink's places."""
        self._tokens.clear()
        self._means.clear()
        self._measure()

    def _measure(self) -> None:
        self.frames = min(self._ahead + self._left, self._part.sink) + self._tokens.frames
        self.width = float(self.frames + self._jump)

    def _source(self, index: int) -> int:
        """Which of the stored frames comes at this index of the sequence."""
        if index < self._ahead:
            return index if self._recalls else index + 1
        sink = self._part.sink
        phase = (index - self._ahead) % (2 * sink)
        return 1 + self._part.kept + (phase if phase < sink else 2 * sink - 1 - phase)

    def _lay(self, place: int, source: int, position: float, table: Tensor) -> None:
        """Put a stored frame into a place of the sink, unless it lies there as it is to."""
        lying, self._lying[place] = self._lying[place], (source, position)
        if lying == (source, position):
            return
        here, there = self._here(place), self._here(source)
        self._tail.keys[:, :, here] = rotate(self._keys[:, :, there], table)
        if lying is None or lying[0] != source:
            self._tail.values[:, :, here] = self._values[:, :, there]

    def _fade(self, look: Look) -> None:
        """Weigh the recall frame's tokens by how the block's first frame differs from them."""
        here, (least, most, _) = self._here(0), self._fading
        recalled = self._keys[look.layer, :, here].flatten(2).float()
        current = look.raw_key[:, here].flatten(2).float()
        far = 1 - torch.cosine_similarity(recalled, current, dim=-1)
        near, farthest = far.aminmax(dim=1, keepdim=True)
        share = (far - near) / (farthest - near).clamp(min=torch.finfo(far.dtype).tiny)
        assert self._tail.bias is not None
        self._tail.bias[look.layer, :, 0, here] = (most - (most - least) * share).log()

    def _keep(self, look: Look) -> None:
        """Keep one layer's raw keys and values of the scene's first frames."""
        rank = self._block[0].frame - self._begun
        count = min(len(self._block), self._part.sink - rank)
        if count > 0:
            first = 1 + self._part.kept + rank
            here, there = self._here(first, first + count), self._here(0, count)
            self._keys[look.layer, :, here] = look.raw_key[:, there]
            self._values[look.layer, :, here] = look.value[:, there]

    def _mix(self) -> None:
        """Make the recall frame of the scene that is left."""
        stride = max(1, self._part.sink // CANDIDATES)
        end = min(self._next - self._begun, self._part.sink, CANDIDATES * stride)
        ranks = [1 + self._part.kept + rank for rank in range(0, end, stride)]
        for layer in range(self._shape.layers):
            keys, values = (
                torch.stack([store[layer][:, self._here(rank)] for rank in ranks], dim=1).float()
                for store in (self._keys, self._values)
            )
            mean = self._means.mean(layer)
            affinity = torch.einsum("BRLHD,BHD->BRL", keys, mean) / self._shape.heads
            weights = affinity.softmax(1)
            for store, frames in ((self._keys, keys), (self._values, values)):
                others = torch.einsum("BRL,BRLHD->BLHD", weights, frames)
                mixed = FIRST_SHARE * frames[:, 0] + (1 - FIRST_SHARE) * others
                store[layer][:, self._here(0)] = mixed

    def _here(self, first: int, end: int | None = None) -> slice:
        """Tokens of the frames from `first` up to `end`, or of the one."""
        end = first + 1 if end is None else end
        return slice(first * self._shape.tokens, end * self._shape.tokens)
