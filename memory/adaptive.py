"""Sink frames that give way: one that is least like what has been seen since is replaced.

Source: StreamDiffusionV2 (arXiv 2511.07399), adaptive sink.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worldrt.errors import ConfigError
from worldrt.kernels.rope import Rope, rotate
from worldrt.memory.mid import Bounds, Mid, MidPart, Tail
from worldrt.memory.slots import CacheShape, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveSinks(MidPart):
    """The first frames that leave `recent` become sinks; a later one may take a sink's place.

    Args:
        frames: sinks, at least 1.
        below: likeness, -1 to 1, under which the least similar sink is replaced.
    """

    frames: int
    below: float

    def __post_init__(self) -> None:
        if self.frames < 1 or not -1 <= self.below <= 1:
            raise ConfigError(
                f"Adaptive sinks need at least 1 frame and a likeness from -1 to 1, got "
                f"{self.frames} and {self.below}."
            )

    def room(self, shape: CacheShape, bounds: Bounds) -> int:
        del bounds
        return self.frames * shape.tokens

    def open(self, shape: CacheShape, bounds: Bounds, tail: Tail) -> "SinkPlaces":
        del bounds
        return SinkPlaces(self, shape, tail)


class SinkPlaces(Mid):
    """Places of whole frames; each layer and sequence decides for itself who lies where.

    Likeness of two frames is the mean of two cosines: of their mean keys and of their mean values,
    over all heads. The turn of a frame's own time is taken back from its mean key, so that likeness
    does not depend on how long ago a frame was.

    Args:
        part: the policy's.
        shape: the model's numbers.
        tail: where the sinks lie, each at its own position.
    """

    def __init__(self, part: AdaptiveSinks, shape: CacheShape, tail: Tail) -> None:
        self._part, self._shape = part, shape
        self._rope = Rope.of_grid(shape.head_dim, shape.rows, shape.columns)
        places = (part.frames, shape.tokens)
        self._keys, self._values = (row.unflatten(2, places) for row in (tail.keys, tail.values))
        size = (2, shape.layers, shape.batch, part.frames, shape.heads * shape.head_dim)
        self._means = tail.keys.new_zeros(size, dtype=torch.float32)
        device = self._means.device
        self._layer = torch.arange(shape.layers, device=device)[:, None]
        self._batch = torch.arange(shape.batch, device=device)
        self.nbytes = self._means.nbytes

    def admit(self, spans: Sequence[Span], keys: Tensor, values: Tensor) -> None:
        keys, values = (part.unflatten(2, (len(spans), -1)) for part in (keys, values))
        still = self._still(spans, keys.mean(3, dtype=torch.float32))
        means = torch.stack([still, values.mean(3, dtype=torch.float32)]).flatten(-2)
        frames = (keys.unbind(2), values.unbind(2), means.unbind(3))
        for key, value, mean in zip(*frames, strict=True):
            self._meet(key, value, mean)

    def lay_out(self, start: float, spans: Sequence[Span]) -> None:
        del start, spans  # sinks stand where they are
        self.tokens = self.frames * self._shape.tokens

    def _meet(self, key: Tensor, value: Tensor, means: Tensor) -> None:
        """Let a frame take an empty place or that of an unlike sink.

        Args:
            key, value: [N, B, F, H, D].
            means: [2, N, B, E] of them.
        """
        cosines = torch.cosine_similarity(self._means, means[:, :, :, None], dim=-1)
        likeness = cosines.mean(0)  # [N, B, places]
        likeness[:, :, self.frames :] = -torch.inf  # an empty place is like nothing
        least, place = likeness.min(-1)  # the first of equal ones
        enters = least < self._part.below
        here = (self._layer, self._batch, place)
        for kept, new in (
            (self._keys, key),
            (self._values, value),
            (self._means[0], means[0]),
            (self._means[1], means[1]),
        ):
            wide = enters.view(*enters.shape, *[1] * (new.ndim - 2))
            kept[here] = torch.where(wide, new, kept[here])
        self.frames = min(self.frames + 1, self._part.frames)

    def _still(self, spans: Sequence[Span], means: Tensor) -> Tensor:
        """Mean keys [N, B, T, H, D] without the turns of their times."""
        back = self._rope.times([-span.position for span in spans], means.device)
        unmoved = torch.ones_like(self._rope.cells(means.device)[:1]).expand(len(spans), -1)
        return rotate(means, torch.cat([back, unmoved], dim=1)[:, None])
