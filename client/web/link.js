/** The connection: opened, kept alive, and taken up again by itself when it was cut. */

import { ServerClock, microseconds } from "./clock.js";
import { Close, VERSION } from "./protocol.js";

/** Seconds before each new try; the last goes on. */
const BACK_OFF = [0.3, 0.6, 1.2, 2.5, 5, 8];
/** Milliseconds between two looks at the server's clock, at first and later. */
const CLOCK_FIRST = 150;
const CLOCK_LATER = 3000;
/** Milliseconds of silence that end a connection: a server speaks twice a second. */
const DEAD = 10_000;
const RETRYABLE = [Close.GOING_AWAY, Close.FULL];

/**
 * @typedef {object} Listener
 * @property {(message: any) => void} message of the server
 * @property {(buffer: ArrayBuffer) => void} packet
 * @property {(state: "connecting" | "open" | "waiting" | "ended", told?: any) => void} state
 */

/** A connection that comes back. */
export class Link {
  /**
   * @param {string} url
   * @param {{token: string, resume: string, watch: string, codecs: string[]}} hello
   * @param {Listener} listener
   */
  constructor(url, hello, listener) {
    this.url = url;
    this.hello = hello;
    this.listener = listener;
    this.clock = new ServerClock();
    this.tries = 0;
    this.heard = microseconds();
    /** @type {WebSocket | null} */
    this.socket = null;
    this.fault = null;
  }

  open() {
    this.listener.state("connecting", { tries: this.tries });
    const socket = new WebSocket(this.url, VERSION);
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.send({ t: "hello", versions: [VERSION], ...this.hello });
      this.listener.state("open");
    };
    socket.onmessage = ({ data }) => this.received(data);
    socket.onclose = (event) => this.closed(event);
    this.heard = microseconds();
    this.watch = setInterval(() => this.check(), 1000);
  }

  /** A connection that only seems to be there is as good as cut. */
  check() {
    if (microseconds() - this.heard < 1000 * DEAD) return;
    this.socket.onclose = this.socket.onmessage = null;
    this.socket.close();
    this.closed({ code: 1006, reason: "Nothing was heard of the server." });
  }

  received(data) {
    this.heard = microseconds();
    if (typeof data !== "string") {
      this.listener.packet(data);
      return;
    }
    const message = JSON.parse(data);
    if (message.t === "clock") {
      this.clock.answered(message, this.heard);
      return;
    }
    if (message.t === "error") this.fault = message;
    if (message.t === "welcome") {
      this.tries = 0;
      this.hello = { ...this.hello, resume: message.resume };
      this.ask();
    }
    this.listener.message(message);
  }

  /** @param {any} message @returns {boolean} false: there is no connection to send it on */
  send(message) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  /** Bytes that wait to be sent. */
  get backlog() {
    return this.socket?.bufferedAmount ?? 0;
  }

  ask() {
    clearTimeout(this.asking);
    if (!this.send({ t: "clock", t0_us: microseconds() })) return;
    const soon = this.clock.answers.length < 6;
    this.asking = setTimeout(() => this.ask(), soon ? CLOCK_FIRST : CLOCK_LATER);
  }

  closed({ code, reason }) {
    clearInterval(this.watch);
    clearTimeout(this.asking);
    const why = reason || this.fault?.text || "";
    const cut = code < 4000 && code !== Close.TOO_BIG;
    // A way back that is no longer there is not the end: one comes in anew.
    const stale = code === Close.TOKEN && this.hello.resume !== "";
    if (stale) this.hello = { ...this.hello, resume: "" };
    this.fault = null;
    if (!(cut || stale || RETRYABLE.includes(code)) || this.over) {
      this.listener.state("ended", { code, why });
      return;
    }
    const wait = stale ? 0 : BACK_OFF[Math.min(this.tries, BACK_OFF.length - 1)];
    this.tries += 1;
    this.listener.state("waiting", { wait, why, tries: this.tries, stale });
    this.again = setTimeout(() => this.open(), 1000 * wait);
  }

  /** Go, and don't come back. */
  close() {
    this.over = true;
    clearInterval(this.watch);
    clearTimeout(this.again);
    this.socket?.close();
  }
}
