"""How a walk goes: the figures that its client is shown twice a second."""

from collections import deque

from worldrt.protocol.replies import Partition, Stats
from worldrt.server.seat import Made

WINDOW = 32
"""Blocks that figures are taken over."""


class Course:
    """Figures of the newest blocks.

    Args:
        block_frames: frames of a block.
    """

    def __init__(self, block_frames: int) -> None:
        self._block = block_frames
        self.newest: Made | None = None
        """The newest block."""
        self._took: deque[float] = deque(maxlen=WINDOW)
        self._done: deque[float] = deque(maxlen=WINDOW)
        self._encode_ms = 0.0

    def add(self, made: Made) -> None:
        """A block is there."""
        self.newest = made
        self._took.append(made.ended - made.seen.began)
        self._done.append(made.ended)

    def coded(self, seconds: float) -> None:
        """A block's pictures are there."""
        self._encode_ms = 1000 * seconds

    def stats(
        self, now: float, *, lead_ms: float, dropped: int, spectators: int, rss_bytes: int
    ) -> Stats | None:
        """The figures; None: there is no block yet.

        Args:
            now: monotonic seconds; a walk that stands still slows down by it.
            lead_ms, dropped, spectators, rss_bytes: as in `Stats`.
        """
        made = self.newest
        if made is None:
            return None
        chunk = made.chunk
        lasted = max(now, self._done[-1]) - self._done[0]
        return Stats(
            chunk=made.seen.index,
            fps=(len(self._done) - 1) * self._block / lasted if lasted else 0.0,
            capacity_fps=len(self._took) * self._block / sum(self._took),
            stage_ms={**chunk.stage_ms, "encode": self._encode_ms},
            partitions=tuple(
                Partition(
                    name=str(region), frames=part.frames, tokens=part.tokens, bytes=part.bytes
                )
                for region, part in chunk.partitions.items()
            ),
            evicted=chunk.evicted,
            points=made.points,
            keyframes=made.keyframes,
            memory_bytes=made.memory_bytes,
            lead_ms=lead_ms,
            dropped=dropped,
            spectators=spectators,
            rss_bytes=rss_bytes,
        )
