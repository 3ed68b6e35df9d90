/** The row of tools, each with a key. */

import { typing } from "./controls.js";
import { find, make } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  pause: "M8 5v14M16 5v14",
  play: "M7 4.5v15l12-7.5z",
  step: "M6 5v14l9-7zM18.5 5v14",
  reset: "M4 12a8 8 0 1 0 2.6-5.9M4 4v4.5h4.5",
  record: "M12 12m-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0",
  shot: "M4 8h3.5l1.5-2.5h6L16.5 8H20v11H4zM12 13m-3 0a3 3 0 1 0 6 0a3 3 0 1 0 -6 0",
  copy: "M8 8h12v12H8zM16 8V4H4v12h4",
  watch: "M3 12s3-6 9-6 9 6 9 6-3 6-9 6-9-6-9-6zM9.5 12a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0-5 0",
  warp: "M4 6c5 2 11 2 16 0v12c-5-2-11-2-16 0zM12 7.5v9",
  panels: "M4 5h16v14H4zM9 5v14M15 5v14",
  left: "M4 5h16v14H4zM10 5v14",
  right: "M4 5h16v14H4zM14 5v14",
  full: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  help: "M9.2 9a3 3 0 1 1 4.3 2.700c-1 .5-1.5 1-1.5 2.300M12 17.5v.1",
};

/** Their pictures, what they do, and their keys by `event.code` and as printed. */
const TOOLS = [
  { icon: "pause", text: "Pause", code: "Space", key: "Space", kind: "drives" },
  { icon: "step", text: "One block while paused", code: "Period", key: ".", kind: "drives" },
  { icon: "reset", text: "Begin anew", code: "Backspace", key: "Backspace", kind: "drives" },
  { icon: "record", text: "Record the generated frames", code: "KeyV", key: "V", kind: "drives" },
  { icon: "shot", text: "Save the frame as a picture", code: "KeyP", key: "P" },
  {
    icon: "copy",
    text: "Copy the command to render it again",
    code: "KeyC",
    key: "C",
    kind: "drives",
  },
  { icon: "watch", text: "Copy a link for spectators", kind: "drives" },
  { icon: "warp", text: "Late reprojection", code: "KeyR", key: "R", kind: "drives" },
  { icon: "left", text: "Map", code: "KeyM", key: "M" },
  { icon: "right", text: "Walk panel", code: "KeyN", key: "N" },
  { icon: "panels", text: "Nothing but the world", code: "KeyH", key: "H" },
  { icon: "full", text: "Full screen", code: "KeyF", key: "F" },
  { icon: "help", text: "Keys", key: "?" },
];

/** Buttons and their keys. */
export class Tools {
  /** @param {Record<string, () => void>} runs what each does, by its icon */
  constructor(runs) {
    this.runs = runs;
    /** @type {Record<string, HTMLButtonElement>} */
    this.buttons = {};
    for (const tool of TOOLS) {
      const title = tool.key ? `${tool.text} (${tool.key})` : tool.text;
      const button = make("button", { type: "button", title, "aria-label": tool.text });
      button.className = tool.kind ?? "";
      button.id = `tool-${tool.icon}`;
      button.append(drawing(tool.icon));
      button.addEventListener("click", () => {
        runs[tool.icon]();
        button.blur();
      });
      this.buttons[tool.icon] = button;
      find("tools").append(button);
      if (tool.key)
        find("shortcuts").append(
          make("dt", {}, make("kbd", {}, tool.key)),
          make("dd", {}, tool.text),
        );
    }
    addEventListener("keydown", (event) => this.pressed(event));
  }

  pressed(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.repeat)
      return;
    if (typing(event.target)) return;
    const tool = TOOLS.find(
      ({ code, key }) => code === event.code || (key === "?" && event.key === "?"),
    );
    if (!tool || this.buttons[tool.icon].disabled) return;
    if (event.code === "Space" && event.target.closest?.("button, summary, input")) return;
    event.preventDefault();
    this.runs[tool.icon]();
  }

  /** @param {string} icon @param {boolean} pressed */
  press(icon, pressed) {
    this.buttons[icon].setAttribute("aria-pressed", String(pressed));
  }

  /** Another picture on a button. @param {string} icon @param {string} as */
  draw(icon, as) {
    this.buttons[icon].replaceChildren(drawing(as));
  }
}

function drawing(icon) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[icon]);
  svg.append(path);
  return svg;
}
