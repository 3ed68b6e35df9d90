"""How full a cache is, region by region: what a viewer shows and a benchmark compares."""

from dataclasses import dataclass

from worldrt.memory.mid import Mid
from worldrt.memory.rows import Rows
from worldrt.memory.slots import Region
from worldrt.memory.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Occupancy:
    """How full a region is.

    Args:
        frames: latent frames that it stands for.
        tokens: tokens that a block attends to.
        bytes: of what is stored for it, all layers.
    """

    frames: int
    tokens: int
    bytes: int


def count(time: Timeline, rows: Rows, mid: Mid, tokens: int) -> dict[Region, Occupancy]:
    """Occupancy by region.

    Args:
        time: the frames.
        rows: where they lie.
        mid: the mid partition.
        tokens: of a frame.
    """
    found = {
        region: Occupancy(len(spans), len(spans) * tokens, len(spans) * rows.frame_bytes)
        for region, spans in (
            (Region.SINK, time.sink),
            (Region.SPATIAL, time.spatial),
            (Region.RECENT, time.recent),
            (Region.BLOCK, time.block),
        )
    }
    own = mid.nbytes + mid.tokens * rows.token_bytes
    found[Region.MID] = Occupancy(mid.frames, mid.tokens + mid.apart, own)
    return found
