"""The mid partition: whatever a policy keeps between the first frames and the last ones.

A part of a policy says what the partition is (`MidPart`, immutable); a cache opens it (`Mid`, the
state). It owns the tail of every layer's row: what it writes there is attended to, with no copy in
a pass. Sinks that change, anchors, packed blocks, selected tokens and running means are all mids.
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal, NamedTuple, Protocol

from torch import Tensor

from worldrt.kernels.attention import Part
from worldrt.memory.compress import Grid
from worldrt.memory.slots import CacheShape, Note, Span

Weights = Literal["none", "keys", "heads"]
"""What a mid's logit biases differ by: nothing (there are none), key, or head and key."""


class Bounds(NamedTuple):
    """Bounds that a mid must fit into, from the policy's partition."""

    most: int
    """Most frames that leave `recent` at once."""
    sink: int
    """Frames of the sink."""


class Tail(NamedTuple):
    """The end of every row, of `room` tokens R; the mid writes it, passes read a prefix of it."""

    keys: Tensor
    """[N, B, R, H, D] rotated to where they stand."""
    values: Tensor
    """[N, B, R, H, D]"""
    bias: Tensor | None
    """[N, B, 1 or H, R] added to the logits; None where the part's `weights` is `none`."""


class Look(NamedTuple):
    """What a mid may see of one layer's pass; all tensors are the pass's own, not copies."""

    layer: int
    first: bool
    """The block's first pass: the noisiest queries."""
    clean: bool
    """The pass whose keys stay."""
    raw_query: Tensor
    """[B, L, H, D] before rotation."""
    query: Tensor
    """[B, L, H, D] rotated."""
    raw_key: Tensor
    """[B, L, H, D]"""
    key: Tensor
    """[B, L, H, D] rotated."""
    value: Tensor
    """[B, L, H, D]"""


class Mid:
    """A cache's mid partition; the methods of this base do nothing, and a mid needs not all."""

    tokens: int = 0
    """Tokens at the start of the tail that the current block's passes read."""
    apart: int = 0
    """Tokens that they read besides, in `parts`; the mean over layers."""
    frames: int = 0
    """Latent frames that these tokens stand for."""
    width: float = 0.0
    """Positions that it takes up between sink and recent."""
    own: float | None = None
    """Position of its first token where that is its own affair."""
    nbytes: int = 0
    """Bytes of its own tensors, the tail not counted."""

    def admit(self, spans: Sequence[Span], keys: Tensor, values: Tensor) -> None:
        """Take frames that leave `recent`, before the next block is laid out.

        Args:
            spans: the frames, oldest first.
            keys: [N, B, L, H, D] raw where the part says so, else rotated as they stood; a copy
                that the mid may keep.
            values: [N, B, L, H, D].
        """

    def admit_layer(self, layer: int, spans: Sequence[Span], keys: Tensor, values: Tensor) -> None:
        """As `admit`, for a part that takes frames `by_layer`; keys and values [B, L, H, D]."""

    def lay_out(self, start: float, spans: Sequence[Span]) -> None:
        """Prepare the tail for a block: once, for all layers and passes; sets `tokens`.

        Args:
            start: where its first token is to stand (ignored where it has positions of its own).
            spans: the block's frames.
        """

    def read(self, look: Look) -> None:
        """Called in each layer of each pass before it attends; may rewrite that layer's tail."""

    def parts(self, layer: int) -> Iterator[Part] | None:
        """What a pass reads besides the tail, each part made when it is drawn; None: nothing."""

    def commit(self, spans: Sequence[Span]) -> None:
        """The block is finished; its clean pass has run."""

    def offer(self, frames: range, grid: Grid, keys: Tensor, values: Tensor) -> None:
        """Take tokens that were encoded outside of a block; see `KVCache.offer`."""

    def switched(self, cut: bool) -> None:
        """Prompt or scene are about to change, in any mode; before `recall` and `flush`.

        Args:
            cut: whether what follows stands far from what was before.
        """

    def flush(self) -> None:
        """Forget what a flush or a cut forgets."""

    def recall(self, note: Note) -> None:
        """Choose the stored scene that `note` describes best; the next `flush` brings it back."""


class MidPart(Protocol):
    """What a policy says of its mid partition; a part inherits it and overrides what differs."""

    raw: ClassVar[bool] = False
    """Whether `Mid.admit` gets raw keys."""
    by_layer: ClassVar[bool] = False
    """Whether frames go to `Mid.admit_layer`, so that those of one layer are copied at a time."""
    weights: ClassVar[Weights] = "none"
    """What the tail's logit biases differ by."""
    whole_blocks: ClassVar[bool] = False
    """Whether frames leave `recent` in whole blocks only."""

    def room(self, shape: CacheShape, bounds: Bounds) -> int:
        """Tokens of the tail."""
        ...

    def open(self, shape: CacheShape, bounds: Bounds, tail: Tail) -> Mid:
        """The state of a new cache."""
        ...
