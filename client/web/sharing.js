/** What is handed out of the page: links, commands, files. */

import { make } from "./dom.js";
import { note } from "./hud.js";

/** @param {string} log name of the walk's action log */
export function copyCommand(log) {
  const command = `worldrt replay out/sessions/${log} --out walk.mp4`;
  copy(command, command);
}

/** @param {string} watch token of those who look on */
export function copyLink(watch) {
  const link = `${location.origin}${location.pathname}#watch=${watch}`;
  copy(link, "a link for those who want to look on");
}

/** @param {string} text into the clipboard @param {string} what it is */
async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    note(`Copied: ${what}`);
  } catch {
    prompt("Copy this:", text); // a page over plain HTTP has no clipboard
  }
}

/** Hand over a picture that was made here. @param {Blob} blob @param {string} name */
export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  fetchAs(url, name);
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Let the browser fetch a file at once: a recording is given out one time. */
export function fetchAs(url, name) {
  const link = make("a", { href: url, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
}

/** The whole screen, or no longer. */
export async function fullScreen() {
  if (document.fullscreenElement) await document.exitFullscreen();
  else await document.documentElement.requestFullscreen();
}
