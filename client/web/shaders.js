/** The two programs of the screen; `screen.js` says what they are given. */

/**
 * A point of the frame is a ray and an inverse depth: p = R ray + inverse * t. Where the depth is
 * not known the inverse is 0, and the point turns as one that is infinitely far.
 */
export const VERTEX = `#version 300 es
in vec2 place;        // in the frame, 0 to 1 from its upper left corner, and beyond
in float inverse;     // 1 / metre
uniform mat3 rotation;
uniform vec3 shift;
uniform vec2 tangent; // of half the angle of view
uniform vec2 fit;     // of the frame in the canvas
out vec2 at;

void main() {
  vec3 ray = vec3((2.0 * place - 1.0) * tangent, 1.0);
  vec3 point = rotation * ray + inverse * shift;
  at = place;
  // Nearer surfaces hide farther ones: inverse / point.z is the new inverse depth.
  gl_Position = vec4(point.x / tangent.x * fit.x, -point.y / tangent.y * fit.y,
                     point.z - 0.05 * inverse, point.z);
}`;

/** How a frame is scaled up: by its pixels, evenly between them, or along a curve through them. */
export const NEAREST = 0;
export const LINEAR = 1;
export const CURVED = 2;

/**
 * Catmull-Rom in five bilinear reads: the corners weigh next to nothing and are left out. Beyond
 * the frame's edge it goes on as its own dim, blurred mirror image.
 * Source: Djonov, "Bicubic filtering in fewer taps", after Sigg and Hadwiger, GPU Gems 2,
 * chapter 20.
 */
export const FRAGMENT = `#version 300 es
precision highp float;
in vec2 at;
uniform sampler2D frame; // without smaller copies of itself: reading those is slow without a GPU
uniform sampler2D soft;  // with them, mirrored at its edges
uniform vec2 size;
uniform int filtering;
out vec4 colour;

vec3 curved(vec2 uv) {
  vec2 place = uv * size;
  vec2 middle = floor(place - 0.5) + 0.5;
  vec2 f = place - middle;
  vec2 w0 = f * (-0.5 + f * (1.0 - 0.5 * f));
  vec2 w1 = 1.0 + f * f * (-2.5 + 1.5 * f);
  vec2 w2 = f * (0.5 + f * (2.0 - 1.5 * f));
  vec2 w3 = f * f * (-0.5 + 0.5 * f);
  vec2 w12 = w1 + w2;
  vec2 p0 = (middle - 1.0) / size, p3 = (middle + 2.0) / size;
  vec2 p12 = (middle + w2 / w12) / size;
  vec4 sum = vec4(texture(frame, vec2(p12.x, p0.y)).rgb, 1.0) * (w12.x * w0.y);
  sum += vec4(texture(frame, vec2(p0.x, p12.y)).rgb, 1.0) * (w0.x * w12.y);
  sum += vec4(texture(frame, p12).rgb, 1.0) * (w12.x * w12.y);
  sum += vec4(texture(frame, vec2(p3.x, p12.y)).rgb, 1.0) * (w3.x * w12.y);
  sum += vec4(texture(frame, vec2(p12.x, p3.y)).rgb, 1.0) * (w12.x * w3.y);
  return clamp(sum.rgb / sum.w, 0.0, 1.0);
}

void main() {
  float beyond = length(max(max(-at, at - 1.0), 0.0));
  if (beyond > 0.0) {
    vec3 blurred = textureLod(soft, at, min(4.5, 1.0 + 14.0 * beyond)).rgb;
    colour = vec4(blurred * 0.72 * exp(-1.4 * beyond), 1.0);
  } else if (filtering == ${CURVED}) {
    colour = vec4(curved(at), 1.0);
  } else if (filtering == ${LINEAR}) {
    colour = vec4(texture(frame, at).rgb, 1.0);
  } else {
    colour = vec4(texelFetch(frame, ivec2(min(at * size, size - 1.0)), 0).rgb, 1.0);
  }
}`;
