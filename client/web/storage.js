/** What the browser keeps: choices for good, the way back to a session while the tab lives. */

/**
 * @param {Storage} store
 * @param {string} name
 * @returns {string} empty if there is none, or the browser keeps nothing
 */
function read(store, name) {
  try {
    return store.getItem(`worldrt.${name}`) ?? "";
  } catch {
    return ""; // a browser that forbids storage throws
  }
}

/**
 * @param {Storage} store
 * @param {string} name
 * @param {string} value empty: forget it
 */
function write(store, name, value) {
  try {
    if (value) store.setItem(`worldrt.${name}`, value);
    else store.removeItem(`worldrt.${name}`);
  } catch {
    // Nothing is kept then; all works until the page is left.
  }
}

/** @param {string} name @returns {any} what `keep` was given, or null */
export function kept(name) {
  try {
    return JSON.parse(read(localStorage, name) || "null");
  } catch {
    return null; // written by another build
  }
}

/** @param {string} name @param {any} value */
export const keep = (name, value) => write(localStorage, name, JSON.stringify(value));

/** @returns {string} the token that takes this tab's session up again; empty: none */
export const resumeToken = () => read(sessionStorage, "resume");

/** @param {string} token */
export const keepResumeToken = (token) => write(sessionStorage, "resume", token);

/** @returns {string} what the server's host gave out; empty: nothing */
export const guestToken = () => read(sessionStorage, "token");

/** @param {string} token */
export const keepGuestToken = (token) => write(sessionStorage, "token", token);
