/**
 * Where the camera is by now: the pose of the frame on the screen, and what the inputs that it does
 * not know yet will have done.
 *
 * A frame stands for a moment of the person's own time: when its block latched the input, and a
 * frame's period for each frame since. From that moment to now the inputs are walked at the world's
 * pace. The world obeys a held key in whole blocks, so that both differ by a little; what is left
 * over when a new frame comes fades instead of jumping. Times are milliseconds, angles radians.
 */

import {
  add,
  angles,
  apply,
  fromAngles,
  identity,
  length,
  matrix,
  product,
  scale,
  subtract,
  transpose,
} from "./rigid.js";

/** History that is kept, and the furthest that is looked ahead. */
const KEPT = 4000;
const FURTHEST = 1500;
/** Most that a frame is warped by: radians, metres, and metres back. */
const MOST_TURN = 1.2;
const MOST_STEP = 1.5;
const MOST_BACK = 0.05;
/** In which a left-over fades to a third. */
const FADE = 90;
/** Degrees of the mouse that the server keeps to be turned. */
const MOST_LOOK = 90;
/** What is too little to be seen. */
const SEEN_TURN = 1e-3;
const SEEN_STEP = 4e-3;

const RADIANS = Math.PI / 180;
const clamp = (value, most) => Math.min(most, Math.max(-most, value));

/**
 * @typedef {{t: number, axes: number[], turned: number[], looked: number[], done: number[]}} Moment
 * what was held from `t` on (right, ahead, turn right, look up); degrees turned by keys, asked for
 * with the mouse and by then done of it, each right and up
 */

/** The person's inputs, and views that obey them before the world does. */
export class Prediction {
  /**
   * @param {{fps: number, move_step: number, turn_step: number, pitch_limit: number}} motion
   * @param {number} now
   */
  constructor(motion, now) {
    this.motion = motion;
    /** @type {Moment[]} */
    this.history = [{ t: now, axes: [0, 0, 0, 0], turned: [0, 0], looked: [0, 0], done: [0, 0] }];
    this.frame = null;
    this.rest = { yaw: 0, pitch: 0, step: [0, 0, 0], at: now };
  }

  /**
   * What is held from now on.
   * @param {number} t
   * @param {number[]} axes right, ahead, turn right, look up
   * @param {number[]} look degrees that the mouse has turned, a running sum
   */
  hold(t, axes, look) {
    this.advance(t);
    const last = this.history.at(-1);
    const looked = look.map((sum, i) => last.done[i] + clamp(sum - last.done[i], MOST_LOOK));
    this.history.push({ ...last, axes, looked });
  }

  /**
   * A frame comes onto the screen.
   * @param {{quaternion: number[], position: number[]}} pose
   * @param {number} stands the moment of the person's time that it stands for
   * @param {number} ahead metres to what is seen in its middle
   * @param {number} now
   */
  show(pose, stands, ahead, now) {
    const rotation = matrix(pose.quaternion);
    const before = this.frame && this.raw(now);
    this.frame = { rotation, position: pose.position, ...angles(rotation), stands, ahead };
    if (!before) return;
    const after = this.raw(now);
    const old = this.faded(now);
    this.rest = {
      yaw: Math.atan2(Math.sin(before.yaw - after.yaw), Math.cos(before.yaw - after.yaw)) + old.yaw,
      pitch: before.pitch - after.pitch + old.pitch,
      step: forwards(rotation, add(subtract(before.position, after.position), old.step)),
      at: now,
    };
    if (Math.abs(this.rest.yaw) > MOST_TURN / 2 || length(this.rest.step) > MOST_STEP) {
      this.rest = { yaw: 0, pitch: 0, step: [0, 0, 0], at: now }; // it stands elsewhere: a cut
    }
  }

