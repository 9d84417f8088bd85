/**
 * What can be made to go wrong, and the bot's own process.
 */

import { get, post, Refused } from "../api.js";
import { fill, h, keyed } from "../dom.js";
import { toast } from "../ui/toast.js";

/** @param {import("../store.js").Store} store @param {() => boolean} visible */
export function faultsTab(store, visible) {
  const list = h("ul", { class: "faults" });
  const state = h("span", { class: "bot-state" });
  const restart = h("button", { class: "button", type: "button" }, "Restart the bot");
  const log = h("pre", { class: "bot-log", tabIndex: 0, "aria-label": "The end of the bot's log" });
  const more = h("details", {}, h("summary", {}, "The bot's own log"), log);
  const element = h("section", {}, h("p", { class: "tab-lead" }, "Switch something on, ask the bot something, and see what it makes of it."), list, h("div", { class: "bot-process" }, state, restart), more);

  const draw = () => keyed(list, store.faults, (fault) => fault.name, row);
  const drawBot = () => fill(state, h("i", { class: `dot ${store.bot.state}` }), `${store.bot.name} is ${store.bot.state === "starting" ? "starting" : store.bot.state}`);
  restart.addEventListener("click", () => attempt(restart, async () => void (await post("restart", {}))));
  more.addEventListener("toggle", () => more.open && readLog());

  async function readLog() {
    try {
      const { lines } = await get("log", { lines: 100 });
      log.textContent = lines.join("\n") || "It is empty.";
      log.scrollTop = log.scrollHeight;
      log.scrollIntoView({ block: "nearest" });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      log.textContent = error.message;
    }
  }
  store.on("faults", draw);
  store.on("bot", () => {
    drawBot();
    if (more.open && visible()) void readLog();
  });

  /** @param {import("../types.js").Fault} fault @param {Element | undefined} old */
  function row(fault, old) {
    const state = JSON.stringify(fault);
    if (/** @type {HTMLElement | undefined} */ (old)?.dataset.state === state) return /** @type {Element} */ (old);
    const control = fault.momentary
      ? h("button", { class: "button", type: "button", "aria-label": `${fault.label}: now` }, "Now")
      : h("button", { class: "switch", type: "button", role: "switch", "aria-checked": String(fault.on), "aria-label": fault.label }, h("i", {}));
    control.addEventListener("click", () => attempt(control, async () => {
      const { faults } = await post("fault", { name: fault.name, on: fault.momentary || !fault.on });
      store.apply({ op: "faults", faults });
    }));
    const hits = fault.hits ? h("span", { class: "tag quiet" }, `${fault.hits}×`) : null;
    const held = old?.contains(document.activeElement);
    const element = h("li", { class: "fault-row", dataset: { state, fault: fault.name } }, h("div", { class: "fault-words" }, h("strong", {}, fault.label, " ", hits), h("span", { class: "hint" }, fault.help)), control);
    if (held) queueMicrotask(() => control.focus({ preventScroll: true }));
    return element;
  }
  return { element, shown: draw };
}

/** @param {HTMLButtonElement} button @param {() => Promise<void>} act */
async function attempt(button, act) {
  button.disabled = true;
  try {
    await act();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    toast(error.message, "bad");
  } finally {
    button.disabled = false;
  }
}
