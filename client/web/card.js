/** The card in the middle: what one waits for, how long, and how it ended. Never silent. */

import { durationText, find } from "./dom.js";
import { Close } from "./protocol.js";

const TITLES = {
  [Close.VERSION]: "This page is out of date",
  [Close.TOKEN]: "A token is needed",
  [Close.IDLE]: "The walk has ended",
  [Close.LIFETIME]: "The walk has ended",
  [Close.FULL]: "The server is full",
  [Close.REPLACED]: "The walk goes on elsewhere",
  [Close.FAULT]: "Something broke",
  [Close.ENDED]: "The walk has ended",
};

/** Shows one thing at a time; hidden while the world is there. */
export class Card {
  /** @param {(token: string) => void} enter @param {() => void} again */
  constructor(enter, again) {
    find("token-form").addEventListener("submit", (event) => {
      event.preventDefault();
      enter(find("token").value.trim());
    });
    find("again").addEventListener("click", again);
  }

  hide() {
    find("card").hidden = true;
  }

  /**
   * @param {string} title
   * @param {string} [text]
   * @param {{fraction?: number | null, eta_s?: number | null, token?: boolean, again?: string}}
   *   [rest] fraction: of the bar, null: none; again: what the button says
   */
  show(title, text = "", { fraction = null, eta_s = null, token = false, again = "" } = {}) {
    find("card").hidden = false;
    find("card-title").textContent = title;
    find("card-text").textContent = text;
    find("spinner").hidden = token || again !== "" || fraction !== null;
    const bar = find("card-bar");
    bar.hidden = fraction === null;
    if (fraction !== null) bar.value = fraction;
    find("card-eta").textContent = eta_s === null ? "" : `about ${durationText(eta_s)} to go`;
    find("token-form").hidden = !token;
    const button = find("again");
    button.hidden = again === "";
    button.textContent = again;
  }

  /** One waits already. @param {number} ms */
  waits(ms) {
    find("card-eta").textContent = ms < 2000 ? "" : `for ${durationText(ms / 1000)} so far`;
  }

  /** @param {any} queue of the server */
  queue({ position, waiting, eta_s }) {
    const turn = position === 1 ? "You are next" : `You are number ${position} of ${waiting}`;
    const when = eta_s === null ? "" : ` A place is free in ${durationText(eta_s)} at the latest.`;
    this.show("Waiting for a place", `${turn}.${when}`);
  }

  /** @param {any} loading of the server */
  loading({ stage, fraction, eta_s }) {
    this.show("Making the world ready", stage, { fraction, eta_s });
  }

  /** @param {{code: number, why: string, watched: boolean}} end watched: one only looked on */
  ended({ code, why, watched }) {
    const token = code === Close.TOKEN && !watched;
    const walk = watched ? "Walk by yourself" : "Walk again";
    const again = token ? "" : code === Close.VERSION ? "Load it again" : walk;
    this.show(TITLES[code] ?? "The connection was closed", why || `Code ${code}.`, {
      token,
      again,
    });
    if (token) find("token").focus();
  }
}
