/**
 * "You are: …": who is at the keyboard, and who else could be.
 */

import { byId, fill, h } from "../dom.js";
import { icon } from "../icons.js";
import { avatar, name } from "./people.js";

/**
 * @param {import("../store.js").Store} store
 * @param {(person: string) => void} become
 */
export function drawMe(store, become) {
  const root = byId("me");
  const button = h("button", { class: "me-button", type: "button", "aria-haspopup": "true", "aria-expanded": "false" });
  const popup = h("div", { class: "people", role: "radiogroup", "aria-label": "Who you are", hidden: true });
  root.append(popup, button);

  /** @param {boolean} open */
  function toggle(open) {
    popup.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    if (open) /** @type {HTMLElement | null} */ (popup.querySelector("[aria-checked=true]"))?.focus();
  }
  button.addEventListener("click", () => toggle(popup.hidden));
  document.addEventListener("pointerdown", (event) => root.contains(/** @type {Node} */ (event.target)) || toggle(false));
  root.addEventListener("focusout", (event) => event.relatedTarget && !root.contains(/** @type {Node} */ (event.relatedTarget)) && toggle(false));
  popup.addEventListener("keydown", (event) => {
    const options = /** @type {HTMLElement[]} */ ([...popup.querySelectorAll("[role=radio]")]);
    const at = options.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: options.length - 1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      options[(to + options.length) % options.length].focus();
    } else if (event.key === "Escape") {
      event.stopPropagation();
      toggle(false);
      button.focus();
    }
  });

  function draw() {
    const me = store.me;
    if (!me) return;
    fill(button, avatar(me, "small"), h("span", { class: "who" }, h("span", { class: "you-are" }, "You are"), name(me)), icon("people"));
    button.setAttribute("aria-label", `You are ${me.name}. Be somebody else`);
    fill(popup, h("p", { class: "people-title" }, "Be somebody else"), store.people.map(option));
  }

  /** @param {import("../types.js").User} person */
  function option(person) {
    const current = person.id === store.person;
    const choice = h("button", { class: "person", type: "button", role: "radio", "aria-checked": String(current), tabIndex: current ? 0 : -1 },
      avatar(person, "small"),
      h("span", { class: "who" }, name(person), h("span", { class: "hint", dir: "auto" }, mayWhat(person))),
      current ? icon("check") : null);
    choice.addEventListener("click", () => {
      toggle(false);
      button.focus();
      if (!current) become(person.id);
    });
    return choice;
  }
  store.on("place", draw);
}

/** @param {import("../types.js").User} person */
export function mayWhat(person) {
  const roles = person.roles.map((role) => role.name).join(", ");
  return [person.note, roles].filter(Boolean).join(" · ") || "member without a role";
}
