/**
 * The right: who is in this place, bots first, as their roles say.
 */

import { byId, fill, h } from "../dom.js";
import { avatar, botTag, name } from "./people.js";

/**
 * @param {import("../store.js").Store} store
 * @param {(user: any, anchor: HTMLElement) => void} profile
 */
export function drawMembers(store, profile) {
  const root = byId("members");

  function draw() {
    const here = store.here;
    const present = here?.kind === "dm" ? store.members.filter((user) => user.id === store.person || user.id === store.bot.id) : store.members;
    const groups = [["Bots", present.filter((user) => user.bot)], ["People", present.filter((user) => !user.bot)]];
    fill(root, groups.filter(([, users]) => users.length).map(([title, users]) => [
      h("h2", {}, `${title} · ${users.length}`),
      h("ul", {}, /** @type {any[]} */ (users).map((user) => h("li", {}, row(user)))),
    ]));
  }

  /** @param {import("../types.js").User} user */
  function row(user) {
    const mine = user.id === store.person;
    const state = user.id === store.bot.id ? store.bot.state : null;
    const what = state ?? user.note ?? user.roles.map((role) => role.name).join(", ");
    const face = avatar(user, "small");
    if (state) face.append(h("i", { class: `dot ${state}` }));
    const button = h("button", { class: `member ${mine ? "is-me" : ""}`, type: "button" }, face,
      h("span", { class: "who" }, h("span", { class: "line" }, name(user), user.bot ? botTag() : null), what ? h("span", { class: "what", dir: "auto" }, mine ? `you · ${what}` : what) : mine ? h("span", { class: "what" }, "you") : null));
    button.addEventListener("click", () => profile(user, button));
    return button;
  }
  store.on("place bot", draw);
}
