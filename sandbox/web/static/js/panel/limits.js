/**
 * Discord's rate limits as they fill and empty.
 */

import { h, keyed } from "../dom.js";

const NAMES = /** @type {Record<string, string>} */ ({
  global: "All requests of the bot",
  webhook_messages_in_channel: "Webhook messages in a channel",
  interaction_callback: "First answers to interactions",
  interaction_webhook: "Edits and follow-ups of an interaction",
  channel_message_create: "New messages in a channel",
  channel_message_edit: "Edits in a channel",
  channel_message_delete: "Deletions in a channel",
  channel_typing: "Typing in a channel",
  other: "Every other route",
});

/** @param {import("../store.js").Store} store @param {() => boolean} visible */
export function limitsTab(store, visible) {
  const list = h("ul", { class: "buckets" });
  const element = h("section", {}, h("p", { class: "tab-lead" }, "The fullest window of each of Discord's limits, now. Whoever passes one is answered 429."), list);
  const draw = () => visible() && keyed(list, store.buckets, (bucket) => bucket.name, row);
  store.on("limits", draw);
  return { element, shown: draw };
}

/** @param {import("../types.js").Bucket} bucket @param {Element | undefined} old */
function row(bucket, old) {
  const state = JSON.stringify(bucket);
  const element = /** @type {HTMLElement} */ (old ?? h("li", { class: "bucket" }, h("div", { class: "bucket-head" }, h("strong", {}), h("span", { class: "bucket-used" })), h("div", { class: "meter", role: "meter" }, h("i", {})), h("div", { class: "hint" })));
  if (element.dataset.state === state) return element;
  element.dataset.state = state;
  const { limit, used, window_s, windows, admitted, refused } = bucket;
  const share = limit ? Math.min(1, used / limit) : 0;
  const label = NAMES[bucket.name] ?? bucket.name.replaceAll("_", " ");
  const [name, count] = /** @type {any} */ (element.querySelector(".bucket-head")).children;
  name.textContent = label;
  count.textContent = limit === null ? "no limit" : `${used} of ${limit}`;
  const meter = /** @type {HTMLElement} */ (element.querySelector(".meter"));
  for (const [key, value] of Object.entries({ "aria-label": label, "aria-valuemin": 0, "aria-valuemax": limit ?? 1, "aria-valuenow": Math.min(used, limit ?? 0) })) meter.setAttribute(key, String(value));
  /** @type {HTMLElement} */ (meter.firstElementChild).style.transform = `scaleX(${share})`;
  meter.classList.toggle("full", share >= 1);
  meter.classList.toggle("high", share >= 0.6 && share < 1);
  const about = [limit === null ? null : `in ${window_s} s`, windows > 1 ? `${windows} windows open` : null, `${admitted} let through`, refused ? `${refused} refused` : null];
  /** @type {HTMLElement} */ (element.querySelector(".hint")).textContent = about.filter(Boolean).join(" · ");
  return element;
}
