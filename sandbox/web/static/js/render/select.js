/**
 * A select as Discord has it: one line that opens a list, of which one or several are chosen. Used in messages and modals.
 */

import { freshId, h } from "../dom.js";
import { icon } from "../icons.js";
import { Listbox } from "../ui/listbox.js";

const TYPED_FOR_MS = 700;

/**
 * @param {any} spec PROTOCOL.md's component "select"
 * @param {object} how
 * @param {(values: string[]) => void} how.onChange after each choice
 * @param {(values: string[]) => void} [how.onDone] when the list is closed with another choice than before
 * @param {string} [how.label]
 * @returns {{element: HTMLElement, button: HTMLButtonElement, values: () => string[]}}
 */
export function select(spec, { onChange, onDone, label }) {
  const several = spec.max > 1;
  let chosen = spec.options.filter((/** @type {any} */ option) => option.default).map((/** @type {any} */ option) => option.value);
  let before = chosen.join("\n");
  const words = h("span", { class: "value", dir: "auto" });
  const button = h("button", { class: "select-button", type: "button", id: freshId("select"), disabled: spec.disabled ?? false }, words, icon("down"));
  const accessible = label ?? spec.placeholder ?? "Choose";
  const list = new Listbox({ anchor: button, label: accessible, multiple: several, onPick: pick, onHide: done });

  function show() {
    const labels = spec.options.filter((/** @type {any} */ option) => chosen.includes(option.value)).map((/** @type {any} */ option) => [option.emoji, option.label].filter(Boolean).join(" "));
    words.textContent = labels.join(", ") || spec.placeholder || (several ? "Choose some" : "Choose one");
    words.classList.toggle("empty", !labels.length);
    button.setAttribute("aria-label", `${accessible}: ${labels.join(", ") || "nothing chosen"}`);
  }
  const items = () => spec.options.map((/** @type {any} */ option) => ({
    key: option.value,
    label: [option.emoji, option.label].filter(Boolean).join(" "),
    hint: option.description ?? "",
    selected: chosen.includes(option.value),
  }));
  const openAt = (/** @type {number} */ index) => list.show(items(), { active: Math.max(0, index), empty: "There is nothing to choose from." });

  /** @param {import("../ui/listbox.js").Item} item */
  function pick(item) {
    const has = chosen.includes(item.key);
    if (several) {
      if (!has && chosen.length >= spec.max) return;
      chosen = has ? chosen.filter((/** @type {string} */ each) => each !== item.key) : [...chosen, item.key];
      openAt(list.active);
    } else {
      // A select that may stay empty is emptied by choosing the same again.
      chosen = has && spec.min === 0 ? [] : [item.key];
    }
    show();
    onChange(chosen);
    if (!several) list.hide();
  }
  function done() {
    const now = chosen.join("\n");
    if (now === before) return;
    before = now;
    onDone?.(chosen);
  }

  let typed = "";
  let typedAt = 0;
  button.addEventListener("click", () => (list.open ? list.hide() : openAt(spec.options.findIndex((/** @type {any} */ option) => chosen.includes(option.value)))));
  button.addEventListener("blur", () => list.hide());
  button.addEventListener("keydown", (event) => {
    if (list.open && event.key === " ") {
      event.preventDefault();
      list.pickActive();
    } else if (list.open && event.key === "Tab") list.hide();
    else if (list.key(event)) return;
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      openAt(0);
    } else if (event.key.length === 1 && /\S/u.test(event.key)) {
      typed = event.timeStamp - typedAt > TYPED_FOR_MS ? event.key : typed + event.key;
      typedAt = event.timeStamp;
      const index = spec.options.findIndex((/** @type {any} */ option) => option.label.toLowerCase().startsWith(typed.toLowerCase()));
      if (index >= 0) openAt(index);
    }
  });
  show();
  return { element: h("div", { class: "select" }, button), button, values: () => chosen };
}
