/**
 * A command being filled in: its name, a pill for each option given, and those that could be given.
 */

import { post, Refused } from "../api.js";
import { fill, h } from "../dom.js";
import { icon } from "../icons.js";
import { announce } from "../ui/toast.js";
import { makePill } from "./pills.js";

/** What libraries send where nobody described an option. */
const UNTOLD = new Set(["…", "..."]);

export class CommandLine {
  /**
   * @param {object} how
   * @param {import("../store.js").Store} how.store
   * @param {import("../types.js").Command} how.command
   * @param {HTMLElement} how.around where lists are shown
   * @param {(text: string) => void} how.onLeave back to plain text
   * @param {(outcome: import("../types.js").Outcome) => void} how.onSent
   */
  constructor({ store, command, around, onLeave, onSent }) {
    Object.assign(this, { store, command, around, onLeave, onSent });
    this.store = store;
    this.command = command;
    this.around = around;
    /** @type {import("./pills.js").Pill[]} */
    this.pills = [];
    this.sending = false;
    this.hint = h("div", { class: "command-hint", id: "command-hint" });
    this.fault = h("div", { class: "fault command-fault", role: "alert" });
    this.chip = h("span", { class: "command-chip" }, icon("slash"), command.name);
    this.optional = h("div", { class: "optional", role: "group", "aria-label": "Optional" });
    this.row = h("div", { class: "command-row" }, this.chip);
    const close = h("button", { class: "icon-button", type: "button", "aria-label": "Leave the command", on: { click: () => onLeave("") } }, icon("close"));
    this.element = h("div", { class: "command-line", role: "group", "aria-label": `Command ${command.name}` }, h("div", { class: "command-top" }, this.hint, this.fault, close), this.row, this.optional);
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.defaultPrevented) return;
      event.preventDefault();
      onLeave("");
    });
    for (const option of command.options.filter((each) => each.required)) this.add(option);
    this.#drawOptional();
    this.#describe();
  }

  /** The first field, or what sends a command without any. */
  focus() {
    if (this.pills.length) this.pills[0].focus();
    else {
      this.chip.tabIndex = 0;
      this.chip.setAttribute("role", "button");
      this.chip.setAttribute("aria-label", `Send /${this.command.name}`);
      this.chip.onkeydown = (event) => {
        if (event.key === "Enter" || event.key === " ") this.submit();
        else if (event.key === "Backspace") this.onLeave(`/${this.command.name}`);
        else return;
        event.preventDefault();
      };
      this.chip.focus();
    }
  }

  /** @param {import("../types.js").Option} option */
  add(option) {
    const pill = makePill(option, {
      store: this.store,
      command: this.command,
      around: this.around,
      onFocus: (each) => this.#describe(each),
      onFilled: (each) => this.#next(each),
      onErase: (each) => this.#erase(each),
      onSubmit: () => this.submit(),
      onFault: (each, words) => this.#blame(each, words),
      values: (except) => this.#valid(except),
    });
    this.pills.push(pill);
    this.row.append(pill.element);
    this.#drawOptional();
    return pill;
  }

  /**
   * Files that were dropped or pasted go to the first option that takes one and has none yet.
   * @param {File[]} files
   */
  take(files) {
    const free = this.pills.find((pill) => pill.take && !pill.element.querySelector("img, .thumb"));
    const other = this.#left().find((option) => option.type === "attachment");
    const pill = free ?? (other ? this.add(other) : null);
    if (!pill?.take) {
      this.#say(`/${this.command.name} takes no ${this.command.options.some((option) => option.type === "attachment") ? "further " : ""}file.`);
      return;
    }
    pill.take(files);
    pill.focus();
    if (files.length > 1) this.take(files.slice(1));
  }

  async submit() {
    if (this.sending) return;
    for (const pill of this.pills) {
      const { fault } = pill.check();
      if (fault === undefined) continue;
      pill.focus();
      this.#blame(pill, fault);
      return;
    }
    this.sending = true;
    this.element.classList.add("sending");
    try {
      const { store, command } = this;
      const outcome = await post("command", { person: store.person, channel: store.channel, command: command.name, options: await this.#values() });
      this.onSent(outcome);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      const pill = this.pills.find((each) => each.option.name === error.field);
      if (pill) {
        pill.focus();
        this.#blame(pill, error.message);
      } else this.#say(error.message);
    } finally {
      this.sending = false;
      this.element.classList.remove("sending");
    }
  }

  async #values() {
    /** @type {Record<string, any>} */
    const values = {};
    for (const pill of this.pills) {
      const value = await pill.value();
      if (value !== undefined) values[pill.option.name] = value;
    }
    return values;
  }

  /** What is already right, for the bot's suggestions. @param {import("./pills.js").Pill} except */
  async #valid(except) {
    /** @type {Record<string, any>} */
    const values = {};
    for (const pill of this.pills) {
      const { value } = pill.check();
      if (pill !== except && value !== undefined) values[pill.option.name] = value;
    }
    return values;
  }

  #left() {
    const given = new Set(this.pills.map((pill) => pill.option.name));
    return this.command.options.filter((option) => !given.has(option.name));
  }

  #drawOptional() {
    const left = this.#left();
    this.optional.hidden = !left.length;
    fill(this.optional, h("span", { class: "hint", "aria-hidden": "true" }, "Optional"), left.map((option) => {
      const add = h("button", { class: "add-option", type: "button", title: option.description, "aria-label": `Add ${option.name}: ${option.description}` }, icon("plus"), option.name);
      add.addEventListener("click", () => this.add(option).focus());
      add.addEventListener("keydown", (event) => event.key === "Backspace" && this.pills.at(-1)?.focus());
      return add;
    }));
  }

  /** @param {import("./pills.js").Pill} [pill] */
  #describe(pill) {
    const [title, words] = pill ? [pill.option.name, pill.option.description] : [`/${this.command.name}`, this.command.description];
    fill(this.hint, h("strong", {}, title), " ", h("span", { dir: "auto" }, UNTOLD.has(words) ? "" : words));
    for (const each of this.pills) each.element.classList.toggle("current", each === pill);
  }

  /** @param {import("./pills.js").Pill} pill @param {string | null} words */
  #blame(pill, words) {
    pill.element.classList.toggle("wrong", words !== null);
    pill.element.querySelector(".pill-field")?.setAttribute("aria-invalid", String(words !== null));
    this.fault.textContent = words ?? "";
  }

  /** @param {string} words */
  #say(words) {
    this.fault.textContent = words;
    announce(words);
  }

  /** @param {import("./pills.js").Pill} pill the next empty required one, else stay: Enter sends */
  #next(pill) {
    const empty = this.pills.find((each) => each !== pill && each.check().fault !== undefined);
    empty?.focus();
  }

  /** @param {import("./pills.js").Pill} pill */
  #erase(pill) {
    const at = this.pills.indexOf(pill);
    if (!pill.option.required) {
      this.pills.splice(at, 1);
      pill.element.remove();
      this.#blame(pill, null);
      this.#drawOptional();
    }
    if (at > 0) this.pills[at - 1].focus();
    else if (pill.option.required) this.onLeave(`/${this.command.name}`);
    else this.focus();
  }
}
