/**
 * The column that only a sandbox can have: what happens underneath, and what of it can be changed.
 */

import { byId, fill, h } from "../dom.js";
import { icon } from "../icons.js";
import { remember, remembered } from "../ui/theme.js";
import { clockTab } from "./clock.js";
import { faultsTab } from "./faults.js";
import { ledgerTab } from "./ledger.js";
import { limitsTab } from "./limits.js";
import { logTab } from "./log.js";

/**
 * @typedef {object} Tab
 * @property {HTMLElement} element
 * @property {() => void} [shown]
 */

const KEY = "sandbox.tab";

/**
 * @param {import("../store.js").Store} store
 * @param {import("../ui/columns.js").Columns} columns
 * @param {(on: boolean) => void} listen whether the log and the limits are wanted from the server
 */
export function drawPanel(store, columns, listen) {
  const root = byId("panel");
  const specs = /** @type {const} */ ([
    ["log", "Events", "pulse", logTab],
    ["limits", "Limits", "gauge", limitsTab],
    ["clock", "Clock", "clock", clockTab],
    ["faults", "Faults", "bolt", faultsTab],
    ["ledger", "Ledger", "coins", ledgerTab],
  ]);
  const list = h("div", { class: "tabs", role: "tablist", "aria-label": "Sandbox tools" });
  const body = h("div", { class: "tab-bodies" });
  const tabs = specs.map(([name, label, picture, make]) => {
    const tab = /** @type {Tab} */ (make(store, () => visible(name)));
    const button = h("button", { class: "tab", type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `tab-body-${name}`, on: { click: () => choose(name) } }, icon(picture), h("span", {}, label));
    tab.element.classList.add("tab-body");
    Object.assign(tab.element, { id: `tab-body-${name}`, role: "tabpanel" });
    tab.element.setAttribute("role", "tabpanel");
    tab.element.setAttribute("aria-labelledby", button.id);
    list.append(button);
    body.append(tab.element);
    return { name, button, tab };
  });
  let current = /** @type {string} */ (tabs.some(({ name }) => name === remembered(KEY)) ? remembered(KEY) : "log");
  list.addEventListener("keydown", (event) => {
    const at = tabs.findIndex(({ name }) => name === current);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = tabs[(to + tabs.length) % tabs.length];
    choose(next.name);
    next.button.focus();
  });
  const close = h("button", { class: "icon-button only-drawer", type: "button", "aria-label": "Close the tools", on: { click: () => columns.toggle("panel") } }, icon("close"));
  fill(root, h("div", { class: "panel-head" }, list, close), body);

  /** @param {string} chosen */
  function choose(chosen) {
    current = chosen;
    remember(KEY, chosen);
    for (const { name, button, tab } of tabs) {
      const on = name === chosen;
      button.setAttribute("aria-selected", String(on));
      button.tabIndex = on ? 0 : -1;
      tab.element.hidden = !on;
      if (on && columns.shows("panel")) tab.shown?.();
    }
  }
  const visible = (/** @type {string} */ name) => name === current && columns.shows("panel");

  choose(current);
  let was = false;
  columns.onChange(() => {
    const on = columns.shows("panel");
    if (on === was) return;
    was = on;
    listen(on);
    if (on) choose(current);
  });
}
