"""Figures for Prometheus: each server has its own."""

from tests.server.test_coding import chunk
from worldrt.memory.occupancy import Occupancy
from worldrt.memory.slots import Region
from worldrt.server.metrics import Metrics


def lines(metrics: Metrics) -> dict[str, float]:
    text = metrics.text().decode().splitlines()
    return {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in text if not line.startswith("#"))
    }


def test_a_block_is_counted_by_stage_and_region() -> None:
    from dataclasses import replace

    metrics = Metrics()
    block = replace(chunk(), partitions={Region.SINK: Occupancy(frames=1, tokens=12, bytes=999)})
    metrics.count(block)
    metrics.count(block)
    told = lines(metrics)
    assert told["worldrt_frames_total"] == 8
    assert told["worldrt_block_seconds_count"] == 2
    assert abs(told["worldrt_block_seconds_sum"] - 0.094) < 1e-9
    assert abs(told['worldrt_stage_seconds_total{stage="decode"}'] - 0.014) < 1e-9
    assert told['worldrt_cache_bytes{region="sink"}'] == 999


def test_each_server_has_a_registry_of_its_own() -> None:
    one, two = Metrics(), Metrics()
    one.frames.inc(7)
    assert lines(one)["worldrt_frames_total"] == 7 and lines(two)["worldrt_frames_total"] == 0


def test_the_process_tells_its_memory() -> None:
    assert Metrics().resident_bytes() > 1e7
