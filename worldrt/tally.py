"""What a rendering comes to: its figures, summed as it goes, and the report of them."""

import msgspec
import numpy as np

from worldrt.chunk import Chunk, Digest
from worldrt.config import MemoryUse
from worldrt.memory.slots import Region
from worldrt.rollout import PolicyReceipt, Receipt
from worldrt.session import Session
from worldrt.starts import Start

INCLUDES = (
    "splat, recall, denoising steps, clean pass and decode, with the memory's writer beside them; "
    "video encoding, comparison and loading are not in it"
)
"""What `fps` and `block_ms` cover."""


class Milliseconds(msgspec.Struct, frozen=True):
    """A distribution of block times."""

    p50: float
    p95: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` holds."""

    world: str
    start: str
    assumed: str
    """What was assumed about the start because it could not be known."""
    policy: str
    memory: MemoryUse
    """What the spatial memory told a block."""
    retrieval: str | None
    """How past frames were found; None: none were recalled."""
    switches: list[Receipt | PolicyReceipt]
    """Changes of scene and of policy, each with the block in which it took effect."""
    seed: int
    frames: int
    fps: float
    fps_includes: str = INCLUDES
    block_ms: Milliseconds
    stage_ms: dict[str, float]
    """Mean milliseconds a block of each stage."""
    cache_bytes_peak: int
    memory_points: int
    memory_bytes: int
    partitions: dict[str, dict[str, int]]
    """Frames, tokens and bytes of each region of the cache at the end."""
    latents_sha256: str
    interrupted: bool
    psnr_seen: float | None
    """dB on pixels seen in real frames; None without `--compare` or where no frame has any."""
    psnr_novel: float | None
    baselines: dict[str, float | None]
    """`repeat`, `splat`: PSNR on seen pixels; `fill_novel`: of the filling on new ones."""
    sharpness: dict[str, float]
    """Mean gradient relative to the truth's, by part and candidate."""


class Tally:
    """Sums of a rendering: constant memory, whatever its length.

    Args:
        session: that is rendered.
        start: that it began from.
        policy: as it was asked for; None: the world's own.
        seed: of the noise.
        retrieval: as it was asked for; None: the world's own.
    """

    BUCKETS = np.geomspace(0.1, 1e6, 2001)
    """Edges in milliseconds of the histogram that percentiles are read from: 0.8 % apart."""

    def __init__(
        self,
        session: Session,
        start: Start,
        policy: str | None,
        seed: int,
        retrieval: str | None = None,
    ) -> None:
        self._session, self._start = session, start
        config = session.world.config
        self._policy = policy or config.policy
        self._retrieval = (retrieval or config.memory.retrieval) if session.use.recalls else None
        self._seed = seed
        self._digest = Digest()
        self._histogram = np.zeros(len(self.BUCKETS) + 1, np.int64)
        self._stages: dict[str, float] = {}
        self._partitions: dict[Region, dict[str, int]] = {}
        self._switches: list[Receipt | PolicyReceipt] = []
        self.blocks = self.frames = 0
        self.cache_bytes = session.cache.nbytes
        self.milliseconds = 0.0
        self.interrupted = False

    def add(self, chunk: Chunk) -> None:
        """Count a block."""
        self._digest.add(chunk)
        self._histogram[np.searchsorted(self.BUCKETS, chunk.block_ms)] += 1
        self._switches += chunk.switches
        for stage, spent in chunk.stage_ms.items():
            self._stages[stage] = self._stages.get(stage, 0.0) + spent
        self._partitions = {
            region: {"frames": part.frames, "tokens": part.tokens, "bytes": part.bytes}
            for region, part in chunk.partitions.items()
        }
        self.blocks += 1
        self.frames += len(chunk.frames)
        self.milliseconds += chunk.block_ms
        self.cache_bytes = max(self.cache_bytes, self._session.cache.nbytes)

    @property
    def fps(self) -> float:
        """Generated frames a second so far."""
        return 1000 * self.frames / self.milliseconds if self.milliseconds else 0.0

    def percentile(self, share: float) -> float:
        """Block time in milliseconds below which `share` of the blocks lie."""
        wanted = share * self.blocks
        bucket = int(np.searchsorted(np.cumsum(self._histogram), wanted))
        return float(self.BUCKETS[min(bucket, len(self.BUCKETS) - 1)])

    def report(self, frames: int, means: dict[str, float]) -> Report:
        """All figures of a video of so many frames; those that filled its last block are not in.

        Args:
            frames: of the video.
            means: of `Comparison`; empty: there is no truth.
        """
        return Report(
            world=self._session.world.config.name,
            start=self._start.name,
            assumed=self._start.assumed,
            policy=self._policy,
            memory=self._session.use,
            retrieval=self._retrieval,
            switches=self._switches,
            seed=self._seed,
            frames=frames,
            fps=round(self.fps, 2),
            block_ms=Milliseconds(round(self.percentile(0.5), 1), round(self.percentile(0.95), 1)),
            stage_ms={k: round(v / max(self.blocks, 1), 2) for k, v in self._stages.items()},
            cache_bytes_peak=self.cache_bytes,
            memory_points=len(self._session.memory),
            memory_bytes=self._session.memory.nbytes,
            partitions={str(region): part for region, part in self._partitions.items()},
            latents_sha256=str(self._digest),
            interrupted=self.interrupted,
            psnr_seen=means.get("psnr_seen_world"),
            psnr_novel=means.get("psnr_novel_world"),
            baselines={
                "repeat": means.get("psnr_seen_repeat"),
                "splat": means.get("psnr_seen_splat"),
                "fill_novel": means.get("psnr_novel_splat"),
            },
            sharpness={k: v for k, v in means.items() if k.startswith("sharp")},
        )
