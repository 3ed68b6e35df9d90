"""A walk: the same from the same seed, whole however it is cut, bounded however long it is."""

import time
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.tiny import BLOCK, CAMERA, room_start, standing, write_world
from worldrt import outlook
from worldrt.chunk import Chunk
from worldrt.codec import unpack
from worldrt.config import CameraConfig, MemoryUse
from worldrt.errors import CacheError, ConfigError, InputError, SessionClosed, ShapeError
from worldrt.geometry.keys import Keys, parse_keys, random_walk
from worldrt.geometry.trajectory import axes_of, integrate, steer
from worldrt.memory.cache import KVCache
from worldrt.memory.policy import SwitchMode, names
from worldrt.memory.slots import Region
from worldrt.memory.spatial.memory import Footage, Recalled
from worldrt.memory.spatial.points import PAGE, REAL
from worldrt.memory.spatial.surface import filled
from worldrt.rollout import PolicyReceipt
from worldrt.session import MOST_CHANGES, Session, batched_keys
from worldrt.starts import Start
from worldrt.world import World

PATH = parse_keys("W*5 WL*4 J*6")
"""Fifteen frames: four blocks, the last with one frame to spare."""


def latents(chunks: list[Chunk]) -> torch.Tensor:
    return torch.cat([chunk.latents for chunk in chunks])


@pytest.fixture(scope="module")
def walked(world: World, start: Start) -> list[Chunk]:
    """The path from seed 3."""
    return list(Session(world, start, seed=3).stream(PATH))


# The same again.


def test_same_seed_is_the_same_walk_bit_for_bit(
    world: World, start: Start, walked: list[Chunk]
) -> None:
    again = list(Session(world, start, seed=3).stream(PATH))
    assert torch.equal(latents(again), latents(walked))
    for one, other in zip(again, walked, strict=True):
        np.testing.assert_array_equal(one.frames, other.frames)
        np.testing.assert_array_equal(one.depth, other.depth)
        np.testing.assert_array_equal(one.remembered, other.remembered)


def test_another_seed_is_another_walk(world: World, start: Start, walked: list[Chunk]) -> None:
    other = list(Session(world, start, seed=4).stream(PATH))
    assert (latents(other) - latents(walked)).abs().mean() > 1e-3
    np.testing.assert_array_equal(other[0].poses, walked[0].poses)


def test_two_sessions_at_once_do_not_disturb_each_other(
    world: World, start: Start, walked: list[Chunk]
) -> None:
    one, other = Session(world, start, seed=3), Session(world, start, seed=8)
    found = []
    for keys in batched_keys(PATH, BLOCK):
        found.append(one.step(keys))
        other.step(keys)
    assert torch.equal(latents(found), latents(walked))


@pytest.mark.parametrize("seed", [0, 2**63 - 1])
def test_seeds_from_0_to_63_bits_are_taken(world: World, start: Start, seed: int) -> None:
    assert Session(world, start, seed=seed).step(PATH[:BLOCK]).latents.isfinite().all()


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_other_seeds_are_refused(world: World, start: Start, seed: int) -> None:
    with pytest.raises(ConfigError, match=f"0 to .*, got {seed}"):
        Session(world, start, seed=seed)


# However it is cut.


def test_step_is_follow_of_the_integrated_keys(
    world: World, start: Start, walked: list[Chunk]
) -> None:
    session = Session(world, start, seed=3)
    poses = integrate((*PATH, Keys.NONE), start.poses[-1], world.config.motion)
    for index, chunk in enumerate(walked):
        block = poses[BLOCK * index : BLOCK * (index + 1)]
        np.testing.assert_array_equal(chunk.poses, block)
        assert torch.equal(session.follow(block).latents, chunk.latents)
        np.testing.assert_array_equal(session.pose, block[-1])


def test_keys_are_sticks_at_their_stops(world: World, start: Start, walked: list[Chunk]) -> None:
    session = Session(world, start, seed=3)
    found = [session.drive(axes_of(keys)) for keys in batched_keys(PATH, BLOCK)]
    assert torch.equal(latents(found), latents(walked))


