"""A million messages that mean harm."""

import gc
import random
import struct
import zlib
from pathlib import Path
from sys import getallocatedblocks

import numpy as np
import pytest

from worldrt.errors import ProtocolError
from worldrt.protocol.packets import (
    HEADER,
    Header,
    Kind,
    Packet,
    Plan,
    View,
    read_packet,
    write_packet,
)
from worldrt.protocol.wire import read_from_client

TEXTS = [
    b'{"t":"hello","versions":["worldrt.v1"],"token":"abc","codecs":["h264","jpeg"]}',
    b'{"t":"input","seq":17,"t_us":123456,"keys":5,"axes":[0,0.5,-1,0],"look":[1.5,-20]}',
    b'{"t":"ack","epoch":2,"frame":300,"shown_us":5,"buffered":3,"dropped":1,"lag_ms":80.5}',
    b'{"t":"prompt","id":4,"text":"a door of \\u00e9bony","mode":"recache"}',
    b'{"t":"settings","max_lead_ms":500,"delivery":"latest","codec":null,"depth":true}',
    b'{"t":"start","start":"hall","seed":9007199254740991,"policy":"window:recent=4"}',
    b'{"t":"pause","paused":true}',
    b'{"t":"clock","t0_us":77}',
    b'{"t":"bye"}',
]
PACKETS = [
    write_packet(
        Packet(
            header=Header(frame=7),
            picture=b"\xff\xd8" * 20,
            pose=View((1.0, 0.0, 0.0, 0.0), (0.0, 1.5, -2.0), 1.1),
            depth=np.arange(15, dtype=np.uint16).reshape(3, 5),
        )
    ),
    write_packet(
        Packet(
            header=Header(kind=Kind.PLAN),
            picture=b"\x89PNG",
            notes=Plan(left=-3.0, far=9.0, cell=0.1, keyframes=[(1.0, 2.0, 0.5)]),
        )
    ),
]


def mutated(seed: bytes, draw: random.Random) -> bytes:
    """`seed` with a few bytes replaced, cut out, doubled, put in or cut off."""
    data = bytearray(seed)
    for _ in range(draw.randrange(1, 4)):
        at = draw.randrange(len(data) + 1)
        upto = min(at + draw.randrange(1, 12), len(data))
        match draw.randrange(5):
            case 0:
                data[at:upto] = draw.randbytes(upto - at)
            case 1:
                del data[at:upto]
            case 2:
                data[at:at] = data[at:upto] * draw.randrange(1, 9)
            case 3:
                data[at:at] = draw.choice((b'"', b"{", b"[", b"}", b",", b"1e999", b"-", b"\\u"))
            case _:
                del data[at:]
    return bytes(data)


def sealed(packet: bytes) -> bytes:
    """A packet whose length and checksum hold, so that it is read to where it is wrong."""
    body = packet[HEADER.size :]
    return packet[: HEADER.size - 8] + struct.pack("<II", len(body), zlib.crc32(body)) + body


def throw(times: int, draw: random.Random) -> int:
    """Read that many; returns how many were refused. Another error than ours gets through."""
    refused = 0
    for n in range(times):
        try:
            if n % 10:
                read_from_client(mutated(draw.choice(TEXTS), draw))
            else:
                packet = mutated(draw.choice(PACKETS), draw)
                read_packet(sealed(packet) if n % 20 else packet)
        except ProtocolError:
            refused += 1
    return refused


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_what_is_not_mutated_is_read() -> None:
    assert all(read_from_client(text) for text in TEXTS)
    assert all(read_packet(sealed(packet)) for packet in PACKETS)


@pytest.mark.parametrize("times", [5_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_hostile_messages_are_refused_and_leave_nothing_behind(times: int) -> None:
    draw = random.Random(times)
    throw(20_000, draw)
    gc.collect()
    blocks, before = getallocatedblocks(), resident()
    assert 0.3 * times < throw(times, draw) < times
    gc.collect()
    assert getallocatedblocks() - blocks < 500
    assert resident() - before < 2**20
