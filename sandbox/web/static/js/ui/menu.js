/**
 * A context menu: opened by right click, by its key or from a button, walked with the arrow keys.
 */

import { h } from "../dom.js";
import { icon } from "../icons.js";

/** @typedef {{label: string, icon?: any, danger?: boolean, act: () => void} | "line" | {heading: string}} Entry */

/** @type {(() => void) | null} */
let closeOpen = null;

/**
 * @param {Entry[]} entries
 * @param {{x: number, y: number}} at the corner, in the window's pixels
 * @param {object} how
 * @param {string} how.label
 * @param {HTMLElement | null} how.back gets the focus afterwards
 * @param {() => void} [how.onClose]
 */
export function openMenu(entries, at, { label, back, onClose }) {
  closeOpen?.();
  const menu = h("div", { class: "menu", role: "menu", "aria-label": label, popover: "manual" });
  for (const entry of entries) {
    if (entry === "line") menu.append(h("hr", { role: "separator" }));
    else if ("heading" in entry) menu.append(h("div", { class: "menu-heading", role: "presentation" }, entry.heading));
    else menu.append(item(entry, close));
  }
  document.body.append(menu);
  menu.showPopover();
  place(menu, at);
  const items = /** @type {HTMLElement[]} */ ([...menu.querySelectorAll("[role=menuitem]")]);
  items[0]?.focus();

  /** @param {boolean} [refocus] */
  function close(refocus = true) {
    if (!menu.isConnected) return;
    closeOpen = null;
    menu.remove();
    document.removeEventListener("pointerdown", outside, true);
    removeEventListener("resize", leave);
    if (refocus) back?.focus({ preventScroll: true });
    onClose?.();
  }
  const leave = () => close(false);
  /** @param {Event} event */
  const outside = (event) => !menu.contains(/** @type {Node} */ (event.target)) && close(false);

  menu.addEventListener("keydown", (event) => {
    const here = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const to = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: items.length - 1 }[event.key];
    if (to !== undefined) items[(to + items.length) % items.length].focus();
    else if (event.key === "Escape" || event.key === "Tab") close();
    else if (event.key.length === 1) items.find((each, index) => index > here && each.textContent?.toLowerCase().startsWith(event.key.toLowerCase()))?.focus();
    if (event.key !== "Enter" && event.key !== " ") event.preventDefault();
    event.stopPropagation();
  });
  menu.addEventListener("contextmenu", (event) => event.preventDefault());
  document.addEventListener("pointerdown", outside, true);
  addEventListener("resize", leave);
  closeOpen = leave;
}

/** @param {Exclude<Entry, "line" | {heading: string}>} entry @param {(refocus?: boolean) => void} close */
function item(entry, close) {
  const act = () => {
    close();
    entry.act();
  };
  return h(
    "button",
    { class: `menu-item ${entry.danger ? "danger" : ""}`, type: "button", role: "menuitem", tabIndex: -1, on: { click: act } },
    h("span", { dir: "auto" }, entry.label),
    entry.icon ? icon(entry.icon) : null,
  );
}

/** @param {HTMLElement} menu @param {{x: number, y: number}} at */
function place(menu, at) {
  const box = menu.getBoundingClientRect();
  menu.style.left = `${Math.max(8, Math.min(at.x, innerWidth - box.width - 8))}px`;
  menu.style.top = `${Math.max(8, Math.min(at.y, innerHeight - box.height - 8))}px`;
}
