/**
 * The line above the messages: where one is, and the switches of the side columns and the theme; and the banner above all.
 */

import { byId, fill, h } from "../dom.js";
import { icon } from "../icons.js";
import { onSystemTheme, theme, toggleTheme } from "../ui/theme.js";
import { channelIcon } from "./places.js";

/**
 * @param {import("../store.js").Store} store
 * @param {import("../ui/columns.js").Columns} columns
 */
export function drawBar(store, columns) {
  const title = h("div", { class: "title" });
  const topic = h("div", { class: "topic", dir: "auto" });
  const menu = tool("menu", "Servers and channels", () => columns.drawer("places"));
  menu.classList.add("only-narrow");
  const look = tool("sun", "", () => {
    toggleTheme();
    drawTheme();
  });
  const members = tool("people", "Members", () => columns.toggle("members"));
  const panel = tool("panel", "Sandbox tools", () => columns.toggle("panel"));
  const simulated = h("span", { class: "tag quiet simulated", title: "No model answers here: the sandbox's own simulation does, and nothing costs money." }, "Simulated");
  fill(byId("bar"), menu, title, topic, h("span", { class: "spring" }), simulated, look, members, panel);

  function drawTheme() {
    const dark = theme() === "dark";
    fill(look, icon(dark ? "sun" : "moon"));
    look.title = dark ? "Light colours" : "Dark colours";
    look.setAttribute("aria-label", look.title);
  }
  function draw() {
    const here = store.here;
    if (!here) return;
    fill(title, icon(channelIcon(here)), h("h1", { dir: "auto" }, here.name));
    topic.textContent = here.topic ?? (here.kind === "dm" ? "Only you and the bot read this." : here.age_restricted ? "Age-restricted" : "");
    topic.hidden = !topic.textContent;
    topic.title = topic.textContent;
    simulated.hidden = !store.simulated;
    document.title = `${here.kind === "dm" ? "@" : "#"}${here.name} · Sandbox`;
  }
  columns.onChange(() => {
    members.setAttribute("aria-pressed", String(columns.shows("members")));
    panel.setAttribute("aria-pressed", String(columns.shows("panel")));
  });
  onSystemTheme(drawTheme);
  drawTheme();
  store.on("place", draw);
}

/** @param {any} name @param {string} label @param {() => void} act */
function tool(name, label, act) {
  return h("button", { class: "icon-button", type: "button", title: label, "aria-label": label, on: { click: act } }, icon(name));
}

/** @param {import("../store.js").Store} store */
export function drawBanner(store) {
  const banner = byId("banner");
  function draw() {
    const lost = store.connection === "lost";
    const words = lost
      ? "The sandbox is not connected. Trying again…"
      : { starting: store.loaded ? "The bot is starting…" : "", offline: "The bot is offline. Sandbox tools → Faults can start it again.", online: "" }[store.bot.state];
    banner.textContent = words;
    banner.hidden = !words;
  }
  store.on("connection bot place", draw);
}
