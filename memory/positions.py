"""Where the keys of a block's context stand on the temporal rotary axis, relative to its queries.

Only distances between queries and keys matter, so a map may move whichever side is cheaper. Each is
computed once a block, on the host, from frame indices; there is no table to run out of.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Layout(NamedTuple):
    """What stands in a block's context, in time order."""

    sink: Sequence[int]
    """Frame indices."""
    width: float
    """Positions that the mid partition takes up."""
    own: float | None
    """Where the mid partition's first token stands by itself; None: it stands where it is put."""
    recent: Sequence[int]
    """Frame indices."""
    block: Sequence[int]
    """Frame indices of the block itself."""
    cut: bool
    """Whether the block is the first after a cut."""


class Places(NamedTuple):
    """A temporal position for each frame of a layout, and for the mid partition's first token."""

    sink: list[float]
    mid: float
    recent: list[float]
    block: list[float]


class PositionMap(Protocol):
    """A rule that places a layout."""

    @property
    def moves(self) -> bool:
        """Whether a frame's position can change after its keys were written."""
        ...

    def __call__(self, layout: Layout) -> Places: ...


@dataclass(frozen=True, slots=True)
class Absolute:
    """Each frame stands at its own index; the sink's distance grows with the rollout.

    Source: Self-Forcing (arXiv 2506.08009).
    """

    moves = False

    def __call__(self, layout: Layout) -> Places:
        recent, block = _indices(layout.recent), _indices(layout.block)
        first = [*recent, *block][0]
        mid = first - layout.width if layout.own is None else layout.own
        return Places(_indices(layout.sink), mid, recent, block)


@dataclass(frozen=True, slots=True)
class Contiguous:
    """The sink stands directly before what is kept after it; all else at its own index.

    Cheapest where the sink is smaller than the recent partition: nothing else moves.

    Source: PackForcing, incremental rotation; Deep Forcing, temporal alignment of the sink.
    """

    moves = True

    def __call__(self, layout: Layout) -> Places:
        places = Absolute()(layout)
        return places._replace(sink=_run(places.mid - len(layout.sink), len(layout.sink)))


@dataclass(frozen=True, slots=True)
class Window:
    """The context counts from 0: sink, mid, recent, block; no position outgrows the window.

    The same distances as `Contiguous`, cheapest where sink and mid are larger than recent.

    Args:
        cut: first position of a block that follows a cut.

    Source: infinity-RoPE, block-relativistic positions and RoPE cut; TetherCache.
    """

    cut: float = 45.0
    moves = True

    def __call__(self, layout: Layout) -> Places:
        assert layout.own is None
        recent = len(layout.sink) + layout.width
        block = self.cut if layout.cut else recent + len(layout.recent)
        return Places(
            _run(0, len(layout.sink)),
            float(len(layout.sink)),
            _run(recent, len(layout.recent)),
            _run(block, len(layout.block)),
        )


@dataclass(frozen=True, slots=True)
class TriRegion:
    """Sink from 0, the block at the end of a range trained for, an anchor at a place of its own.

    Until the rollout has filled the range, frames stand at their own index.

    Args:
        end: where the block ends once the rollout is longer (frames the model was trained on).
        anchor: where the mid partition stands; earlier while recent frames stand there.

    Source: Anchor-Forcing, tri-region rotary positions: 21 frames, sink at 0, anchor at 6, recent
    frames at 12, block at 18.
    """

    end: int
    anchor: float
    moves = True

    def __call__(self, layout: Layout) -> Places:
        block = min(self.end - len(layout.block), layout.block[0])
        recent = block - len(layout.recent)
        return Places(
            _run(0, len(layout.sink)),
            min(self.anchor, recent - layout.width),
            _run(recent, len(layout.recent)),
            _run(block, len(layout.block)),
        )


@dataclass(frozen=True, slots=True)
class Ahead:
    """Each frame at its own index, the sink right behind the block: it shows what is to come.

    Source: Seoul World Model, virtual look-ahead sink.
    """

    moves = True

    def __call__(self, layout: Layout) -> Places:
        places = Absolute()(layout)
        return places._replace(sink=_run(layout.block[-1] + 1, len(layout.sink)))


def _indices(frames: Sequence[int]) -> list[float]:
    return [float(frame) for frame in frames]


def _run(first: float, count: int) -> list[float]:
    return [float(first + index) for index in range(count)]
