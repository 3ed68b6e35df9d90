"""One world being walked: poses in, chunks of frames out, block by block.

A step reads as three lines: choose what the block is told, run the sampler, commit the result to
the cache and the memory. All that a session keeps is bounded: the cache by its policy, the point
cloud by its capacity, one pose and one random generator.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldrt.codec import pack, unpack
from worldrt.conditioning import camera_maps, spatial_maps
from worldrt.config import check
from worldrt.errors import ConfigError, SessionClosed, ShapeError
from worldrt.geometry.keys import Keys
from worldrt.geometry.trajectory import integrate
from worldrt.memory.cache import KVCache, Occupancy
from worldrt.memory.cloud import filled
from worldrt.memory.layers import LayeredCloud
from worldrt.memory.policy import find
from worldrt.memory.slots import Region
from worldrt.sampler import Step, sample, steps_of, to_clean
from worldrt.starts import Start
from worldrt.world import World


@dataclass(frozen=True, slots=True)
class Chunk:
    """The frames decoded from one block."""

    frames: NDArray[np.uint8]
    """[F, Y, X, 3] RGB, all generated."""
    depth: NDArray[np.float32]
    """[F, Y, X] metres along z."""
    poses: NDArray[np.float64]
    """[F, 4, 4] world_from_camera."""
    remembered: NDArray[np.float32]
    """[F, Y, X] how much of the pixel the memory knew before the block, 0 to 1."""
    latents: Tensor
    """[F, C, h, w] clean latents."""
    first: int
    """Index of the first frame since the start of the session."""
    stage_ms: Mapping[str, float]
    """Milliseconds by stage: splat, steps, clean, decode, insert; their sum is the block's time.
    Where the policy lets the clean pass run with the next block's first step, it is in `steps`."""
    partitions: Mapping[Region, Occupancy]
    """The cache after the block."""

    @property
    def block_ms(self) -> float:
        """Milliseconds from the poses to the frames and the updated memory."""
        return sum(self.stage_ms.values())


class _Plan(NamedTuple):
    """What a block is told, computed once for all its passes."""

    poses: NDArray[np.float64]  # [T, 4, 4]
    known: NDArray[np.float32]  # [T, Y, X], the mask on the host
    splat: Tensor  # [T, 4, Y, X]
    mask: Tensor  # [T, 1, Y, X]
    hint: Tensor  # [1, T, C, h, w]
    conditions: Tensor  # [1, T, F, E]


class _Late(NamedTuple):
    """A finished block whose clean pass runs with the next block's first step."""

    latents: Tensor  # [1, T, C, h, w]
    conditions: Tensor  # [1, T, F, E]


