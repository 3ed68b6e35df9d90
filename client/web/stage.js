/** What is on the screen: the newest frame that is due, warped to where the camera is by now. */

import { JitterBuffer } from "./buffer.js";
import { Prediction } from "./prediction.js";
import { DIOPTRE } from "./protocol.js";

const STILL = { rotation: [1, 0, 0, 0, 1, 0, 0, 0, 1], shift: [0, 0, 0], yaw: 0, moved: false };
const NOTHING = [0, 0, 0, 0];
/** Milliseconds between two drawings where they are slow. */
const GENTLE = 28;

/** The picture from the buffer to the canvas; times are milliseconds. */
export class Stage {
  /** @param {import("./screen.js").Screen} screen */
  constructor(screen) {
    this.screen = screen;
    this.buffer = new JitterBuffer(15);
    /** @type {Prediction | null} */
    this.prediction = null;
    /** @type {any} the frame on the screen */
    this.frame = null;
    this.view = STILL;
    this.reproject = true;
    this.driver = true;
    this.stale = true;
    this.drawn = 0;
    this.look = [0, 0];
    /** Drawings since the newest input that holds something, and how many it took to obey it. */
    this.waits = Infinity;
    this.response = 0;
  }

  /** Another connection. @param {any} welcome @param {number} now */
  enter(welcome, now) {
    this.driver = welcome.driver;
    this.screen.look(welcome.world.lens);
    this.buffer.restart(0);
    this.buffer = new JitterBuffer(welcome.world.fps);
    this.prediction = new Prediction(welcome.world, now);
    this.stale = true;
  }

  /** What is held from now on. @param {number[]} axes @param {number[]} look @param {number} now */
  hold(axes, look, now) {
    this.look = look;
    this.prediction?.hold(now, axes, look);
  }

  /** Nothing is held any more that one could wait for. @param {number} now */
  rest(now) {
    this.waits = Infinity;
    this.hold(NOTHING, this.look, now);
  }

  /**
   * Show what is due.
   * @param {number} now
   * @param {import("./clock.js").ServerClock} clock
   * @returns {any} the frame that is new on the screen, or null
   */
  tick(now, clock) {
    const frame = this.buffer.take(now);
    if (frame) this.show(frame, now, clock);
    if (this.frame) this.draw(now);
    return frame;
  }

  show(frame, now, clock) {
    this.frame?.close();
    this.frame = frame;
    this.stale = true;
    this.screen.upload(frame.picture, frame.depth);
    if (!frame.pose || !this.prediction) return;
    const { header } = frame;
    const spent = header.generate_ms + header.decode_ms + header.encode_ms + header.queue_ms;
    const latched = clock.here(header.sent_us) / 1000 - spent;
    const stands = latched + (header.index + 1) * this.buffer.period;
    this.prediction.show(frame.pose, clock.known ? stands : now, ahead(frame.depth), now);
  }

  draw(now) {
    const predicts = this.reproject && this.driver && this.prediction;
    const view = predicts ? this.prediction.view(now, Boolean(this.frame.depth)) : STILL;
    this.waits += 1;
    const same = alike(view.rotation, this.view.rotation) && alike(view.shift, this.view.shift);
    // Where drawing is slow, a warp between two frames waits a little: the world needs the machine.
    const soon = this.screen.slow && now - this.drawn < GENTLE;
    if ((same || soon) && !this.stale) return;
    this.drawn = now;
    if (!same && this.waits < Infinity) {
      this.response = this.waits;
      this.waits = Infinity;
    }
    this.view = view;
    this.stale = false;
    this.screen.draw(view.rotation, view.shift);
  }

  /** How the picture differs from the frame that was generated. */
  get reprojection() {
    const { moved, yaw } = this.view;
    return { on: this.reproject && this.driver, moved, yaw, response: this.response };
  }
}

const alike = (a, b) => a.every((value, i) => Math.abs(value - b[i]) < 1e-4);

/** Metres to the nearest thing in the middle third of the picture. */
function ahead(depth) {
  if (!depth) return 0;
  const { width, height, values } = depth;
  let nearest = 1;
  for (let y = Math.floor(height / 3); y < (2 * height) / 3; y++) {
    for (let x = Math.floor(width / 3); x < (2 * width) / 3; x++) {
      nearest = Math.max(nearest, values[y * width + x]);
    }
  }
  return DIOPTRE / nearest;
}
