"""The best that a device can do."""

import time

import pytest
import torch

from worldrt.bench.speed import ceilings
from worldrt.bench.speed.ceilings import Ceilings, best, measure, timed

CPU = torch.device("cpu")


def test_the_least_time_is_that_of_the_scarcer_resource() -> None:
    device = Ceilings(flops=100.0, bytes=10.0)
    assert device.seconds(200, 10) == 2.0
    assert device.seconds(50, 40) == 4.0
    assert device.seconds(0, 0) == 0.0


def test_the_best_of_some_runs_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([9.0, 9.0, 3.0, 1.0, 2.0, 5.0, 4.0, 8.0, 7.0])
    monkeypatch.setattr(ceilings, "timed", lambda run, device: run())
    # The two that do not count are run, not timed.
    assert best(lambda: next(taken), CPU) == 1.0


def test_time_is_that_of_the_run() -> None:
    assert 0.02 <= timed(lambda: time.sleep(0.02), CPU)


def test_a_device_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings, "COPIED", 2**16)
    found = measure(7, 33, torch.float32, CPU)
    assert found.flops > 1e6 and found.bytes > 1e6
