/** The floor plan of the memory: what is known, the way walked, and where one looks. */

import { find, paper } from "./dom.js";

const TRAIL = 4000;
const ARROW = 7;
const COLOURS = {
  trail: "#6fa8dc",
  key: "rgb(255 255 255 / 45%)",
  used: "#f0b35e",
  view: "#eceef1",
};
/** Metres across while the map follows the camera, and at least while it shows all. */
const NEAR = 16;
const LEAST = 8;
/** How much larger than all that is known the map is then. */
const MARGIN = 1.1;
/** Recalled frames beside each other. */
const ACROSS = 2;

/** Draws the plan; z points up, x to the right. */
export class Minimap {
  constructor() {
    this.canvas = find("map");
    this.strip = find("strip");
    this.whole = false;
    this.canvas.addEventListener("click", () => (this.whole = !this.whole));
    this.restart();
  }

  /** Another walk. */
  restart() {
    this.plan?.picture.close();
    /** @type {{picture: ImageBitmap, notes: any} | null} */
    this.plan = null;
    this.recalled = null;
    /** @type {number[][]} */
    this.trail = [];
    this.pose = null;
    this.fov = 1.2;
    find("recalled").hidden = true;
  }

  /** @param {{picture: ImageBitmap, notes: any}} plan */
  know(plan) {
    this.plan?.picture.close();
    this.plan = plan;
  }

  /** Past frames, side by side. @param {{picture: ImageBitmap, notes: any}} recalled */
  recall({ picture, notes }) {
    this.recalled = notes;
    find("recalled").hidden = notes.frames.length === 0;
    find("recalled-title").textContent = notes.used
      ? `Recalled into the context: frames ${notes.frames.join(", ")}`
      : `Remembered views of what is seen: frames ${notes.frames.join(", ")}`;
    const count = notes.frames.length;
    const wide = picture.width / Math.max(1, count);
    this.strip.width = Math.min(count, ACROSS) * wide;
    this.strip.height = Math.ceil(count / ACROSS) * picture.height;
    const pen = this.strip.getContext("2d");
    for (let i = 0; i < count; i++) {
      const [x, y] = [(i % ACROSS) * wide, Math.floor(i / ACROSS) * picture.height];
      pen.drawImage(picture, i * wide, 0, wide, picture.height, x, y, wide, picture.height);
    }
    picture.close();
  }

  /**
   * The camera stands here.
   * @param {{quaternion: number[], position: number[]}} pose
   * @param {number} fov horizontal, radians
   */
  stand({ quaternion: [w, x, y, z], position }, fov) {
    const yaw = Math.atan2(2 * (x * z + w * y), 1 - 2 * (x * x + y * y));
    this.pose = [position[0], position[2], yaw];
    this.fov = fov;
    const last = this.trail.at(-1);
    if (last && Math.hypot(last[0] - position[0], last[1] - position[2]) < 0.05) return;
    this.trail.push([position[0], position[2]]);
    if (this.trail.length > TRAIL) this.trail.shift();
  }

  draw() {
    const { pen, width, height } = paper(this.canvas);
    if (!width || !(this.pose || this.plan)) return;
    const { left, top, scale } = this.frame(width, height);
    const place = ([x, z]) => [(x - left) * scale, (top - z) * scale];
    if (this.plan) {
      const { picture, notes } = this.plan;
      const [x, y] = place([notes.left, notes.far]);
      const cell = notes.cell * scale;
      pen.imageSmoothingEnabled = cell < 1.5;
      pen.drawImage(picture, x, y, picture.width * cell, picture.height * cell);
      for (const [kx, kz, yaw] of notes.keyframes) wedge(pen, place([kx, kz]), yaw, 4, COLOURS.key);
    }
    pen.strokeStyle = COLOURS.trail;
    pen.lineWidth = 1.5;
    pen.lineJoin = "round";
    pen.beginPath();
    for (const at of this.trail) pen.lineTo(...place(at));
    pen.stroke();
    for (const [x, z, yaw] of this.recalled?.poses ?? []) {
      wedge(pen, place([x, z]), yaw, ARROW, COLOURS.used);
    }
    if (this.pose) this.frustum(pen, place(this.pose), Math.max(16, 4 * scale));
    this.ruler(pen, scale, height);
  }

  frustum(pen, [x, y], reach) {
    const yaw = this.pose[2];
    const glow = pen.createRadialGradient(x, y, 0, x, y, reach);
    glow.addColorStop(0, "rgb(236 238 241 / 55%)");
    glow.addColorStop(1, "rgb(236 238 241 / 0%)");
    pen.fillStyle = glow;
    pen.beginPath();
    pen.moveTo(x, y);
    const ahead = yaw - Math.PI / 2;
    pen.arc(x, y, reach, ahead - this.fov / 2, ahead + this.fov / 2);
    pen.fill();
    pen.fillStyle = COLOURS.view;
    pen.beginPath();
    pen.arc(x, y, 3.5, 0, 7);
    pen.fill();
  }

  ruler(pen, scale, height) {
    const metres = [1, 2, 5, 10, 20, 50].find((m) => m * scale > 28) ?? 100;
    pen.strokeStyle = pen.fillStyle = "rgb(255 255 255 / 85%)";
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(8, height - 11.5);
    pen.lineTo(8, height - 7.5);
    pen.lineTo(8 + metres * scale, height - 7.5);
    pen.lineTo(8 + metres * scale, height - 11.5);
    pen.stroke();
    pen.font = "10px system-ui, sans-serif";
    pen.shadowColor = "#000";
    pen.shadowBlur = 4; // it lies over all colours
    pen.fillText(`${metres} m`, 12 + metres * scale, height - 6);
    pen.shadowBlur = 0;
  }

  /** What lies around the camera, or all that is known and walked. */
  frame(width, height) {
    const side = Math.min(width, height);
    if (this.pose && !this.whole) {
      const [x, z] = this.pose;
      return around([x - NEAR / 2, x + NEAR / 2], [z - NEAR / 2, z + NEAR / 2], side / NEAR);
    }
    const xs = this.trail.map(([x]) => x);
    const zs = this.trail.map(([, z]) => z);
    if (this.plan) {
      const { left, far, cell } = this.plan.notes;
      xs.push(left, left + cell * this.plan.picture.width);
      zs.push(far, far - cell * this.plan.picture.height);
    }
    const [across, along] = [xs, zs].map((all) => [Math.min(...all), Math.max(...all)]);
    const span = Math.max(LEAST, across[1] - across[0], along[1] - along[0]);
    return around(across, along, side / (MARGIN * span));

    function around([least, most], [near, far], scale) {
      const [left, top] = [(least + most) / 2, (near + far) / 2];
      return { scale, left: left - width / (2 * scale), top: top + height / (2 * scale) };
    }
  }
}

/** A small arrow that looks along a yaw. */
function wedge(pen, [x, y], yaw, size, colour) {
  pen.save();
  pen.translate(x, y);
  pen.rotate(yaw);
  pen.fillStyle = colour;
  pen.beginPath();
  pen.moveTo(0, -size);
  pen.lineTo(size * 0.6, size * 0.6);
  pen.lineTo(-size * 0.6, size * 0.6);
  pen.fill();
  pen.restore();
}
