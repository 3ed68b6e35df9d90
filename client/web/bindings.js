/** Which key of the keyboard does what, by `event.code`, so that layouts don't matter. */

import { keep, kept } from "./storage.js";

/** What can be bound: the world's keys with what they do. */
export const ACTIONS = Object.freeze({
  W: "walk ahead",
  S: "walk back",
  A: "step left",
  D: "step right",
  J: "turn left",
  L: "turn right",
  I: "look up",
  K: "look down",
});

const USUAL = Object.freeze({
  W: ["KeyW"],
  S: ["KeyS"],
  A: ["KeyA"],
  D: ["KeyD"],
  J: ["KeyJ", "ArrowLeft"],
  L: ["KeyL", "ArrowRight"],
  I: ["KeyI", "ArrowUp"],
  K: ["KeyK", "ArrowDown"],
});

/** The bindings of this browser. */
export class Bindings {
  constructor() {
    this.codes = structuredClone(USUAL);
    const stored = kept("bindings") ?? {};
    for (const action of Object.keys(USUAL)) {
      if (Array.isArray(stored[action])) this.codes[action] = stored[action].map(String);
    }
  }

  /** @param {string} code @returns {string | undefined} the action that it is bound to */
  action(code) {
    return Object.keys(this.codes).find((action) => this.codes[action].includes(code));
  }

  /**
   * Bind a key in the place of another; elsewhere it does nothing any more.
   * @param {string} action
   * @param {number} place
   * @param {string} code
   */
  bind(action, place, code) {
    for (const codes of Object.values(this.codes)) {
      const at = codes.indexOf(code);
      if (at >= 0) codes.splice(at, 1);
    }
    this.codes[action].splice(place, 1, code);
    keep("bindings", this.codes);
  }

  /** Back to the usual ones. */
  reset() {
    this.codes = structuredClone(USUAL);
    keep("bindings", null);
  }
}

/** @param {string} code @returns {string} as it is printed on the key */
export function keyName(code) {
  const arrows = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" };
  return arrows[code] ?? code.replace(/^(Key|Digit)/, "").replace("Numpad", "Num ");
}
