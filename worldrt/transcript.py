"""An action log read back: checked whole, then given line by line, in constant memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from worldrt.actions import FORMAT, VERSION, Block, End, Header, Line, PolicyChanged, Switched
from worldrt.errors import ConfigError, InputError
from worldrt.geometry.se3 import check_pose
from worldrt.memory.policy import SwitchMode

MOST_FILE = 2**30
"""Bytes of a log that is read, at most."""
MOST_LINE = 2**20
"""Bytes of a line, at most."""
FARTHEST = 1e6
"""Metres from the origin, along an axis, at which a pose may lie."""

_LINES = msgspec.json.Decoder(Line)


class Walked(NamedTuple):
    """A block to be walked again."""

    changes: tuple[Switched | PolicyChanged, ...]
    """What is to be done before it, in order."""
    poses: NDArray[np.float64]
    """[F, 4, 4] world_from_camera."""


class _Format(msgspec.Struct):
    """What every version of a log begins with."""

    format: str
    version: int


class Transcript:
    """A log whose every line makes sense.

    Args:
        path: of the file.

    Raises:
        InputError: it can't be read, is too large, is no log or one of a newer version; or a line
            is no line of a log, or out of place, or has a pose that is none: the sentence has its
            number. A last line that a killed process tore is passed over instead.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header = self._header()
        self.end: End | None = None
        """None: the process was killed before it."""
        self.torn = False
        """Whether the last line was cut, and is passed over."""
        self.blocks = 0
        self.modes: set[SwitchMode] = set()
        """Of all its switches."""
        for _, line in self._lines():
            match line:
                case Block():
                    self.blocks += 1
                case Switched():
                    self.modes.add(line.mode)
                case End():
                    self.end = line
                case None:
                    self.torn = True

    def __iter__(self) -> Iterator[Walked]:
        """Its blocks; a change that no block follows came to nothing and is left out."""
        changes: list[Switched | PolicyChanged] = []
        for _, line in self._lines():
            match line:
                case Switched() | PolicyChanged():
                    changes.append(line)
                case Block():
                    yield Walked(tuple(changes), np.array(line.poses))
                    changes.clear()

    # Inside.

    def _header(self) -> Header:
        try:
            if not self.path.is_file():
                raise InputError(f"{self.path} is no file; name an action log.")
            size = self.path.stat().st_size
        except OSError as error:
            raise InputError(f"{self.path} can't be opened ({error.strerror}).") from error
        if size > MOST_FILE:
            raise InputError(
                f"{self.path} has {size} bytes, a log of at most {MOST_FILE} is read; cut its last "
                "lines off."
            )
        text = next(self._raw(), (1, b""))[1]
        try:
            found = msgspec.json.decode(text, type=_Format)
            if found.format == FORMAT and found.version > VERSION:
                raise InputError(
                    f"{self.path} is an action log of version {found.version}, this worldrt reads "
                    f"up to {VERSION}; renew worldrt."
                )
            return msgspec.json.decode(text, type=Header)
        except (ValueError, RecursionError, ConfigError) as error:
            raise self._refusal(1, f"is no header of an action log ({error})") from error

    def _lines(self) -> Iterator[tuple[int, Line | None]]:
        """Each line but the first, checked, with its number; None: it is torn."""
        blocks, ended = 0, False
        for number, text in self._raw():
            if number == 1:
                continue
            if ended:
                raise self._refusal(number, "comes after the end")
            try:
                line = _LINES.decode(text)
            except (ValueError, RecursionError) as error:
                if not text.endswith(b"\n"):
                    yield number, None
                    return
                raise self._refusal(number, f"makes no sense ({error})") from error
            if isinstance(line, Block):
                self._check(number, line)
                blocks += 1
            else:
                place = line.blocks if isinstance(line, End) else line.block
                if place != blocks:
                    why = f"speaks of block {place} and follows {blocks} blocks"
                    raise self._refusal(number, why)
                ended = isinstance(line, End)
            yield number, line

    def _check(self, number: int, block: Block) -> None:
        frames = self.header.block_frames
        for what, count in (("poses", len(block.poses)), ("axes", len(block.axes) or frames)):
            if count != frames:
                why = f"has {count} {what}, its blocks have {frames} frames"
                raise self._refusal(number, why)
        poses = np.array(block.poses)
        if not (np.abs(poses[:, :3, 3]) <= FARTHEST).all():
            why = f"has a pose more than {FARTHEST:g} metres from the origin"
            raise self._refusal(number, why)
        for pose in poses:
            try:
                check_pose(pose)
            except InputError as error:
                raise InputError(f"{self.path}, line {number}: {error}") from error

    def _raw(self) -> Iterator[tuple[int, bytes]]:
        """The lines as they are, numbered from 1."""
        try:
            with self.path.open("rb") as file:
                number = 0
                while text := file.readline(MOST_LINE + 1):
                    number += 1
                    if len(text) > MOST_LINE:
                        why = f"is longer than the {MOST_LINE} bytes that a line may have"
                        raise self._refusal(number, why)
                    yield number, text
        except OSError as error:
            raise InputError(f"{self.path} can't be read ({error.strerror}).") from error

    def _refusal(self, number: int, why: str) -> InputError:
        return InputError(f"{self.path}, line {number} {why}; name an action log, or mend it.")
