"""Pictures on the wire: a header of 64 bytes, the blocks that its flags name, and the picture.

Little-endian throughout. What follows the header, `payload_bytes` of it with the checksum `crc`, is
in this order: pose (32 bytes), depth (4 bytes of size, then rows), notes (4 bytes of length, then
JSON), picture.
"""

import struct
import zlib
from dataclasses import dataclass, replace
from enum import IntEnum, IntFlag
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from worldrt.errors import ProtocolError

MAGIC = b"WRT1"
HEADER = struct.Struct("<4sBBHIIIHHIHHQQHHHHII")
POSE = struct.Struct("<8f")
DEPTH = struct.Struct("<HH")
NOTES = struct.Struct("<I")
_SENT, _SENT_AT = struct.Struct("<Q"), struct.calcsize("<4sBBHIIIHHIHHQ")
_QUEUE, _QUEUE_AT = struct.Struct("<H"), struct.calcsize("<4sBBHIIIHHIHHQQHHH")
MOST_MS = 2**16 - 1
"""Milliseconds that a header's stage can tell; longer ones read so."""
DIOPTRE = 4096
"""Steps of the depth block in one dioptre (1 / metre); 0 is unknown or far, 65535 is 1/16 m."""
MOST_PAYLOAD = 2**24
"""Bytes after the header, at most."""


class Kind(IntEnum):
    """What a packet holds."""

    VIDEO = 1
    """A generated frame."""
    PLAN = 2
    """The floor plan of the memory, PNG; notes say where it lies."""
    RECALLED = 3
    """Past frames that the memory finds for the view, side by side, JPEG; notes say which."""


class Coding(IntEnum):
    """How its picture is coded."""

    JPEG = 1
    H264 = 2
    """One access unit, Annex B; parameter sets before every key frame."""
    PNG = 3


class Flag(IntFlag):
    """What is to be known of a packet."""

    KEY = 1
    """Shows without the ones before it."""
    LAST = 2
    """Last frame of its chunk."""
    CUTOVER = 4
    """First frame that obeys a newer input than the one before."""
    POSE = 8
    """A pose block follows."""
    DEPTH = 16
    """A depth block follows."""
    NOTES = 32
    """A block of notes follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first 64 bytes, in this order, after the magic."""

    kind: Kind = Kind.VIDEO
    coding: Coding = Coding.JPEG
    flags: Flag = Flag(0)
    epoch: int = 0
    """As `Ready` told it."""
    frame: int = 0
    """Index since the start of the walk."""
    chunk: int = 0
    """Index of its chunk since the start of the walk."""
    index: int = 0
    """In the chunk, from 0."""
    count: int = 1
    """Frames of the chunk."""
    seq: int = 0
    """Newest input that the frame obeys; 0: none."""
    width: int = 0
    """Pixels of the picture, as the following."""
    height: int = 0
    pts_us: int = 0
    """When it is to be shown, from the first frame of the epoch on."""
    sent_us: int = 0
    """By the server's clock."""
    generate_ms: int = 0
    """Milliseconds that its chunk took, as the following three."""
    decode_ms: int = 0
    encode_ms: int = 0
    queue_ms: int = 0
    """From the frames being there to sending, coding aside."""
    payload_bytes: int = 0
    """What follows the header."""
    crc: int = 0
    """CRC-32 of the payload."""


class View(NamedTuple):
    """The pose block: camera to world, OpenCV axes (x right, y down, z ahead), metres."""

    quaternion: tuple[float, float, float, float]
    """w, x, y, z, of unit length."""
    position: tuple[float, float, float]
    fov: float
    """Vertical field of view in radians."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Notes of a PLAN: pixel (0, 0) has its upper left corner at x = left, z = far; z falls
    downwards."""

    left: float
    far: float
    cell: float
    """Metres a pixel."""
    keyframes: list[tuple[float, float, float]]
    """x, z and yaw (radians, right of +z) of each keyframe, the latest 256."""


