/**
 * Requests and events as they happen: between bot, Discord and the API.
 */

import { fill, h } from "../dom.js";
import { icon } from "../icons.js";
import * as time from "../time.js";

const ROWS = 400;
const KINDS = /** @type {const} */ ([["rest", "REST"], ["gateway", "Gateway"], ["api", "API"]]);

/** @param {import("../store.js").Store} store @param {() => boolean} visible */
export function logTab(store, visible) {
  const hidden = new Set();
  let paused = false;
  let wanted = "";
  const filter = h("input", { class: "field", type: "search", placeholder: "Filter: PATCH, 429, typing…", "aria-label": "Filter the events" });
  const kinds = KINDS.map(([kind, label]) => {
    const chip = h("button", { class: `chip ${kind}`, type: "button", "aria-pressed": "true" }, label);
    chip.addEventListener("click", () => {
      if (!hidden.delete(kind)) hidden.add(kind);
      chip.setAttribute("aria-pressed", String(!hidden.has(kind)));
      redraw();
    });
    return chip;
  });
  const pause = h("button", { class: "icon-button", type: "button", "aria-pressed": "false" });
  const clear = h("button", { class: "icon-button", type: "button", title: "Clear", "aria-label": "Clear the events" }, icon("trash"));
  const rows = h("ol", { class: "log-rows", tabIndex: 0, "aria-label": "Events, oldest first" });
  const empty = h("p", { class: "tab-empty" }, "Nothing yet. Ask the bot something, and its requests appear here.");
  const element = h("section", { class: "log-tab" }, h("div", { class: "tab-tools" }, filter, pause, clear), h("div", { class: "chips" }, kinds), empty, rows);
  let from = 0;

  function drawPause() {
    pause.title = paused ? "Go on" : "Pause";
    pause.setAttribute("aria-label", paused ? "Go on showing events" : "Pause the events");
    pause.setAttribute("aria-pressed", String(paused));
    fill(pause, icon(paused ? "play" : "pause"));
  }
  const fits = (/** @type {import("../types.js").Entry} */ entry) =>
    entry.n > from && !hidden.has(entry.kind) && (!wanted || `${entry.method} ${entry.what} ${entry.status ?? ""} ${entry.note ?? ""}`.toLowerCase().includes(wanted));

  /** @param {import("../types.js").Entry[]} entries */
  function add(entries) {
    const stuck = rows.scrollHeight - rows.scrollTop - rows.clientHeight < 30;
    rows.append(...entries.filter(fits).map(row));
    while (rows.childElementCount > ROWS) rows.firstElementChild?.remove();
    empty.hidden = rows.childElementCount > 0;
    if (stuck) rows.scrollTop = rows.scrollHeight;
  }
  function redraw() {
    fill(rows);
    add(store.log.slice(-ROWS));
    rows.scrollTop = rows.scrollHeight;
  }
  filter.addEventListener("input", () => {
    wanted = filter.value.trim().toLowerCase();
    redraw();
  });
  pause.addEventListener("click", () => {
    paused = !paused;
    drawPause();
    if (!paused) redraw();
  });
  clear.addEventListener("click", () => {
    from = store.log.at(-1)?.n ?? from;
    redraw();
  });
  store.on("log", (/** @type {any[] | null} */ fresh) => {
    if (fresh === null) from = 0;
    if (paused || !visible()) return;
    if (fresh === null) redraw();
    else add(fresh);
  });
  drawPause();
  return { element, shown: () => paused || redraw() };
}

/** @param {import("../types.js").Entry} entry */
function row(entry) {
  const bad = entry.status !== null && entry.status >= 400;
  return h("li", { class: `log-row ${entry.kind} ${bad ? "bad" : ""} ${entry.faulted ? "faulted" : ""}` },
    h("time", { class: "log-time" }, time.precise(entry.at_s * 1000)),
    h("span", { class: "log-method" }, arrow(entry.method)),
    h("span", { class: "log-what", title: entry.what }, entry.what, entry.note ? h("span", { class: "log-note" }, entry.note) : null, entry.faulted ? h("span", { class: "log-note" }, "by your fault switch") : null),
    h("span", { class: "log-status" }, entry.status ?? ""),
    h("span", { class: "log-ms" }, entry.ms === null ? "" : `${Math.round(entry.ms)} ms`));
}

/** Gateway directions in words a screen reader can say. @param {string} method */
function arrow(method) {
  const said = { "→": "to the bot", "←": "from the bot" }[method];
  return said ? h("span", { role: "img", "aria-label": said }, method) : method;
}