def test_sticks_steer(world: World, start: Start) -> None:
    """Where they lead, and what `step` lets them."""
    axes = np.random.default_rng(3).uniform(-1, 1, (BLOCK, 4))
    chunk = Session(world, start).drive(axes)
    wanted = steer(axes, start.poses[-1], world.config.motion)
    np.testing.assert_array_equal(chunk.poses, wanted)
    stuck = Session(world, start).drive(axes, lambda here, there: here)
    np.testing.assert_array_equal(stuck.poses[:, :3, 3], np.tile(start.poses[-1, :3, 3], (4, 1)))


@pytest.mark.parametrize(
    "axes, error, sentence",
    [
        (np.zeros((3, 4)), ShapeError, r"axes has shape \[3, 4\], expected \[4, 4\], one block"),
        (np.zeros((4, 3)), ShapeError, r"axes has shape \[4, 3\]"),
        (np.full((4, 4), np.nan), InputError, "'right' of frame 0 is nan"),
        (np.full((4, 4), 1.01), InputError, "'right' of frame 0 is 1.01"),
    ],
)
def test_sticks_that_make_no_sense_leave_the_walk_as_it_was(
    world: World, start: Start, axes: NDArray, error: type[Exception], sentence: str
) -> None:
    session = Session(world, start)
    with pytest.raises(error, match=sentence):
        session.drive(axes)
    assert session.frames == 0


def test_stream_is_its_blocks_one_after_the_other(
    world: World, start: Start, walked: list[Chunk]
) -> None:
    session = Session(world, start, seed=3)
    steps = [session.step(keys) for keys in batched_keys(PATH, BLOCK)]
    assert torch.equal(latents(steps), latents(walked))
    assert [chunk.first for chunk in walked] == [0, 4, 8, 12]
    assert session.frames == 16


@pytest.mark.parametrize("length", [1, 3, 4, 5, 8])
def test_batches_hold_every_key_once_and_then_none(length: int) -> None:
    keys = random_walk(2, length)
    batches = list(batched_keys(keys, BLOCK))
    joined = [key for batch in batches for key in batch]
    assert {len(batch) for batch in batches} == {BLOCK}
    assert joined[:length] == list(keys)
    assert len(joined) - length < BLOCK and not any(joined[length:])


def test_path_of_no_frames_is_refused(world: World, start: Start) -> None:
    with pytest.raises(ConfigError, match="0 frames"):
        next(Session(world, start).stream([]))


