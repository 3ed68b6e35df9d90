/** The panel of the walk: its beginning, policy, scenes and prompts, each with receipts. */

import { find, make } from "./dom.js";
import { MAX_PROMPT, State } from "./protocol.js";

const MODES = {
  keep: "keep all",
  recache: "encode the last frames again",
  flush: "forget the middle",
  cut: "cut elsewhere",
  recall: "bring back a scene",
};

/** What is asked of the walk. */
export class Panel {
  /** @param {(message: any) => void} send */
  constructor(send) {
    this.send = send;
    this.requests = 0;
    /** @type {Map<number, {place: HTMLElement, what: string, done: (applied: boolean) => void}>} */
    this.asked = new Map();
    this.world = null;
    /** The policy that runs. */
    this.policy = "";
    find("prompt").maxLength = MAX_PROMPT;
    find("walk").addEventListener("submit", (event) => {
      event.preventDefault();
      this.begin();
      find("world").focus();
    });
    find("dice").addEventListener("click", () => {
      find("seed").value = String(Math.floor(Math.random() * 1e6));
    });
    find("policy").addEventListener("change", () => {
      this.choose(find("policy").value);
      find("world").focus(); // keys walk again
    });
    find("text").addEventListener("submit", (event) => {
      event.preventDefault();
      this.say(find("prompt").value.trim());
    });
  }

  /** @param {any} world of `Welcome` */
  fill(world) {
    this.world = world;
    const start = find("start").value;
    find("start").replaceChildren(...world.starts.map((name) => make("option", {}, name)));
    if (world.starts.includes(start)) find("start").value = start;
    find("policy").replaceChildren(
      ...world.policies.map(({ name }) => make("option", { value: name }, name)),
    );
    find("text").hidden = !world.takes_text;
    find("no-text").hidden = world.takes_text;
    this.show(this.policy || world.policy);
  }

  /** Begin a walk as the panel says. */
  begin() {
    const seed = Math.min(
      Number.MAX_SAFE_INTEGER,
      Math.max(0, Math.floor(Number(find("seed").value))),
    );
    this.send({
      t: "start",
      start: find("start").value,
      seed: seed || 0,
      policy: find("policy").value,
    });
  }

  /** A walk runs. @param {any} ready of the server */
  ready({ start, seed, policy }) {
    if ([...find("start").options].some((option) => option.value === start))
      find("start").value = start;
    find("seed").value = String(seed);
    this.show(policy || this.world.policy);
    this.asked.clear();
    for (const receipt of document.querySelectorAll(".receipt")) receipt.textContent = "";
  }

  /** Another policy runs. */
  show(name) {
    this.policy = name;
    const plain = name.split(":")[0];
    const policy = this.world.policies.find((each) => each.name === plain);
    const select = find("policy");
    if (![...select.options].some((option) => option.value === name)) {
      select.append(make("option", { value: name }, name));
    }
    select.value = name;
    find("policy-summary").textContent = policy?.summary ?? "";
    const buttons = (policy?.modes ?? []).map((mode) => {
      const button = make("button", { type: "button", title: MODES[mode] ?? "" }, mode);
      button.dataset.mode = mode;
      button.addEventListener("click", () => this.change(mode));
      return button;
    });
    find("modes").replaceChildren(...buttons);
    find("scene").hidden = buttons.length === 0;
  }

  choose(name) {
    const before = this.policy;
    this.ask({ t: "policy", name }, find("policy-receipt"), name, (applied) =>
      this.show(applied ? name : before),
    );
  }

  change(mode) {
    this.ask({ t: "switch", mode }, find("scene-receipt"), mode);
  }

  say(text) {
    if (text) this.ask({ t: "prompt", text }, find("prompt-receipt"), "prompt");
  }

  ask(message, place, what, done = () => {}) {
    const id = ++this.requests;
    this.asked.set(id, { place, what, done });
    place.dataset.state = "sent";
    place.textContent = `${what}: sent`;
    this.send({ ...message, id });
  }

  /** @param {any} receipt of the server */
  receipt({ id, state, chunk, why }) {
    const asked = this.asked.get(id);
    if (!asked) return;
    const { place, what, done } = asked;
    place.dataset.state = state;
    if (state === State.RECEIVED) {
      place.textContent = `${what}: received`;
      return;
    }
    this.asked.delete(id);
    const applied = state === State.APPLIED;
    place.textContent = applied ? `${what}: applied from block ${chunk}` : `${what}: ${why}`;
    done(applied);
  }
}
