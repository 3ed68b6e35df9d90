"""Recordings of what is generated: written beside the walk, fetched once, then gone."""

import secrets
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from worldrt.errors import WorldrtError
from worldrt.protocol.replies import Recording
from worldrt.server.access import TOKEN_BYTES
from worldrt.video import VideoWriter

PATH = "/recordings/"
"""Where finished recordings are fetched; an unguessable name and `.mp4` follow."""
BEHIND = 16
"""Blocks that may wait to be written; a disk that is slower ends the recording."""
LEAST_WIDTH = 512
"""Pixels that a recording is at least wide: a small world's pixels are made squares."""


class Shelf:
    """Finished recordings in a folder that goes when the server does."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="worldrt-"))
        self._finished: dict[str, Path] = {}
        self._lock = Lock()

    def room(self) -> tuple[str, Path]:
        """A name that nobody guesses, and the file that it stands for."""
        name = secrets.token_urlsafe(TOKEN_BYTES) + ".mp4"
        return name, self._folder / name

    def put(self, name: str, path: Path) -> str:
        """A finished recording; returns where it can be fetched."""
        with self._lock:
            self._finished[name] = path
        return PATH + name

    def take(self, url: str) -> bytes | None:
        """The recording at `url`, this once; None: there is none. Reads a file: not on the loop."""
        with self._lock:
            path = self._finished.pop(url.removeprefix(PATH), None)
        if path is None:
            return None
        content = path.read_bytes()
        path.unlink()
        return content

    def discard(self, url: str) -> None:
        """Remove a recording that nobody fetched."""
        with self._lock:
            path = self._finished.pop(url.removeprefix(PATH), None)
        if path is not None:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove all."""
        shutil.rmtree(self._folder, ignore_errors=True)


class Recorder:
    """One recording, written by a thread of its own.

    Args:
        shelf: where it goes.
        width, height: pixels of the frames.
        fps: frames a second.
        most_s: seconds after which it ends by itself.
        tell: told how it goes, on any thread.
    """

    def __init__(
        self,
        shelf: Shelf,
        width: int,
        height: int,
        fps: float,
        most_s: float,
        tell: Callable[[Recording], object],
    ) -> None:
        self._shelf, self._tell = shelf, tell
        self._name, path = shelf.room()
        scale = -(-LEAST_WIDTH // width)
        self._video = VideoWriter(path, width, height, fps, scale + scale % 2 * (scale > 1))
        self._most = round(most_s * fps)
        self._taken = 0
        self._waiting = 0
        self._why = ""
        self._ended = False
        self._lock = Lock()
        self._thread = ThreadPoolExecutor(1, "recorder")
        tell(Recording(on=True))

    def add(self, frames: NDArray[np.uint8]) -> None:
        """Record frames [F, Y, X, 3]; never waits."""
        with self._lock:
            if self._ended:
                return
            if self._waiting >= BEHIND:
                self._why = "The disk is too slow; what was written so far is kept."
            if not self._why:
                frames = frames[: self._most - self._taken]
                self._taken += len(frames)
                self._waiting += 1
                self._thread.submit(self._write, frames)
                if self._taken == self._most:
                    self._why = f"A recording is {self._most} frames long at most."
            ends = bool(self._why)
        if ends:
            self.end()

    def end(self) -> None:
        """Finish; `tell` hears where it can be fetched. A second time does nothing."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
            self._thread.submit(self._finish)
        self._thread.shutdown(wait=False)

    def _write(self, frames: NDArray[np.uint8]) -> None:
        try:
            self._video.write(frames)
            self._tell(Recording(on=True, frames=self._video.frames))
        except WorldrtError as error:
            with self._lock:
                self._why = str(error)
        finally:
            with self._lock:
                self._waiting -= 1

    def _finish(self) -> None:
        try:
            self._video.close()
        except WorldrtError as error:
            self._why = self._why or str(error)
        frames, url = self._video.frames, ""
        if self._video.path.exists():
            url = self._shelf.put(self._name, self._video.path)
        self._tell(Recording(on=False, frames=frames, url=url, why=self._why))
