/** The strip chart of blocks: where the time of each went, against the time that it is shown. */

import { find, make, paper } from "./dom.js";

const COLOURS = {
  generate: "#6fa8dc",
  decode: "#8fd0c4",
  encode: "#b79ce0",
  queue: "#f0b35e",
  network: "#e08ba0",
};
const BLOCKS = 96;
const STEP = 6;

/** Keeps the last blocks and draws them. */
export class Timeline {
  constructor() {
    this.blocks = [];
    /** Milliseconds that a block is shown for. */
    this.period = 267;
    this.canvas = find("timeline");
    for (const [stage, colour] of Object.entries(COLOURS)) {
      const dot = make("i");
      dot.style.background = colour;
      find("stages").append(make("span", {}, dot, stage));
    }
  }

  /** @param {{stages: Record<string, number>}} block milliseconds by stage */
  add(block) {
    this.blocks.push(block);
    if (this.blocks.length > BLOCKS) this.blocks.shift();
  }

  /** What the newest block's stages took. @param {Record<string, number>} stage_ms */
  detail(stage_ms) {
    const parts = Object.entries(stage_ms).filter(([, value]) => value >= 0.5);
    this.canvas.title = parts.map(([name, value]) => `${name} ${value.toFixed(0)} ms`).join(" · ");
  }

  draw() {
    const { pen, width, height } = paper(this.canvas);
    const most = this.blocks.map(({ stages }) => Object.values(stages).reduce((a, b) => a + b, 0));
    const scale =
      height / Math.max(this.period * 1.25, ...most.map((sum) => Math.min(sum, 4 * this.period)));
    const shown = this.blocks.slice(-Math.floor(width / STEP));
    shown.forEach(({ stages }, i) => {
      let y = height;
      for (const [stage, colour] of Object.entries(COLOURS)) {
        const tall = (stages[stage] ?? 0) * scale;
        pen.fillStyle = colour;
        pen.fillRect(width - STEP * (shown.length - i), y - tall, STEP - 1.5, tall);
        y -= tall;
      }
    });
    const line = Math.round(height - this.period * scale) + 0.5;
    pen.strokeStyle = "rgb(255 255 255 / 35%)";
    pen.setLineDash([3, 4]);
    pen.beginPath();
    pen.moveTo(0, line);
    pen.lineTo(width, line);
    pen.stroke();
    pen.fillStyle = "rgb(255 255 255 / 60%)";
    pen.font = "10px system-ui, sans-serif";
    pen.fillText(`a block is shown for ${Math.round(this.period)} ms`, 2, line + 11);
  }
}
