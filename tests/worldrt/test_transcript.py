"""A log read back: what was written, and a sentence with the line's number for anything else."""

import json
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldrt.actions import MOST_BYTES, PolicyChanged, Switched
from worldrt.errors import InputError
from worldrt.geometry.se3 import exp
from worldrt.memory.policy import SwitchMode
from worldrt.transcript import MOST_FILE, MOST_LINE, Transcript

HEADER = {
    "format": "worldrt.actions",
    "version": 1,
    "world": "maze",
    "weights": "00ff",
    "start": "hall",
    "context_frames": 0,
    "depth": "room",
    "load_memory": None,
    "seed": 2**63 - 1,
    "policy": "infinity",
    "memory": "splat",
    "retrieval": None,
    "through_walls": False,
    "steps": 1,
    "fps": 15.0,
    "block_frames": 2,
    "camera": {"width": 128, "height": 96, "fx": 64.0, "fy": 76.8},
    "worldrt": "0.1.0",
    "torch": "2.13",
    "created": "2026-11-21T19:45:10+00:00",
}
BLOCK = {"t": "block", "poses": [np.eye(4).tolist()] * 2}
FLUSH = {"t": "switch", "mode": "flush", "block": 1}
WINDOW = {"t": "policy", "policy": "window", "block": 1}
END = {"t": "end", "blocks": 2, "latents_sha256": "ab"}
WALK = [HEADER, BLOCK, FLUSH, WINDOW, BLOCK, END]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "walk.jsonl"


def text(*lines: object) -> str:
    return "".join(f"{json.dumps(line)}\n" for line in lines)


def test_a_walk_is_read_back(path: Path) -> None:
    path.write_text(text(*WALK))
    found = Transcript(path)
    assert (found.header.seed, found.header.block_frames) == (2**63 - 1, 2)
    assert (found.blocks, found.torn, found.modes) == (2, False, {SwitchMode.FLUSH})
    assert found.end is not None and found.end.latents_sha256 == "ab"
    for _ in range(2):
        one, two = found
        assert one.changes == ()
        changes = (
            Switched(mode=SwitchMode.FLUSH, block=1),
            PolicyChanged(policy="window", block=1),
        )
        assert two.changes == changes
        np.testing.assert_array_equal(two.poses, np.stack([np.eye(4)] * 2))


@given(twists=st.lists(st.tuples(*[st.floats(-1e3, 1e3)] * 6), min_size=2, max_size=2))
def test_poses_come_back_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, twists: list[tuple[float, ...]]
) -> None:
    poses = exp(np.array(twists))
    path = tmp_path_factory.mktemp("log") / "walk.jsonl"
    path.write_text(text(HEADER, BLOCK | {"poses": poses.tolist()}))
    np.testing.assert_array_equal(next(iter(Transcript(path))).poses, poses, strict=True)


@pytest.mark.parametrize("lines", range(1, 7))
def test_a_log_cut_anywhere_is_read_as_far_as_it_is_whole(path: Path, lines: int) -> None:
    whole, last = text(*WALK[: lines - 1]), text(WALK[lines - 1])
    for cut in range(len(last)):
        path.write_text(whole + last[:cut])
        complete = cut == len(last) - 1
        if lines == 1 and not complete:
            with pytest.raises(InputError, match="line 1"):
                Transcript(path)
            continue
        found = Transcript(path)
        assert found.torn == (0 < cut and not complete)
        assert found.blocks == sum(line["t"] == "block" for line in WALK[1 : lines - 1 + complete])


def broken(**fields: object) -> dict:
    return BLOCK | fields


