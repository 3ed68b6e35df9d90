"""Figures of the server for Prometheus, in a registry of its own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

from worldrt.chunk import Chunk

BLOCK = (0.01, 0.02, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5)
LAG = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1)
PHOTON = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.5, 2, 4)


class Metrics:
    """All figures; each may be set on any thread."""

    def __init__(self) -> None:
        self._registry = own = CollectorRegistry()
        ProcessCollector(registry=own)
        self.block = Histogram(
            "worldrt_block_seconds", "From poses to frames.", buckets=BLOCK, registry=own
        )
        self.stage = Counter(
            "worldrt_stage_seconds", "Spent on blocks by stage.", ["stage"], registry=own
        )
        self.frames = Counter("worldrt_frames", "Frames generated.", registry=own)
        self.dropped = Counter(
            "worldrt_dropped_frames", "Frames that gave way to newer ones.", registry=own
        )
        self.photon = Histogram(
            "worldrt_motion_to_photon_seconds",
            "From a key to its first frame on the screen, as clients measure it.",
            buckets=PHOTON,
            registry=own,
        )
        self.lead = Gauge(
            "worldrt_lead_seconds", "Frames ahead of the screen, newest session.", registry=own
        )
        self.sessions = Gauge("worldrt_sessions", "Sessions that have a place.", registry=own)
        self.queue = Gauge("worldrt_queue", "Clients that wait for a place.", registry=own)
        self.spectators = Gauge("worldrt_spectators", "Clients that look on.", registry=own)
        self.cache = Gauge(
            "worldrt_cache_bytes", "Cache of the newest block.", ["region"], registry=own
        )
        self.closed = Counter(
            "worldrt_closed", "Connections that the server ended, by code.", ["code"], registry=own
        )
        self.lag = Histogram(
            "worldrt_loop_lag_seconds",
            "How late the event loop wakes from a short sleep.",
            buckets=LAG,
            registry=own,
        )

    def count(self, chunk: Chunk) -> None:
        """A block was made."""
        self.block.observe(chunk.block_ms / 1000)
        self.frames.inc(len(chunk.frames))
        for stage, spent in chunk.stage_ms.items():
            self.stage.labels(stage).inc(spent / 1000)
        for region, part in chunk.partitions.items():
            self.cache.labels(region).set(part.bytes)

    def resident_bytes(self) -> int:
        """Memory of the process now; 0 where the system does not tell."""
        return round(self._registry.get_sample_value("process_resident_memory_bytes") or 0)

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self._registry)
