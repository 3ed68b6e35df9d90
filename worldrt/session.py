"""One world being walked: poses in, chunks of frames out, block by block.

A step reads as three lines: choose what the block is told, run the sampler, commit the result to
the cache and the memory. All that a session keeps is bounded: the cache by its policy, the memory
by its bytes, one pose and one random generator.
"""

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldrt.chunk import Chunk, Show, Sight
from worldrt.clock import Clock
from worldrt.codec import pack, unpack
from worldrt.config import MemoryUse, check, check_use
from worldrt.errors import ConfigError, SessionClosed, ShapeError
from worldrt.geometry.keys import Keys
from worldrt.geometry.trajectory import Step, axes_of, steer
from worldrt.memory.cache import KVCache
from worldrt.memory.policy import Policy, SwitchMode
from worldrt.memory.slots import Note
from worldrt.memory.spatial.memory import Footage, Memory
from worldrt.memory.spatial.places import Places
from worldrt.outlook import Outlook, Plan
from worldrt.recall import Recall
from worldrt.rollout import PolicyReceipt, Receipt, Rollout
from worldrt.sampler import steps_of
from worldrt.starts import Start
from worldrt.world import World

MOST_CHANGES = 64
"""Switches and changes of policy that may wait for one block."""


class Session:
    """A walk through a world.

    Args:
        world: what is walked.
        start: real frames that it begins from.
        seed: of the noise, 0 to 2**63 - 1; the same seed and poses give the same latents bit for
            bit on one machine.
        policy: of the cache, `NAME` or `NAME:key=value,...`; None: the world's own.
        steps: of the sampler, see `steps_of`; None: the world's own.
        use: what the memory tells a block; None: the world's own.
        memory: another spatial memory, empty; None: the world's own, with walls of what was seen.

    Raises:
        ConfigError: unknown policy, a seed or steps out of range, or a use that the world's model
            lacks.
        ShapeError: the start does not fit the world's camera.
    """

    def __init__(
        self,
        world: World,
        start: Start,
        *,
        seed: int = 0,
        policy: str | None = None,
        steps: int | None = None,
        use: MemoryUse | None = None,
        memory: Memory | None = None,
    ) -> None:
        config = world.config
        self.use = use or config.memory.use
        """What the memory tells a block."""
        check_use(self.use, config.memory)
        check(0 <= seed < 2**63, f"A seed is a whole number from 0 to 2**63 - 1, got {seed}.")
        start.check_camera(world.camera)
        self.world = world
        self.policy = policy or config.policy
        """Of the cache, as it was asked for."""
        self.cache = self._open_cache(world.policy(self.policy))
        levels = steps_of(config.sampler, steps)
        self.steps = len(levels)
        """Of the sampler."""
        self._rollout = Rollout(
            world.model,
            self.cache,
            levels,
            config.sampler.prediction,
            pack=world.pack,
        )
        self.memory: Memory = world.places() if memory is None else memory
        self.places = self.memory if isinstance(self.memory, Places) else None
        """The memory, if it is one of points; None: another kind was given."""
        self.walls: Step | None = None
        """What has been seen and can't be walked through."""
        if self.places is not None and self.use is not MemoryUse.NONE:
            self.walls = self.places.slide
        self._recall = self._open_recall()
        self._outlook = Outlook(world, self.memory, self.use)
        self.pose = start.poses[0]
        """[4, 4] where the camera stands."""
        self.frames = 0
        """Frames generated so far."""
        # Frames walked so far: the memory's, if it was walked before, and the start's.
        self._now = self.places.walked if self.places is not None else 0
        self._random = torch.Generator(world.device).manual_seed(seed)
        self._clock = Clock(self.cache)
        self._lost = 0  # frames that caches of other policies had and this one was not given
        self._note = Note()
        self._receipts: tuple[Receipt | PolicyReceipt, ...] = ()
        self._open = True
        self._prime(start)

    def step(self, actions: Sequence[Keys], step: Step | None = None) -> Chunk:
        """Walk one block with the keys held in each of its frames.

        Args:
            actions: [block_frames] held keys.
            step: where one comes to stand, such as `walls`; None: wherever one wants to.

        Raises:
            SessionClosed, ShapeError: as `follow`.
        """
        return self.drive(axes_of(actions), step)

    def drive(
        self, axes: NDArray[np.float64], step: Step | None = None, show: Show | None = None
    ) -> Chunk:
        """Walk one block with sticks, of which keys are the special case.

        Args:
            axes: [block_frames, 4] right, ahead, turn right, look up, each -1 to 1; see `steer`.
            step: as in `step`.
            show: called with the frames as soon as they are there, before the clean pass.

        Raises:
            SessionClosed, ShapeError: as `follow`.
            InputError: an axis is out of range.
        """
        frames = self.world.config.block_frames
        if axes.shape != (frames, 4):
            raise ShapeError("axes", axes.shape, f"[{frames}, 4], one block")
        return self._follow(steer(axes, self.pose, self.world.config.motion, step), show)

    def stream(self, actions: Sequence[Keys], step: Step | None = None) -> Iterator[Chunk]:
        """Walk a whole path; its last block is filled up with released keys."""
        for keys in batched_keys(actions, self.world.config.block_frames):
            yield self.step(keys, step)

    @torch.inference_mode()
    def follow(self, poses: NDArray[np.float64]) -> Chunk:
        """Generate the block seen from `poses`.

        Args:
            poses: [block_frames, 4, 4] world_from_camera.

        Raises:
            SessionClosed: after `close`.
            ShapeError: another number of poses.
        """
        return self._follow(poses, None)

    @torch.inference_mode()
    def switch(self, mode: SwitchMode) -> Receipt:
        """Change the scene before the next block; this world takes no prompt.

        Args:
            mode: what becomes of the cache; one that the policy supports.

        Raises:
            ConfigError: the policy does not support it, or too many changes wait for a block;
                nothing has changed.
            SessionClosed: after `close`.
        """
        self._check_open()
        self._check_changes()
        with self._clock("clean"):
            receipt = self._rollout.switch(mode, note=self._note)
        self._receipts += (receipt,)
        return receipt

    @torch.inference_mode()
    def use_policy(self, policy: str) -> PolicyReceipt:
        """Go on under another cache policy from the next block on.

        The new cache is given the last MOST_GIVEN frames; memory, pose and noise go on. The policy
        that the cache has already changes nothing, and `Chunk.switches` does not tell of it.

        Args:
            policy: `NAME` or `NAME:key=value,...`.

        Raises:
            ConfigError: unknown policy or option, or too many changes wait; nothing has changed.
            CacheError: there is no room for its cache beside the one that it replaces; likewise.
            SessionClosed: after `close`.
        """
        self._check_open()
        self._check_changes()
        receipt = PolicyReceipt(policy, self._rollout.blocks)
        wanted = self.world.policy(policy)
        if wanted == self.cache.policy:
            return receipt
        cache = self._open_cache(wanted)
        clock = Clock(cache, self._clock.stage_ms)
        with clock("clean"):
            rollout = self._rollout.under(cache)
        self._lost += self.cache.frames - cache.frames
        self.policy, self.cache, self._clock, self._rollout = policy, cache, clock, rollout
        self._recall = self._open_recall()
        self._receipts += (receipt,)
        return receipt

    def close(self) -> None:
        """End the session; a later step is an error."""
        self._open = False
        if self.places is not None:
            self.places.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @torch.inference_mode()
    def _follow(self, poses: NDArray[np.float64], show: Show | None) -> Chunk:
        self._check_open()
        expected = (self.world.config.block_frames, 4, 4)
        if poses.shape != expected:
            raise ShapeError("poses", poses.shape, f"{list(expected)}, one block")
        plan = self._choose(poses)
        latents = self._run(plan)
        sight = self._see(plan, latents)
        if show is not None:
            show(sight)
        return self._commit(plan, latents, sight)

    # The lines of a step.

    def _choose(self, poses: NDArray[np.float64]) -> Plan:
        with self._clock("splat"):
            return self._outlook.plan(poses, self.pose, self._now)

    def _run(self, plan: Plan) -> Tensor:
        size = self.world.config.codec.channels, *self.world.config.latent_size

        def draw(frames: int) -> Tensor:
            shape = (1, frames, *size)
            return torch.randn(shape, generator=self._random, device=self.world.device)

        if self._recall:
            with self._clock("recall"):
                staying = self.cache.staying(len(plan.poses))
                self._recall.renew(plan.poses, self.pose, self._now, staying)
        if self.cache.policy.lookahead:
            self._look_ahead(plan.poses)
        with self._clock("steps"):
            return self._rollout.generate(draw, len(plan.poses), plan.told)

    def _see(self, plan: Plan, latents: Tensor) -> Sight:
        with self._clock("decode"):
            image = self.world.codec.restore(latents[0], plan.splat, plan.mask)
            frames, depth = unpack(image, self.world.config.codec.near)
        return Sight(frames, depth, plan.poses, self.frames, dict(self._clock.stage_ms))

    def _commit(self, plan: Plan, latents: Tensor, sight: Sight) -> Chunk:
        with self._clock("steps" if self.cache.fuses else "clean"):
            self._rollout.commit()
        # Before what may fail: the walk has gone on, whatever becomes of the memory.
        now = self._now
        self._stand(plan)
        self.frames += len(sight.frames)
        with self._clock("insert"):
            past = latents[0].float().cpu().numpy()
            if self.use is not MemoryUse.NONE:
                footage = Footage(sight.frames, sight.depth, plan.poses, now, past)
                self.memory.imagine(footage, plan.known)
        switches, self._receipts = self._receipts, ()
        stage_ms, self._clock.stage_ms = self._clock.stage_ms, {}
        return Chunk(
            frames=sight.frames,
            depth=sight.depth,
            poses=plan.poses,
            first=sight.first,
            stage_ms=stage_ms,
            remembered=plan.known,
            latents=latents[0],
            partitions=self.cache.occupancy(),
            evicted=self._lost + self.cache.evicted,
            policy=self.policy,
            recalled=self._recall.frames if self._recall else (),
            switches=switches,
        )

    # Inside.

    @property
    def _most(self) -> int:
        """Most past frames that are recalled into the context."""
        return self.world.config.memory.recalled if self.use.recalls else 0

    def _open_cache(self, policy: Policy) -> KVCache:
        shape, device = self.world.cache_shape, self.world.device
        return KVCache(policy, shape, self.world.dtype, device, self._most)

    def _open_recall(self) -> Recall | None:
        if not self._most:
            return None
        return Recall(self.world, self.memory, self._rollout, self._most)

    def _check_open(self) -> None:
        if not self._open:
            raise SessionClosed("The session is closed; open another one.")

    def _check_changes(self) -> None:
        most = MOST_CHANGES
        check(
            len(self._receipts) < most,
            f"{most} changes wait for a block already, at most {most} may; generate one first.",
        )

    def _stand(self, plan: Plan) -> None:
        """The camera stands where the block ends."""
        self.pose, self._note = plan.poses[-1], plan.told.notes[-1]
        self._now += len(plan.poses)

    def _look_ahead(self, poses: NDArray[np.float64]) -> None:
        """Renew the sink from what the memory shows where the camera is going."""
        count = self.cache.policy.lookahead
        onward = poses[-1] @ np.linalg.inv(self.pose) @ poses[-1]
        ahead = self._choose(np.repeat(onward[None], count, axis=0))
        with self._clock("clean"):
            assert ahead.told.hint is not None
            self._rollout.give_sink(ahead.told.hint, ahead.told)

    @torch.inference_mode()
    def _prime(self, start: Start) -> None:
        """Walk the start's real frames as if they had been generated.

        Frames before the first whole block are remembered only; less than a block is held for one.
        """
        size = self.world.config.block_frames
        rgb, depth, poses = start.rgb, start.depth, start.poses
        if len(poses) < size:
            held = np.minimum(np.arange(size), len(poses) - 1)
            rgb, depth, poses = rgb[held], depth[held], poses[held]
        early = len(poses) % size
        self._remember(rgb[:early], depth[:early], poses[:early])
        self.pose = poses[max(early - 1, 0)]
        self._now += early
        for first in range(early, len(poses), size):
            block = slice(first, first + size)
            plan = self._choose(poses[block])
            latents = self._remember(rgb[block], depth[block], poses[block])
            with self._clock("clean"):
                self._rollout.give(latents[None], plan.told)
            self._stand(plan)
        self._clock.stage_ms = {}

    def _remember(
        self, rgb: NDArray[np.uint8], depth: NDArray[np.float32], poses: NDArray[np.float64]
    ) -> Tensor:
        """Real frames go into the memory; returns their latents [F, C, h, w]."""
        image = pack(rgb, depth, self.world.config.codec.near).to(self.world.device)
        latents = self.world.codec.encode(image)
        if self.use is not MemoryUse.NONE:
            past = latents.float().cpu().numpy()
            self.memory.remember(Footage(rgb, depth, poses, self._now, past))
        return latents


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
