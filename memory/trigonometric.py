"""Tokens kept by a trigonometric score: how a scene's mean query would look at them from later on.

Turned by their distance in time, the product of a mean query and a raw key is a sum of cosines, one
a frequency. It is linear in the key, so a token costs one product a frequency, whatever the number
of queries; how far single queries stray from their mean is the second term.
"""

import numpy as np
import torch
from torch import Tensor

from worldrt.kernels.rope import Rope, frequencies, rotate, split_pairs
from worldrt.memory.mid import Bounds, Look, Tail
from worldrt.memory.slots import CacheShape

AHEAD = (1, 2, 4, 8, 16)
"""Frames from the next one to the queries that a key is scored for."""
WORN = -1e30
"""Score of a token that was used too often, for each use: less than any other."""
DRIFT = 3.0
"""How fast the second term fades as the newest mean query turns away from the scene's."""


class QueryMeans:
    """Mean raw query of each head and mean length of each of its frequencies, in clean passes.

    Args:
        shape: the model's numbers.
        device: where the sums lie.
    """

    def __init__(self, shape: CacheShape, device: torch.device) -> None:
        size = (2, shape.layers, shape.batch, shape.heads)
        # The scene's first, then the last block's.
        self._sums = torch.zeros(*size, shape.head_dim, device=device)
        self._lengths = torch.zeros(*size, shape.head_dim // 2, device=device)
        self._count = 0
        time = split_pairs(shape.head_dim)[0]
        self._frequencies = torch.from_numpy(frequencies(time)).float().to(device)
        # A mean of turns is one factor: e^(i w (age + ahead)) = e^(i w age) e^(i w ahead).
        steps = np.exp(1j * np.outer(AHEAD, frequencies(time))).mean(0)
        self._steps = torch.from_numpy(steps).to(device, torch.complex64)
        self.nbytes = self._sums.nbytes + self._lengths.nbytes

    def note(self, look: Look) -> None:
        """Sum up the queries of one layer of a block's clean pass."""
        query = look.raw_query.float()
        self._sums[1, look.layer] = query.sum(1)
        self._lengths[1, look.layer] = _lengths(query).sum(1)

    def add(self, queries: int) -> None:
        """Count the block that was noted as one of the scene's; it had so many queries."""
        self._sums[0] += self._sums[1]
        self._lengths[0] += self._lengths[1]
        self._count += queries

    def clear(self) -> None:
        """Forget the scene's."""
        self._sums[0].zero_()
        self._lengths[0].zero_()
        self._count = 0

    def mean(self, layer: int) -> Tensor:
        """[B, H, D] of the scene."""
        return self._sums[0, layer] / self._count

    def score(self, layer: int, keys: Tensor, ages: Tensor) -> Tensor:
        """Score tokens for queries 1, 2, 4, 8 and 16 frames after the next one.

        Per head and frequency w, with the mean query q, the mean length l of queries, a key k and
        its distance d in time: Re(q k* e^(i w d)) + (l - |q|) |k| e^(-3 (1 - c)), averaged over the
        distances and heads and summed over frequencies; those of rows and columns are not turned.
        c is the cosine between the mean query of the last block and that of the scene, by head.

        Args:
            layer: index.
            keys: [B, S, H, D] raw.
            ages: [B, S] frames from the token's to the next one, whole numbers.

        Returns:
            [B, S] float32.

        Source: Echo-Forcing, compressed region; its score is that of TriAttention.
        """
        sums, last = self._sums[:, layer]
        keys = keys.float()
        cosine = torch.cosine_similarity(last, sums, dim=-1).unsqueeze(-1)
        stray = (self._lengths[0, layer] - _lengths(sums)) * torch.exp(DRIFT * (cosine - 1))
        asked = (_pairs(sums).unsqueeze(1) * _pairs(keys).conj()).sum(2)  # [B, S, D / 2]
        angles = ages[..., None] * self._frequencies
        time = len(self._frequencies)
        turned = asked[..., :time] * torch.polar(torch.ones_like(angles), angles) * self._steps
        near = turned.real.sum(-1) + asked[..., time:].real.sum(-1)
        far = torch.einsum("BHP,BSHP->BS", stray, _lengths(keys))
        return (near + far) / (self._count * keys.shape[2])


class ChosenTokens:
    """As many tokens as some frames have: the best of those held before and those that come.

    Each layer and sequence chooses for itself, all heads alike, at the first pass of a block. A
    token keeps its own row and column; in time the tokens stand in order, a frame's worth a
    position. One that is not chosen is forgotten. One that was chosen as often as allowed comes
    after all others, the more often the later.

    Args:
        frames: how many frames' worth.
        uses: times that a token may be chosen.
        shape: the model's numbers.
        bounds: how many frames may come at once.
        tail: where they are laid out.
        means: scores them.
    """

    def __init__(
        self,
        frames: int,
        uses: int,
        shape: CacheShape,
        bounds: Bounds,
        tail: Tail,
        means: QueryMeans,
    ) -> None:
        self._capacity, self._uses = frames, uses
        self._tail, self._means, self._tokens = tail, means, shape.tokens
        self._rope = Rope.of_grid(shape.head_dim, shape.rows, shape.columns)
        device, size = tail.keys.device, (shape.layers, shape.batch)
        room = (frames + bounds.most) * shape.tokens
        self._keys = tail.keys.new_zeros(*size, room, shape.heads, shape.head_dim)
        self._values = torch.zeros_like(self._keys)
        # Frame, cell and number of uses of each token.
        self._facts = torch.zeros(*size, room, 3, dtype=torch.long, device=device)
        self._chosen = torch.zeros(*size, frames * shape.tokens, dtype=torch.long, device=device)
        self._batch = torch.arange(shape.batch, device=device)[:, None]
        self._cells = torch.arange(shape.tokens, device=device)
        self._held = 0
        """Frames' worth of tokens at the start of the stores: held before, and come since."""
        self.nbytes = sum(
            each.nbytes for each in (self._keys, self._values, self._facts, self._chosen)
        )

    @property
    def frames(self) -> int:
        """Frames' worth of tokens that the next block sees."""
        return min(self._held, self._capacity)

    def take(self, frame: int, keys: Tensor, values: Tensor) -> None:
        """Take the tokens of a frame, [N, B, h * w, H, D], keys raw."""
        here = slice(self._held * self._tokens, (self._held + 1) * self._tokens)
        self._keys[:, :, here], self._values[:, :, here] = keys, values
        self._facts[:, :, here, 0] = frame
        self._facts[:, :, here, 1] = self._cells
        self._facts[:, :, here, 2] = 0
        self._held += 1

    def lay_out(self, layer: int, first: int, times: Tensor, frame: int) -> None:
        """Choose one layer's tokens and write them to its tail.

        Args:
            layer: index.
            first: token of the tail to begin at.
            times: [frames, pairs] temporal turns of where they stand.
            frame: index of the block's first frame.
        """
        count = self.frames * self._tokens
        if not count:
            return
        chosen = self._chosen[layer]
        if self._held > self._capacity:
            chosen[:] = self._best(layer, frame)
        else:
            chosen[:, :count] = torch.arange(count, device=chosen.device)
        which = (self._batch, chosen[:, :count])
        cells = self._rope.cells(chosen.device)[self._facts[layer, ..., 1][which]]
        spread = times.repeat_interleave(self._tokens, 0).expand(*cells.shape[:-1], -1)
        table = torch.cat([spread, cells], dim=-1).unsqueeze(-2)
        here = slice(first, first + count)
        self._tail.keys[layer, :, here] = rotate(self._keys[layer][which], table)
        self._tail.values[layer, :, here] = self._values[layer][which]

    def commit(self) -> None:
        """Forget what was not chosen."""
        if self._held <= self._capacity:
            return
        for layer, chosen in enumerate(self._chosen):
            for store in (self._keys[layer], self._values[layer], self._facts[layer]):
                # The right side is a copy, so tokens may move onto each other.
                store[:, : chosen.shape[1]] = store[self._batch, chosen]
        self._facts[:, :, : self._chosen.shape[2], 2] += 1
        self._held = self._capacity

    def clear(self) -> None:
        """Forget all."""
        self._held = 0

    def _best(self, layer: int, frame: int) -> Tensor:
        """[B, S] tokens of highest score, rising; ties go to the earlier."""
        here = slice(self._held * self._tokens)
        frames, _, uses = self._facts[layer, :, here].unbind(-1)
        scores = self._means.score(layer, self._keys[layer, :, here], frame - frames)
        scores = torch.where(uses < self._uses, scores, WORN * uses)
        ranked = scores.argsort(dim=1, descending=True, stable=True)
        return ranked[:, : self._chosen.shape[2]].sort(dim=1).values


def _pairs(channels: Tensor) -> Tensor:
    """[..., D] as D / 2 complex numbers."""
    return torch.view_as_complex(channels.unflatten(-1, (-1, 2)))


def _lengths(channels: Tensor) -> Tensor:
    """Their absolute values; `abs` of complex numbers takes twice as long."""
    return (channels[..., ::2].square() + channels[..., 1::2].square()).sqrt()
