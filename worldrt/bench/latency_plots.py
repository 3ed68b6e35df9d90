"""Latency as a picture: where the time goes, and how often it is how long."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from worldrt.bench.pictures import LINES
from worldrt.client.lag import Sample, Stages
from worldrt.video import write_image


def plot_latency(path: Path, seen: Mapping[str, Sequence[Sample]], target_ms: float) -> None:
    """Write stages as stacked bars beside the distribution of the whole.

    Args:
        path: a .png in a folder that exists.
        seen: the samples of each client, at least one with stages.
        target_ms: that the 95th percentile should keep.

    Raises:
        OutputError: the disk refused.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(3, 4))
    _stack(left, seen)
    for colour, (name, samples) in zip(LINES, seen.items(), strict=False):
        lags = np.sort([sample.lag_ms for sample in samples])
        right.step(lags, np.arange(1, len(lags) + 1) / len(lags), where="post", color=colour)
        right.plot([], [], color=colour, label=name)
    right.axvline(target_ms, color="0.6", linestyle="--", label=f"goal for 95 %: {target_ms:.0f}")
    right.axhline(0.95, color="0.85", zorder=0)
    right.set_xlabel("motion to photon, ms")
    right.set_ylabel("share of keys")
    right.set_xlim(left=0)
    right.set_ylim(0, 1.01)
    right.legend(loc="lower right")
    canvas.draw()
    write_image(path, np.asarray(canvas.buffer_rgba())[..., :3])


def _stack(axes: Axes, seen: Mapping[str, Sequence[Sample]]) -> None:
    """Means, since they add up to the mean of the whole."""
    base = np.zeros(len(seen))
    places = np.arange(len(seen))
    for index, stage in enumerate(Stages.__struct_fields__):
        means = np.array(
            [
                np.mean([getattr(s.stages, stage) for s in samples if s.stages is not None])
                for samples in seen.values()
            ]
        )
        colour = LINES[index % len(LINES)]
        axes.bar(places, means, 0.6, bottom=base, color=colour, label=stage.removesuffix("_ms"))
        base += means
    axes.set_xticks(places, list(seen))
    axes.set_ylabel("mean, ms")
    axes.set_xlim(-0.6, len(seen) - 0.4 + 0.9)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], loc="upper right", fontsize="small")
