/**
 * What the person holds: keys, mouse, gamepad and touch, as one state that is sent on each change
 * and again while anything is held. Whatever takes the page's attention away lets go of everything.
 */

import { microseconds } from "./clock.js";
import { HEARTBEAT_S, MAX_LOOK } from "./protocol.js";

/** Degrees of the view for each pixel that the mouse moves. */
const MOUSE = 0.12;
/** Milliseconds between two inputs that only the mouse or a stick has changed. */
const COALESCED = 16;
/** Keys of each axis: right, ahead, turn right, look up. */
const AXES = [
  ["D", "A"],
  ["W", "S"],
  ["L", "J"],
  ["I", "K"],
];

const clamp = (value, most) => Math.min(most, Math.max(-most, value));
/** What takes letters for itself. */
const TYPING = "input:not([type=checkbox], [type=range]), select, textarea, dialog";

/** Whether keys are for an element, not for the world. @param {EventTarget | null} target */
export const typing = (target) => target instanceof Element && target.closest(TYPING) !== null;

/** The person's hands. */
export class Controls {
  /**
   * @param {HTMLElement} world takes the mouse when it is clicked
   * @param {import("./bindings.js").Bindings} bindings
   * @param {(input: any) => void} send takes `{keys, axes, look, held, t_us, changed}`
   * @param {(held: Set<string>) => void} echo told at once what is held
   */
  constructor(world, bindings, send, echo) {
    this.world = world;
    this.bindings = bindings;
    this.sendOn = send;
    this.echo = echo;
    /** @type {Record<string, number>} */
    this.keymap = {};
    this.enabled = false;
    /** @type {Map<string, string>} actions by the key or button that holds them */
    this.held = new Map();
    /** @type {Map<string, number[]>} axes of each stick */
    this.sticks = new Map();
    this.look = [0, 0];
    this.changed_us = microseconds();
    this.sent = "";
    this.listen();
    setInterval(() => this.beat(), HEARTBEAT_S * 1000);
  }

  listen() {
    addEventListener("keydown", (event) => this.keyDown(event));
    addEventListener("keyup", (event) => {
      this.up(event.code, event);
      if (event.key === "Meta") this.release(); // macOS tells of no key that goes up beside it
    });
    addEventListener("blur", () => this.release());
    addEventListener("pagehide", () => this.release());
    document.addEventListener("visibilitychange", () => document.hidden && this.release());
    document.addEventListener("pointerlockchange", () => this.locked || this.release());
    document.addEventListener("focusin", ({ target }) => typing(target) && this.release());
    document.addEventListener("mousemove", (event) => this.mouse(event));
    this.world.addEventListener("click", () => this.lock());
  }

  get locked() {
    return document.pointerLockElement === this.world;
  }

  async lock() {
    if (this.locked || !this.enabled || matchMedia("(pointer: coarse)").matches) return;
    try {
      await this.world.requestPointerLock();
    } catch {
      // Refused for a moment after it was left by Escape; the next click takes it.
    }
  }

  keyDown(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    const action = this.bindings.action(event.code);
    if (!action || !this.enabled) return;
    event.preventDefault();
    if (!event.repeat) this.down(event.code, action, event);
  }

  /** A key goes down. @param {string} code @param {string} action @param {Event} [event] */
  down(code, action, event) {
    this.held.set(code, action);
    this.change(event);
  }

  /** It goes up. @param {string} code @param {Event} [event] */
  up(code, event) {
    if (this.held.delete(code)) this.change(event);
  }

  /**
   * A stick lies at.
   * @param {string} name
   * @param {number[]} axes right, ahead, turn right, look up
   */
  stick(name, axes) {
    const before = this.sticks.get(name) ?? [0, 0, 0, 0];
    if (axes.every((value, i) => value === before[i])) return;
    this.sticks.set(name, axes);
    this.touch();
  }

  mouse({ movementX, movementY }) {
    if (!this.locked || !this.enabled) return;
    const look = [this.look[0] + MOUSE * movementX, this.look[1] - MOUSE * movementY];
    this.look = look.map((sum) => clamp(sum, MAX_LOOK));
    this.touch();
  }

  /** Sum of what the mouse turns from here on: a new connection. */
  rebase() {
    this.look = [0, 0];
    this.release();
  }

  /** Let go of everything. */
  release() {
    if (this.held.size === 0 && this.sticks.size === 0) return;
    this.held.clear();
    this.sticks.clear();
    this.change();
  }

  /** A key has changed: said at once. */
  change(event) {
    this.changed_us = event ? stamp(event) : microseconds();
    this.echo(new Set(this.held.values()));
    this.send(true);
  }

  /** A mouse or stick has moved: said soon, with all that moves until then. */
  touch() {
    this.waiting ??= setTimeout(() => {
      this.waiting = undefined;
      this.changed_us = microseconds();
      this.send(true);
    }, COALESCED);
  }

  beat() {
    const { keys, axes } = this.state();
    if (keys || axes.some((value) => value)) this.send(false);
  }

  state() {
    const actions = new Set(this.held.values());
    let keys = 0;
    for (const action of actions) keys |= this.keymap[action] ?? 0;
    const axes = [0, 0, 0, 0];
    for (const stick of this.sticks.values()) stick.forEach((value, i) => (axes[i] += value));
    const held = AXES.map(([up, down], i) =>
      clamp(Number(actions.has(up)) - Number(actions.has(down)) + axes[i], 1),
    );
    return { keys, axes: axes.map((value) => clamp(value, 1)), held };
  }

  send(changed) {
    if (!this.enabled) return;
    this.sendOn({ ...this.state(), look: this.look, t_us: this.changed_us, changed });
  }
}

/** When an event happened, by the clock that page and worker share. */
function stamp(event) {
  return Math.round((performance.timeOrigin + event.timeStamp) * 1000);
}
