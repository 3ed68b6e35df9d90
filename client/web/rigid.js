/** Vectors and rotations, 3x3 by rows; OpenCV axes: x right, y down, z ahead. */

export const identity = () => [1, 0, 0, 0, 1, 0, 0, 0, 1];
/** @param {number[]} a @param {number[]} b */
export const add = (a, b) => a.map((value, i) => value + b[i]);
/** @param {number[]} a @param {number[]} b */
export const subtract = (a, b) => a.map((value, i) => value - b[i]);
/** @param {number[]} a @param {number} by */
export const scale = (a, by) => a.map((value) => value * by);
/** @param {number[]} a */
export const length = (a) => Math.hypot(...a);
/** @param {number[]} m */
export const transpose = (m) => [m[0], m[3], m[6], m[1], m[4], m[7], m[2], m[5], m[8]];

/** @param {number[]} m @param {number[]} v */
export function apply(m, v) {
  return [0, 3, 6].map((row) => m[row] * v[0] + m[row + 1] * v[1] + m[row + 2] * v[2]);
}

/** @param {number[]} a @param {number[]} b */
export function product(a, b) {
  const columns = transpose(b);
  const rows = [0, 3, 6].map((row) => apply(columns, a.slice(row, row + 3)));
  return rows.flat();
}

/** The rotation of a unit quaternion w, x, y, z. @param {number[]} quaternion */
export function matrix([w, x, y, z]) {
  return [
    1 - 2 * (y * y + z * z),
    2 * (x * y - w * z),
    2 * (x * z + w * y),
    2 * (x * y + w * z),
    1 - 2 * (x * x + z * z),
    2 * (y * z - w * x),
    2 * (x * z - w * y),
    2 * (y * z + w * x),
    1 - 2 * (x * x + y * y),
  ];
}

/** Yaw right of +z and pitch up, radians, of a camera without roll. @param {number[]} rotation */
export function angles(rotation) {
  const ahead = [rotation[2], rotation[5], rotation[8]];
  return {
    yaw: Math.atan2(ahead[0], ahead[2]),
    pitch: Math.asin(Math.min(1, Math.max(-1, -ahead[1]))),
  };
}

/** The camera of a yaw and a pitch. @param {number} yaw @param {number} pitch */
export function fromAngles(yaw, pitch) {
  const [sy, cy, sp, cp] = [Math.sin(yaw), Math.cos(yaw), Math.sin(pitch), Math.cos(pitch)];
  return [cy, sy * sp, sy * cp, 0, cp, -sp, -sy, cy * sp, cy * cp];
}
