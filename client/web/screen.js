/** The screen: the newest frame, scaled up and warped to where the camera is by now, in WebGL2. */

import { DIOPTRE } from "./protocol.js";
import { identity } from "./rigid.js";
import { CURVED, FRAGMENT, LINEAR, NEAREST, VERTEX } from "./shaders.js";

/** Milliseconds that a drawing may take; a slow machine draws fewer pixels and scales them up. */
const BUDGET = 3;
/** Pixels that it draws at least for each of the frame's. */
const LEAST = 4;
/** How much larger than the screen is wide the frame is shown on one that stands upright. */
const UPRIGHT = 1.35;
/** How far beyond its edges the frame goes on, in its own widths. */
const BEYOND = 1.5;
/** Cells of the mesh while no depth is known. */
const PLAIN = 1;
const KEYS = ["rotation", "shift", "tangent", "fit", "frame", "soft", "size", "filtering"];

/** Draws frames; see `shaders.js` for what becomes of a point. */
export class Screen {
  /**
   * @param {OffscreenCanvas} canvas
   * @throws {Error} the browser has no WebGL2; the message is a sentence
   */
  constructor(canvas) {
    this.canvas = canvas;
    const options = {
      alpha: false,
      antialias: false,
      depth: true,
      powerPreference: "high-performance",
    };
    const gl = canvas.getContext("webgl2", options);
    if (!gl) throw new Error("This browser has no WebGL2, which the picture is drawn with.");
    this.gl = gl;
    this.lens = null;
    this.size = { width: 1, height: 1 };
    this.pixels = Infinity;
    this.smooth = true;
    /** Whether drawing all pixels takes too long, as without a graphics card. */
    this.slow = false;
    /** The frame's share of the canvas, across and down. */
    this.fit = [1, 1];
    this.build();
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => this.build());
  }

  build() {
    const { gl } = this;
    this.program = link(gl);
    this.at = Object.fromEntries(
      KEYS.map((key) => [key, gl.getUniformLocation(this.program, key)]),
    );
    this.frame = texture(gl, gl.LINEAR, gl.CLAMP_TO_EDGE);
    this.soft = texture(gl, gl.LINEAR_MIPMAP_LINEAR, gl.MIRRORED_REPEAT);
    this.buffers = {
      place: gl.createBuffer(),
      inverse: gl.createBuffer(),
      index: gl.createBuffer(),
    };
    this.mesh = { columns: 0, rows: 0, count: 0 };
    this.shaped(null);
  }

  /**
   * How large the canvas is shown, in device pixels.
   * @param {number} width
   * @param {number} height
   */
  resize(width, height) {
    this.size = { width: Math.max(1, Math.round(width)), height: Math.max(1, Math.round(height)) };
    this.calibrate();
  }

  /** @param {{width: number, height: number, fx: number, fy: number}} lens of the world */
  look(lens) {
    this.lens = lens;
    this.calibrate();
  }

  apply() {
    const { width, height } = this.size;
    const share = Math.min(1, Math.sqrt(this.pixels / (width * height)));
    this.canvas.width = Math.max(1, Math.round(width * share));
    this.canvas.height = Math.max(1, Math.round(height * share));
    const { fx, fy } = this.lens;
    // Square in angle, whatever the shape of the frame's pixels.
    const aspect = this.lens.width / fx / (this.lens.height / fy);
    const canvas = width / height;
    const upright = canvas < 1 ? UPRIGHT : 1;
    this.fit = canvas > aspect ? [aspect / canvas, 1] : [upright, (upright * canvas) / aspect];
  }

  /**
   * A new frame.
   * @param {ImageBitmap | VideoFrame} picture
   * @param {{width: number, height: number, values: Uint16Array} | null} depth
   */
  upload(picture, depth) {
    const { gl } = this;
    for (const [unit, texture] of [this.soft, this.frame].entries()) {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, picture);
      if (texture === this.soft) gl.generateMipmap(gl.TEXTURE_2D);
    }
    this.shaped(depth);
  }

  /**
   * Draw the frame.
   * @param {number[]} rotation 3x3 by rows, from the frame's camera to the one that is shown
   * @param {number[]} shift metres
   */
  draw(rotation, shift) {
    if (!this.lens) return;
    const { gl, at, lens } = this;
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.enable(gl.DEPTH_TEST);
    gl.clearColor(0.02, 0.024, 0.03, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.useProgram(this.program);
    gl.uniformMatrix3fv(at.rotation, true, rotation);
    gl.uniform3fv(at.shift, shift);
    gl.uniform2f(at.tangent, lens.width / (2 * lens.fx), lens.height / (2 * lens.fy));
    gl.uniform2fv(at.fit, this.fit);
    gl.uniform2f(at.size, lens.width, lens.height);
    gl.uniform1i(at.soft, 0);
    gl.uniform1i(at.frame, 1);
    const smooth = this.slow ? LINEAR : CURVED;
    gl.uniform1i(at.filtering, this.smooth ? smooth : NEAREST);
    gl.drawElements(gl.TRIANGLES, this.mesh.count, gl.UNSIGNED_SHORT, 0);
  }

  /** Measure how long a drawing takes, before a frame waits for it, and do what time allows. */
  calibrate() {
    if (!this.lens) return;
    const { width, height } = this.size;
    this.pixels = Infinity;
    this.slow = false;
    this.apply();
    if (this.measure() < BUDGET) return;
    this.slow = true;
    const least = LEAST * this.lens.width * this.lens.height;
    this.pixels = Math.max(least, (width * height * BUDGET) / this.measure());
    this.apply();
  }

  /** Milliseconds of a drawing, to its end. */
  measure() {
    const { gl } = this;
    const pixel = new Uint8Array(4);
    const took = [0, 1, 2].map(() => {
      const began = performance.now();
      this.draw(identity(), [0, 0, 0]);
      gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel); // waits for the drawing
      return performance.now() - began;
    });
    return Math.min(...took);
  }

  /** Bend the mesh to a frame's depth; null: it is flat. */
  shaped(depth) {
    const { gl, mesh } = this;
    const columns = depth ? depth.width : PLAIN;
    const rows = depth ? depth.height : PLAIN;
    if (columns !== mesh.columns || rows !== mesh.rows) this.weave(columns, rows);
    const inverse = new Float32Array((columns + 3) * (rows + 3));
    if (depth) {
      for (let y = 0, i = 0; y < rows + 3; y++) {
        for (let x = 0; x < columns + 3; x++, i++) inverse[i] = corner(depth, x - 1, y - 1);
      }
    }
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers.inverse);
    gl.bufferData(gl.ARRAY_BUFFER, inverse, gl.DYNAMIC_DRAW);
  }

  /** A mesh with a vertex at each corner of the depth's cells, and a border that reaches beyond. */
  weave(columns, rows) {
    const { gl, buffers } = this;
    const stretch = (i, cells) =>
      i === 0 ? -BEYOND : i === cells + 2 ? 1 + BEYOND : (i - 1) / cells;
    const places = [];
    const index = [];
    const wide = columns + 3;
    for (let y = 0; y < rows + 3; y++) {
      for (let x = 0; x < wide; x++) {
        places.push(stretch(x, columns), stretch(y, rows));
        if (x === wide - 1 || y === rows + 2) continue;
        const at = y * wide + x;
        index.push(at, at + 1, at + wide, at + 1, at + wide + 1, at + wide);
      }
    }
    gl.bindBuffer(gl.ARRAY_BUFFER, buffers.place);
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(places), gl.STATIC_DRAW);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffers.index);
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, new Uint16Array(index), gl.STATIC_DRAW);
    for (const [name, width] of [
      ["place", 2],
      ["inverse", 1],
    ]) {
      const at = gl.getAttribLocation(this.program, name);
      gl.bindBuffer(gl.ARRAY_BUFFER, buffers[name]);
      gl.enableVertexAttribArray(at);
      gl.vertexAttribPointer(at, width, gl.FLOAT, false, 0, 0);
    }
    this.mesh = { columns, rows, count: index.length };
  }
}

/** Inverse depth at the upper left corner of cell x, y: of the cells around it that are known. */
function corner({ width, height, values }, x, y) {
  let sum = 0;
  let known = 0;
  for (const row of [y - 1, y]) {
    for (const column of [x - 1, x]) {
      const j = Math.min(height - 1, Math.max(0, row));
      const value = values[j * width + Math.min(width - 1, Math.max(0, column))];
      if (value === 0) continue;
      sum += value;
      known += 1;
    }
  }
  return known ? sum / known / DIOPTRE : 0;
}

function texture(gl, smaller, edge) {
  const made = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, made);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, smaller);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.LINEAR);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, edge);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, edge);
  return made;
}

function link(gl) {
  const program = gl.createProgram();
  for (const [kind, text] of [
    [gl.VERTEX_SHADER, VERTEX],
    [gl.FRAGMENT_SHADER, FRAGMENT],
  ]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
    const why = gl.getAttachedShaders(program).map((shader) => gl.getShaderInfoLog(shader));
    throw new Error(`The picture's shaders don't compile (${why.join(" ")}).`);
  }
  return program;
}
