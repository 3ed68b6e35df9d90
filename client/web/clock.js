/** Time: one clock for page and worker, and the server's beside it. */

/** Microseconds since 1970, monotonic, the same in the page and in its worker. */
export const microseconds = () => Math.round((performance.timeOrigin + performance.now()) * 1000);

const KEPT = 24;

/** The server's clock, told from the quickest of the last answers. */
export class ServerClock {
  constructor() {
    /** @type {{rtt: number, offset: number}[]} */
    this.answers = [];
    /** Server time minus ours, microseconds. */
    this.offset = 0;
    /** Round trip of the quickest answer, microseconds. */
    this.rtt = 0;
  }

  /** Whether there was an answer. */
  get known() {
    return this.answers.length > 0;
  }

  /**
   * Take an answer.
   * @param {{t0_us: number, t1_us: number, t2_us: number}} answer
   * @param {number} now when it came, microseconds
   */
  answered(answer, now) {
    const rtt = Math.max(0, now - answer.t0_us - (answer.t2_us - answer.t1_us));
    const offset = (answer.t1_us - answer.t0_us + (answer.t2_us - now)) / 2;
    this.answers.push({ rtt, offset });
    if (this.answers.length > KEPT) this.answers.shift();
    const best = this.answers.reduce((a, b) => (b.rtt < a.rtt ? b : a));
    this.offset = best.offset;
    this.rtt = best.rtt;
  }

  /** @param {number} us of the server @returns {number} of ours */
  here(us) {
    return us - this.offset;
  }
}
