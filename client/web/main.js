/** The page: wires hands, panels and the worker that holds the connection and the picture. */

import { Bars } from "./bars.js";
import { Bindings } from "./bindings.js";
import { Card } from "./card.js";
import { Controls } from "./controls.js";
import { countText, find } from "./dom.js";
import { Help } from "./help.js";
import { Caps, Numbers, note, showState } from "./hud.js";
import { Minimap } from "./minimap.js";
import { Panel } from "./panel.js";
import { Close } from "./protocol.js";
import { copyCommand, copyLink, download, fetchAs, fullScreen } from "./sharing.js";
import { touchSticks, watchGamepads } from "./sticks.js";
import { guestToken, keepGuestToken, keepResumeToken, resumeToken } from "./storage.js";
import { Timeline } from "./timeline.js";
import { Tools } from "./tools.js";
import { View } from "./view.js";

/** Samples that are kept for whoever measures. */
const SAMPLES = 1000;
/** Milliseconds without a word from the server that are worth one. */
const SILENT = 2000;
/** Milliseconds in which a session that was taken up again says how it stands. */
const RESUMES = 1500;

const hash = new URLSearchParams(location.hash.slice(1));
const session = {
  state: "connecting",
  token: hash.get("token") ?? guestToken(),
  watch: hash.get("watch") ?? "",
  /** @type {any} */ welcome: null,
  /** @type {any} */ ready: null,
  /** @type {any} */ stats: null,
  paused: false,
  recording: false,
  since: performance.now(),
};
if (hash.has("seed")) find("seed").value = hash.get("seed");
// A secret is not left in the address, where it would be copied with it.
if (hash.has("token")) history.replaceState(null, "", location.pathname + location.search);
addEventListener("hashchange", () => location.reload());

const samples = [];
window.worldrt = { stats: () => ({ state: session.state, ...session.stats }), samples };

const worker = new Worker("worker.js", { type: "module" });
const post = (order, moved = []) => worker.postMessage(order, moved);
const send = (message) => post({ do: "send", message });

const bindings = new Bindings();
const caps = new Caps(bindings);
const controls = new Controls(
  find("world"),
  bindings,
  (input) => post({ do: "input", ...input }),
  (held) => caps.show(held),
);
const numbers = new Numbers();
const timeline = new Timeline();
const bars = new Bars();
const map = new Minimap();
const panel = new Panel(send);
const view = new View((option) => post({ do: "option", ...option }), send);
const help = new Help(bindings, () => caps.name());
const card = new Card((token) => {
  session.token = token;
  open();
}, again);
const tools = new Tools({
  pause: () => send({ t: "pause", paused: !session.paused }),
  step: () => send({ t: "step" }),
  reset: () => panel.begin(),
  record: () => send({ t: "record", on: !session.recording }),
  shot: () => post({ do: "shot" }),
  copy: () => copyCommand(session.ready.log),
  watch: () => copyLink(session.welcome.watch),
  warp,
  left: () => fold("map", "open-left"),
  right: () => fold("walk", "open-right"),
  panels: () => document.body.classList.toggle("bare"),
  full: fullScreen,
  help: () => help.toggle(),
});

const canvas = find("world");

/** Messages of the server, by their `t`. */
const heard = {
  welcome(welcome) {
    session.welcome = welcome;
    if (welcome.driver) keepResumeToken(welcome.resume);
    keepGuestToken(session.token);
    document.body.classList.toggle("watching", !welcome.driver);
    find("name").textContent = welcome.world.name;
    find("name").title = welcome.world.summary;
    document.title = `${welcome.world.name} · worldrt`;
    controls.keymap = welcome.keymap;
    controls.enabled = welcome.driver;
    controls.rebase();
    panel.fill(welcome.world);
    timeline.period = (1000 * welcome.world.block_frames) / welcome.world.fps;
    send(welcome.driver ? view.message() : { t: "settings", plan: true });
    if (!welcome.driver) return;
    if (!session.resumed) panel.begin();
    else session.waiting = setTimeout(() => panel.begin(), RESUMES);
  },
  queue(queue) {
    clearTimeout(session.waiting);
    become("queued");
    card.queue(queue);
  },
  loading(loading) {
    clearTimeout(session.waiting);
    become("loading");
    card.loading(loading);
  },
  ready(ready) {
    clearTimeout(session.waiting);
    const anew = !session.resumed || session.ready?.epoch === undefined;
    session.ready = ready;
    session.resumed = true;
    if (anew || ready.frame === 0) map.restart();
    bars.restart();
    panel.ready(ready);
    find("codec").value = ready.codec;
    tools.buttons.copy.disabled = ready.log === "";
    pause(ready.paused);
    card.hide();
    if (ready.assumed) note(ready.assumed);
  },
  receipt: (receipt) => panel.receipt(receipt),
  stats(stats) {
    bars.show(stats);
    timeline.detail(stats.stage_ms);
    const { points, keyframes, capacity_fps, spectators } = stats;
    find("points").textContent = `${countText(points)} points · ${keyframes} views`;
    const watched = spectators ? ` · ${spectators} looking on` : "";
    session.server = `could make ${capacity_fps.toFixed(0)} fps${watched}`;
  },
  recording({ on, frames, url, why }) {
    if (on !== session.recording)
      note(on ? "Recording the generated frames." : `Recorded ${frames} frames.`);
    session.recording = on;
    tools.press("record", on);
    if (why) note(why, true);
    if (url) fetchAs(url, "walk.mp4");
  },
  paused: ({ paused }) => pause(paused),
  event: ({ text }) => note(text),
  error: ({ text }) => note(text, true),
};