  /**
   * How points of the frame's camera lie before the camera that the person expects by now.
   * @param {number} now
   * @param {boolean} steps whether it moves as well as turns
   * @returns {{rotation: number[], shift: number[], yaw: number, moved: boolean}} rotation 3x3 by
   *   rows; yaw: degrees right of the frame; moved: whether one can see it
   */
  view(now, steps) {
    if (!this.frame) return { rotation: identity(), shift: [0, 0, 0], yaw: 0, moved: false };
    const { yaw, pitch, position } = this.raw(now);
    const rest = this.faded(now);
    const turn = clamp(yaw + rest.yaw - this.frame.yaw, MOST_TURN);
    const lift = clamp(pitch + rest.pitch - this.frame.pitch, MOST_TURN);
    let step = steps ? add(subtract(position, this.frame.position), rest.step) : [0, 0, 0];
    const span = length(step);
    if (span > MOST_STEP) step = scale(step, MOST_STEP / span);
    const moved = Math.abs(turn) + Math.abs(lift) > SEEN_TURN || span > SEEN_STEP;
    if (!moved) return { rotation: identity(), shift: [0, 0, 0], yaw: 0, moved };
    const back = transpose(fromAngles(this.frame.yaw + turn, this.frame.pitch + lift));
    const rotation = product(back, this.frame.rotation);
    return { rotation, shift: scale(apply(back, step), -1), yaw: turn / RADIANS, moved };
  }

  /** The expected pose, without what is left over. */
  raw(now) {
    this.advance(now);
    const { yaw, pitch, position, stands, ahead, rotation } = this.frame;
    const history = this.history;
    const from = Math.max(Math.min(stands, now), now - FURTHEST, history[0].t);
    const at = moment(history, from, this.motion);
    const turned = (moment, i) =>
      (moment.turned[i] - at.turned[i] + moment.looked[i] - at.done[i]) * RADIANS;
    let step = [0, 0, 0];
    const pace = (this.motion.move_step * this.motion.fps) / 1000;
    for (let i = history.length - 1; i >= 0; i--) {
      const until = i === history.length - 1 ? now : history[i + 1].t;
      if (until <= from) break;
      const since = Math.max(history[i].t, from);
      const [right, on] = history[i].axes;
      const reach = (pace * (until - since)) / Math.sqrt(Math.max(right * right + on * on, 1));
      const heading = yaw + turned(history[i], 0);
      const [sine, cosine] = [Math.sin(heading), Math.cos(heading)];
      step = add(step, [
        reach * (on * sine + right * cosine),
        0,
        reach * (on * cosine - right * sine),
      ]);
    }
    const onward = apply(transpose(rotation), step)[2];
    const room = Math.max(0, 0.5 * (ahead - 0.4)); // a wall stops the world, and nobody tells us
    if (onward > room) step = scale(step, room / onward);
    const limit = this.motion.pitch_limit * RADIANS;
    const last = history.at(-1);
    return {
      yaw: yaw + clamp(turned(last, 0), MOST_TURN),
      pitch: clamp(pitch + turned(last, 1), Math.max(limit, Math.abs(pitch))),
      position: add(position, step),
    };
  }

  faded(now) {
    const left = Math.exp(-Math.max(0, now - this.rest.at) / FADE);
    const { yaw, pitch, step } = this.rest;
    return { yaw: yaw * left, pitch: pitch * left, step: scale(step, left) };
  }

  advance(now) {
    const last = this.history.at(-1);
    if (now <= last.t) return;
    this.history.push(moment(this.history, now, this.motion));
    while (this.history.length > 2 && this.history[1].t < now - KEPT) this.history.shift();
  }
}

/** A step without most of its way back, which would show what lies beyond the frame's edges. */
function forwards(rotation, step) {
  const ahead = [rotation[2], rotation[5], rotation[8]];
  const on = ahead[0] * step[0] + ahead[1] * step[1] + ahead[2] * step[2];
  return on < -MOST_BACK ? subtract(step, scale(ahead, on + MOST_BACK)) : step;
}

/** @param {Moment[]} history @param {number} t @returns {Moment} */
function moment(history, t, { fps, turn_step }) {
  let i = history.length - 1;
  while (i > 0 && history[i].t > t) i--;
  const before = history[i];
  const most = (turn_step * fps * Math.max(0, t - before.t)) / 1000;
  const turned = before.turned.map((sum, k) => sum + before.axes[2 + k] * most);
  const done = before.done.map((sum, k) => sum + clamp(before.looked[k] - sum, most));
  return { ...before, t, turned, done };
}
