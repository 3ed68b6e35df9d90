"""The protocol as a JavaScript module, so that the viewer repeats no number of it.

`python -m worldrt.protocol.script` writes `client/web/protocol.js`; a test compares.
"""

import struct
from enum import IntEnum, IntFlag, StrEnum
from pathlib import Path
from textwrap import fill

import msgspec

from worldrt.protocol import packets, terms
from worldrt.protocol.declared import fields
from worldrt.protocol.packets import (
    DEPTH,
    HEADER,
    MAGIC,
    NOTES,
    POSE,
    Coding,
    Flag,
    Header,
    Kind,
)
from worldrt.protocol.terms import Close, Codec, Delivery, State

SCRIPT = Path(__file__).parents[1] / "client" / "web" / "protocol.js"
"""Where the viewer looks for it."""

_GETTERS = {"B": "getUint8", "H": "getUint16", "I": "getUint32", "Q": "getBigUint64"}

_HEAD = """\
// The wire of worldrt. Made from worldrt/protocol by `python -m worldrt.protocol.script`.
"""

_PACKET = """
/** Bytes of the header. */
export const HEADER_BYTES = {header_bytes};

/** The header of a packet, whose fields have the names that docs/protocol.md tells. */
export function readHeader(view) {{
  return {{
{getters}
  }};
}}

/**
 * Take a packet apart; what it holds lies in `buffer`, nothing is copied.
 *
 * @param {{ArrayBuffer}} buffer a binary message, whole.
 * @returns {{{{header: Object, pose: ?Object, depth: ?Object, notes: ?Object,
 *   picture: Uint8Array}}}} pose {{quaternion: [w, x, y, z], position: [x, y, z], fov}};
 *   depth {{width, height, values: Uint16Array}}, inverse, in steps of 1 / (DIOPTRE m).
 * @throws {{Error}} the bytes are no packet; the message is a sentence.
 */
export function readPacket(buffer) {{
  const view = new DataView(buffer);
  if (buffer.byteLength < HEADER_BYTES || view.getUint32(0) !== {magic}) {{
    throw new Error(`A message of ${{buffer.byteLength}} bytes is no packet of ${{VERSION}}.`);
  }}
  const header = readHeader(view);
  const payload = new Uint8Array(buffer, HEADER_BYTES);
  if (payload.length !== header.payload_bytes || crc32(payload) !== header.crc) {{
    throw new Error(`Packet ${{header.frame}} came damaged.`);
  }}
  let at = HEADER_BYTES;
  let pose = null;
  let depth = null;
  let notes = null;
  if (header.flags & Flag.POSE) {{
    const float = (_, index) => view.getFloat32(at + 4 * index, true);
    const [w, x, y, z, ...rest] = Array.from({{ length: {pose_floats} }}, float);
    pose = {{ quaternion: [w, x, y, z], position: rest.slice(0, 3), fov: rest[3] }};
    at += {pose_bytes};
  }}
  if (header.flags & Flag.DEPTH) {{
    const width = view.getUint16(at, true);
    const height = view.getUint16(at + 2, true);
    at += {depth_bytes};
    depth = {{ width, height, values: new Uint16Array(buffer, at, width * height) }};
    at += 2 * width * height;
  }}
  if (header.flags & Flag.NOTES) {{
    const length = view.getUint32(at, true);
    at += {notes_bytes};
    notes = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, at, length)));
    at += length;
  }}
  return {{ header, pose, depth, notes, picture: new Uint8Array(buffer, at) }};
}}

const CRC_TABLE = Uint32Array.from({{ length: 256 }}, (_, byte) => {{
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
}});

function crc32(bytes) {{
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return ~crc >>> 0;
}}
"""


def script() -> str:
    """The text of the module."""
    enums = (Close, Codec, Delivery, State, Kind, Coding, Flag)
    parts = [_HEAD, *_constants(), *(_enum(enum) for enum in enums)]
    layout = _PACKET.format(
        header_bytes=HEADER.size,
        getters=_getters(),
        magic=f"0x{MAGIC.hex()}",
        pose_floats=POSE.size // 4,
        pose_bytes=POSE.size,
        depth_bytes=DEPTH.size,
        notes_bytes=NOTES.size,
    )
    return "".join((*parts, layout))


def header_layout() -> list[tuple[str, int, str]]:
    """Name, first byte and struct letter of each field of the header, the magic aside."""
    sizes = HEADER.format.lstrip("<").removeprefix(f"{len(MAGIC)}s")
    names = list(Header.__dataclass_fields__)
    found, at = [], len(MAGIC)
    for name, letter in zip(names, sizes, strict=True):
        found.append((name, at, letter))
        at += struct.calcsize(f"<{letter}")
    return found


def _constants() -> list[str]:
    """What both modules say in plain values."""
    lines = []
    for module in (terms, packets):
        for field in fields(module):
            value = getattr(module, field.name)
            if field.name[0] != "_" and isinstance(value, int | float | str | dict):
                text = f"Object.freeze({_json(value)})" if isinstance(value, dict) else _json(value)
                lines += [_comment(field.text), f"export const {field.name} = {text};\n"]
    return lines


def _enum(enum: type[IntEnum] | type[IntFlag] | type[StrEnum]) -> str:
    lines = [_comment(enum.__doc__ or ""), f"export const {enum.__name__} = Object.freeze({{\n"]
    for field in fields(enum):
        lines += [_comment(field.text, "  "), f"  {field.name}: {_json(enum[field.name].value)},\n"]
    return "".join((*lines, "});\n"))


def _getters() -> str:
    """One line a field; times of 64 bits are numbers, exact up to 2**53 microseconds."""
    lines = []
    for name, at, letter in header_layout():
        read = f"view.{_GETTERS[letter]}({at}" + (")" if letter == "B" else ", true)")
        lines.append(f"    {name}: {f'Number({read})' if letter == 'Q' else read},")
    return "\n".join(lines)


def _comment(text: str, indent: str = "") -> str:
    """A comment; at the margin with an empty line above."""
    above = "" if indent else "\n"
    if not text:
        return above
    lines = fill(f"/** {text} */", 100, initial_indent=indent, subsequent_indent=f"{indent} * ")
    return f"{above}{lines}\n"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


if __name__ == "__main__":
    SCRIPT.write_text(script())