class Session:
    """A walk through a world.

    Args:
        world: what is walked.
        start: real frames that it begins from.
        seed: of the noise, 0 to 2**63 - 1; the same seed and poses give the same latents bit for
            bit on one machine.
        policy: of the cache, `NAME` or `NAME:key=value,...`; None: the world's own.

    Raises:
        ConfigError: unknown policy, or a seed out of range.
        ShapeError: the start does not fit the world's camera.
    """

    def __init__(
        self, world: World, start: Start, *, seed: int = 0, policy: str | None = None
    ) -> None:
        config = world.config
        check(0 <= seed < 2**63, f"A seed is a whole number from 0 to 2**63 - 1, got {seed}.")
        start.check_camera(world.camera)
        self.world = world
        self.cache = KVCache(
            find(policy or config.policy, config.block_frames),
            world.cache_shape,
            device=world.device,
        )
        self.cloud = LayeredCloud(config.memory.capacity, world.camera)
        self.pose = start.poses[0]
        """[4, 4] where the camera stands."""
        self.frames = 0
        """Frames generated so far."""
        self._steps = steps_of(config.sampler)
        self._random = torch.Generator(world.device).manual_seed(seed)
        self._latent_camera = world.camera.scaled(1 / config.codec.stride)
        self._stage_ms: dict[str, float] = {}
        self._late: _Late | None = None
        self._open = True
        self._prime(start)

    def step(self, actions: Sequence[Keys]) -> Chunk:
        """Walk one block with the keys held in each of its frames.

        Args:
            actions: [block_frames] held keys.

        Raises:
            SessionClosed, ShapeError: as `follow`.
        """
        return self.follow(integrate(actions, self.pose, self.world.config.motion))

    def stream(self, actions: Sequence[Keys]) -> Iterator[Chunk]:
        """Walk a whole path; its last block is filled up with released keys."""
        for keys in batched_keys(actions, self.world.config.block_frames):
            yield self.step(keys)

    @torch.inference_mode()
    def follow(self, poses: NDArray[np.float64]) -> Chunk:
        """Generate the block seen from `poses`.

        Args:
            poses: [block_frames, 4, 4] world_from_camera.

        Raises:
            SessionClosed: after `close`.
            ShapeError: another number of poses.
        """
        if not self._open:
            raise SessionClosed("The session is closed; open another one.")
        expected = (self.world.config.block_frames, 4, 4)
        if poses.shape != expected:
            raise ShapeError("poses", poses.shape, f"{list(expected)}, one block")
        self._stage_ms = {}
        plan = self._choose(poses)
        latents = self._run(plan)
        return self._commit(plan, latents)

    def close(self) -> None:
        """End the session; a later step is an error."""
        self._open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # The three lines of a step.

    def _choose(self, poses: NDArray[np.float64]) -> _Plan:
        with _Timer(self._stage_ms, "splat"):
            view = self.cloud.view(poses)
            device = self.world.device
            splat = torch.from_numpy(filled(view, self.world.config.codec.near)).to(device)
            mask = torch.from_numpy(view.mask)[:, None].to(device)
            spatial = spatial_maps(self.world.codec, splat, mask)
            camera = camera_maps(self._latent_camera, poses, self.pose).to(device)
            conditions = self.world.model.read_conditions(camera[None], spatial.maps[None])
            assert conditions is not None  # both maps were given
            self.cache.open_block(len(poses))
        return _Plan(poses, view.mask, splat, mask, spatial.hint[None], conditions)

    def _run(self, plan: _Plan) -> Tensor:
        shape = plan.hint.shape

        def draw() -> Tensor:
            return torch.randn(shape, generator=self._random, device=self.world.device)

        def denoise(noisy: Tensor, step: Step, first: bool) -> Tensor:
            self.cache.begin_pass(first=first)
            levels = torch.full(shape[:2], step.timestep, device=self.world.device)
            output = self._pass(noisy, levels, plan.conditions, self._late)
            self._late = None
            kind = self.world.config.sampler.prediction
            return to_clean(output, kind, noisy, step.sigma, plan.hint)

        with _Timer(self._stage_ms, "steps"):
            return sample(denoise, self._steps, draw)

    def _commit(self, plan: _Plan, latents: Tensor) -> Chunk:
        if self.cache.fuses:
            self._late = _Late(latents, plan.conditions)
            self.cache.commit(late=True)
            self.pose = plan.poses[-1]
        else:
            self._write_context(plan, latents, first=False)
        with _Timer(self._stage_ms, "decode"):
            image = self.world.codec.restore(latents[0], plan.splat, plan.mask)
            frames, depth = unpack(image, self.world.config.codec.near)
        with _Timer(self._stage_ms, "insert"):
            self.cloud.imagine(frames, depth, plan.poses, plan.known)
        first, self.frames = self.frames, self.frames + len(frames)
        return Chunk(
            frames=frames,
            depth=depth,
            poses=plan.poses,
            remembered=plan.known,
            latents=latents[0],
            first=first,
            stage_ms=self._stage_ms,
            partitions=self.cache.occupancy(),
        )

    # Inside.

    def _pass(
        self, latents: Tensor, levels: Tensor, conditions: Tensor, late: _Late | None
    ) -> Tensor:
        """One forward over a block, the late one's clean tokens before it; returns the block's."""
        if late is None:
            return self.world.model(latents, levels, self.cache, conditions)
        output = self.world.model(
            torch.cat([late.latents, latents], dim=1),
            torch.cat([torch.zeros_like(levels), levels], dim=1),
            self.cache,
            torch.cat([late.conditions, conditions], dim=1),
        )
        return output[:, late.latents.shape[1] :]

    def _write_context(self, plan: _Plan, latents: Tensor, *, first: bool) -> None:
        """Run the clean pass by itself; `first` says whether it is the block's only one."""
        with _Timer(self._stage_ms, "clean"):
            self.cache.begin_pass(first=first, clean=True)
            levels = torch.zeros(latents.shape[:2], device=latents.device)
            self._pass(latents, levels, plan.conditions, None)
            self.cache.commit()
        self.pose = plan.poses[-1]

    @torch.inference_mode()
    def _prime(self, start: Start) -> None:
        """Walk the start's real frames as if they had been generated.

        Frames before the first whole block are remembered only; less than a block is held for one.
        """
        size, near = self.world.config.block_frames, self.world.config.codec.near
        whole = len(start.poses) // size * size
        rgb, depth, poses = start.rgb, start.depth, start.poses
        if whole == 0:
            repeats = np.minimum(np.arange(size), len(poses) - 1)
            rgb, depth, poses, whole = rgb[repeats], depth[repeats], poses[repeats], size
        early = len(poses) - whole
        self.cloud.remember(rgb[:early], depth[:early], poses[:early])
        self.pose = poses[max(early - 1, 0)]
        for first in range(early, len(poses), size):
            block = slice(first, first + size)
            plan = self._choose(poses[block])
            image = pack(rgb[block], depth[block], near).to(self.world.device)
            self._write_context(plan, self.world.codec.encode(image)[None], first=True)
            self.cloud.remember(rgb[block], depth[block], poses[block])


def batched_keys(actions: Sequence[Keys], size: int) -> Iterator[tuple[Keys, ...]]:
    """Cut a path into blocks, the last filled up with released keys.

    Raises:
        ConfigError: there are no actions.
    """
    if not actions:
        raise ConfigError("A path of 0 frames can't be walked; hold a key for at least one.")
    for first in range(0, len(actions), size):
        keys = tuple(actions[first : first + size])
        yield keys + (Keys(0),) * (size - len(keys))


class _Timer:
    """Adds the milliseconds of a `with` block to one stage."""

    def __init__(self, stage_ms: dict[str, float], stage: str) -> None:
        self._stage_ms, self._stage = stage_ms, stage

    def __enter__(self) -> None:
        self._begun = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        spent = 1000 * (time.perf_counter() - self._begun)
        self._stage_ms[self._stage] = self._stage_ms.get(self._stage, 0.0) + spent
