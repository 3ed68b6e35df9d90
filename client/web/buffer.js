/**
 * The jitter buffer: frames come in bursts, a block at a time, and leave evenly.
 *
 * Media time runs at the frames' own pace. Within a dead band nothing is corrected, since the
 * server paces too, by what it is told was shown. Outside of it the pace bends by a few percent:
 * slower where the next block comes hardly in time, faster where too much waits. When the buffer
 * ran dry, the next frame is shown at once and media time begins anew from it.
 */

import { Flag } from "./protocol.js";

/** Frames before a cutover that are still shown. */
export const OLDER = 3;
/** Frames that wait, at most; the oldest make way. */
export const MOST = 128;
export const SLOWEST = 0.92;
export const FASTEST = 1.12;
/** Milliseconds that should be left when a block comes: less slows down, more speeds up. */
const SCARCE = 8;
const AMPLE = 160;

/**
 * @typedef {object} Frame
 * @property {Record<string, number>} header
 * @property {number} arrived milliseconds
 * @property {() => void} close gives its picture back
 */

/** Frames that wait to be shown; all times are milliseconds. */
export class JitterBuffer {
  /** @param {number} fps */
  constructor(fps) {
    this.period = 1000 / fps;
    /** @type {Frame[]} */
    this.frames = [];
    this.epoch = 0;
    this.rate = 1;
    /** Frames that were never shown. */
    this.dropped = 0;
    /** @type {number} index of the newest frame that was taken */
    this.taken = -1;
    this.media = 0;
    this.at = 0;
    this.end = 0;
    this.dry = true;
  }

  /** Milliseconds of frames that wait. */
  get waiting() {
    return this.dry ? 0 : Math.max(0, this.end - this.media);
  }

  /**
   * Put a frame in; one of an older epoch, or one that comes too late, is dropped.
   * @param {Frame} frame
   * @param {number} now
   */
  push(frame, now) {
    const { epoch, frame: index, index: place, pts_us, flags } = frame.header;
    if (epoch < this.epoch || (epoch === this.epoch && index <= this.taken)) {
      this.drop([frame]);
      return;
    }
    if (epoch > this.epoch) this.restart(epoch);
    this.advance(now);
    if (flags & Flag.CUTOVER) this.cut();
    if (!this.dry && place === 0) this.bend(this.end - this.media);
    this.frames.push(frame);
    this.end = pts_us / 1000 + this.period;
    if (this.frames.length > MOST) this.drop(this.frames.splice(0, this.frames.length - MOST));
  }

  /**
   * The frame that is due; those that it leaves behind are dropped.
   * @param {number} now
   * @returns {Frame | null} null: what is on the screen stays
   */
  take(now) {
    this.advance(now);
    if (this.dry && this.frames.length > 0) {
      this.media = this.frames[0].header.pts_us / 1000;
      this.dry = false;
      this.rate = 1;
    }
    let due = 0;
    while (due < this.frames.length && this.frames[due].header.pts_us / 1000 <= this.media) due++;
    if (due === 0) {
      if (this.frames.length === 0 && this.media > this.end) this.dry = true;
      return null;
    }
    const out = this.frames.splice(0, due);
    const frame = out.pop();
    this.drop(out);
    this.taken = frame.header.frame;
    return frame;
  }

  /**
   * Forget what waits and begin anew.
   * @param {number} epoch frames of older ones are stale
   */
  restart(epoch) {
    this.drop(this.frames.splice(0));
    this.epoch = epoch;
    this.taken = -1;
    this.dry = true;
  }

  advance(now) {
    if (!this.dry) this.media += Math.max(0, now - this.at) * this.rate;
    this.at = now;
  }

  /** A newer input shows soon: few frames that know nothing of it stay before it. */
  cut() {
    if (this.frames.length <= OLDER) return;
    this.drop(this.frames.splice(0, this.frames.length - OLDER));
    this.media = Math.max(this.media, this.frames[0].header.pts_us / 1000);
  }

  bend(left) {
    const scarce = (Math.max(0, SCARCE - left) / SCARCE) * (1 - SLOWEST);
    const ample = Math.max(0, left - AMPLE) / 1000;
    this.rate = Math.min(FASTEST, Math.max(SLOWEST, 1 - scarce + ample));
  }

  drop(frames) {
    for (const frame of frames) frame.close();
    this.dropped += frames.length;
  }
}