/** What the worker tells. */
const told = {
  message: ({ message }) => heard[message.t]?.(message),
  link: ({ state, told: how }) => linked[state](how),
  figures({ stats }) {
    session.stats = stats;
    numbers.show(stats);
    if (!stats.pose || stats.epoch !== session.ready?.epoch) return; // of a walk that has ended
    const { width, fx } = session.welcome.world.lens;
    map.stand(stats.pose, 2 * Math.atan(width / (2 * fx)));
  },
  view({ reprojection }) {
    session.stats.reprojection = reprojection;
    numbers.label(reprojection.moved);
  },
  block: (block) => timeline.add(block),
  sample({ sample }) {
    samples.push(sample);
    if (samples.length > SAMPLES) samples.shift();
  },
  plan: (plan) => map.know(plan),
  recalled: (recalled) => map.recall(recalled),
  shot: ({ blob, frame }) => download(blob, `worldrt-${frame}.png`),
  broken({ why }) {
    become("ended");
    card.show("The world can't be drawn", why);
  },
};
worker.onmessage = ({ data }) => told[data.tell](data);

/** What becomes of the connection. */
const linked = {
  connecting({ tries }) {
    become(tries ? "reconnecting" : "connecting");
    if (!tries) card.show("Connecting", location.host);
  },
  open() {
    session.since = performance.now();
  },
  waiting({ wait, why, stale }) {
    controls.release();
    controls.enabled = false;
    clearTimeout(session.waiting);
    if (stale) session.resumed = false;
    become("reconnecting");
    const when = wait < 1 ? "at once" : `in ${Math.round(wait)} s`;
    card.show("Connecting again", `${why || "The connection was lost."} Next try ${when}.`);
  },
  ended({ code, why }) {
    controls.release();
    controls.enabled = false;
    clearTimeout(session.waiting);
    keepResumeToken("");
    session.code = code;
    become("ended");
    card.ended({ code, why, watched: session.watch !== "" });
  },
};

function open() {
  const resume = session.watch ? "" : resumeToken();
  session.resumed = resume !== "";
  const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/`;
  become("connecting");
  post({ do: "open", url, token: session.token, resume, watch: session.watch });
}

/** The button of a walk that has ended. */
function again() {
  if (session.code === Close.VERSION) location.reload();
  session.watch = ""; // who has looked on to the end walks by himself
  open();
}

function become(state) {
  if (state !== session.state) session.since = performance.now();
  session.state = state;
  showState(state);
}

function pause(paused) {
  session.paused = paused;
  become(paused ? "paused" : "live");
  tools.press("pause", paused);
  tools.draw("pause", paused ? "play" : "pause");
  tools.buttons.step.disabled = !paused;
}

/** Says so when nothing comes any more, and how long one waits already. */
function watchSilence() {
  const waited = performance.now() - session.since;
  if (session.state === "connecting" || session.state === "reconnecting") card.waits(waited);
  const silent = session.state === "live" ? (session.stats?.silent_ms ?? 0) : 0;
  const ms = session.stats?.rtt_ms ?? 0;
  const trip = ms && `round trip ${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
  showState(session.state, silent > SILENT ? `no word for ${Math.round(silent / 1000)} s` : "");
  find("numbers").textContent = [session.server, trip].filter(Boolean).join(" · ");
}

function paint() {
  timeline.draw();
  map.draw();
  setTimeout(() => requestAnimationFrame(paint), 200);
}

function measure() {
  const ratio = Math.min(devicePixelRatio || 1, 2);
  post({ do: "size", width: canvas.clientWidth * ratio, height: canvas.clientHeight * ratio });
}

function warp() {
  const on = view.toggle();
  tools.press("warp", on);
  note(
    on ? "Late reprojection is on." : "Late reprojection is off: frames are shown as they come.",
  );
}

function fold(name, opened) {
  const touch = document.body.classList.contains("touch");
  if (touch) document.body.classList.toggle(opened);
  else find(`panel-${name}`).open = !find(`panel-${name}`).open;
}

new ResizeObserver(measure).observe(canvas);
document.addEventListener("visibilitychange", () =>
  post({ do: "visible", visible: !document.hidden }),
);
watchGamepads(controls);
touchSticks(controls);
tools.press("warp", view.chosen.reproject);
if (canvas.transferControlToOffscreen) {
  const offscreen = canvas.transferControlToOffscreen();
  post({ do: "screen", canvas: offscreen }, [offscreen]);
  post({ do: "option", ...view.chosen });
  measure();
  setInterval(watchSilence, 500);
  requestAnimationFrame(paint);
  open();
} else {
  told.broken({ why: "This browser can't draw beside its page; a newer one can." });
}
