/**
 * What stands below a message, or is the message: rows of buttons and selects, containers, sections, galleries.
 */

import { h } from "../dom.js";
import { markdown } from "./markdown.js";
import { file, gallery, openLightbox } from "./media.js";
import { select } from "./select.js";

/**
 * @typedef {object} Context
 * @property {number} now
 * @property {boolean} usable
 * @property {(component: any, values: string[] | null, element: HTMLElement) => void} use a button was pressed, or a select answered
 */

/** @param {any[]} list @param {Context} context */
export const components = (list, context) => list.map((each) => DRAW[/** @type {keyof typeof DRAW} */ (each.type)]?.(each, context) ?? null);

const DRAW = /** @type {Record<string, (component: any, context: Context) => Node>} */ ({
  row: (row, context) => h("div", { class: "action-row" }, components(row.components, context)),
  button,
  select(spec, context) {
    const drawn = select({ ...spec, disabled: spec.disabled || !context.usable }, {
      onChange: () => undefined,
      onDone: (values) => values.length >= spec.min && context.use(spec, values, drawn.element),
    });
    drawn.element.dataset.component = spec.id;
    return drawn.element;
  },
  text: ({ html }, { now }) => markdown(html, now),
  section: ({ components: inner, accessory }, context) => h("div", { class: "section" }, h("div", {}, components(inner, context)), components([accessory], context)),
  thumbnail: ({ media }) => (media.url ? thumbnail(media) : file(media)),
  gallery: ({ items }) => h("div", { class: "attachments" }, gallery(items.filter((/** @type {any} */ each) => each.url)), items.filter((/** @type {any} */ each) => !each.url).map(file)),
  file: ({ media }) => file(media),
  separator: ({ divider }) => h("hr", { class: `separator ${divider ? "" : "plain"}`, "aria-hidden": String(!divider) }),
  container({ colour, components: inner }, context) {
    const box = h("div", { class: "container" }, components(inner, context));
    if (colour) box.style.setProperty("--embed", colour);
    return box;
  },
});

/** @param {any} component @param {Context} context */
function button(component, context) {
  const words = [component.emoji, component.label].filter(Boolean).join(" ");
  if (component.style === "link") {
    return h("a", { class: "button", href: component.url, target: "_blank", rel: "noopener noreferrer nofollow", dir: "auto" }, words);
  }
  const element = h("button", { class: `button ${component.style}`, type: "button", dir: "auto", disabled: component.disabled || !context.usable, dataset: { component: component.id ?? "" } }, words);
  if (component.id !== null) element.addEventListener("click", () => context.use(component, null, element));
  return element;
}

/** @param {import("../types.js").Media} media */
function thumbnail(media) {
  const button = h("button", { class: "picture thumbnail", type: "button", "aria-label": `Show large: ${media.description || media.name}` }, h("img", { src: media.url, alt: "" }));
  button.addEventListener("click", () => openLightbox([media], 0));
  return button;
}
