/** The cache, region by region: how many tokens and bytes each holds. */

import { bytesText, countText, find, make } from "./dom.js";

const COLOURS = {
  sink: "#f0b35e",
  spatial: "#8fd0c4",
  mid: "#b79ce0",
  recent: "#6fa8dc",
  block: "#8a94a0",
};

/** Bars that are as long as their region's share of the fullest context so far. */
export class Bars {
  constructor() {
    this.rows = {};
    this.most = 1;
    const bars = find("bars");
    for (const [name, colour] of Object.entries(COLOURS)) {
      const fill = make("div", { className: "fill" });
      fill.style.background = colour;
      const amount = make("span", { className: "amount", textContent: "–" });
      const track = make("div", { className: "track" }, fill);
      bars.append(make("div", { className: "bar" }, make("span", {}, name), track, amount));
      this.rows[name] = { fill, amount, track };
    }
    this.foot = make("div", { className: "bars-foot" });
    bars.append(this.foot);
  }

  /** Another policy fills another cache. */
  restart() {
    this.most = 1;
  }

  /** @param {any} stats of the server */
  show(stats) {
    this.most = Math.max(this.most, ...stats.partitions.map(({ tokens }) => tokens));
    let bytes = 0;
    for (const { name, frames, tokens, bytes: own } of stats.partitions) {
      bytes += own;
      const row = this.rows[name];
      if (!row) continue;
      row.fill.style.width = `${(100 * tokens) / this.most}%`;
      row.amount.textContent = `${countText(tokens)} tokens · ${bytesText(own)}`;
      row.track.title = `${frames} latent frames`;
    }
    this.foot.textContent =
      `cache ${bytesText(bytes)} · ${stats.evicted} evicted · ` +
      `memory ${bytesText(stats.memory_bytes)} · server ${bytesText(stats.rss_bytes)}`;
  }
}
