/**
 * Server-made HTML, with what a reader can do to it: copy code, press spoilers, read times in their own time zone.
 *
 * `html` fields come from the sandbox's Markdown renderer, which escapes everything and knows a closed list of elements;
 * they are the only strings that ever reach innerHTML.
 */

import { h } from "../dom.js";
import { icon } from "../icons.js";
import * as time from "../time.js";
import { announce, copy } from "../ui/toast.js";

/** @param {string} html @param {number} now @param {string} [tag] */
export function markdown(html, now, tag = "div") {
  const element = h(/** @type {any} */ (tag), { class: "markdown", dir: "auto" });
  setMarkdown(element, html, now);
  return element;
}

/**
 * @param {HTMLElement} element shows `html` from now on; spoilers that were open stay open
 * @param {string} html @param {number} now
 */
export function setMarkdown(element, html, now) {
  const shown = [...element.querySelectorAll(".md-spoiler")].map((each) => each.classList.contains("md-shown"));
  element.innerHTML = html;
  element.querySelectorAll("pre.md-code").forEach((pre) => frameCode(/** @type {HTMLElement} */ (pre)));
  element.querySelectorAll("time.md-time").forEach((each) => wordTime(/** @type {HTMLTimeElement} */ (each), now));
  element.querySelectorAll(".md-spoiler").forEach((each, index) => shown[index] && reveal(each));
}

/** One listener for all messages. @param {HTMLElement} root @param {(kind: string, id: string) => void} onMention */
export function listenForMarkdown(root, onMention) {
  root.addEventListener("click", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    const spoiler = target.closest(".md-spoiler:not(.md-shown)");
    if (spoiler) {
      event.preventDefault();
      reveal(spoiler);
      return;
    }
    const button = target.closest(".code-copy");
    if (button) void copy(button.closest(".code")?.querySelector("code")?.textContent ?? "", "Code copied");
    const mention = /** @type {HTMLElement | null} */ (target.closest(".md-mention[data-kind]"));
    if (mention) onMention(mention.dataset.kind ?? "", mention.dataset.id ?? "");
  });
  root.addEventListener("keydown", (event) => {
    const spoiler = /** @type {HTMLElement} */ (event.target).closest(".md-spoiler:not(.md-shown)");
    if (spoiler && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      event.stopPropagation();
      reveal(spoiler);
    }
  });
}

/** @param {Element} spoiler */
function reveal(spoiler) {
  spoiler.classList.add("md-shown");
  spoiler.setAttribute("aria-expanded", "true");
  spoiler.removeAttribute("aria-label");
  spoiler.removeAttribute("role");
  if (document.activeElement === spoiler) announce(spoiler.textContent ?? "");
}

/** @param {HTMLElement} pre */
function frameCode(pre) {
  const language = pre.dataset.language ?? "";
  const button = h("button", { class: "code-copy", type: "button", "aria-label": "Copy the code" }, icon("copy"), "Copy");
  const head = h("div", { class: "code-head" }, h("span", { class: "code-language" }, language || "text"), button);
  const frame = h("div", { class: "code", dir: "ltr" }, head);
  pre.replaceWith(frame);
  pre.tabIndex = 0;
  pre.setAttribute("role", "region");
  pre.setAttribute("aria-label", language ? `Code in ${language}` : "Code");
  frame.append(pre);
}

const STYLES = /** @type {Record<string, Intl.DateTimeFormatOptions>} */ ({
  t: { timeStyle: "short" },
  T: { timeStyle: "medium" },
  d: { dateStyle: "short" },
  D: { dateStyle: "long" },
  f: { dateStyle: "long", timeStyle: "short" },
  F: { dateStyle: "full", timeStyle: "short" },
});

/** @param {HTMLTimeElement} element @param {number} now */
function wordTime(element, now) {
  const at = Number(element.dataset.unix) * 1000;
  if (!Number.isFinite(at) || Math.abs(at) > 8.64e15) return;
  const style = element.dataset.style ?? "f";
  element.textContent = style === "R" ? time.relative(at, now) : new Intl.DateTimeFormat(undefined, STYLES[style] ?? STYLES.f).format(at);
  element.title = time.full(at);
}

/** Relative times go stale; the whole page has one clock for them. @param {Element} root @param {number} now */
export function refreshTimes(root, now) {
  root.querySelectorAll("time.md-time[data-style=R]").forEach((each) => wordTime(/** @type {HTMLTimeElement} */ (each), now));
}
