/** Pictures from bytes, in the order that they came: JPEG anywhere, H.264 where WebCodecs is. */

import { Coding, Flag, Kind } from "./protocol.js";

/** Whether H.264 can be shown: WebCodecs is for secure pages only. */
export async function decodesH264() {
  if (typeof VideoDecoder === "undefined") return false;
  const { supported } = await VideoDecoder.isConfigSupported(H264);
  return supported;
}

// High profile covers what x264's ultrafast makes; without a description it is Annex B.
const H264 = { codec: "avc1.64001f", optimizeForLatency: true };

/** Decodes packets; each goes to `ready` with its picture, or is dropped. */
export class Decoder {
  /**
   * @param {(packet: any, picture: ImageBitmap | VideoFrame) => void} ready
   * @param {(why: string) => void} lost H.264 can't be decoded here after all
   */
  constructor(ready, lost) {
    this.ready = ready;
    this.lost = lost;
    /** Pictures that were never made. */
    this.dropped = 0;
    this.last = Promise.resolve();
    /** @type {Map<number, any>} packets inside of the video decoder, by timestamp */
    this.inside = new Map();
    /** @type {VideoDecoder | null} */
    this.video = null;
    this.stamp = 0;
  }

  /** @param {any} packet as `readPacket` gives it */
  take(packet) {
    if (packet.header.kind === Kind.VIDEO && packet.header.coding === Coding.H264) {
      this.takeVideo(packet);
      return;
    }
    const type = packet.header.coding === Coding.PNG ? "image/png" : "image/jpeg";
    const bitmap = createImageBitmap(new Blob([packet.picture], { type }));
    this.last = this.last
      .then(() => bitmap)
      .then(
        (picture) => this.ready(packet, picture),
        () => {
          this.dropped += 1; // a picture that can't be read is one that is not shown
        },
      );
  }

  takeVideo(packet) {
    const key = Boolean(packet.header.flags & Flag.KEY);
    if (!this.video || this.video.state === "closed") {
      if (!key) {
        this.dropped += 1;
        return;
      }
      this.open();
    }
    const timestamp = this.stamp++;
    this.inside.set(timestamp, packet);
    const type = key ? "key" : "delta";
    this.video.decode(new EncodedVideoChunk({ type, timestamp, data: packet.picture }));
  }

  open() {
    this.video = new VideoDecoder({
      output: (picture) => {
        const packet = this.inside.get(picture.timestamp);
        this.inside.delete(picture.timestamp);
        this.ready(packet, picture);
      },
      error: (error) => {
        this.reset();
        this.lost(error.message);
      },
    });
    this.video.configure(H264);
  }

  /** Forget what is inside: the next picture of a video must be a key frame. */
  reset() {
    this.dropped += this.inside.size;
    this.inside.clear();
    if (this.video && this.video.state !== "closed") this.video.close();
    this.video = null;
  }
}