def test_clean_pass_that_waits_for_the_next_block_changes_nothing(
    world: World, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without recalled frames; with them it can't wait, for they change in between."""
    assert not Session(world, start).cache.fuses
    session = Session(world, start, seed=3, use=MemoryUse.SPLAT)
    assert session.cache.fuses
    fused = list(session.stream(PATH))
    monkeypatch.setattr(KVCache, "fuses", property(lambda cache: False))
    apart = list(Session(world, start, seed=3, use=MemoryUse.SPLAT).stream(PATH))
    torch.testing.assert_close(latents(apart), latents(fused), atol=1e-4, rtol=0)
    assert "clean" in apart[0].stage_ms and "clean" not in fused[0].stage_ms


# What is refused, and that nothing happens then.


@pytest.mark.parametrize("shape", [(3, 4, 4), (5, 4, 4), (0, 4, 4), (4, 4), (4, 3, 4)])
def test_another_number_of_poses_is_refused(
    world: World, start: Start, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ShapeError, match="one block") as found:
        Session(world, start).follow(np.zeros(shape))
    assert found.value.got == shape


def test_too_few_keys_are_refused(world: World, start: Start) -> None:
    with pytest.raises(ShapeError, match="one block"):
        Session(world, start).step(PATH[:3])


@pytest.mark.parametrize("damage", [np.nan, 2.0])
def test_pose_that_is_not_rigid_leaves_the_walk_as_it_was(
    world: World, start: Start, walked: list[Chunk], damage: float
) -> None:
    session = Session(world, start, seed=3)
    found = [session.step(PATH[:BLOCK])]
    bad = walked[1].poses.copy()
    bad[2, 0, 0] = damage
    with pytest.raises(InputError):
        session.follow(bad)
    found += [session.follow(chunk.poses) for chunk in walked[1:]]
    assert torch.equal(latents(found), latents(walked))


def test_closed_session_takes_no_step(world: World, start: Start) -> None:
    with Session(world, start) as session:
        session.step(PATH[:BLOCK])
    with pytest.raises(SessionClosed, match="closed"):
        session.step(PATH[:BLOCK])


@pytest.mark.parametrize("width, height", [(32, 24), (48, 64), (128, 96)])
def test_start_of_another_size_is_refused(world: World, width: int, height: int) -> None:
    other = CameraConfig(width=width, height=height, fx=32, fy=38.4)
    with pytest.raises(ShapeError, match=r"start has shape .* expected \[K, 48, 64, 3\]"):
        Session(world, room_start(1, other))


def test_unknown_policy_is_refused(world: World, start: Start) -> None:
    with pytest.raises(ConfigError, match="did you mean 'window'"):
        Session(world, start, policy="windw")


# How it begins.


@pytest.mark.parametrize(
    "frames, early, shown",
    [
        (1, [], [0, 0, 0, 0]),
        (3, [], [0, 1, 2, 2]),
        (4, [], [0, 1, 2, 3]),
        (10, [0, 1], [2, 3, 4, 5, 6, 7, 8, 9]),
    ],
)
def test_start_becomes_context_and_memory(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    frames: int,
    early: list[int],
    shown: list[int],
) -> None:
    """Less than a block is held for one; frames before the first whole block are remembered."""
    told: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []

    def spy(camera: object, poses: NDArray[np.float64], before: NDArray[np.float64]) -> object:
        told.append((poses, before))
        return camera_maps(camera, poses, before)  # type: ignore[arg-type]

    camera_maps = outlook.camera_maps
    monkeypatch.setattr(outlook, "camera_maps", spy)
    start = room_start(frames)
    session = Session(world, start)
    assert session.cache.frames == len(shown)
    assert session.frames == 0
    np.testing.assert_array_equal(session.pose, start.poses[-1])

    np.testing.assert_array_equal(np.concatenate([poses for poses, _ in told]), start.poses[shown])
    np.testing.assert_array_equal(told[0][1], start.poses[early[-1] if early else 0])
    for (poses, _), (_, before) in pairwise(told):
        np.testing.assert_array_equal(before, poses[-1])

    order = early + shown
    own = world.places()
    own.remember(Footage(start.rgb[order], start.depth[order], start.poses[order], 0))
    assert session.places is not None and len(session.memory) == len(own) > 0
    for name in ("position", "colour", "written", "page_block"):
        np.testing.assert_array_equal(
            getattr(session.places.map.points, name), getattr(own.map.points, name)
        )


def test_real_frames_reach_the_generator_through_the_cache(world: World, start: Start) -> None:
    """Other colours, hidden from the memory, give other latents."""
    poses = np.stack([standing(0.3, -1.0, 225)] * BLOCK)  # away from all that was seen
    flat = replace(start, rgb=255 - start.rgb)
    one, other = (Session(world, each, seed=1).follow(poses) for each in (start, flat))
    assert not one.remembered.any() and not other.remembered.any()
    assert (one.latents - other.latents).abs().max() > 1e-4


# What a chunk says.


def test_chunk_is_of_the_camera_size_and_kinds(walked: list[Chunk]) -> None:
    size = (BLOCK, CAMERA.height, CAMERA.width)
    for chunk in walked:
        assert chunk.frames.shape == (*size, 3) and chunk.frames.dtype == np.uint8
        assert chunk.depth.shape == size and chunk.depth.dtype == np.float32
        assert np.isfinite(chunk.depth).all() and (chunk.depth > 0).all()
        assert chunk.latents.shape == (BLOCK, 16, 6, 8)
        assert chunk.remembered.shape == size and chunk.remembered.dtype == np.float32
        assert 0 <= chunk.remembered.min() <= chunk.remembered.max() <= 1


def test_remembered_is_what_the_cloud_showed_before_the_block(world: World, start: Start) -> None:
    session = Session(world, start)
    poses = np.stack([standing(0.3, -1.0, 100 + 30 * i) for i in range(BLOCK)])
    known = session.memory.view(poses, 10).mask
    assert 0.2 < known.mean() < 0.9
    np.testing.assert_array_equal(session.follow(poses).remembered, known)
    # What was made is remembered when one comes back.
    assert session.follow(poses).remembered.mean() > known.mean() + 0.1


def test_what_was_made_is_never_taken_for_real(world: World, start: Start) -> None:
    session = Session(world, start)
    assert session.places is not None
    points, before = session.places.map.points, len(session.memory)
    colours = points.colour[points.weight > 0]
    for _ in session.stream(random_walk(1, 5 * BLOCK)):
        pass
    assert before < len(session.memory)  # all is in
    real = points.page_block[:, 0].repeat(PAGE) == REAL
    np.testing.assert_array_equal(points.colour[(points.weight > 0) & real], colours)


@pytest.mark.parametrize("policy", ["window", "pack"])
def test_stages_are_named_and_add_up(world: World, start: Start, policy: str) -> None:
    session = Session(world, start, policy=policy)
    chunk = session.step(PATH[:BLOCK])
    assert set(chunk.stage_ms) == {
        *("splat", "recall", "policy", "steps", "clean", "decode", "insert")
    }
    assert all(spent > 0 for spent in chunk.stage_ms.values())
    assert chunk.block_ms == sum(chunk.stage_ms.values())


def test_partitions_name_every_region(walked: list[Chunk]) -> None:
    for chunk in walked:
        assert set(chunk.partitions) == set(Region)
    first = walked[0].partitions
    assert first[Region.SINK].frames == 4 and first[Region.RECENT].frames == 8
    assert first[Region.SINK].tokens == 4 * 12


# However long it is.


@pytest.mark.parametrize("policy", ["full", "window", "window:sink=0,recent=4", "pack"])
def test_policies_walk_on_in_bounded_memory(world: World, start: Start, policy: str) -> None:
    session = Session(world, start, policy=policy)
    memory_bytes, cache_bytes = session.memory.nbytes, session.cache.nbytes
    partitions = {}
    for chunk in session.stream(random_walk(5, 30 * BLOCK)):
        assert chunk.latents.isfinite().all()
        assert session.memory.nbytes == memory_bytes
        assert policy == "full" or session.cache.nbytes == cache_bytes
        partitions = chunk.partitions
    assert session.cache.frames == 8 + 30 * BLOCK
    assert session.frames == 30 * BLOCK
    kept = partitions[Region.SINK].frames + partitions[Region.RECENT].frames
    wanted = {"full": 128, "window": 16, "window:sink=0,recent=4": 8, "pack": 12}
    assert kept == wanted[policy]


@pytest.mark.parametrize("trained, refiner_width", [(True, 0), (False, 0), (False, 8)])
def test_remembered_view_is_given_back(
    tmp_path: Path, start: Start, trained: bool, refiner_width: int
) -> None:
    """Whatever the model says, what is wholly remembered is shown as it was."""
    folder = write_world(tmp_path / "still", trained=trained, refiner_width=refiner_width)
    world = World.load(str(folder))
    session = Session(world, start)
    poses = start.poses[2:6]
    view = session.memory.view(poses, 10)
    near = world.config.codec.near
    rgb, depth = unpack(torch.from_numpy(filled(view, near)), near)
    chunk = session.follow(poses)
    whole = view.mask == 1
    assert whole.mean() > 0.9
    assert np.abs(chunk.frames.astype(int) - rgb)[whole].max() <= 1
    np.testing.assert_allclose(chunk.depth[whole], depth[whole], rtol=1e-3)
    assert np.abs(chunk.frames[whole].astype(int) - start.rgb[2:6][whole]).mean() < 2


def test_model_that_adds_nothing_fills_holes_with_the_hint(tmp_path: Path, start: Start) -> None:
    world = World.load(str(write_world(tmp_path / "still", trained=False)))
    session = Session(world, start)
    poses = np.stack([standing(0.3, -1.0, 110 + 5 * i) for i in range(BLOCK)])
    view = session.memory.view(poses, 10)
    splat = torch.from_numpy(filled(view, world.config.codec.near))
    chunk = session.follow(poses)
    torch.testing.assert_close(chunk.latents, world.codec.encode(splat))
    hole = view.mask == 0
    assert hole.mean() > 0.1
    rgb, _ = unpack(world.codec.decode(chunk.latents), world.config.codec.near)
    assert np.abs(chunk.frames.astype(int) - rgb)[hole].max() <= 1


def test_refined_world_walks(tmp_path: Path, start: Start) -> None:
    world = World.load(str(write_world(tmp_path / "refined", refiner_width=8)))
    chunks = list(Session(world, start).stream(PATH))
    assert latents(chunks).isfinite().all()


# What the memory tells.


def test_a_memory_that_tells_nothing_knows_nothing(world: World, start: Start) -> None:
    session = Session(world, start, use=MemoryUse.NONE)
    chunks = list(session.stream(PATH))
    assert not any(chunk.remembered.any() or chunk.recalled for chunk in chunks)
    assert len(session.memory) == 0 and session.walls is None


def test_splat_and_context_are_told_apart_and_together(world: World, start: Start) -> None:
    walks = {use: list(Session(world, start, seed=3, use=use).stream(PATH)) for use in MemoryUse}
    for use, chunks in walks.items():
        assert any(chunk.recalled for chunk in chunks) == use.recalls
        assert any(chunk.remembered.any() for chunk in chunks) == (use is not MemoryUse.NONE)
        spatial = [chunk.partitions[Region.SPATIAL].frames for chunk in chunks]
        assert (0 < max(spatial) <= 2) == use.recalls
    for one, other in combinations(MemoryUse, 2):
        assert not torch.equal(latents(walks[one]), latents(walks[other]))


def test_what_is_known_but_not_shown_is_not_written_twice(world: World, start: Start) -> None:
    """The start has looked all about, so on the spot there is next to nothing new."""
    points = {}
    for use in (MemoryUse.BOTH, MemoryUse.CONTEXT):
        session = Session(world, start, use=use)
        before = len(session.memory)
        list(session.stream(parse_keys("J*12")))
        points[use] = len(session.memory) - before
    assert points[MemoryUse.CONTEXT] <= points[MemoryUse.BOTH] + 500


def test_recalled_frames_are_past_frames_not_in_the_context_anyway(
    world: World, start: Start
) -> None:
    session = Session(world, start)
    for chunk in session.stream(parse_keys("J*36 L*36")):
        now = 10 + chunk.first
        assert len(set(chunk.recalled)) == len(chunk.recalled) <= 2
        assert all(0 <= frame < now for frame in chunk.recalled)
        assert list(chunk.recalled) == sorted(chunk.recalled)


def test_what_the_context_still_holds_is_what_a_recall_leaves_out(
    world: World, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(world, start, policy="infinity", use=MemoryUse.CONTEXT)
    said: list[int] = []
    held: list[int] = []
    retrieve, begin = session.memory.retrieve, session.cache.begin_pass

    def ask(poses: NDArray[np.float64], count: int, now: int, recent: int) -> Recalled | None:
        said.append(recent)
        return retrieve(poses, count, now, recent)

    def note(*, first: bool = False, clean: bool = False, progress: float = 1.0) -> None:
        if first and not clean:
            held.append(session.cache.occupancy()[Region.RECENT].frames)
        begin(first=first, clean=clean, progress=progress)

    monkeypatch.setattr(session.memory, "retrieve", ask)
    monkeypatch.setattr(session.cache, "begin_pass", note)
    list(session.stream(PATH))
    assert said == held and len(said) == 4


def test_a_memory_that_fails_loses_a_block_but_not_the_count(
    world: World, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(world, start)
    session.step([Keys.W] * BLOCK)
    with monkeypatch.context() as patch:

        def fail(*args: object) -> None:
            raise InputError("The map is torn.")

        patch.setattr(session.memory, "imagine", fail)
        with pytest.raises(InputError, match="torn"):
            session.step([Keys.W] * BLOCK)
    assert session.step([Keys.W] * BLOCK).first == 2 * BLOCK


def test_a_use_that_the_model_lacks_is_refused(tmp_path: Path, start: Start) -> None:
    folder = write_world(tmp_path / "plain")
    manifest = folder / "world.toml"
    manifest.write_text(
        manifest.read_text().replace("recalled = 2", "recalled = 0").replace('"both"', '"splat"')
    )
    with pytest.raises(ConfigError, match="'context' recalls frames, .* recalls 0; say splat"):
        Session(World.load(str(folder)), start, use=MemoryUse.CONTEXT)


# Every policy.


@pytest.mark.parametrize("policy", names())
def test_every_policy_walks(world: World, start: Start, policy: str) -> None:
    """Five blocks, the same latents each time, and an account of what the cache holds."""
    walks = [list(Session(world, start, seed=3, policy=policy).stream(PATH * 2)) for _ in range(2)]
    assert torch.equal(latents(walks[0]), latents(walks[1]))
    assert torch.isfinite(latents(walks[0])).all()
    last = walks[0][-1]
    assert sum(part.tokens for part in last.partitions.values()) > 0
    assert last.stage_ms["policy"] >= 0


# Another policy in the middle of a walk.


@pytest.mark.parametrize("policy", names())
@pytest.mark.parametrize("use", [MemoryUse.SPLAT, MemoryUse.BOTH])
def test_every_policy_can_take_over(
    world: World, start: Start, policy: str, use: MemoryUse
) -> None:
    """Pose, noise, memory and the count of frames go on; the same again gives the same bits."""

    def walk() -> tuple[Session, list[Chunk]]:
        session = Session(world, start, seed=3, policy="infinity", use=use)
        found = [session.step(PATH[:BLOCK]) for _ in range(3)]
        receipt = session.use_policy(policy)
        assert receipt == PolicyReceipt(policy, 3)
        found += [session.step(PATH[BLOCK : 2 * BLOCK]) for _ in range(3)]
        told = (receipt,) if policy != "infinity" else ()
        assert [chunk.switches for chunk in found] == [(), (), (), told, (), ()]
        return session, found

    session, found = walk()
    assert torch.equal(latents(found), latents(walk()[1]))
    assert session.policy == policy and session.cache.policy == world.policy(policy)
    assert [chunk.policy for chunk in found] == ["infinity"] * 3 + [policy] * 3
    assert [chunk.first for chunk in found] == [0, 4, 8, 12, 16, 20]
    keys = PATH[:BLOCK] * 3 + PATH[BLOCK : 2 * BLOCK] * 3
    straight = integrate(keys, start.poses[-1], world.config.motion)
    np.testing.assert_array_equal(np.concatenate([chunk.poses for chunk in found]), straight)
    before = list(Session(world, start, seed=3, policy="infinity", use=use).stream(keys))
    assert torch.equal(latents(found[:3]), latents(before[:3]))
    np.testing.assert_array_equal(found[3].remembered, before[3].remembered)


def test_the_policy_that_there_is_changes_nothing(
    world: World, start: Start, walked: list[Chunk]
) -> None:
    """However it is spelt."""
    session = Session(world, start, seed=3)
    found = [session.step(PATH[:BLOCK])]
    cache = session.cache
    receipt = session.use_policy(f"window:sink={BLOCK}")
    assert receipt == PolicyReceipt(f"window:sink={BLOCK}", 1) and session.cache is cache
    found += [session.follow(chunk.poses) for chunk in walked[1:]]
    assert torch.equal(latents(found), latents(walked))
    assert all(chunk.switches == () and chunk.policy == "window" for chunk in found)


@pytest.mark.parametrize("spec", ["windw", "window:sink=x", "window:sunk=1"])
def test_a_policy_that_there_is_not_changes_nothing(
    world: World, start: Start, walked: list[Chunk], spec: str
) -> None:
    session = Session(world, start, seed=3)
    found = [session.step(PATH[:BLOCK])]
    with pytest.raises(ConfigError):
        session.use_policy(spec)
    found += [session.follow(chunk.poses) for chunk in walked[1:]]
    assert torch.equal(latents(found), latents(walked))


def test_a_cache_that_cannot_be_opened_changes_nothing(
    world: World, start: Start, walked: list[Chunk], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor one that fails while it is given its frames."""
    session = Session(world, start, seed=3)
    found = [session.step(PATH[:BLOCK])]

    def fail(*args: object, **more: object) -> None:
        raise CacheError("There is no room.")

    for method in ("__init__", "open_block"):
        with monkeypatch.context() as patch:
            patch.setattr(KVCache, method, fail)
            with pytest.raises(CacheError, match="no room"):
                session.use_policy("infinity")
    found += [session.follow(chunk.poses) for chunk in walked[1:]]
    assert torch.equal(latents(found), latents(walked))
    assert session.policy == "window"


def test_frames_that_have_left_are_counted_across_policies(world: World, start: Start) -> None:
    """Of all frames walked, the start's 8 and the generated ones: what is not in sink or recent."""
    session = Session(world, start, policy="infinity")
    for index, policy in enumerate(("infinity", "window", "full", "infinity:recent=6")):
        session.use_policy(policy)
        for _ in range(3):
            chunk = session.step(PATH[:BLOCK])
            parts = chunk.partitions
            held = parts[Region.SINK].frames + parts[Region.RECENT].frames
            assert chunk.evicted + held == 8 + session.frames, (index, policy)


def test_changes_are_told_in_order_and_a_closed_session_takes_none(
    world: World, start: Start
) -> None:
    session = Session(world, start, policy="infinity")
    told = (
        session.switch(SwitchMode.FLUSH),
        session.use_policy("longlive"),
        session.switch(SwitchMode.RECACHE),
    )
    chunk = session.step(PATH[:BLOCK])
    assert chunk.switches == told and chunk.block_ms > chunk.stage_ms["clean"] > 0
    session.close()
    with pytest.raises(SessionClosed):
        session.use_policy("window")


def test_other_steps_are_another_walk(world: World, start: Start, walked: list[Chunk]) -> None:
    """The world's own number is its own walk."""
    own = Session(world, start, seed=3, steps=len(world.config.sampler.sigmas))
    assert torch.equal(latents(list(own.stream(PATH))), latents(walked))
    more = latents(list(Session(world, start, seed=3, steps=5).stream(PATH)))
    assert torch.isfinite(more).all() and not torch.equal(more, latents(walked))
    with pytest.raises(ConfigError, match="1 to 100 steps, got 0"):
        Session(world, start, steps=0)


@pytest.mark.parametrize("policy, mode", [("reground", "keep"), ("longlive", "recache")])
def test_stages_add_up_to_no_more_than_the_clock_on_the_wall(
    world: World, start: Start, policy: str, mode: str
) -> None:
    session = Session(world, start, policy=policy)
    began = time.perf_counter()
    receipt = session.switch(SwitchMode(mode))
    chunk = session.step(PATH[:BLOCK])
    wall = 1000 * (time.perf_counter() - began)
    assert 0 < chunk.block_ms <= wall
    assert chunk.switches == (receipt,) and session.step(PATH[:BLOCK]).switches == ()


def test_only_so_many_changes_wait_for_a_block(world: World, start: Start) -> None:
    with Session(world, start, policy="infinity") as session:
        for _ in range(MOST_CHANGES):
            session.switch(SwitchMode.FLUSH)
        with pytest.raises(ConfigError, match="64 changes wait for a block already"):
            session.switch(SwitchMode.FLUSH)
        with pytest.raises(ConfigError, match="64 changes wait for a block already"):
            session.use_policy("window")
        assert session.policy == "infinity"
        chunk = session.step([Keys.W] * world.config.block_frames)
        assert len(chunk.switches) == MOST_CHANGES
        session.switch(SwitchMode.FLUSH)
