"""The action log: what is written is what was done, to the bit, and never more than allowed."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import BLOCK
from worldrt.actions import SUFFIX, ActionLog, Header, fingerprint, header_of, keep_newest
from worldrt.chunk import Chunk
from worldrt.errors import OutputError
from worldrt.geometry.keys import Keys, random_walk
from worldrt.geometry.trajectory import axes_of
from worldrt.memory.policy import SwitchMode
from worldrt.session import Session
from worldrt.starts import Start
from worldrt.tally import Tally
from worldrt.transcript import Transcript
from worldrt.world import World

HELD = (Keys.W, Keys.W | Keys.L, Keys.D, Keys.NONE)


@pytest.fixture
def session(world: World, start: Start) -> Session:
    return Session(world, start, seed=3, policy="infinity")


@pytest.fixture
def header(session: Session, world_folder: Path) -> Header:
    return header_of(session, world=str(world_folder), start="room", seed=3, context_frames=9)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_was_done_is_what_is_written(
    session: Session, header: Header, start: Start, tmp_path: Path
) -> None:
    path = tmp_path / "walk.jsonl"
    tally = Tally(session, start, "infinity", 3)
    with ActionLog(path, header) as log:
        chunks = [session.step(HELD)]
        log.add(chunks[0], axes_of(HELD), keys=5, seq=7)
        session.switch(SwitchMode.FLUSH)
        session.use_policy("window:sink=2")
        session.switch(SwitchMode.KEEP)
        chunks.append(session.drive(np.full((BLOCK, 4), 1 / 3)))
        log.add(chunks[1])
    for chunk in chunks:
        tally.add(chunk)
    first, one, *changes, two, end = lines(path)
    assert (first["format"], first["version"]) == ("worldrt.actions", 1)
    assert (first["policy"], first["steps"], first["memory"]) == ("infinity", 2, "both")
    assert first["weights"] == fingerprint(session.world.folder)
    assert (one["t"], one["keys"], one["seq"]) == ("block", 5, 7)
    assert one["axes"] == axes_of(HELD).tolist() and "axes" not in two
    for line, chunk in zip((one, two), chunks, strict=True):
        np.testing.assert_array_equal(np.array(line["poses"]), chunk.poses, strict=True)
    assert changes == [
        {"t": "switch", "mode": "flush", "block": 1},
        {"t": "policy", "policy": "window:sink=2", "block": 1},
        {"t": "switch", "mode": "keep", "block": 1},
    ]
    assert end["blocks"] == 2 and end["why"] == ""
    assert end["latents_sha256"] == tally.report(8, {}).latents_sha256


def test_every_block_is_there_before_the_next(
    session: Session, header: Header, tmp_path: Path
) -> None:
    """A process that is killed takes nothing with it."""
    log = ActionLog(tmp_path / "walk.jsonl", header)
    for blocks in (1, 2):
        log.add(session.step(HELD))
        found = Transcript(log.path)
        assert (found.blocks, found.end, found.torn) == (blocks, None, False)
    log.close()
    log.close()
    assert len(lines(log.path)) == 4


@pytest.fixture(scope="module")
def chunk(world: World, start: Start) -> Chunk:
    return Session(world, start).step(random_walk(1, BLOCK))


@pytest.mark.parametrize("most", [1500, 4000, 9999])
def test_a_full_log_says_so_in_its_last_line(
    chunk: Chunk, header: Header, tmp_path: Path, most: int
) -> None:
    log = ActionLog(tmp_path / "walk.jsonl", header, most)
    for _ in range(40):
        log.add(chunk, np.full((BLOCK, 4), -1 / 3))
    log.close()
    assert most - 2000 < log.path.stat().st_size <= most
    end = Transcript(log.path).end
    assert end is not None and end.blocks == log.blocks < 40
    assert end.why == log.trouble
    assert end.why == f"The log is full with {log.blocks} blocks; later ones are not in it."


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no full disk")
def test_a_full_disk_is_refused_at_the_beginning(header: Header) -> None:
    with pytest.raises(OutputError, match="/dev/full can't be written .No space left on device."):
        ActionLog(Path("/dev/full"), header)


def test_a_disk_that_fills_up_ends_the_log_and_not_the_walk(
    chunk: Chunk, header: Header, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is left can be read; a piece of a line is not."""
    log = ActionLog(tmp_path / "walk.jsonl", header)
    log.add(chunk)
    room = log.path.stat().st_size + 300
    file = log._file

    class Full:
        """Takes what fits, as a disk does."""

        closed = False

        def write(self, text: bytes) -> int:
            return file.write(text[: max(0, room - file.tell())])

        def __getattr__(self, name: str) -> object:
            return getattr(file, name)

        def __enter__(self) -> None: ...

        def __exit__(self, *args: object) -> None:
            file.close()
            self.closed = True

    log._file = Full()  # pyright: ignore[reportAttributeAccessIssue]
    log.add(chunk)
    log.add(chunk)
    log.close()
    assert log.trouble == "The log ends with 1 blocks (No space left on device)."
    assert log.trouble in caplog.text
    found = Transcript(log.path)
    assert found.blocks == 1 and found.end is not None and found.end.why == log.trouble


@pytest.mark.parametrize("place", ["missing/walk.jsonl", "."])
def test_a_place_where_nothing_can_be_written_is_refused(
    header: Header, tmp_path: Path, place: str
) -> None:
    with pytest.raises(OutputError, match="can't be written"):
        ActionLog(tmp_path / place, header)


def test_the_newest_logs_are_kept_and_other_files_left_alone(tmp_path: Path) -> None:
    ages = {"b": 1, "d": 2, "a": 3, "c": 4}
    for name, age in ages.items():
        path = tmp_path / f"{name}{SUFFIX}"
        path.write_text("")
        os.utime(path, (age, age))
    (tmp_path / "notes.jsonl").write_text("")
    for most, kept in ((9, "abcd"), (4, "abcd"), (2, "ac"), (0, "")):
        keep_newest(tmp_path, most)
        names = {path.name for path in tmp_path.iterdir()} - {"notes.jsonl"}
        assert names == {f"{name}{SUFFIX}" for name in kept}
    assert (tmp_path / "notes.jsonl").exists()


@pytest.mark.parametrize("size", [1, 2**16, 2**20 - 7, 2**20 + 2**16])
def test_a_fingerprint_tells_files_names_and_sizes_apart(tmp_path: Path, size: int) -> None:
    """One byte anywhere in a file of up to 1 MiB, or at either end of a larger one."""
    path = tmp_path / "model.safetensors"
    content = np.random.default_rng(1).integers(0, 256, size, np.uint8)
    path.write_bytes(content.tobytes())
    found = {fingerprint(tmp_path)}
    assert fingerprint(tmp_path) in found
    for place in {0, size // 3, size - 1} if size <= 2**20 else {0, size - 1}:
        other = content.copy()
        other[place] ^= 1
        path.write_bytes(other.tobytes())
        found.add(fingerprint(tmp_path))
    path.write_bytes(content.tobytes() + b"\0")
    found.add(fingerprint(tmp_path))
    path.rename(tmp_path / "codec.safetensors")
    found.add(fingerprint(tmp_path))
    (tmp_path / "world.toml").write_text("name")
    found.add(fingerprint(tmp_path))
    assert len(found) == 4 + len({0, size // 3, size - 1} if size <= 2**20 else {0, size - 1})
    (tmp_path / "README.md").write_text("name")
    assert fingerprint(tmp_path) in found
