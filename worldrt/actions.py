"""The action log: what was done in a walk, line by line in JSON, so that it can be made again.

The first line is a `Header`. Then comes a line a block, before it one for each switch or change of
policy that took effect in it, and an `End`. Every line is handed to the system when its block is
done: a killed process leaves a log that lacks its end, and at most its last line is torn.
"""

import hashlib
import logging
from contextlib import suppress
from datetime import UTC, datetime
from errno import ENOSPC
from os import strerror
from pathlib import Path
from types import TracebackType
from typing import Annotated, Literal, Self, TypeAlias

import msgspec
import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray

from worldrt import __version__
from worldrt.chunk import Chunk, Digest
from worldrt.config import CameraConfig, MemoryUse
from worldrt.errors import OutputError
from worldrt.memory.policy import SwitchMode
from worldrt.rollout import PolicyReceipt, Receipt
from worldrt.session import Session
from worldrt.starts import DEFAULT_DEPTH
from worldrt.world import MANIFEST

FORMAT, VERSION = "worldrt.actions", 1
SUFFIX = ".actions.jsonl"
"""Ends the name of a log in a folder of logs."""
MOST_BYTES = 256 * 2**20
"""Bytes of a log, at most: some 20 hours of the maze."""
_END_BYTES = 400
"""Kept free for the line that ends a log."""
_PIECES, _PIECE = 16, 2**16
"""Parts of a file that its fingerprint looks at, and their bytes."""

Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Axis: TypeAlias = Annotated[float, Meta(ge=-1, le=1)]
Axes: TypeAlias = tuple[_Axis, _Axis, _Axis, _Axis]
_Row: TypeAlias = tuple[float, float, float, float]
Matrix: TypeAlias = tuple[_Row, _Row, _Row, _Row]

