"""Pictures of a memory, read back: what they show is what is remembered, and nobody waits."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tiny import BLOCK, standing
from worldrt.atlas.floor import paint
from worldrt.codec import pack, unpack
from worldrt.config import MemoryUse
from worldrt.geometry.keys import Keys, random_walk
from worldrt.memory.spatial.map import SpatialMap
from worldrt.protocol.packets import MOST_PAYLOAD
from worldrt.server.sketch import KEYFRAMES, MOST, SIDE, plan, recalled
from worldrt.session import Session
from worldrt.starts import Start
from worldrt.world import World


def shown(picture: bytes) -> NDArray[np.uint8]:
    """[Y, X, 3] RGB."""
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert image is not None
    return image.astype(np.uint8)


def mapped(session: Session) -> SpatialMap:
    assert session.places is not None
    session.places.settle()
    return session.places.map


@pytest.fixture
def session(world: World, start: Start) -> Session:
    session = Session(world, start, seed=3, use=MemoryUse.SPLAT)
    for index in range(3):
        session.step((Keys.L,) * BLOCK if index else random_walk(5, BLOCK))
    return session


def test_a_plan_is_the_painters_with_its_place(session: Session) -> None:
    memory = mapped(session)
    found, floor = plan(memory), paint(memory, SIDE)
    assert found is not None and floor is not None
    picture, notes = found
    np.testing.assert_array_equal(shown(picture), floor.image)
    assert max(floor.image.shape) <= SIDE and len(picture) < MOST_PAYLOAD
    assert (notes.left, notes.far, notes.cell) == (floor.left, floor.far, floor.cell)
    candidates = memory.keyframes.candidates()
    assert len(notes.keyframes) == len(candidates.ids) > 1
    for (x, z, yaw), pose in zip(notes.keyframes, candidates.poses, strict=True):
        np.testing.assert_allclose(standing(x, z, np.degrees(yaw)), pose, atol=2e-3)
    # Rows fall with z, as the wire says: keyframes lie on the picture.
    rows = [(notes.far - z) / notes.cell for _, z, _ in notes.keyframes]
    columns = [(x - notes.left) / notes.cell for x, _, _ in notes.keyframes]
    assert all(0 <= row < floor.image.shape[0] for row in rows)
    assert all(0 <= column < floor.image.shape[1] for column in columns)


def test_a_plan_tells_of_the_latest_keyframes_only(world: World, session: Session) -> None:
    memory = SpatialMap(world.camera, 40_000_000)
    place = np.zeros((1, 3), np.float32)
    memory.points.add(place, np.zeros((1, 3), np.uint8), np.ones(1, np.float32), 0)
    depth = np.ones((world.camera.height, world.camera.width), np.float32)
    for index in range(KEYFRAMES + 7):
        memory.keyframes.write(index, depth, standing(index, 0, 0), index, True, None)
    found = plan(memory)
    assert found is not None
    assert [x for x, _, _ in found[1].keyframes] == list(range(7, KEYFRAMES + 7))


def test_nothing_remembered_is_nothing_shown(world: World, start: Start) -> None:
    session = Session(world, start, use=MemoryUse.NONE)
    session.step((Keys.W,) * BLOCK)
    memory = mapped(session)
    assert plan(memory) is None
    assert recalled(world, memory, session.pose) is None


def test_found_frames_are_those_of_the_retrieval_decoded(
    world: World, start: Start, session: Session
) -> None:
    """Looking again where the first real frame looked finds it, as the codec keeps it."""
    memory = mapped(session)
    found = recalled(world, memory, start.poses[0])
    assert found is not None
    picture, notes = found
    assert notes.used is False and 1 <= len(notes.frames) == len(notes.poses) <= MOST
    assert set(notes.frames) <= set(memory.keyframes.candidates().index.tolist())
    strip = shown(picture)
    height, width = world.camera.height, world.camera.width
    assert strip.shape == (height, width * len(notes.frames), 3)
    assert 0 in notes.frames
    place = width * notes.frames.index(0)
    seen = strip[:, place : place + width].astype(float)
    image = pack(start.rgb[:1], start.depth[:1], world.config.codec.near)
    kept, _ = unpack(world.codec.decode(world.codec.encode(image)), world.config.codec.near)
    assert np.abs(seen - kept[0]).mean() < 8 < np.abs(seen - kept[0][:, ::-1]).mean()
    x, z, yaw = notes.poses[notes.frames.index(0)]
    np.testing.assert_allclose(standing(x, z, np.degrees(yaw)), start.poses[0], atol=2e-3)


def test_frames_in_the_context_are_shown_as_used(world: World, start: Start) -> None:
    session = Session(world, start, seed=3, use=MemoryUse.BOTH)
    chunk = session.step((Keys.L,) * BLOCK)
    for _ in range(5):
        chunk = session.step((Keys.L,) * BLOCK)
    assert chunk.recalled
    found = recalled(world, mapped(session), session.pose, chunk.recalled)
    assert found is not None
    assert found[1].used and set(found[1].frames) <= set(chunk.recalled)


def test_frames_that_are_no_longer_kept_are_not_shown(session: Session, world: World) -> None:
    assert recalled(world, mapped(session), session.pose, (10_000,)) is None


def test_a_view_of_nothing_known_finds_what_looks_the_same_way_or_nothing(
    session: Session, world: World
) -> None:
    found = recalled(world, mapped(session), standing(500.0, 500.0, 0.0))
    assert found is None or len(found[1].frames) <= MOST


def test_a_walk_with_sketches_beside_it_is_the_same_walk(world: World, start: Start) -> None:
    """Bit for bit, with a memory so full that slots are used again; and it does not stand still."""

    def walk(sketching: bool) -> tuple[NDArray[np.float32], int]:
        session = Session(world, start, seed=4, use=MemoryUse.BOTH)
        assert session.places is not None
        done, memory = Event(), session.places.map

        def sketch() -> int:
            count = 0
            while sketching and not done.is_set():
                count += plan(memory) is not None
                count += recalled(world, memory, session.pose) is not None
            return count

        with ThreadPoolExecutor(1) as pool:
            made = pool.submit(sketch)
            try:
                keys = random_walk(3, 20 * BLOCK)
                found = np.concatenate([chunk.latents.numpy() for chunk in session.stream(keys)])
            finally:
                done.set()
            session.close()
            return found, made.result(30)

    plain, _ = walk(False)
    watched, sketches = walk(True)
    assert sketches > 3
    np.testing.assert_array_equal(watched, plain)
