/** How the walk is shown: choices of this browser, kept for the next visit. */

import { find } from "./dom.js";
import { keep, kept } from "./storage.js";

const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Settings of the view. */
export class View {
  /**
   * @param {(option: {reproject: boolean, smooth: boolean}) => void} option told to the worker
   * @param {(message: any) => void} send told to the server
   */
  constructor(option, send) {
    this.option = option;
    this.send = send;
    this.chosen = { reproject: !calm(), depth: true, smooth: true, lead: 500, delivery: "latest" };
    const stored = kept("view") ?? {};
    for (const key of Object.keys(this.chosen)) {
      if (typeof stored[key] === typeof this.chosen[key]) this.chosen[key] = stored[key];
    }
    for (const key of ["reproject", "depth", "smooth"]) {
      find(key).addEventListener("change", () => this.set(key, find(key).checked));
    }
    find("lead").addEventListener("input", () => this.set("lead", Number(find("lead").value)));
    find("delivery").addEventListener("change", () => this.set("delivery", find("delivery").value));
    find("codec").addEventListener("change", () =>
      this.send({ t: "settings", codec: find("codec").value }),
    );
    if (!isSecureContext || typeof VideoDecoder === "undefined") {
      find("codec").options[1].disabled = true;
      find("codec").title = "H.264 is shown by pages that come over HTTPS or from this machine.";
    }
    this.show();
  }

  set(key, value) {
    this.chosen[key] = value;
    keep("view", this.chosen);
    this.show();
    if (key === "reproject" || key === "smooth") this.option(this.chosen);
    if (key !== "smooth") this.send(this.message());
  }

  /** Whether the newest frame is warped. */
  toggle() {
    this.set("reproject", !this.chosen.reproject);
    return this.chosen.reproject;
  }

  /** What a server is told. */
  message() {
    const { depth, reproject, lead, delivery } = this.chosen;
    const max_lead_ms = Math.round(lead);
    return { t: "settings", plan: true, depth: depth && reproject, max_lead_ms, delivery };
  }

  show() {
    for (const key of ["reproject", "depth", "smooth"]) find(key).checked = this.chosen[key];
    find("depth").disabled = !this.chosen.reproject;
    find("lead").value = String(this.chosen.lead);
    find("lead-text").textContent = `${this.chosen.lead} ms`;
    find("delivery").value = this.chosen.delivery;
  }
}
