"""A course as one cache policy walks it: the frames, their quality, and what each block cost."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldrt.bench.compare import LEAST
from worldrt.bench.course import Course
from worldrt.bench.drift import capped_psnr
from worldrt.config import MemoryUse
from worldrt.render import follow
from worldrt.session import Session
from worldrt.world import World


class Block(NamedTuple):
    """What one block cost."""

    milliseconds: float
    policy_ms: float
    """Of these, the cache's own work; 0 where the session does not tell."""
    context: int
    """Cached tokens that it attended to, its own not counted."""
    bytes: int
    """Of all tensors of the cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyWalk:
    """A walked course; F is less than the course's where the context grew too long."""

    course: Course
    frames: NDArray[np.uint8]
    """[F, Y, X, 3] generated."""
    psnr: NDArray[np.float64]
    """[F] dB against the truth."""
    psnr_seen: NDArray[np.float64]
    """[F] on pixels seen in real frames; nan where they are less than LEAST of the frame."""
    psnr_novel: NDArray[np.float64]
    """[F] on the others, likewise."""
    blocks: list[Block]

    @property
    def whole(self) -> bool:
        """Whether the walk went to the course's end."""
        return len(self.frames) == len(self.course.poses)


def walk(world: World, course: Course, policy: str, most_context: int) -> PolicyWalk:
    """Walk a course.

    Args:
        world: what generates.
        course: what is walked.
        policy: of the cache.
        most_context: latent frames' worth of tokens; the walk ends after the first block that
            attended to more.

    Raises:
        ConfigError: unknown policy.
    """
    tokens = world.cache_shape.tokens
    chunks: list[NDArray[np.uint8]] = []
    blocks: list[Block] = []
    # Recalled frames would stand beside every policy alike.
    with Session(world, course.start, policy=policy, use=MemoryUse.SPLAT) as session:
        for chunk in follow(session, course.poses):
            # By now the block's own frames have joined the context; it did not attend to them so.
            held = sum(part.tokens for part in chunk.partitions.values())
            context = held - len(chunk.frames) * tokens
            policy_ms = chunk.stage_ms.get("policy", 0.0)
            blocks.append(Block(chunk.block_ms, policy_ms, context, session.cache.nbytes))
            chunks.append(chunk.frames)
            if context > most_context * tokens:
                break
    frames = np.concatenate(chunks)[: len(course.poses)]
    return PolicyWalk(
        course=course,
        frames=frames,
        psnr=_score(frames, course.truth, np.ones_like(course.seen)),
        psnr_seen=_score(frames, course.truth, course.seen),
        psnr_novel=_score(frames, course.truth, ~course.seen),
        blocks=blocks,
    )


def _score(
    frames: NDArray[np.uint8], truth: NDArray[np.uint8], masks: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """[F] dB of the masked pixels; the truth may be longer than the frames."""
    return np.array(
        [
            capped_psnr(image, real, mask) if mask.mean() >= LEAST else np.nan
            for image, real, mask in zip(frames, truth, masks, strict=False)
        ]
    )
