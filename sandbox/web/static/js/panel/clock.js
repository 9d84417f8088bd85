/**
 * The sandbox's time, and letting it pass.
 */

import { post, Refused } from "../api.js";
import { h } from "../dom.js";
import * as time from "../time.js";
import { toast } from "../ui/toast.js";

const MINUTE = 60;
const DAY = 86_400;
const STEPS = /** @type {const} */ ([
  ["1 minute", MINUTE, "A short pause"],
  ["15 minutes", 15 * MINUTE, "An interaction's token ends"],
  ["1 day", DAY, "Daily credits come anew"],
  ["1 month", 31 * DAY, "Monthly credits come anew"],
]);

/** @param {import("../store.js").Store} store @param {() => boolean} visible */
export function clockTab(store, visible) {
  const now = h("output", { class: "clock-now" });
  const ahead = h("p", { class: "hint" });
  const steps = STEPS.map(([label, seconds, why]) => {
    const button = h("button", { class: "step", type: "button" }, h("strong", {}, `+ ${label}`), h("span", { class: "hint" }, why));
    button.addEventListener("click", () => pass(seconds, label, button));
    return button;
  });
  const element = h("section", {}, h("p", { class: "tab-lead" }, "Bot, Discord and API all live by this clock. It can be moved on, never back."), h("div", { class: "clock-face" }, now, ahead), h("div", { class: "steps" }, steps));

  /** @param {number} seconds @param {string} label @param {HTMLButtonElement} button */
  async function pass(seconds, label, button) {
    button.disabled = true;
    try {
      const clock = await post("clock", { advance_s: seconds });
      store.apply({ op: "clock", clock });
      toast(`${label} passed.`);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      toast(error.message, "bad");
    } finally {
      button.disabled = false;
    }
  }
  function draw() {
    if (!visible()) return;
    now.textContent = time.full(store.now());
    const { advanced_s } = store.clock;
    ahead.textContent = advanced_s ? `${span(advanced_s)} ahead of this machine` : "the same as this machine's";
  }
  store.on("clock", draw);
  setInterval(draw, 1_000);
  return { element, shown: draw };
}

/** @param {number} seconds */
function span(seconds) {
  const days = Math.floor(seconds / DAY);
  const minutes = Math.round((seconds % DAY) / MINUTE);
  const plural = (/** @type {number} */ count, /** @type {string} */ unit) => (count ? `${count} ${unit}${count === 1 ? "" : "s"}` : "");
  return [plural(days, "day"), plural(Math.floor(minutes / 60), "hour"), plural(minutes % 60, "minute")].filter(Boolean).join(", ") || "less than a minute";
}
