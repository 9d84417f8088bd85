/**
 * A person's card: who they are, what the bot offers for them, and to be them.
 */

import { h } from "../dom.js";
import { avatar, botTag, name, roleColour } from "../render/people.js";

/**
 * @param {import("../types.js").User} user
 * @param {object} how
 * @param {HTMLElement} how.anchor
 * @param {{label: string, act: () => void, kind?: string}[]} how.actions
 */
export function openProfile(user, { anchor, actions }) {
  const card = h("div", { class: "profile", popover: "auto", role: "dialog", "aria-label": user.name, tabIndex: -1 });
  const buttons = actions.map(({ label, act, kind }) => {
    const press = () => {
      card.hidePopover();
      act();
    };
    return h("button", { class: `button ${kind ?? ""}`, type: "button", on: { click: press } }, label);
  });
  card.append(
    avatar(user),
    h("div", { class: "profile-name" }, name(user), user.bot ? botTag() : null),
    h("div", { class: "hint" }, h("bdi", {}, user.username)),
    ...(user.note ? [h("p", { dir: "auto" }, user.note)] : []),
    h("div", { class: "profile-roles" }, user.roles.map(role)),
    h("div", { class: "profile-actions" }, buttons),
  );
  card.addEventListener("toggle", (event) => {
    if (/** @type {ToggleEvent} */ (event).newState !== "closed") return;
    const held = card.contains(document.activeElement) || document.activeElement === document.body;
    card.remove();
    if (held) anchor.focus({ preventScroll: true });
  });
  document.body.append(card);
  card.showPopover();
  place(card, anchor);
  (buttons[0] ?? card).focus();
}

/** @param {import("../types.js").Role} role */
function role({ name: words, hue }) {
  const dot = h("i", { class: "role-dot" });
  if (hue !== null) dot.style.background = roleColour(hue);
  return h("span", { class: "role" }, dot, h("bdi", {}, words));
}

/** @param {HTMLElement} card @param {HTMLElement} anchor */
function place(card, anchor) {
  const at = anchor.getBoundingClientRect();
  const box = card.getBoundingClientRect();
  const beside = at.left > innerWidth / 2 ? at.left - box.width - 8 : at.right + 8;
  card.style.left = `${Math.max(8, Math.min(beside, innerWidth - box.width - 8))}px`;
  card.style.top = `${Math.max(8, Math.min(at.top, innerHeight - box.height - 8))}px`;
}
