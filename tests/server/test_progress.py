"""Progress by what it took before: it never claims to be done, and never goes back."""

import pytest

from worldrt.server import progress as module
from worldrt.server.progress import MOST, Progress


def test_it_moves_with_time_and_stops_short(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    progress = Progress(4.0)
    progress.stage = "Reading"
    seen = []
    for passed in (0.0, 1.0, 3.0, 4.5, 60.0):
        now[0] = 100 + passed
        seen.append(progress.message())
    assert [each.fraction for each in seen] == [0, 0.25, 0.75, MOST, MOST]
    assert [each.eta_s for each in seen] == [4, 3, 1, None, None]
    assert {each.stage for each in seen} == {"Reading"}
    assert progress.took_s == 60
