"""Rows of the comparison of policies, made up."""

import numpy as np

from worldrt.bench.drift import Drift, Revisit
from worldrt.bench.policy_rows import Mark, Plan, PoliciesReport, PolicyRow
from worldrt.doctor import Machine

PLAN = Plan(world="tiny", long_seeds=(0,), short_seeds=(1, 2))
MACHINE = Machine(
    worldrt="0.1.0",
    python="3.11.7",
    platform="Linux 6.1 x86_64",
    cores=2,
    memory_gib=23.4,
    disk_free_gib=50.0,
)


def made_up(policy: str, number: int = 0, *, early: bool = False) -> PolicyRow:
    """A row whose figures follow from its number; `early`: it ended at frame 272."""
    random = np.random.default_rng(number)
    frames = 272 if early else 1024
    hills = 20 + 5 * np.sin(np.arange(frames // 15) / 4) + random.normal(0, 0.3, frames // 15)
    return PolicyRow(
        policy=policy,
        frames=frames,
        context_tokens=1000 + number,
        cache_bytes=int(2e6 * 1.3**number),
        block_ms=100.4 + number,
        policy_percent=2.25,
        psnr=20.126 + random.normal(0, 0.5),
        psnr_seen=27.5,
        psnr_novel=None,
        marks=[
            Mark(frame=mark, psnr=18.0 + number, ssim=0.625, psnr_seen=None, psnr_novel=18.0)
            for mark in PLAN.marks
            if mark <= frames
        ],
        drift=None if early else Drift(sharpness=0.93, colour=2.46, saturation=1.08),
        drift_from_start=None if early else Drift(sharpness=0.5, colour=9.0, saturation=0.9),
        revisit=None if early else Revisit(psnr=33.3, gain=15 + random.normal(0, 1)),
        curve=hills.tolist(),
        seconds=40.0,
    )


NAMES = (
    "attention_sink",
    "full",
    "window",
    "window:codec=int8",
    "window:codec=int4",
    "window:codec=int2",
    "pack",
    "pack:top=2",
    "pack:mid=32,top=8",
    *(f"policy_{letter}" for letter in "abcdefghijklmno"),
)


def two_dozen() -> list[PolicyRow]:
    """24 rows, variants among them; one ends early."""
    return [made_up(name, number, early=name == "full") for number, name in enumerate(NAMES)]


def report(*rows: PolicyRow) -> PoliciesReport:
    """A report of rows."""
    return PoliciesReport(
        plan=PLAN, machine=MACHINE, torch="2.13.0", date="2026-11-21", rows=list(rows)
    )
