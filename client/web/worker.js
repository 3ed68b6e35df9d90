/**
 * The worker: connection, decoding, jitter buffer, prediction and drawing, all off the page's
 * thread, so that no panel ever holds up a frame.
 *
 * The page posts `{do: NAME, ...}`, see `orders`; the worker posts `{tell: NAME, ...}`.
 */

import { microseconds } from "./clock.js";
import { Decoder, decodesH264 } from "./decoder.js";
import { Figures } from "./figures.js";
import { Link } from "./link.js";
import { ACK_S, Kind, readPacket } from "./protocol.js";
import { Screen } from "./screen.js";
import { Stage } from "./stage.js";

/** Milliseconds between two reports to the page. */
const REPORT = 200;
/** Bytes of inputs that may wait to be sent: each tells all, so that older ones are of no use. */
const BACKLOG = 64 * 1024;

/** @type {Stage} */ let stage;
/** @type {Link | undefined} */ let link;
/** @type {Figures} */ let figures;
const state = {
  live: false,
  paused: false,
  seq: 0,
  /** @type {any} the newest frame on the screen, until the server knows of it */
  shown: null,
  acked: 0,
  reported: 0,
};

const milliseconds = () => microseconds() / 1000;
const tell = (kind, rest = {}, moved = []) => postMessage({ tell: kind, ...rest }, moved);

const decoder = new Decoder(decoded, () => link?.send({ t: "settings", codec: "jpeg" }));

function decoded(packet, picture) {
  if (packet.header.kind !== Kind.VIDEO) {
    const kind = packet.header.kind === Kind.PLAN ? "plan" : "recalled";
    tell(kind, { picture, notes: packet.notes }, [picture]);
    return;
  }
  const now = milliseconds();
  const close = () => picture.close();
  stage.buffer.push({ ...packet, picture, close, decode_ms: now - packet.arrived }, now);
}

const orders = {
  /** The canvas; comes first. */
  screen({ canvas }) {
    try {
      stage = new Stage(new Screen(canvas));
      requestAnimationFrame(tick);
    } catch (error) {
      tell("broken", { why: error.message });
    }
  },

  /** Connect. */
  async open({ url, token, resume, watch }) {
    link?.close();
    const here = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
    const shown = here ? ["jpeg", "h264"] : ["h264", "jpeg"];
    const codecs = (await decodesH264()) ? shown : ["jpeg"];
    const opened = new Link(
      url,
      { token, resume, watch, codecs },
      {
        message: (message) => opened === link && heard(message),
        packet: (buffer) => opened === link && arrived(buffer),
        state(now, told) {
          if (opened !== link) return;
          if (now !== "open") stop();
          tell("link", { state: now, told });
        },
      },
    );
    link = opened;
    figures = new Figures(link.clock);
    link.open();
  },

  /** A message to the server, as it is. */
  send({ message }) {
    link?.send(message);
  },

  /** All that is held; `changed`: it is no heartbeat. */
  input({ keys, axes, look, held, t_us, changed }) {
    if (!state.paused) stage.hold(held, look, milliseconds());
    if (changed) stage.waits = held.some((value) => value) ? 0 : Infinity;
    if (!stage.driver || !link || link.backlog > BACKLOG) return;
    const seq = state.seq + 1;
    if (!link.send({ t: "input", seq, t_us, keys, axes, look })) return;
    state.seq = seq;
    if (changed && state.live && !state.paused) figures.sent(seq, t_us, microseconds());
  },

  size({ width, height }) {
    stage.screen.resize(width, height);
    stage.stale = true;
  },

  option({ reproject, smooth }) {
    stage.reproject = reproject;
    stage.screen.smooth = smooth;
    stage.stale = true;
  },

  visible() {
    figures?.restart(); // a hidden page draws nothing, which is no stall
  },

  /** The generated frame, as it came, for keeping. */
  async shot() {
    if (!stage.frame) return;
    const { picture, header } = stage.frame;
    const canvas = new OffscreenCanvas(header.width, header.height);
    canvas.getContext("2d").drawImage(picture, 0, 0, header.width, header.height);
    tell("shot", { blob: await canvas.convertToBlob({ type: "image/png" }), frame: header.frame });
  },
};

