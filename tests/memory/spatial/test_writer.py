"""A thread that writes: the same map, errors where frames come from, and no torn points."""

import sys
from threading import Event, Thread, active_count

import numpy as np
import pytest

from tests.memory.spatial.scene import CAMERA, PILLAR, shot, standing, walk
from worldrt.errors import SessionClosed, ShapeError
from worldrt.memory.spatial.frame import Frame
from worldrt.memory.spatial.map import SpatialMap
from worldrt.memory.spatial.writer import ROOM, Writer


def test_settled_it_is_the_map_that_was_written_directly() -> None:
    frames = [shot(pose, index, PILLAR) for index, pose in enumerate(walk(20) * 2)]
    one, two = SpatialMap(CAMERA, 500_000), SpatialMap(CAMERA, 500_000)
    writer = Writer(one.insert)
    for frame in frames:
        writer.submit(frame)
        two.insert(frame)
    writer.settle()
    for name, array in one.state().items():
        np.testing.assert_array_equal(array, two.state()[name])
    writer.close()
    writer.close()


def test_submit_returns_at_once_until_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = SpatialMap(CAMERA, 500_000)
    go, frame = Event(), shot(standing(0, 0, 0))
    monkeypatch.setattr(memory, "insert", lambda frame: go.wait())
    writer = Writer(memory.insert)
    for _ in range(ROOM):
        writer.submit(frame)
    more = Thread(target=writer.submit, args=(frame,))
    more.start()
    more.join(0.1)
    assert more.is_alive()
    go.set()
    more.join(10)
    assert not more.is_alive()
    writer.close()


def test_errors_come_out_where_frames_go_in() -> None:
    memory = SpatialMap(CAMERA, 500_000)
    writer = Writer(memory.insert)
    good = shot(standing(0, 0, 0))
    writer.submit(good._replace(depth=good.depth[1:]))
    with pytest.raises(ShapeError, match="depth has shape"):
        writer.settle()
    writer.settle()
    writer.submit(good)
    writer.settle()
    assert len(memory) > 0
    writer.submit(good._replace(rgb=good.rgb[1:]))
    with pytest.raises(ShapeError, match="rgb has shape"):
        writer.close()
    with pytest.raises(SessionClosed) as error:
        writer.submit(good)
    assert str(error.value) == "The map's writer is closed; open another one."


def test_many_may_settle_while_one_submits(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = SpatialMap(CAMERA, 500_000)
    taken: list[Frame] = []
    monkeypatch.setattr(memory, "insert", taken.append)
    writer, frame, stop, wrong = (
        Writer(memory.insert),
        shot(standing(0, 0, 0)),
        Event(),
        list[str](),
    )

    def settle() -> None:
        try:
            while not stop.is_set():
                writer.settle()
        except Exception as error:
            wrong.append(repr(error))

    threads = [Thread(target=settle) for _ in range(3)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for _ in range(2000):
            writer.submit(frame)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)
    writer.close()
    assert wrong == [] and len(taken) == 2000


def test_a_writer_that_is_forgotten_leaves_no_thread() -> None:
    before = active_count()
    writer = Writer(SpatialMap(CAMERA, 500_000).insert)
    writer.submit(shot(standing(0, 0, 0)))
    writer.settle()
    thread = next(iter(writer._pool._threads))
    del writer
    thread.join(10)
    assert active_count() <= before


def coded(place: np.ndarray) -> np.ndarray:
    """A colour that tells a position, to 8 bits an axis."""
    return np.floor(np.mod(place, 4.0) * 64).astype(np.uint8)


def test_readers_find_no_torn_point() -> None:
    """Each point's colour encodes its position; slots are used again all the time."""
    memory = SpatialMap(CAMERA, 400_000)
    points = memory.points
    stop, wrong, looks = Event(), [], [0]

    def read() -> None:
        while not stop.is_set():
            with memory.reading():
                # Of a copy: numpy refuses to count what changes meanwhile.
                pages = np.flatnonzero(points.page_count.copy()).astype(np.int32)
                ids = points.living(pages)
                place, colour = points.position[ids].copy(), points.colour[ids].copy()
                again = points.position[ids], points.colour[ids]
            expected = coded(place)
            looks[0] += 1
            for found in (colour, again[1]):
                wrong.append(int(np.count_nonzero((found != expected).any(axis=1))))
            wrong.append(int(np.count_nonzero(again[0] != place)))

    def view() -> None:
        while not stop.is_set():
            assert np.isfinite(memory.view(standing(0, 0, 30)[None]).rgb).all()

    threads = [Thread(target=read), Thread(target=read), Thread(target=view)]
    for thread in threads:
        thread.start()
    writer = Writer(memory.insert)
    for index in range(200):
        pose = standing(30.0 * (index % 7), 0, 37.0 * index)
        frame = shot(standing(0, 0, 37.0 * index), index, PILLAR)
        place = CAMERA.unproject(frame.depth, pose).astype(np.float32)
        writer.submit(Frame(coded(place), frame.depth, pose, index))
    writer.close()
    stop.set()
    for thread in threads:
        thread.join()
    assert looks[0] > 20 and sum(wrong) == 0
    assert points.free_pages < 10  # it was full
