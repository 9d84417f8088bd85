/**
 * "… is typing": as long as the server says, and no longer.
 */

import { byId, fill, h } from "../dom.js";
import { dots } from "./message.js";

/** @param {import("../store.js").Store} store */
export function drawTyping(store) {
  const line = byId("typing");
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  function draw() {
    clearTimeout(timer);
    const others = store.typing.people.filter((user) => user.id !== store.person);
    const left = store.typing.until_s * 1000 - store.now();
    if (!others.length || left <= 0) return fill(line);
    timer = setTimeout(draw, left + 50);
    const names = others.slice(0, 3).flatMap((user, index) => [index ? ", " : "", h("strong", { dir: "auto" }, user.name)]);
    fill(line, dots(), h("span", {}, names, others.length === 1 ? " is typing…" : " are typing…"));
  }
  store.on("typing clock", draw);
}
