// The wire of worldrt. Made from worldrt/protocol by `python -m worldrt.protocol.script`.

/** Subprotocol of the WebSocket, and first entry of `Hello.versions`. */
export const VERSION = "worldrt.v1";

/** Bytes of a message to the server, at most. */
export const MAX_MESSAGE = 16384;

/** Characters of a prompt, at most. */
export const MAX_PROMPT = 2000;

/** Inputs a second, at most; what is beyond is passed over, since the next one says it all. */
export const MAX_INPUTS = 120;

/** Messages a second of all kinds, at most; more end the connection. */
export const MAX_MESSAGES = 240;

/** Seconds in which a client must introduce itself. */
export const HELLO_S = 5.0;

/** Seconds after which a client with a held key says so again. */
export const HEARTBEAT_S = 0.05;

/** Seconds without an input after which the server lets go of all keys. */
export const SILENCE_S = 0.3;

/** Seconds between two acknowledgements, at least. */
export const ACK_S = 0.03333333333333333;

/** Degrees that a mouse may have turned in all, at most. */
export const MAX_LOOK = 1000000.0;

/** Bit of each key of `Input.keys`: WASD move, IJKL look. */
export const KEYMAP = Object.freeze({"W":1,"A":2,"S":4,"D":8,"I":16,"J":32,"K":64,"L":128});

/** Milliseconds that a header's stage can tell; longer ones read so. */
export const MOST_MS = 65535;

/** Steps of the depth block in one dioptre (1 / metre); 0 is unknown or far, 65535 is 1/16 m. */
export const DIOPTRE = 4096;

/** Bytes after the header, at most. */
export const MOST_PAYLOAD = 16777216;

/** Why the server ends a connection; the reason is a sentence beside it. */
export const Close = Object.freeze({
  /** The server shuts down. */
  GOING_AWAY: 1001,
  /** A message of more than MAX_MESSAGE bytes. */
  TOO_BIG: 1009,
  /** The client speaks another version. */
  VERSION: 4000,
  /** No or a wrong token, or a session that is not there. */
  TOKEN: 4001,
  /** A message that is none of the protocol's, or not its turn. */
  MALFORMED: 4002,
  /** Too many messages. */
  RATE: 4003,
  /** No hello in time. */
  SILENT: 4004,
  /** Nobody pressed a key for too long. */
  IDLE: 4005,
  /** The session was as long as one may be. */
  LIFETIME: 4006,
  /** Too many wait already. */
  FULL: 4007,
  /** The session goes on in another connection. */
  REPLACED: 4008,
  /** A block could not be made. */
  FAULT: 4009,
  /** The session that was watched, or left with `bye`, is over. */
  ENDED: 4010,
});

/** How pictures are coded. */
export const Codec = Object.freeze({
  JPEG: "jpeg",
  H264: "h264",
});

/** What becomes of frames that a connection is too slow for. */
export const Delivery = Object.freeze({
  /** They are dropped; control stays fresh. */
  LATEST: "latest",
  /** The world waits for them. */
  LOSSLESS: "lossless",
});

/** What became of a request. */
export const State = Object.freeze({
  RECEIVED: "received",
  APPLIED: "applied",
  REFUSED: "refused",
});

/** What a packet holds. */
export const Kind = Object.freeze({
  /** A generated frame. */
  VIDEO: 1,
  /** The floor plan of the memory, PNG; notes say where it lies. */
  PLAN: 2,
  /** Past frames that the memory finds for the view, side by side, JPEG; notes say which. */
  RECALLED: 3,
});

/** How its picture is coded. */
export const Coding = Object.freeze({
  JPEG: 1,
  /** One access unit, Annex B; parameter sets before every key frame. */
  H264: 2,
  PNG: 3,
});

/** What is to be known of a packet. */
export const Flag = Object.freeze({
  /** Shows without the ones before it. */
  KEY: 1,
  /** Last frame of its chunk. */
  LAST: 2,
  /** First frame that obeys a newer input than the one before. */
  CUTOVER: 4,
  /** A pose block follows. */
  POSE: 8,
  /** A depth block follows. */
  DEPTH: 16,
  /** A block of notes follows. */
  NOTES: 32,
});

/** Bytes of the header. */
export const HEADER_BYTES = 64;

/** The header of a packet, whose fields have the names that docs/protocol.md tells. */
export function readHeader(view) {
  return {
    kind: view.getUint8(4),
    coding: view.getUint8(5),
    flags: view.getUint16(6, true),
    epoch: view.getUint32(8, true),
    frame: view.getUint32(12, true),
    chunk: view.getUint32(16, true),
    index: view.getUint16(20, true),
    count: view.getUint16(22, true),
    seq: view.getUint32(24, true),
    width: view.getUint16(28, true),
    height: view.getUint16(30, true),
    pts_us: Number(view.getBigUint64(32, true)),
    sent_us: Number(view.getBigUint64(40, true)),
    generate_ms: view.getUint16(48, true),
    decode_ms: view.getUint16(50, true),
    encode_ms: view.getUint16(52, true),
    queue_ms: view.getUint16(54, true),
    payload_bytes: view.getUint32(56, true),
    crc: view.getUint32(60, true),
  };
}

/**
 * Take a packet apart; what it holds lies in `buffer`, nothing is copied.
 *
 * @param {ArrayBuffer} buffer a binary message, whole.
 * @returns {{header: Object, pose: ?Object, depth: ?Object, notes: ?Object,
 *   picture: Uint8Array}} pose {quaternion: [w, x, y, z], position: [x, y, z], fov};
 *   depth {width, height, values: Uint16Array}, inverse, in steps of 1 / (DIOPTRE m).
 * @throws {Error} the bytes are no packet; the message is a sentence.
 */
export function readPacket(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < HEADER_BYTES || view.getUint32(0) !== 0x57525431) {
    throw new Error(`A message of ${buffer.byteLength} bytes is no packet of ${VERSION}.`);
  }
  const header = readHeader(view);
  const payload = new Uint8Array(buffer, HEADER_BYTES);
  if (payload.length !== header.payload_bytes || crc32(payload) !== header.crc) {
    throw new Error(`Packet ${header.frame} came damaged.`);
  }
  let at = HEADER_BYTES;
  let pose = null;
  let depth = null;
  let notes = null;
  if (header.flags & Flag.POSE) {
    const float = (_, index) => view.getFloat32(at + 4 * index, true);
    const [w, x, y, z, ...rest] = Array.from({ length: 8 }, float);
    pose = { quaternion: [w, x, y, z], position: rest.slice(0, 3), fov: rest[3] };
    at += 32;
  }
  if (header.flags & Flag.DEPTH) {
    const width = view.getUint16(at, true);
    const height = view.getUint16(at + 2, true);
    at += 4;
    depth = { width, height, values: new Uint16Array(buffer, at, width * height) };
    at += 2 * width * height;
  }
  if (header.flags & Flag.NOTES) {
    const length = view.getUint32(at, true);
    at += 4;
    notes = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, at, length)));
    at += length;
  }
  return { header, pose, depth, notes, picture: new Uint8Array(buffer, at) };
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return ~crc >>> 0;
}
