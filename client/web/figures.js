/** What is measured: frames shown, stalls, and the time from a key to its first frame. */

const RECENT = 200;
/** Milliseconds between two frames that one notices. */
const STALL = 250;
const PENDING = 64;

/** @param {number[]} values @param {number} share 0 to 1 @returns {number | null} */
export function percentile(values, share) {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

/** Figures of one page; times are microseconds of our clock. */
export class Figures {
  /** @param {import("./clock.js").ServerClock} clock */
  constructor(clock) {
    this.clock = clock;
    this.shown = 0;
    this.stalls = 0;
    this.longest = 0;
    /** @type {number[]} latest times from a key to the screen, milliseconds */
    this.lags = [];
    /** Milliseconds of the newest sample that was not yet told to the server. */
    this.lag = null;
    this.times = [];
    this.pending = [];
    this.applied = new Map();
  }

  /** An input was sent that changes what is held. @param {number} seq @param {number} t_us */
  sent(seq, t_us, sent_us) {
    this.pending.push({ seq, t_us, sent_us });
    if (this.pending.length > PENDING) this.pending.shift();
  }

  /** The server told what became of an input. @param {any} applied */
  obeyed(applied) {
    this.applied.set(applied.chunk, applied);
    if (this.applied.size > PENDING) this.applied.delete(this.applied.keys().next().value);
  }

  /** Nothing that was sent on the old connection will show; a gap here is no stall. */
  restart() {
    this.pending = [];
    this.times = [];
    this.applied.clear();
  }

  /**
   * A frame is on the screen.
   * @param {import("./buffer.js").Frame} frame
   * @param {number} now
   * @returns {any[]} samples: the ways of the inputs that it is the first to show
   */
  show(frame, now) {
    this.shown += 1;
    const before = this.times.at(-1);
    if (before !== undefined) {
      const gap = (now - before) / 1000;
      this.longest = Math.max(this.longest, gap);
      if (gap > STALL) this.stalls += 1;
    }
    this.times.push(now);
    while (now - this.times[0] > 2e6) this.times.shift();
    const shown = this.pending.filter(({ seq }) => seq <= frame.header.seq);
    this.pending = this.pending.slice(shown.length);
    return shown.map((input) => this.measure(input, frame, now));
  }

  measure(input, frame, now) {
    const { header } = frame;
    const applied = this.applied.get(header.chunk);
    const sent = this.clock.here(header.sent_us);
    const made = header.generate_ms + header.decode_ms;
    const coded = header.encode_ms + header.queue_ms;
    const latched = applied ? this.clock.here(applied.latched_us) : sent - 1000 * (made + coded);
    const input_ms = (input.sent_us - input.t_us + this.clock.rtt / 2) / 1000;
    const stages = {
      input_ms,
      queue_ms: Math.max(0, (latched - input.t_us) / 1000 - input_ms),
      generate_ms: header.generate_ms,
      decode_ms: header.decode_ms,
      encode_ms: coded,
      network_ms: Math.max(0, frame.arrived - sent / 1000),
      buffer_ms: now / 1000 - frame.arrived - frame.decode_ms,
      display_ms: frame.decode_ms,
    };
    const sample = { seq: input.seq, t_us: input.t_us, shown_us: now, frame: header.frame, stages };
    this.lags.push((now - input.t_us) / 1000);
    if (this.lags.length > RECENT) this.lags.shift();
    this.lag = this.lags.at(-1);
    return sample;
  }

  /** Frames a second that were shown of late. */
  get fps() {
    const { times } = this;
    return times.length < 2 ? 0 : ((times.length - 1) * 1e6) / (times.at(-1) - times[0]);
  }

  /** Median and 95th percentile of the latest ways from a key to the screen, milliseconds. */
  get m2p() {
    return { p50: percentile(this.lags, 0.5), p95: percentile(this.lags, 0.95) };
  }
}