class Recalled(msgspec.Struct, frozen=True, kw_only=True):
    """Notes of RECALLED, one entry a picture."""

    frames: list[int]
    """Their indices since the memory began."""
    poses: list[tuple[float, float, float]]
    """x, z and yaw, as `Plan.keyframes`."""
    used: bool
    """True: they are in the context. False: they show what is seen; only points are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """A picture with all that goes with it."""

    header: Header
    picture: bytes
    pose: View | None = None
    depth: NDArray[np.uint16] | None = None
    """[y, x] inverse depth in steps of 1 / (DIOPTRE m), coarser than the picture."""
    notes: Plan | Recalled | None = None
    """Plan of a PLAN, Recalled of RECALLED."""


def write_packet(packet: Packet) -> bytes:
    """The bytes of a packet; its flags for blocks, length and checksum are set here."""
    flags = packet.header.flags & ~(Flag.POSE | Flag.DEPTH | Flag.NOTES)
    parts: list[bytes] = []
    if packet.pose is not None:
        flags |= Flag.POSE
        parts.append(POSE.pack(*packet.pose.quaternion, *packet.pose.position, packet.pose.fov))
    if packet.depth is not None:
        flags |= Flag.DEPTH
        rows, columns = packet.depth.shape
        parts += [DEPTH.pack(columns, rows), packet.depth.astype("<u2").tobytes()]
    if packet.notes is not None:
        flags |= Flag.NOTES
        notes = msgspec.json.encode(packet.notes)
        parts += [NOTES.pack(len(notes)), notes]
    payload = b"".join((*parts, packet.picture))
    head = replace(packet.header, flags=flags, payload_bytes=len(payload), crc=zlib.crc32(payload))
    return write_header(head) + payload


def write_header(head: Header) -> bytes:
    """The 64 bytes of a header."""
    stages = (head.generate_ms, head.decode_ms, head.encode_ms, head.queue_ms)
    return HEADER.pack(
        MAGIC,
        head.kind,
        head.coding,
        head.flags,
        head.epoch,
        head.frame,
        head.chunk,
        head.index,
        head.count,
        head.seq,
        head.width,
        head.height,
        head.pts_us,
        head.sent_us,
        *(min(round(ms), MOST_MS) for ms in stages),
        head.payload_bytes,
        head.crc,
    )


def stamped(packet: bytes, sent_us: int, queue_ms: float) -> bytearray:
    """A copy of a packet that says when it is sent; its checksum, of the payload alone, holds."""
    copy = bytearray(packet)
    _SENT.pack_into(copy, _SENT_AT, sent_us)
    _QUEUE.pack_into(copy, _QUEUE_AT, min(round(queue_ms), MOST_MS))
    return copy


def read_packet(data: bytes) -> Packet:
    """Parse a packet.

    Raises:
        ProtocolError: too short, another magic, kind or length, a checksum that does not hold, or a
            block that is cut.
    """
    if len(data) < HEADER.size:
        raise ProtocolError(f"A packet of {len(data)} bytes has no header of {HEADER.size}.")
    magic, kind, coding, flags, *rest = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise ProtocolError(f"A packet begins with {magic!r}, expected {MAGIC!r}.")
    try:
        named = dict(zip(_FIELDS, rest, strict=True))
        # An unknown flag is passed over; Python would remember each combination of them.
        known = Flag(flags & sum(Flag))
        header = Header(kind=Kind(kind), coding=Coding(coding), flags=known, **named)
    except ValueError as error:
        raise ProtocolError(f"A packet can't be read ({error}); renew the client.") from error
    payload = memoryview(data)[HEADER.size :]
    if len(payload) != header.payload_bytes:
        raise ProtocolError(
            f"A packet has {len(payload)} bytes after its header, which says "
            f"{header.payload_bytes}."
        )
    if zlib.crc32(payload) != header.crc:
        raise ProtocolError(
            f"A packet has the checksum {zlib.crc32(payload):08x}, its header says "
            f"{header.crc:08x}."
        )
    return _unpack(header, payload)


_FIELDS = tuple(Header.__dataclass_fields__)[3:]


_NOTES = {Kind.VIDEO: None, Kind.PLAN: Plan, Kind.RECALLED: Recalled}


def _unpack(header: Header, payload: memoryview) -> Packet:
    pose = depth = notes = None
    if header.flags & Flag.POSE:
        block, payload = _cut(payload, POSE.size, "pose")
        numbers = POSE.unpack(block)
        pose = View(numbers[:4], numbers[4:7], numbers[7])
    if header.flags & Flag.DEPTH:
        block, payload = _cut(payload, DEPTH.size, "depth")
        columns, rows = DEPTH.unpack(block)
        block, payload = _cut(payload, 2 * rows * columns, "depth")
        depth = np.frombuffer(block, "<u2").reshape(rows, columns)
    if header.flags & Flag.NOTES:
        block, payload = _cut(payload, NOTES.size, "notes")
        block, payload = _cut(payload, NOTES.unpack(block)[0], "notes")
        try:
            notes = msgspec.json.decode(block, type=_NOTES[header.kind])
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise ProtocolError(f"A packet's notes can't be read ({error}).") from error
    return Packet(header=header, picture=bytes(payload), pose=pose, depth=depth, notes=notes)


def _cut(payload: memoryview, size: int, block: str) -> tuple[memoryview, memoryview]:
    if len(payload) < size:
        raise ProtocolError(
            f"A packet's {block} block needs {size} bytes, {len(payload)} are left."
        )
    return payload[:size], payload[size:]
