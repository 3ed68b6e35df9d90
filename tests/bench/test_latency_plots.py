"""The picture of a latency: it is drawn, and shows what it is given."""

from pathlib import Path

import numpy as np
from PIL import Image

from worldrt.bench.latency_plots import plot_latency
from worldrt.client.lag import Sample, Stages


def samples(scale: float) -> list[Sample]:
    stages = Stages(*(scale * number for number in range(1, 9)))
    return [
        Sample(seq=seq, t_us=0, shown_us=round(36_000 * scale), frame=seq, stages=stages)
        for seq in range(5)
    ]


def drawn(path: Path, **seen: list[Sample]) -> np.ndarray:
    plot_latency(path, seen, 500.0)
    return np.asarray(Image.open(path))


def test_more_time_is_a_taller_bar(tmp_path: Path) -> None:
    both = drawn(tmp_path / "a.png", python=samples(1.0), browser=samples(9.0))
    alike = drawn(tmp_path / "b.png", python=samples(9.0), browser=samples(9.0))
    assert both.shape == alike.shape and not np.array_equal(both, alike)


def test_a_sample_without_stages_counts_in_the_whole(tmp_path: Path) -> None:
    lost = Sample(seq=9, t_us=0, shown_us=700_000, frame=9)
    with_it = drawn(tmp_path / "a.png", python=[*samples(1.0), lost])
    without = drawn(tmp_path / "b.png", python=samples(1.0))
    assert not np.array_equal(with_it, without)
