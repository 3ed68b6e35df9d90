"""`worldrt bench growth`: whether any cache policy costs more the longer it is used.

Random blocks go through each policy's cache, driven by `Rollout` as in a session, at a small shape
and under a model that says random things and computes nothing: a model costs the same in every
block, so what could grow is the cache's bookkeeping, and at a small shape that is most of a block.

What it must cost: a block is 0.5 to 3 ms of one thread, for `soft` 20 ms; 10,000 blocks of a policy
are 5 to 30 s, or 200 s, and all policies on two cores 3 to 5 minutes.
"""

import time
from collections.abc import Sequence
from datetime import date
from functools import partial
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from worldrt.bench.crew import spread
from worldrt.bench.policy_plots import Line, plot_growth
from worldrt.bench.soak import resident_mb
from worldrt.checkpoints.files import write_bytes
from worldrt.config import ModelConfig, check
from worldrt.doctor import Machine
from worldrt.doctor import measure as measure_machine
from worldrt.errors import OutputError
from worldrt.layer import Context
from worldrt.memory.cache import KVCache
from worldrt.memory.policy import find, names
from worldrt.memory.slots import CacheShape, Note
from worldrt.model import TextKeys, Transformer
from worldrt.rollout import Rollout, Told
from worldrt.sampler import Step

MODEL = ModelConfig(
    dim=32, num_heads=2, num_layers=2, ffn_dim=32, in_channels=1, patch=1, freq_dim=32
)
SHAPE = CacheShape(layers=2, heads=2, head_dim=16, rows=2, columns=3, block_frames=3)
WARM_UP = 100
"""Blocks after which nothing may grow; by then every policy's context is full."""
NOTES = 20
"""Rows of a curve, evenly spaced after the warm-up."""
MOST_FULL = 500
"""Blocks of a policy that keeps everything; it is the contrast."""
SLACK = 1.1
"""Times as long as a young rollout's may a block take before it counts as growth."""


class GrowthRow(msgspec.Struct, frozen=True, kw_only=True):
    """The state after a number of blocks."""

    block: int
    block_ms: float
    """Median CPU time since the row before, or since the warm-up."""
    cache_bytes: int
    process_mb: float
    """Resident memory of the process."""


class GrowthCurve(msgspec.Struct, frozen=True, kw_only=True):
    """A policy's cost as its rollout goes on."""

    policy: str
    start_bytes: int
    """Of the empty cache."""
    warm_bytes: int
    """After WARM_UP blocks."""
    rows: list[GrowthRow]
    old_ms: float
    """Median CPU time of further blocks, played in turns with those of a rollout just warm."""
    young_ms: float
    """That of the other rollout, so that what else the machine does weighs on both alike."""
    process_mb: float
    """What the process grew by from the first row to the last."""

    @property
    def ratio(self) -> float:
        """How much longer a block takes at the end than after the warm-up."""
        return self.old_ms / self.young_ms

    @property
    def grows(self) -> bool:
        """Whether bytes changed after the warm-up, or time did by more than SLACK."""
        changed = any(row.cache_bytes != self.warm_bytes for row in self.rows)
        return changed or self.ratio > SLACK


class GrowthReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `growth.json` holds."""

    blocks: int
    machine: Machine
    torch: str
    date: str
    growing: list[str]
    """Policies whose bytes or time grow."""
    curves: list[GrowthCurve]


class Noise(Transformer):
    """A transformer of random queries, keys and values: all that it costs is its context."""

    def __init__(self) -> None:
        super().__init__(MODEL)
        self._random = torch.Generator().manual_seed(0)

    def forward(
        self,
        latents: Tensor,
        timesteps: Tensor,
        context: Context,
        conditions: Tensor | None = None,
        text: list[TextKeys] | None = None,
    ) -> Tensor:
        self.run_tokens(self.embed(latents, conditions), timesteps, context, text)
        return latents

    def run_tokens(
        self,
        x: Tensor,
        timesteps: Tensor,
        context: Context,
        text: list[TextKeys] | None = None,
    ) -> Tensor:
        del timesteps, text
        config = self.config
        size = (3, len(x), x[0, ..., 0].numel(), config.num_heads, config.head_dim)
        for layer in range(config.num_layers):
            context.attend(layer, *torch.randn(size, generator=self._random))
        return x


class Walk:
    """A rollout of random blocks: what is drawn, seen and remembered means nothing.

    Args:
        policy: of its cache.
    """

    def __init__(self, policy: str) -> None:
        self.cache = KVCache(find(policy, SHAPE.block_frames), SHAPE)
        self._rollout = Rollout(Noise(), self.cache, [Step(1000.0, 1.0)], "clean")
        self._random = np.random.default_rng(0)

    def play(self) -> float:
        """One block; returns its milliseconds of CPU time."""
        told = Told(notes=tuple(self._note() for _ in range(SHAPE.block_frames)))
        began = time.process_time()
        lookahead = self.cache.policy.lookahead
        if lookahead:
            self._rollout.give_sink(self._draw(lookahead), told)
        self._rollout.generate(self._draw, SHAPE.block_frames, told)
        self._rollout.commit()
        return 1e3 * (time.process_time() - began)

    def _draw(self, frames: int) -> Tensor:
        return torch.randn(1, frames, 1, SHAPE.rows, SHAPE.columns)

    def _note(self) -> Note:
        """Anywhere within ten metres, looking along z, about anything."""
        pose = np.eye(4)
        pose[:3, 3] = self._random.uniform(-10, 10, 3)
        return Note(pose=pose, prompt=self._random.standard_normal(8, np.float32))


def bench_growth(
    out: Path, blocks: int, policies: Sequence[str] | None = None
) -> tuple[GrowthReport, Table]:
    """Play random blocks through caches and write `growth.json` and `growth.png`.

    Args:
        out: folder, made if need be.
        blocks: of each policy, at least WARM_UP + NOTES; one that keeps everything plays MOST_FULL
            at most.
        policies: of the caches; None: all, those that keep everything last.

    Raises:
        ConfigError: an unknown policy, or too few blocks.
        OutputError: the folder can't be made, or the disk refused.
        WorldrtError: a policy failed; nothing is written.
    """
    check(
        blocks >= WARM_UP + NOTES,
        f"{blocks} blocks end before {NOTES} rows are noted after a warm-up of {WARM_UP}; ask for "
        f"at least {WARM_UP + NOTES}.",
    )
    wanted = sorted(names() if policies is None else policies, key=_keeps_all)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out} can't be made ({error.strerror}).") from error
    found = dict(spread(partial(measure, blocks), wanted, "nothing was written"))
    curves = [found[policy] for policy in wanted]
    report = GrowthReport(
        blocks=blocks,
        machine=measure_machine(),
        torch=str(torch.__version__),
        date=date.today().isoformat(),
        growing=[curve.policy for curve in curves if curve.grows],
        curves=curves,
    )
    write_bytes(out / "growth.json", msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    plot_growth(out / "growth.png", [_line(curve) for curve in curves])
    return report, _table(report)


@torch.inference_mode()
def measure(blocks: int, policy: str) -> GrowthCurve:
    """Play a policy's blocks, and some more in turns with those of a rollout just warm."""
    old, young = Walk(policy), Walk(policy)
    start_bytes = old.cache.nbytes
    for _ in range(WARM_UP):
        old.play()
    warm_bytes, last = old.cache.nbytes, min(blocks, MOST_FULL) if _keeps_all(policy) else blocks
    ends = np.linspace(WARM_UP, last, NOTES + 1, dtype=int).tolist()
    rows: list[GrowthRow] = []
    for before, block in pairwise(ends):
        spent = [old.play() for _ in range(before, block)]
        rows.append(
            GrowthRow(
                block=block,
                block_ms=round(float(np.median(spent)), 3),
                cache_bytes=old.cache.nbytes,
                process_mb=round(resident_mb(), 1),
            )
        )
    for _ in range(WARM_UP):
        young.play()
    turns = [(old.play(), young.play()) for _ in range(ends[1] - WARM_UP)]
    old_ms, young_ms = np.median(turns, axis=0).round(3).tolist()
    return GrowthCurve(
        policy=policy,
        start_bytes=start_bytes,
        warm_bytes=warm_bytes,
        rows=rows,
        old_ms=old_ms,
        young_ms=young_ms,
        process_mb=round(rows[-1].process_mb - rows[0].process_mb, 1),
    )


def _keeps_all(policy: str) -> bool:
    """Whether a policy grows by what it is."""
    return find(policy, SHAPE.block_frames).partition.recent is None


def _line(curve: GrowthCurve) -> Line:
    """A curve as it is drawn."""
    rows = curve.rows
    return Line(
        curve.policy,
        [row.block for row in rows],
        [row.cache_bytes for row in rows],
        [row.block_ms for row in rows],
    )


def _table(report: GrowthReport) -> Table:
    found = Table(title=f"Cache policies over {report.blocks:,} random blocks", box=None)
    found.caption = (
        f"Bytes of the empty cache, after {WARM_UP} blocks and at the end. CPU ms of a block: "
        f"medians of the first, the middle and the last of {NOTES} stretches. Ratio: a block at "
        f"the end over one of a rollout {WARM_UP} blocks old, played in turns. "
        f"Grow: {', '.join(report.growing) or 'none'}."
    )
    found.caption_justify = "left"
    found.add_column("policy", no_wrap=True)
    for heading in ("blocks", "bytes", "warm", "end", "ms", "middle", "end", "ratio", "process MB"):
        found.add_column(heading, justify="right")
    for curve in report.curves:
        rows = curve.rows
        found.add_row(
            curve.policy,
            f"{rows[-1].block:,}",
            *(f"{n:,}" for n in (curve.start_bytes, curve.warm_bytes, rows[-1].cache_bytes)),
            *(f"{rows[index].block_ms:.2f}" for index in (0, NOTES // 2, -1)),
            f"{curve.ratio:.2f}",
            f"{curve.process_mb:+.1f}",
        )
    return found
