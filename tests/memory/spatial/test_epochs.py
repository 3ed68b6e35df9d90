"""Readers never wait, and the writer waits for just those who were inside before it asked."""

from threading import Event, Thread

from worldrt.memory.spatial.epochs import Epochs


def test_nobody_inside_is_nobody_to_wait_for() -> None:
    epochs = Epochs()
    epochs.synchronize()
    with epochs.reading(), epochs.reading():
        pass
    epochs.synchronize()


def test_the_writer_waits_for_those_inside_not_for_later_ones() -> None:
    epochs = Epochs()
    done = Event()

    def write() -> None:
        epochs.synchronize()
        done.set()

    early = epochs.reading()
    early.__enter__()
    thread = Thread(target=write)
    thread.start()
    assert not done.wait(0.1)
    late = epochs.reading()
    late.__enter__()  # at once, though the writer waits
    early.__exit__(None, None, None)
    assert done.wait(10)
    thread.join()
    late.__exit__(None, None, None)


def test_an_error_inside_leaves() -> None:
    epochs = Epochs()
    try:
        with epochs.reading():
            raise KeyError
    except KeyError:
        pass
    epochs.synchronize()
