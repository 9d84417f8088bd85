/**
 * People as they look everywhere: an avatar of initials in their own colour, and a name in their role's.
 */

import { h } from "../dom.js";
import { icon } from "../icons.js";

/** @param {import("../types.js").User} user @param {string} [size] a class: "small", "tiny" */
export function avatar(user, size = "") {
  const content = user.bot ? icon("bot") : initials(user.name);
  return h("span", { class: `avatar ${size}`, "aria-hidden": "true", style: { "--tone": tone(user.hue, user.bot) } }, content);
}

/** @param {import("../types.js").User} user @param {string} [tag] */
export function name(user, tag = "span") {
  const hue = user.roles?.find((role) => role.hue !== null)?.hue;
  const element = h(/** @type {any} */ (tag), { class: `name ${hue === undefined ? "" : "role-coloured"}`, dir: "auto" }, user.name);
  if (hue !== undefined && hue !== null) element.style.setProperty("--role", roleColour(hue));
  return element;
}

export const botTag = () => h("span", { class: "tag" }, "Bot");

/** The colour of a role: as light or as dark as the theme needs it to be read. @param {number} hue */
export const roleColour = (hue) => `light-dark(oklch(0.47 0.13 ${hue}), oklch(0.77 0.13 ${hue}))`;

/** @param {string} text */
export function initials(text) {
  const words = text.trim().split(/\s+/u).slice(0, 2);
  return words.map((word) => [...word][0] ?? "").join("").toUpperCase() || "?";
}

/** @param {number} hue @param {boolean} bot */
const tone = (hue, bot) => (bot ? "var(--accent)" : `oklch(0.48 0.095 ${hue})`);
