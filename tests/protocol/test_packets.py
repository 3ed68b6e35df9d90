import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tests.messages import structs
from worldrt.errors import ProtocolError
from worldrt.protocol.packets import (
    DEPTH,
    HEADER,
    MOST_MS,
    POSE,
    Coding,
    Flag,
    Header,
    Kind,
    Packet,
    Plan,
    Recalled,
    View,
    read_packet,
    stamped,
    write_header,
    write_packet,
)

U16, U32 = st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1)
BLOCKS = Flag.POSE | Flag.DEPTH | Flag.NOTES
METRES = st.floats(-1e6, 1e6, width=32)
SEVEN = Header(
    kind=Kind.VIDEO,
    coding=Coding.H264,
    flags=Flag.KEY | Flag.CUTOVER,
    epoch=2,
    frame=0x01020304,
    chunk=5,
    index=1,
    count=4,
    seq=99,
    width=128,
    height=96,
    pts_us=2**40,
    sent_us=2**41 + 7,
    generate_ms=111,
    decode_ms=12,
    encode_ms=3,
    queue_ms=4,
)


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    """Any packet that may be sent, its flags of blocks, length and checksum left open."""
    kind = draw(st.sampled_from(Kind))
    notes = {Kind.VIDEO: st.none(), Kind.PLAN: structs(Plan), Kind.RECALLED: structs(Recalled)}
    header = Header(
        kind=kind,
        coding=draw(st.sampled_from(Coding)),
        flags=draw(st.sampled_from([Flag(0), Flag.KEY, Flag.LAST | Flag.CUTOVER])),
        **{name: draw(U32) for name in ("epoch", "frame", "chunk", "seq")},
        **{name: draw(U16) for name in ("index", "count", "width", "height")},
        **{name: draw(st.integers(0, 2**53)) for name in ("pts_us", "sent_us")},
        **{f"{name}_ms": draw(U16) for name in ("generate", "decode", "encode", "queue")},
    )
    quaternion = st.tuples(*[st.floats(-1, 1, width=32)] * 4)
    view = st.builds(View, quaternion, st.tuples(*[METRES] * 3), st.floats(0, 3, width=32))
    shape = array_shapes(min_dims=2, max_dims=2, max_side=7)
    return Packet(
        header=header,
        picture=draw(st.binary(max_size=40)),
        pose=draw(st.none() | view),
        depth=draw(st.none() | arrays(np.uint16, shape)),
        notes=draw(notes[kind]),
    )


@given(packets())
def test_a_packet_comes_as_it_went(packet: Packet) -> None:
    read = read_packet(write_packet(packet))
    sealed = replace(packet.header, payload_bytes=read.header.payload_bytes, crc=read.header.crc)
    assert replace(read.header, flags=read.header.flags & ~BLOCKS) == sealed
    assert (read.picture, read.pose, read.notes) == (packet.picture, packet.pose, packet.notes)
    np.testing.assert_array_equal(read.depth, packet.depth)  # type: ignore[arg-type]
    assert bool(read.header.flags & Flag.POSE) is (packet.pose is not None)
    assert bool(read.header.flags & Flag.DEPTH) is (packet.depth is not None)
    assert bool(read.header.flags & Flag.NOTES) is (packet.notes is not None)


def test_the_header_byte_by_byte() -> None:
    """The layout of the manual, spelled out once."""
    picture = b"\0\0\0\1"
    data = write_packet(Packet(header=SEVEN, picture=picture))
    assert len(data) == 64 + 4
    assert data[0:4] == b"WRT1"
    assert data[4] == 1
    assert data[5] == 2
    assert data[6:8] == bytes([5, 0])
    assert data[8:12] == bytes([2, 0, 0, 0])
    assert data[12:16] == bytes([4, 3, 2, 1])
    assert data[16:20] == bytes([5, 0, 0, 0])
    assert data[20:22] == bytes([1, 0])
    assert data[22:24] == bytes([4, 0])
    assert data[24:28] == bytes([99, 0, 0, 0])
    assert data[28:30] == bytes([128, 0])
    assert data[30:32] == bytes([96, 0])
    assert data[32:40] == bytes([0, 0, 0, 0, 0, 1, 0, 0])
    assert data[40:48] == bytes([7, 0, 0, 0, 0, 2, 0, 0])
    assert data[48:56] == bytes([111, 0, 12, 0, 3, 0, 4, 0])
    assert data[56:60] == bytes([4, 0, 0, 0])
    assert data[60:64] == struct.pack("<I", zlib.crc32(picture))
    assert data[64:] == picture


def test_the_blocks_byte_by_byte() -> None:
    view = View((0.5, -0.5, 0.25, 0.125), (1.0, 2.0, -3.0), 1.5)
    depth = np.array([[1, 2, 3], [4, 5, 0xABCD]], np.uint16)
    plan = Plan(left=-1.0, far=4.0, cell=0.5, keyframes=[])
    header = Header(kind=Kind.PLAN, coding=Coding.PNG)
    packet = Packet(header=header, picture=b"P", pose=view, depth=depth, notes=plan)
    data = write_packet(packet)[64:]
    assert struct.unpack("<8f", data[:32]) == (*view.quaternion, *view.position, view.fov)
    assert data[32:36] == bytes([3, 0, 2, 0])
    assert data[36:48] == bytes([1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 0xCD, 0xAB])
    length = struct.unpack("<I", data[48:52])[0]
    assert data[52 : 52 + length] == b'{"left":-1.0,"far":4.0,"cell":0.5,"keyframes":[]}'
    assert data[52 + length :] == b"P"


