/** The overlay of keys, where they are bound anew as well. */

import { ACTIONS, keyName } from "./bindings.js";
import { find, make } from "./dom.js";

const PLACES = 2;

/** Shows and changes bindings. */
export class Help {
  /**
   * @param {import("./bindings.js").Bindings} bindings
   * @param {() => void} changed
   */
  constructor(bindings, changed) {
    this.bindings = bindings;
    this.changed = changed;
    this.dialog = find("help");
    this.listening = null;
    find("help-close").addEventListener("click", () => this.dialog.close());
    find("defaults").addEventListener("click", () => {
      bindings.reset();
      this.fill();
    });
    this.dialog.addEventListener("keydown", (event) => this.pressed(event));
    this.dialog.addEventListener(
      "click",
      ({ target }) => target === this.dialog && this.dialog.close(),
    );
    this.fill();
  }

  toggle() {
    if (this.dialog.open) this.dialog.close();
    else this.dialog.showModal();
  }

  fill() {
    this.listening = null;
    const rows = Object.entries(ACTIONS).map(([action, text]) => {
      const keys = Array.from({ length: PLACES }, (_, place) => {
        const code = this.bindings.codes[action][place];
        const label = `${text}: ${code ? keyName(code) : "not bound"}, bind another key`;
        const button = make(
          "button",
          { type: "button", "aria-label": label },
          code ? keyName(code) : "–",
        );
        button.addEventListener("click", () => this.listen(action, place));
        return button;
      });
      return make(
        "div",
        { className: "binding" },
        make("span", {}, text),
        make("div", { className: "row" }, ...keys),
      );
    });
    find("bindings").replaceChildren(...rows);
    this.changed();
  }

  listen(action, place) {
    this.fill();
    const again =
      find("bindings").children[Object.keys(ACTIONS).indexOf(action)].querySelectorAll("button")[
        place
      ];
    again.classList.add("listening");
    again.textContent = "press a key";
    again.focus();
    this.listening = { action, place };
  }

  pressed(event) {
    if (!this.listening) return;
    event.preventDefault();
    event.stopPropagation();
    const { action, place } = this.listening;
    if (event.code !== "Escape") this.bindings.bind(action, place, event.code);
    this.fill();
  }
}
