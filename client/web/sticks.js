/** Sticks: those of a gamepad, asked each display frame, and two on the glass for thumbs. */

import { find } from "./dom.js";

const DEAD = 0.15;
/** Buttons of the standard gamepad that are keys: its cross. */
const CROSS = { 12: "W", 13: "S", 14: "A", 15: "D" };

/** Beyond a dead middle from 0 to 1, in steps that a resting hand does not leave. */
function lively(value) {
  const size = Math.max(0, Math.abs(value) - DEAD) / (1 - DEAD);
  return Math.sign(value) * (Math.round(Math.min(1, size) * 64) / 64);
}

/** Watch gamepads as long as one is there. @param {import("./controls.js").Controls} controls */
export function watchGamepads(controls) {
  let watching = false;
  function look() {
    const pads = navigator.getGamepads().filter((pad) => pad?.connected);
    watching = pads.length > 0;
    for (const pad of pads) {
      const [x, y, turn, lift] = [0, 1, 2, 3].map((i) => lively(pad.axes[i] ?? 0) || 0);
      if (!document.hidden) controls.stick(`pad ${pad.index}`, [x, -y || 0, turn, -lift || 0]);
      for (const [button, action] of Object.entries(CROSS)) {
        const code = `pad ${pad.index} ${button}`;
        const pressed = pad.buttons[Number(button)]?.pressed ?? false;
        if (pressed && !controls.held.has(code) && controls.enabled) controls.down(code, action);
        else if (!pressed) controls.up(code);
      }
    }
    if (watching) requestAnimationFrame(look);
  }
  addEventListener("gamepadconnected", () => watching || look());
  addEventListener("gamepaddisconnected", ({ gamepad }) => {
    controls.stick(`pad ${gamepad.index}`, [0, 0, 0, 0]);
    for (const button of Object.keys(CROSS)) controls.up(`pad ${gamepad.index} ${button}`);
  });
}

/**
 * Show the two sticks where there is no mouse.
 * @param {import("./controls.js").Controls} controls
 */
export function touchSticks(controls) {
  if (!matchMedia("(pointer: coarse)").matches) return;
  document.body.classList.add("touch");
  find("sticks").hidden = false;
  thumb(find("stick-move"), (x, y) => controls.stick("thumb left", [x, y, 0, 0]));
  thumb(find("stick-look"), (x, y) => controls.stick("thumb right", [0, 0, x, y]));
}

function thumb(stick, moved) {
  const knob = stick.firstElementChild;
  let finger = null;
  const lay = (x, y) => {
    knob.style.transform = `translate(${36 * x}px, ${-36 * y}px)`;
    moved(lively(x), lively(y));
  };
  const follow = (event) => {
    if (event.pointerId !== finger) return;
    const box = stick.getBoundingClientRect();
    const x = (2 * (event.clientX - box.left)) / box.width - 1;
    const y = 1 - (2 * (event.clientY - box.top)) / box.height;
    const far = Math.max(1, Math.hypot(x, y));
    lay(x / far, y / far);
  };
  const leave = (event) => {
    if (event.pointerId !== finger) return;
    finger = null;
    lay(0, 0);
  };
  stick.addEventListener("pointerdown", (event) => {
    finger = event.pointerId;
    stick.setPointerCapture(finger);
    follow(event);
  });
  stick.addEventListener("pointermove", follow);
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    stick.addEventListener(end, leave);
  }
}