_ENCODER = msgspec.json.Encoder()
_log = logging.getLogger(__name__)


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the walk began, and what made it."""

    format: Literal["worldrt.actions"] = FORMAT
    version: Literal[1] = VERSION
    world: str
    """As it was asked for: a name or a folder."""
    weights: str
    """`fingerprint` of its folder."""
    start: str
    context_frames: Count
    depth: str
    """See `open_start` for these three."""
    load_memory: str | None
    """Folder of the memory that the walk went on with."""
    seed: Count
    policy: str
    memory: MemoryUse
    retrieval: str | None
    through_walls: bool
    """Whether keys led through walls; the poses tell where they led."""
    steps: Count
    dtype: str = "fp32"
    """What the transformer was computed in, see `World.load`."""
    threads: Annotated[int, Meta(ge=1, le=4096)] = 1
    """Of torch, inside an operation: they say in which order sums are taken."""
    fps: float
    block_frames: Annotated[int, Meta(ge=1, le=1024)]
    camera: CameraConfig
    worldrt: str
    torch: str
    created: str
    """UTC."""


class _Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="t"):
    """Base of all lines but the first."""


class Block(_Line, frozen=True, kw_only=True, tag="block", omit_defaults=True):
    """A block that was walked."""

    poses: tuple[Matrix, ...]
    """[F] world_from_camera, exact."""
    axes: tuple[Axes, ...] = ()
    """[F] sticks that led there, see `steer`; empty: not known."""
    keys: Annotated[int, Meta(ge=0, lt=2**16)] = 0
    """Held keys, as `Keys`."""
    seq: Count = 0
    """Of the input that it obeyed."""


class Switched(_Line, frozen=True, kw_only=True, tag="switch"):
    """A switch."""

    mode: SwitchMode
    block: Count
    """In which it took effect: the next one."""


class PolicyChanged(_Line, frozen=True, kw_only=True, tag="policy"):
    """Another cache policy."""

    policy: str
    block: Count
    """The first one under it: the next one."""


class End(_Line, frozen=True, kw_only=True, tag="end"):
    """The last line, where the walk was not killed."""

    blocks: Count
    latents_sha256: str
    """Of the latents of all blocks, see `Digest`."""
    why: str = ""
    """A sentence, if the walk went on without being logged."""


Line: TypeAlias = Block | Switched | PolicyChanged | End
"""Any but the first."""


def header_of(
    session: Session,
    *,
    world: str,
    start: str,
    seed: int,
    context_frames: int = 0,
    depth: str = DEFAULT_DEPTH,
    load_memory: Path | None = None,
    retrieval: str | None = None,
    through_walls: bool = False,
    threads: int | None = None,
) -> Header:
    """The header of a session that has just begun; the arguments are what it was made with.

    `threads` are those of torch on the thread that walks; None: this one.
    """
    config = session.world.config
    return Header(
        world=world,
        weights=fingerprint(session.world.folder),
        start=start,
        context_frames=context_frames,
        depth=depth,
        load_memory=None if load_memory is None else str(load_memory),
        seed=seed,
        policy=session.policy,
        memory=session.use,
        retrieval=retrieval,
        through_walls=through_walls,
        steps=session.steps,
        dtype=session.world.dtype_name,
        threads=torch.get_num_threads() if threads is None else threads,
        fps=config.fps,
        block_frames=config.block_frames,
        camera=config.camera,
        worldrt=__version__,
        torch=str(torch.__version__),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def fingerprint(folder: Path) -> str:
    """A checksum of a world's numbers and weights that costs the same for large ones.

    Of each file it covers the size and 16 pieces of 64 KiB, evenly spread: a file of up to 1 MiB
    whole, and of a larger one enough that other weights are told apart.
    """
    found = hashlib.sha256()
    for path in sorted([*folder.glob("*.safetensors"), *folder.glob(MANIFEST)]):
        size = path.stat().st_size
        found.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            for piece in range(_PIECES):
                file.seek(max(0, size - _PIECE) * piece // (_PIECES - 1))
                found.update(file.read(_PIECE))
    return found.hexdigest()


class ActionLog:
    """Writes the log of a walk.

    A full log or trouble with the disk never ends the walk: the log ends, and `trouble` says why.

    Args:
        path: of the file; what was there is replaced.
        header: the first line.
        most_bytes: of the file.

    Raises:
        OutputError: it can't be written.
    """

    def __init__(self, path: Path, header: Header, most_bytes: int = MOST_BYTES) -> None:
        self.path, self.blocks = path, 0
        self.trouble = ""
        """A sentence, if the log lacks later blocks of the walk; empty: it lacks none."""
        self._room, self._digest = most_bytes - _END_BYTES, Digest()
        try:
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise _refusal(path, error) from error
        try:
            self._append(_ENCODER.encode_lines([header]))
        except OSError as error:
            self._file.close()
            raise _refusal(path, error) from error

    def add(
        self,
        chunk: Chunk,
        axes: NDArray[np.float64] | None = None,
        keys: int = 0,
        seq: int = 0,
    ) -> None:
        """Log a block, and the switches that took effect in it.

        Args:
            chunk: what came of it.
            axes: [F, 4] sticks that led there; None: it was led by poses.
            keys: that were held.
            seq: of the input that it obeyed.
        """
        if self._file.closed:
            return
        block = Block(
            poses=msgspec.convert(chunk.poses.tolist(), tuple[Matrix, ...]),
            axes=() if axes is None else msgspec.convert(axes.tolist(), tuple[Axes, ...]),
            keys=keys,
            seq=seq,
        )
        changes = [_change(receipt, self.blocks) for receipt in chunk.switches]
        lines = _ENCODER.encode_lines([*changes, block])
        if len(lines) > self._room:
            self._end(f"The log is full with {self.blocks} blocks; later ones are not in it.")
            return
        try:
            self._append(lines)
        except OSError as error:
            self._end(f"The log ends with {self.blocks} blocks ({error.strerror}).")
            return
        self.blocks += 1
        self._digest.add(chunk)

    def close(self) -> None:
        """Write the end; a second time does nothing."""
        if not self._file.closed:
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Inside.

    def _append(self, lines: bytes) -> None:
        """Write lines at once; a piece that fitted is not left behind."""
        before = self._file.tell()
        try:
            if self._file.write(lines) != len(lines):
                raise OSError(ENOSPC, strerror(ENOSPC))
        except OSError:
            with suppress(OSError):  # what is no file can't be cut
                self._file.truncate(before)
                self._file.seek(before)
            raise
        self._room -= len(lines)

    def _end(self, trouble: str = "") -> None:
        self.trouble = trouble
        if trouble:
            _log.warning("%s: %s", self.path, trouble)
        end = End(blocks=self.blocks, latents_sha256=str(self._digest), why=trouble)
        with suppress(OSError), self._file:  # a log without its end is one that can be read
            self._append(_ENCODER.encode_lines([end]))


def keep_newest(folder: Path, most: int) -> None:
    """Delete all but the `most` newest logs of a folder, by the time they were written to.

    Args:
        folder: files whose names don't end in SUFFIX are left alone.
        most: 0 or more.
    """
    logs: list[tuple[int, str, Path]] = []
    for path in folder.glob(f"*{SUFFIX}"):
        with suppress(FileNotFoundError):  # another process keeps order here, too
            logs.append((path.stat().st_mtime_ns, path.name, path))
    for _, _, path in sorted(logs)[: max(0, len(logs) - most)]:
        path.unlink(missing_ok=True)


def _refusal(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path} can't be written ({error.strerror}); make room or choose another place."
    )


def _change(receipt: Receipt | PolicyReceipt, block: int) -> Switched | PolicyChanged:
    if isinstance(receipt, Receipt):
        return Switched(mode=receipt.mode, block=block)
    return PolicyChanged(policy=receipt.policy, block=block)
