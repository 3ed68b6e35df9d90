import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from worldrt.protocol.packets import (
    DIOPTRE,
    Coding,
    Flag,
    Header,
    Kind,
    Packet,
    Plan,
    View,
    write_packet,
)
from worldrt.protocol.script import SCRIPT, header_layout, script
from worldrt.protocol.terms import KEYMAP, MAX_MESSAGE, VERSION, Close, Codec, Delivery, State

NODE = shutil.which("node")
PACKET = Packet(
    header=Header(
        kind=Kind.PLAN,
        coding=Coding.PNG,
        flags=Flag.KEY,
        epoch=2**32 - 1,
        frame=7,
        chunk=3,
        index=1,
        count=4,
        seq=2**31,
        width=128,
        height=96,
        pts_us=2**53,
        sent_us=2**40 + 1,
        generate_ms=65535,
        decode_ms=1,
        encode_ms=2,
        queue_ms=3,
    ),
    picture=b"\x89PNG",
    pose=View((0.5, -0.5, 0.25, 0.125), (1.0, 2.0, -3.0), 1.5),
    depth=np.array([[1, 2, 3], [4, 5, 0xABCD]], np.uint16),
    notes=Plan(left=-1.5, far=4.0, cell=0.5, keyframes=[(1.0, 2.0, -0.5)]),
)


def test_the_viewers_script_is_up_to_date() -> None:
    assert SCRIPT.read_text() == script(), "renew it: python -m worldrt.protocol.script"


def test_fields_of_the_header_lie_without_gaps() -> None:
    sizes = {"B": 1, "H": 2, "I": 4, "Q": 8}
    at = 4
    for _, first, letter in header_layout():
        assert first == at
        at += sizes[letter]
    assert at == 64
    assert [name for name, _, _ in header_layout()] == [*Header.__dataclass_fields__]


def test_lines_are_no_longer_than_ours() -> None:
    assert max(map(len, script().splitlines())) <= 100


def run(body: str, *arguments: str) -> str:
    """What a script prints that has imported everything as `wire`."""
    assert NODE is not None
    code = f"const wire = await import({json.dumps(SCRIPT.resolve().as_uri())});\n{body}"
    command = [NODE, "--input-type=module", "--eval", code, "--", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")


@needs_node
def test_constants_are_the_same_in_the_browser() -> None:
    told = json.loads(run("console.log(JSON.stringify(wire));"))
    assert (told["VERSION"], told["MAX_MESSAGE"]) == (VERSION, MAX_MESSAGE)
    assert (told["DIOPTRE"], told["HEADER_BYTES"], told["KEYMAP"]) == (DIOPTRE, 64, KEYMAP)
    for enum in (Close, Codec, Delivery, State, Kind, Coding, Flag):
        assert told[enum.__name__] == {member.name: member.value for member in enum}


@needs_node
def test_a_packet_reads_the_same_in_the_browser(tmp_path: Path) -> None:
    path = tmp_path / "packet"
    path.write_bytes(write_packet(PACKET))
    body = """
    import { readFileSync } from "node:fs";
    const packet = wire.readPacket(Uint8Array.from(readFileSync(process.argv[1])).buffer);
    packet.picture = [...packet.picture];
    packet.depth.values = [...packet.depth.values];
    console.log(JSON.stringify(packet));
    """
    read = json.loads(run(body, str(path)))
    header = read["header"]
    assert header.pop("flags") == Flag.KEY | Flag.POSE | Flag.DEPTH | Flag.NOTES
    for name in set(header) - {"payload_bytes", "crc"}:
        assert header[name] == getattr(PACKET.header, name), name
    assert read["pose"] == {
        "quaternion": [0.5, -0.5, 0.25, 0.125],
        "position": [1, 2, -3],
        "fov": 1.5,
    }
    assert read["depth"] == {"width": 3, "height": 2, "values": [1, 2, 3, 4, 5, 0xABCD]}
    assert read["notes"] == {"left": -1.5, "far": 4, "cell": 0.5, "keyframes": [[1, 2, -0.5]]}
    assert bytes(read["picture"]) == PACKET.picture


@needs_node
@pytest.mark.parametrize(
    "data, sentence",
    [
        (b"WRT1", "A message of 4 bytes is no packet of worldrt.v1."),
        (b"WRT2" + write_packet(PACKET)[4:], "A message of 183 bytes is no packet of worldrt.v1."),
        (write_packet(PACKET)[:-1], "Packet 7 came damaged."),
        (write_packet(PACKET)[:-1] + b"x", "Packet 7 came damaged."),
    ],
    ids=["short", "magic", "cut", "damaged"],
)
def test_what_is_no_packet_is_refused_in_the_browser(data: bytes, sentence: str) -> None:
    body = """
    const bytes = Uint8Array.from(JSON.parse(process.argv[1]));
    try { wire.readPacket(bytes.buffer); } catch (error) { console.log(error.message); }
    """
    assert run(body, json.dumps([*data])).strip() == sentence
