/**
 * Short notices at the page's edge, and words for screen readers alone.
 */

import { byId, h } from "../dom.js";

const SHOWN_MS = 6_000;

/** @param {string} text @param {"plain" | "bad"} [kind] */
export function toast(text, kind = "plain") {
  const notice = h("div", { class: `toast ${kind}`, dir: "auto" }, text);
  byId("toasts").append(notice);
  setTimeout(() => notice.remove(), SHOWN_MS);
}

/** @param {string} text */
export function announce(text) {
  byId("announcer").textContent = text;
}

/** @param {string} text @param {string} said what is said once it is copied */
export async function copy(text, said = "Copied") {
  try {
    await navigator.clipboard.writeText(text);
    toast(said);
  } catch {
    toast("This browser does not let the page copy. Select the text and copy it yourself.", "bad");
  }
}