def test_sizes_are_those_of_the_manual() -> None:
    assert (HEADER.size, POSE.size, DEPTH.size) == (64, 32, 4)
    assert write_header(Header())[:4] == b"WRT1"


@pytest.mark.parametrize("took, told", [(0.4, 0), (0.6, 1), (65_534.6, 65_535), (1e9, 65_535)])
def test_a_long_stage_reads_as_the_longest(took: float, told: int) -> None:
    header = replace(SEVEN, generate_ms=took)  # type: ignore[arg-type]
    assert read_packet(write_packet(Packet(header=header, picture=b""))).header.generate_ms == told
    assert told <= MOST_MS


@given(packets(), st.integers(0, 2**53), st.floats(0, 1e6))
def test_a_packet_is_stamped_when_it_is_sent(packet: Packet, now: int, queue_ms: float) -> None:
    data = write_packet(packet)
    stamp = replace(packet.header, sent_us=now, queue_ms=round(queue_ms))
    assert stamped(data, now, queue_ms) == write_packet(replace(packet, header=stamp))


def test_an_unknown_flag_is_passed_over() -> None:
    data = bytearray(write_packet(Packet(header=SEVEN, picture=b"x")))
    data[7] = 0x80
    assert read_packet(bytes(data)).header.flags == SEVEN.flags


def damaged(at: int, value: int) -> bytes:
    """A good packet with another byte at `at`."""
    data = bytearray(write_packet(Packet(header=SEVEN, picture=b"picture")))
    data[at] = value
    return bytes(data)


def sealed(flags: Flag, payload: bytes, kind: Kind = Kind.VIDEO) -> bytes:
    """A packet that says it has blocks that `payload` may lack."""
    data = write_packet(Packet(header=Header(kind=kind), picture=payload))
    return data[:6] + struct.pack("<H", flags) + data[8:]


GOOD = write_packet(Packet(header=SEVEN, picture=b"picture"))


@pytest.mark.parametrize(
    "data, sentence",
    [
        (b"", "A packet of 0 bytes has no header of 64."),
        (GOOD[:63], "A packet of 63 bytes has no header of 64."),
        (damaged(3, 50), "A packet begins with b'WRT2', expected b'WRT1'."),
        (damaged(4, 9), "A packet can't be read (9 is not a valid Kind); renew the client."),
        (damaged(5, 0), "A packet can't be read (0 is not a valid Coding); renew the client."),
        (GOOD[:-2], "A packet has 5 bytes after its header, which says 7."),
        (GOOD + b"x", "A packet has 8 bytes after its header, which says 7."),
        (
            damaged(66, 0),
            f"A packet has the checksum c8494214, its header says {zlib.crc32(b'picture'):08x}.",
        ),
        (sealed(Flag.POSE, b"x" * 31), "A packet's pose block needs 32 bytes, 31 are left."),
        (sealed(Flag.DEPTH, b"x" * 3), "A packet's depth block needs 4 bytes, 3 are left."),
        (
            sealed(Flag.DEPTH, DEPTH.pack(65535, 65535)),
            "A packet's depth block needs 8589672450 bytes, 0 are left.",
        ),
        (sealed(Flag.NOTES, b"xx"), "A packet's notes block needs 4 bytes, 2 are left."),
        (
            sealed(Flag.NOTES, b"\xff\xff\xff\xff{}"),
            "A packet's notes block needs 4294967295 bytes, 2 are left.",
        ),
        (
            sealed(Flag.NOTES, b"\2\0\0\0{}", Kind.PLAN),
            "A packet's notes can't be read (Object missing required field `left`).",
        ),
        (
            sealed(Flag.NOTES, b"\2\0\0\0{}"),
            "A packet's notes can't be read (Expected `null`, got `object`).",
        ),
    ],
    ids=lambda value: value[9:40] if isinstance(value, str) else "",
)
def test_what_is_no_packet(data: bytes, sentence: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_packet(data)
    assert str(caught.value) == sentence


@given(st.binary(max_size=300), st.booleans())
def test_only_one_error_comes_of_any_bytes(data: bytes, framed: bool) -> None:
    try:
        read_packet(sealed(Flag(data[0] & 63), data, Kind.PLAN) if framed and data else data)
    except ProtocolError as error:
        assert len(str(error)) < 300


@given(packets(), st.data())
def test_a_damaged_picture_is_noticed(packet: Packet, data: st.DataObject) -> None:
    whole = bytearray(write_packet(packet))
    if len(whole) > HEADER.size:
        at = data.draw(st.integers(HEADER.size, len(whole) - 1))
        whole[at] ^= 1 << data.draw(st.integers(0, 7))
        with pytest.raises(ProtocolError, match="checksum"):
            read_packet(bytes(whole))
