/**
 * Embeds: the framed cards below a message.
 */

import { h } from "../dom.js";
import * as time from "../time.js";
import { markdown } from "./markdown.js";
import { gallery } from "./media.js";

/** @param {any} embed @param {number} now */
export function embed(embed, now) {
  const card = h("div", { class: "embed" });
  if (embed.colour) card.style.setProperty("--embed", embed.colour);
  const add = (/** @type {any} */ child) => child && card.append(child);
  add(embed.author && h("div", { class: "embed-author", dir: "auto" }, linked(embed.author.url, embed.author.name)));
  if (embed.title_html) {
    const title = markdown(embed.title_html, now);
    title.classList.add("embed-title");
    add(embed.url ? linked(embed.url, title) : title);
  }
  if (embed.description_html) {
    const description = markdown(embed.description_html, now);
    description.classList.add("embed-description");
    add(description);
  }
  add(embed.fields.length && fields(embed.fields, now));
  add(embed.image?.url && h("div", { class: "embed-image" }, gallery([embed.image])));
  add(embed.thumbnail?.url && h("img", { class: "embed-thumb", src: embed.thumbnail.url, alt: embed.thumbnail.description ?? "" }));
  const moment = embed.timestamp_s === null ? null : time.full(embed.timestamp_s * 1000);
  add((embed.footer || moment) && h("div", { class: "embed-footer", dir: "auto" }, [embed.footer, moment].filter(Boolean).join(" · ")));
  return card;
}

/** @param {string | null} url @param {string | Node} content */
const linked = (url, content) => (url ? h("a", { href: url, target: "_blank", rel: "noopener noreferrer nofollow" }, content) : content);

/** @param {any[]} list @param {number} now */
function fields(list, now) {
  return h("dl", { class: "embed-fields" }, list.map((field) => {
    const term = h("dt", {}, markdown(field.name_html, now));
    return h("div", { class: `embed-field ${field.inline ? "inline" : ""}` }, term, h("dd", {}, markdown(field.value_html, now)));
  }));
}
