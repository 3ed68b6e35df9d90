/** The line on top, the figures, the key caps, and short notes. */

import { ACTIONS, keyName } from "./bindings.js";
import { find, make } from "./dom.js";

const NOTE_MS = 5000;
/** Where each key's cap lies: row and column. */
const CAPS = {
  W: [1, 2],
  A: [2, 1],
  S: [2, 2],
  D: [2, 3],
  I: [1, 6],
  J: [2, 5],
  K: [2, 6],
  L: [2, 7],
};
const NAMES = {
  connecting: "connecting",
  queued: "waiting",
  loading: "loading",
  live: "live",
  paused: "paused",
  reconnecting: "reconnecting",
  ended: "ended",
};

const ms = (value) => (value === null ? "–" : `${Math.round(value)} ms`);

/** Says for a while what has happened. @param {string} text @param {boolean} [bad] */
export function note(text, bad = false) {
  const toasts = find("toasts");
  const toast = make("div", { className: bad ? "toast bad" : "toast", textContent: text });
  toasts.append(toast);
  while (toasts.children.length > 3) toasts.firstChild.remove();
  setTimeout(() => toast.remove(), bad ? 2 * NOTE_MS : NOTE_MS);
}

/** The caps of the keys, lit while they are held. */
export class Caps {
  /** @param {import("./bindings.js").Bindings} bindings */
  constructor(bindings) {
    this.bindings = bindings;
    this.caps = Object.fromEntries(
      Object.entries(CAPS).map(([action, [row, column]]) => {
        const cap = make("span", { className: "cap", title: ACTIONS[action] });
        cap.dataset.action = action;
        cap.style.gridArea = `${row} / ${column}`;
        find("caps").append(cap);
        return [action, cap];
      }),
    );
    this.name();
  }

  /** Write on each what it is bound to. */
  name() {
    for (const [action, cap] of Object.entries(this.caps)) {
      cap.textContent = keyName(this.bindings.codes[action][0] ?? "");
    }
  }

  /** @param {Set<string>} held */
  show(held) {
    for (const [action, cap] of Object.entries(this.caps)) cap.dataset.held = held.has(action);
  }
}

/** What state the walk is in. @param {string} state @param {string} [words] in place of its name */
export function showState(state, words = "") {
  const pill = find("pill");
  const text = words || NAMES[state];
  pill.dataset.state = words ? "ended" : state;
  if (pill.textContent !== text) pill.textContent = text; // a screen reader says each change
}

const SHOWN = {
  fps: ["fps", "frames a second on the screen"],
  p50: ["to photon, p50", "median time from a key to the first frame that obeys it"],
  p95: ["p95", "95 % of keys show faster than this"],
  lead: ["lead", "frames that wait to be shown"],
  drops: ["dropped", "frames that were never shown"],
  stalls: ["stalls", "times that the picture stood still for more than 250 ms"],
};

/** The figures, in numbers. */
export class Numbers {
  constructor() {
    this.cells = Object.fromEntries(
      Object.entries(SHOWN).map(([key, [name, title]]) => {
        const value = make("b", { textContent: "–" });
        find("figures").append(
          make("div", { className: "figure", title }, value, make("span", {}, name)),
        );
        return [key, value];
      }),
    );
  }

  /** @param {any} stats as the worker tells */
  show(stats) {
    const { fps, m2p, lead_ms, dropped, stalls, reprojection } = stats;
    this.cells.fps.textContent = fps.toFixed(1);
    this.cells.p50.textContent = ms(m2p.p50);
    this.cells.p95.textContent = ms(m2p.p95);
    this.cells.lead.textContent = ms(lead_ms);
    this.cells.drops.textContent = String(dropped);
    this.cells.stalls.textContent = String(stalls);
    find("badge").hidden = stats.frame < 0;
    this.label(reprojection.moved);
  }

  /** Whether the picture is one that was generated, or was warped. @param {boolean} moved */
  label(moved) {
    const badge = find("badge");
    if (badge.dataset.moved === String(moved)) return;
    badge.dataset.moved = String(moved);
    badge.textContent = moved ? "reprojected" : "generated";
    badge.title = moved
      ? "The newest generated frame, warped to where the camera is by now"
      : "A generated frame as it came";
  }
}
