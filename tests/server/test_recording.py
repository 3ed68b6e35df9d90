"""Recordings: bounded, written beside the walk, gone when they were fetched."""

import threading
import time
from collections.abc import Iterator

import av
import numpy as np
import pytest

from worldrt.protocol.replies import Recording
from worldrt.server import recording as module
from worldrt.server.recording import PATH, Recorder, Shelf


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    one = Shelf()
    yield one
    one.close()


def frames(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 255, (count, 47, 63, 3), np.uint8)


def record(shelf: Shelf, most_s: float = 10.0) -> tuple[Recorder, list[Recording], threading.Event]:
    told: list[Recording] = []
    done = threading.Event()

    def tell(how: Recording) -> None:
        told.append(how)
        if not how.on:
            done.set()

    return Recorder(shelf, 63, 47, 10.0, most_s, tell), told, done


def test_a_finished_recording_is_taken_once(shelf: Shelf) -> None:
    recorder, told, done = record(shelf)
    for _ in range(3):
        recorder.add(frames(4))
    recorder.end()
    recorder.end()
    assert done.wait(20)
    assert told[0] == Recording(on=True) and told[-1].frames == 12 and not told[-1].why
    film = shelf.take(told[-1].url)
    assert film is not None and film[4:8] == b"ftyp"
    assert shelf.take(told[-1].url) is None
    assert list(shelf._folder.iterdir()) == []


def test_names_are_not_guessed(shelf: Shelf) -> None:
    names = {shelf.room()[0] for _ in range(100)}
    assert len(names) == 100 and min(map(len, names)) >= 22 + len(".mp4")


def test_what_is_discarded_or_left_when_the_server_goes_is_gone() -> None:
    shelf = Shelf()
    urls = []
    for _ in range(2):
        recorder, told, done = record(shelf)
        recorder.add(frames(4))
        recorder.end()
        assert done.wait(20)
        urls.append(told[-1].url)
    shelf.discard(urls[0])
    shelf.discard(urls[0])
    assert shelf.take(urls[0]) is None and len(list(shelf._folder.iterdir())) == 1
    folder = shelf._folder
    shelf.close()
    assert not folder.exists()


def test_it_ends_by_itself_after_the_time_that_it_may_take(shelf: Shelf) -> None:
    recorder, told, done = record(shelf, most_s=0.6)
    for _ in range(4):
        recorder.add(frames(4))
    assert done.wait(20)
    assert told[-1].frames == 6 and told[-1].why == "A recording is 6 frames long at most."


def test_a_disk_that_is_too_slow_ends_it(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    write = module.VideoWriter.write

    def wait(video: module.VideoWriter, pictures: np.ndarray) -> None:
        gate.wait(20)
        write(video, pictures)

    monkeypatch.setattr(module.VideoWriter, "write", wait)
    recorder, told, done = record(shelf)
    for _ in range(module.BEHIND + 5):
        recorder.add(frames(1))
    gate.set()
    assert done.wait(20)
    assert told[-1].frames == module.BEHIND
    assert told[-1].why == "The disk is too slow; what was written so far is kept."


def test_a_full_disk_ends_it_with_a_sentence(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(video: object, pictures: object) -> None:
        raise module.WorldrtError("No space is left.")

    monkeypatch.setattr(module.VideoWriter, "write", refuse)
    recorder, told, done = record(shelf)
    while not done.is_set():
        recorder.add(frames(1))
        time.sleep(0.002)
    assert told[-1] == Recording(on=False, frames=0, why="No space is left.")


def test_a_url_that_is_no_recording_is_nothing(shelf: Shelf) -> None:
    for url in ("", PATH, PATH + "../x.mp4", PATH + "x.mp4"):
        assert shelf.take(url) is None


def test_small_worlds_are_recorded_large_enough_to_be_seen(shelf: Shelf) -> None:
    recorder, told, done = record(shelf)
    recorder.add(frames(4))
    recorder.end()
    assert done.wait(20)
    path = next(shelf._folder.iterdir())
    with av.open(str(path)) as video:
        stream = video.streams.video[0]
        assert (stream.width, stream.height) == (630, 470)