def posed(row: int, column: int, number: float | None) -> dict:
    pose: list[list[float | None]] = [[*line] for line in np.eye(4).tolist()]
    pose[row][column] = number
    return BLOCK | {"poses": [np.eye(4).tolist(), pose]}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "walk.jsonl, line 1 is no header of an action log (Input data was truncated); name"),
        ("W*24 J*12\n", "line 1 is no header of an action log (JSON is malformed"),
        ("[" * 100_000, "line 1 is no header of an action log"),
        (text({"format": "other", "version": 1}), "line 1 is no header of an action log"),
        (
            text(HEADER | {"version": 2}),
            "is an action log of version 2, this worldrt reads up",
        ),
        (text(HEADER | {"seed": -1}), "line 1 is no header of an action log (Expected `int` >= 0"),
        (text(HEADER | {"seed": 2**63}), "line 1 is no header of an action log"),
        (text(HEADER | {"block_frames": 10**9}), "line 1 is no header of an action log"),
        (text(HEADER | {"colour": "red"}), "contains unknown field `colour`"),
        (text(HEADER | {"camera": {"width": 0, "height": 1, "fx": 1, "fy": 1}}), "got 0x1 with"),
        (text(HEADER, "W"), "line 2 makes no sense (Expected `object`, got `str`)"),
        (text(HEADER) + "\n", "line 2 makes no sense"),
        (text(HEADER) + "\xff\xfe\n", "line 2 makes no sense"),
        (text(HEADER) + "[" * 100_000 + "\n", "line 2 makes no sense"),
        (text(HEADER, {"t": "pause"}), "line 2 makes no sense (Invalid value 'pause'"),
        (text(HEADER, broken(speed=1)), "contains unknown field `speed`"),
        (text(HEADER, broken(seq=-1)), "Expected `int` >= 0"),
        (text(HEADER, broken(keys=2**16)), "Expected `int` <= 65535"),
        (text(HEADER, broken(axes=[[0, 0, 0, 1.5]] * 2)), "Expected `float` <= 1.0"),
        (text(HEADER, broken(axes=[[0, 0, 0, 0]])), "line 2 has 1 axes, its blocks have 2 frames"),
        (text(HEADER, broken(poses=[])), "line 2 has 0 poses, its blocks have 2 frames"),
        (text(HEADER, posed(0, 3, None)), "Expected `float`, got `null`"),
        (text(HEADER, posed(0, 3, float("nan"))), "line 2 makes no sense (JSON is malformed"),
        (text(HEADER) + text(posed(0, 3, 7.0)).replace("7.0", "1e999"), "Number out of range"),
        (text(HEADER, posed(0, 3, -2e6)), "line 2 has a pose more than 1e+06 metres from the"),
        (
            text(HEADER, BLOCK, posed(1, 1, 1.5)),
            "line 3: A pose's rotation is 1.2 from ortho",
        ),
        (text(HEADER, posed(3, 0, 1.0)), "line 2: A pose's last row is [1.0, 0.0, 0.0, 1.0]"),
        (text(HEADER, FLUSH), "line 2 speaks of block 1 and follows 0 blocks"),
        (text(HEADER, FLUSH | {"mode": "burn", "block": 0}), "Invalid enum value 'burn'"),
        (text(HEADER, BLOCK, END), "line 3 speaks of block 2 and follows 1 blocks"),
        (text(*WALK, BLOCK), "line 7 comes after the end"),
        (text(HEADER, BLOCK) + " " * (MOST_LINE + 1), "line 3 is longer than the 1048576 bytes"),
    ],
)
def test_what_is_no_log_is_refused_with_its_line(path: Path, content: str, sentence: str) -> None:
    path.write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=re.escape(sentence)):
        Transcript(path)


def test_places_without_a_log_are_refused(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "missing", Path("/dev/zero")):
        with pytest.raises(InputError, match="is no file; name an action log"):
            Transcript(place)


def test_a_file_that_is_too_large_is_refused_unread(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(MOST_FILE + 1)
    with pytest.raises(InputError, match="has 1073741825 bytes, a log of at most 1073741824 is"):
        Transcript(path)
    assert MOST_BYTES < MOST_FILE  # what is written can be read


def test_a_long_log_costs_no_more_memory_than_a_short_one(path: Path) -> None:
    def peak(blocks: int) -> int:
        path.write_text(text(HEADER) + text(FLUSH | {"block": 0}) * blocks + text(BLOCK) * blocks)
        tracemalloc.start()
        found = Transcript(path)
        assert found.blocks == blocks
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(10)  # what is loaded once
    assert peak(2000) < peak(20) + 100_000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=9,
)
FIELDS = st.sampled_from(["t", "poses", "axes", "keys", "seq", "mode", "policy", "block", "blocks"])
TAGS = st.sampled_from(["block", "switch", "policy", "end"])


@pytest.mark.parametrize(
    "mutate",
    [
        lambda draw: draw(st.binary(max_size=200)),
        lambda draw: json.dumps(draw(JSON)).encode(),
        lambda draw: json.dumps(draw(st.dictionaries(FIELDS, JSON)) | {"t": draw(TAGS)}).encode(),
        lambda draw: (lambda line, place, byte: line[:place] + bytes([byte]) + line[place + 1 :])(
            json.dumps(BLOCK).encode(),
            draw(st.integers(0, len(json.dumps(BLOCK)) - 1)),
            draw(st.integers(0, 255)),
        ),
    ],
    ids=["bytes", "json", "fields", "one byte"],
)
@given(data=st.data())
def test_hostile_lines_are_read_or_refused_in_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, mutate: Callable, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("log") / "walk.jsonl"
    path.write_bytes(text(HEADER, BLOCK).encode() + mutate(data.draw) + b"\n")
    try:
        found = Transcript(path)
    except InputError as error:
        assert re.search("line [0-9]+", str(error)) and str(error).endswith(".")
    else:
        assert 1 <= found.blocks <= 2
        assert all(np.isfinite(walked.poses).all() for walked in found)
