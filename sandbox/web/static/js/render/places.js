/**
 * The left: direct messages or the server, and below it its channels and threads.
 */

import { byId, fill, h, keyed } from "../dom.js";
import { icon } from "../icons.js";
import { initials } from "./people.js";

/** @typedef {import("../types.js").Channel} Channel */

const ICONS = /** @type {const} */ ({ text: "hash", thread: "thread", dm: "at", forum: "speech", voice: "pulse", category: "menu" });

/** @param {Channel} channel @returns {any} */
export const channelIcon = (channel) => (channel.age_restricted && channel.kind === "text" ? "restricted" : ICONS[channel.kind]);

/** @param {Channel} channel */
export const isDirect = (channel) => channel.kind === "dm";

/**
 * @param {import("../store.js").Store} store
 * @param {(channel: string) => void} open
 */
export function drawPlaces(store, open) {
  const rail = byId("rail");
  const title = h("h2", { class: "channels-title" });
  const list = h("ul", {});
  fill(byId("channels"), title, list);

  function draw() {
    const here = store.here;
    const direct = here !== undefined && isDirect(here);
    drawRail(direct);
    title.textContent = direct ? "Direct messages" : store.guild.name;
    keyed(list, ordered(store.channels.filter((channel) => isDirect(channel) === direct)), (channel) => channel.id, row);
  }

  /** @param {boolean} direct */
  function drawRail(direct) {
    const dms = store.channels.filter(isDirect);
    const guild = store.channels.filter((channel) => !isDirect(channel));
    fill(
      rail,
      dms.length ? railItem("Direct messages", icon("speech"), direct, dms) : null,
      h("hr", { "aria-hidden": "true" }),
      guild.length ? railItem(store.guild.name, initials(store.guild.name), !direct, guild) : null,
    );
  }

  /** @param {string} label @param {Node | string} content @param {boolean} current @param {Channel[]} channels */
  function railItem(label, content, current, channels) {
    const mentions = channels.reduce((sum, channel) => sum + (store.unread.get(channel.id)?.mention ?? 0), 0);
    const words = mentions ? `${label}, ${mentions} mentions` : label;
    const button = h("button", { class: "rail-item", type: "button", title: label, "aria-label": words, "aria-current": String(current) }, content, mentions ? h("span", { class: "badge", "aria-hidden": "true" }, mentions) : null);
    const first = channels.find((channel) => channel.kind === "text") ?? channels[0];
    button.addEventListener("click", () => current || open(lastOpened.get(label) ?? first.id));
    if (current && store.channel) lastOpened.set(label, store.channel);
    return button;
  }
  /** @type {Map<string, string>} where one was in each place */
  const lastOpened = new Map();

  /** @param {Channel} channel @param {Element | undefined} old */
  function row(channel, old) {
    const unread = store.unread.get(channel.id);
    const state = JSON.stringify([channel, unread, channel.id === store.channel]);
    if (old && /** @type {HTMLElement} */ (old).dataset.state === state) return old;
    if (channel.kind === "category") return h("li", { class: "channels-group", dir: "auto", dataset: { state } }, channel.name);
    const button = h("button", {
      class: `channel ${channel.kind} ${unread ? "unread" : ""}`,
      type: "button",
      "aria-current": channel.id === store.channel ? "page" : null,
      "aria-label": spoken(channel, unread?.mention ?? 0, Boolean(unread)),
    }, icon(channelIcon(channel)), h("span", { class: "name", dir: "auto" }, channel.name), unread?.mention ? h("span", { class: "badge", "aria-hidden": "true" }, unread.mention) : null);
    button.addEventListener("click", () => open(channel.id));
    const item = h("li", { dataset: { state } }, button);
    // A row that is drawn anew under the focus hands it on.
    if (old?.contains(document.activeElement)) queueMicrotask(() => button.focus({ preventScroll: true }));
    return item;
  }
  store.on("place unread", draw);
}

/** @param {Channel} channel @param {number} mentions @param {boolean} unread */
function spoken(channel, mentions, unread) {
  const kinds = { text: "channel", thread: "thread", dm: "direct message", forum: "forum", voice: "voice channel", category: "" };
  const kind = channel.age_restricted ? `age-restricted ${kinds[channel.kind]}` : kinds[channel.kind];
  return [channel.name, kind, mentions ? `${mentions} mentions` : unread ? "unread" : ""].filter(Boolean).join(", ");
}

/** Threads below their channel; all else as it comes. @param {Channel[]} channels */
function ordered(channels) {
  const ids = new Set(channels.map((channel) => channel.id));
  const nested = (/** @type {Channel} */ channel) => channel.kind === "thread" && channel.parent !== null && ids.has(channel.parent);
  return channels.filter((channel) => !nested(channel)).flatMap((channel) => [channel, ...channels.filter((each) => nested(each) && each.parent === channel.id)]);
}