onmessage = ({ data }) => {
  if (stage || data.do === "screen") orders[data.do](data); // without WebGL2 there is no stage
};

function heard(message) {
  if (message.t === "welcome") {
    state.seq = 0;
    stage.enter(message, milliseconds());
  } else if (message.t === "ready") {
    stage.buffer.restart(message.epoch);
    state.shown = null;
    decoder.reset();
    state.live = true;
    pause(message.paused);
  } else if (message.t === "paused") {
    pause(message.paused);
  } else if (message.t === "applied") {
    figures.obeyed(message);
    return;
  }
  tell("message", { message });
}

function pause(paused) {
  state.paused = paused;
  figures.restart();
  stage.rest(milliseconds());
}

function stop() {
  state.live = false;
  figures.restart();
  decoder.reset();
  stage.rest(milliseconds());
}

function arrived(buffer) {
  let packet;
  try {
    packet = readPacket(buffer);
  } catch (error) {
    tell("message", { message: { t: "event", text: error.message } });
    return;
  }
  packet.arrived = milliseconds();
  const { kind, index, epoch } = packet.header;
  if (kind === Kind.VIDEO && epoch < stage.buffer.epoch) return;
  if (kind === Kind.VIDEO && index === 0) block(packet);
  decoder.take(packet);
}

/** A block has come: the page draws where its time went. */
function block({ header, arrived }) {
  const { clock } = link;
  const network = clock.known ? Math.max(0, arrived - clock.here(header.sent_us) / 1000) : 0;
  const { generate_ms, decode_ms, encode_ms, queue_ms } = header;
  const made = { generate: generate_ms, decode: decode_ms, encode: encode_ms };
  tell("block", { stages: { ...made, queue: queue_ms, network } });
}

function tick() {
  requestAnimationFrame(tick);
  if (!link) return;
  const now = milliseconds();
  const { view } = stage;
  const frame = stage.tick(now, link.clock);
  if (frame) {
    for (const sample of figures.show(frame, microseconds())) tell("sample", { sample });
    if (state.paused) figures.restart(); // what stands still on purpose has no stalls
    state.shown = { ...frame.header, at: microseconds() };
  }
  acknowledge();
  if (frame || now - state.reported > REPORT) report(now);
  else if (view !== stage.view) tell("view", { reprojection: stage.reprojection });
}

/** Tell the server what is on the screen, at once or as soon as it may be told. */
function acknowledge() {
  const now = microseconds();
  if (!state.shown || !stage.driver || now - state.acked < ACK_S * 1e6) return;
  const { epoch, frame, at } = state.shown;
  const sent = link.send({
    t: "ack",
    epoch,
    frame,
    shown_us: at,
    buffered: stage.buffer.frames.length,
    dropped: stage.buffer.dropped + decoder.dropped,
    lag_ms: figures.lag === null ? null : Math.min(figures.lag, 1e6),
  });
  if (!sent) return;
  state.acked = now;
  state.shown = null;
  figures.lag = null;
}

function report(now) {
  state.reported = now;
  const { buffer, frame, screen } = stage;
  tell("figures", {
    stats: {
      fps: figures.fps,
      shown: figures.shown,
      dropped: buffer.dropped + decoder.dropped,
      lead_ms: buffer.waiting,
      held: buffer.frames.length,
      rate: buffer.rate,
      stalls: figures.stalls,
      longest_ms: figures.longest,
      m2p: figures.m2p,
      rtt_ms: link.clock.rtt / 1000,
      silent_ms: now - link.heard / 1000,
      epoch: frame?.header.epoch ?? 0,
      frame: frame?.header.frame ?? -1,
      coding: frame?.header.coding ?? 0,
      pose: frame?.pose ?? null,
      reprojection: stage.reprojection,
      canvas: [screen.canvas.width, screen.canvas.height],
    },
  });
}
