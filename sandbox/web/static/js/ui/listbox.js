/**
 * A list to choose from beside whatever has the focus: commands, choices, people, options of a select.
 *
 * The focus stays where it is; the list is walked with the arrow keys, as the ARIA combobox pattern says. It lives in the
 * top layer, inside the dialog of its anchor where there is one, since what is outside of a dialog cannot be pressed.
 */

import { fill, freshId, h } from "../dom.js";

/**
 * @typedef {object} Item
 * @property {string} key
 * @property {string} label
 * @property {string} [hint]
 * @property {string} [group] a heading above the first item of each group
 * @property {Node | null} [picture]
 * @property {boolean} [selected] for lists of which several may be chosen
 * @property {any} [value]
 */

export class Listbox {
  /**
   * @param {object} options
   * @param {HTMLElement} options.anchor has the focus, and gets role and state of a combobox
   * @param {HTMLElement} [options.around] gives place and width; the anchor, unless given
   * @param {string} options.label
   * @param {(item: Item) => void} options.onPick
   * @param {boolean} [options.multiple]
   * @param {() => void} [options.onHide]
   */
  constructor({ anchor, around = anchor, label, onPick, multiple = false, onHide }) {
    Object.assign(this, { anchor, around, onPick, onHide, multiple });
    /** @type {Item[]} */ this.items = [];
    this.active = -1;
    this.id = freshId("list");
    this.element = h("div", { class: "listbox", id: this.id, role: "listbox", "aria-label": label, popover: "manual", "aria-multiselectable": multiple ? "true" : null });
    this.element.addEventListener("pointerdown", (event) => event.preventDefault());
    this.element.addEventListener("click", (event) => this.#clicked(event));
    anchor.setAttribute("role", "combobox");
    anchor.setAttribute("aria-haspopup", "listbox");
    anchor.setAttribute("aria-expanded", "false");
    anchor.setAttribute("aria-controls", this.id);
    if (anchor instanceof HTMLInputElement || anchor instanceof HTMLTextAreaElement) anchor.setAttribute("aria-autocomplete", "list");
    this.follow = () => this.place();
  }

  get open() {
    return this.element.isConnected;
  }

  /** @param {Item[]} items @param {object} [how] @param {number} [how.active] -1 for none @param {string} [how.empty] words where there is none */
  show(items, { active = 0, empty = "" } = {}) {
    if (!items.length && !empty) return this.hide();
    this.items = items;
    this.active = Math.min(active, items.length - 1);
    fill(this.element, items.length ? this.#rows() : h("p", { class: "listbox-empty" }, empty));
    if (!this.open) {
      (this.anchor.closest("dialog") ?? document.body).append(this.element);
      this.element.showPopover();
      this.anchor.setAttribute("aria-expanded", "true");
      addEventListener("resize", this.follow);
      addEventListener("scroll", this.follow, true);
    }
    this.place();
    this.#mark();
  }

  hide() {
    if (!this.open) return;
    this.element.remove();
    this.items = [];
    this.anchor.setAttribute("aria-expanded", "false");
    this.anchor.removeAttribute("aria-activedescendant");
    removeEventListener("resize", this.follow);
    removeEventListener("scroll", this.follow, true);
    this.onHide?.();
  }

  /** @param {number} step */
  move(step) {
    if (!this.items.length) return;
    this.active = (this.active + step + this.items.length) % this.items.length;
    this.#mark();
  }

  pickActive() {
    const item = this.items[this.active];
    if (item) this.onPick(item);
    return Boolean(item);
  }

  /**
   * What the usual keys mean for an open list.
   * @param {KeyboardEvent} event
   * @returns {boolean} whether the key was taken
   */
  key(event) {
    if (!this.open || event.isComposing) return false;
    const page = 8;
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page };
    if (event.key in steps) this.move(steps[/** @type {keyof typeof steps} */ (event.key)]);
    else if (event.key === "Escape") this.hide();
    else if (event.key === "Enter" || (event.key === "Tab" && !event.shiftKey)) {
      if (!this.pickActive()) return false;
    } else return false;
    event.preventDefault();
    event.stopPropagation();
    return true;
  }

  place() {
    const box = this.around.getBoundingClientRect();
    const style = this.element.style;
    const above = box.top - 8;
    const below = innerHeight - box.bottom - 8;
    const up = above > below;
    const width = Math.min(Math.max(box.width, 260), innerWidth - 16);
    style.width = `${width}px`;
    style.left = `${Math.max(8, Math.min(box.left, innerWidth - width - 8))}px`;
    style.maxHeight = `${Math.max(120, Math.min(up ? above : below, 380))}px`;
    style.top = up ? "auto" : `${box.bottom + 6}px`;
    style.bottom = up ? `${innerHeight - box.top + 6}px` : "auto";
  }

  #rows() {
    let group = "";
    return this.items.map((item, index) => {
      const heading = item.group && item.group !== group ? h("div", { class: "listbox-group", role: "presentation" }, item.group) : null;
      group = item.group ?? group;
      const row = h(
        "div",
        { class: "listbox-item", role: "option", id: `${this.id}-${index}`, dataset: { index: String(index) }, "aria-selected": "false" },
        item.picture ?? null,
        h("span", { class: "words" }, h("span", { class: "label", dir: "auto" }, item.label), item.hint ? h("span", { class: "hint", dir: "auto" }, item.hint) : null),
        this.multiple ? h("span", { class: `box ${item.selected ? "on" : ""}`, "aria-hidden": "true" }) : null,
      );
      return [heading, row];
    });
  }

  #mark() {
    this.anchor.removeAttribute("aria-activedescendant");
    for (const row of this.element.querySelectorAll("[role=option]")) {
      const index = Number(/** @type {HTMLElement} */ (row).dataset.index);
      const active = index === this.active;
      row.classList.toggle("active", active);
      row.setAttribute("aria-selected", String(this.multiple ? Boolean(this.items[index].selected) : active));
      if (active) {
        this.anchor.setAttribute("aria-activedescendant", row.id);
        row.scrollIntoView({ block: "nearest" });
      }
    }
  }

  /** @param {Event} event */
  #clicked(event) {
    const row = /** @type {HTMLElement} */ (event.target).closest("[role=option]");
    if (row) this.onPick(this.items[Number(/** @type {HTMLElement} */ (row).dataset.index)]);
  }
}
