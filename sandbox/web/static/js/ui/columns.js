/**
 * Which side columns are open: beside the room where there is space, as drawers over it where there is not.
 */

import { byId } from "../dom.js";
import { remember, remembered } from "./theme.js";

const NARROW = matchMedia("(max-width: 860px)");
const MEDIUM = matchMedia("(max-width: 1480px)");

export class Columns {
  constructor() {
    this.app = byId("app");
    this.scrim = byId("scrim");
    /** @type {(() => void)[]} */
    this.listeners = [];
    /** @type {HTMLElement | null} */
    this.opener = null;
    for (const name of ["members", "panel"]) {
      const state = remembered(`sandbox.${name}`);
      if (state === "open" || state === "closed") this.app.dataset[name] = state;
    }
    this.scrim.addEventListener("click", () => this.closeDrawer());
    document.addEventListener("keydown", (event) => event.key === "Escape" && !event.defaultPrevented && this.app.dataset.drawer && this.closeDrawer());
    for (const query of [NARROW, MEDIUM]) query.addEventListener("change", () => this.closeDrawer());
  }

  /** @param {() => void} listener called at once as well */
  onChange(listener) {
    this.listeners.push(listener);
    listener();
  }

  /** @param {"members" | "panel"} name */
  shows(name) {
    if (NARROW.matches) return this.app.dataset.drawer === name;
    if (name === "members" && MEDIUM.matches && this.app.dataset.panel === "open") return false;
    return this.app.dataset[name] === "open";
  }

  /** @param {"members" | "panel"} name */
  toggle(name) {
    if (NARROW.matches) return this.drawer(name);
    const open = !this.shows(name);
    this.#set(name, open);
    // Where only one fits, opening the members closes the panel; the style sheet does the reverse.
    if (name === "members" && open && MEDIUM.matches) this.#set("panel", false);
    this.#tell();
  }

  /** @param {"places" | "members" | "panel"} name */
  drawer(name) {
    if (this.app.dataset.drawer === name) return this.closeDrawer();
    this.opener = /** @type {HTMLElement} */ (document.activeElement);
    this.app.dataset.drawer = name;
    this.scrim.hidden = false;
    byId("room").inert = true;
    /** @type {HTMLElement | null} */ (byId(name).querySelector("[aria-current=page], [aria-selected=true], button"))?.focus();
    this.#tell();
  }

  closeDrawer() {
    byId("room").inert = false;
    this.scrim.hidden = true;
    if (this.app.dataset.drawer) {
      delete this.app.dataset.drawer;
      this.opener?.focus({ preventScroll: true });
    }
    this.#tell();
  }

  /** @param {string} name @param {boolean} open */
  #set(name, open) {
    this.app.dataset[name] = open ? "open" : "closed";
    remember(`sandbox.${name}`, open ? "open" : "closed");
  }

  #tell() {
    for (const listener of this.listeners) listener();
  }
}
