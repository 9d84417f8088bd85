/**
 * The fields of a command's options, one kind of pill for each kind of value.
 */

import { post, Refused } from "../api.js";
import { fill, freshId, h } from "../dom.js";
import { icon } from "../icons.js";
import { avatar, roleColour } from "../render/people.js";
import { channelIcon, isDirect } from "../render/places.js";
import * as time from "../time.js";
import { Listbox } from "../ui/listbox.js";
import { Chosen, pickFiles, preview, takeable } from "../ui/uploads.js";
import { checkPicked, checkTyped } from "./checks.js";
import { matching } from "./matching.js";

const ASK_AFTER_MS = 200;
const SHOWN_AT_MOST = 25;

/** @typedef {import("../types.js").Option} Option */
/** @typedef {import("../ui/listbox.js").Item} Item */

/**
 * @typedef {object} Line the command line that a pill stands in
 * @property {import("../store.js").Store} store
 * @property {import("../types.js").Command} command
 * @property {HTMLElement} around
 * @property {(pill: Pill) => void} onFocus
 * @property {(pill: Pill) => void} onFilled one was picked: the next one's turn
 * @property {(pill: Pill) => void} onErase Backspace in an empty field
 * @property {() => void} onSubmit
 * @property {(pill: Pill, fault: string | null) => void} onFault
 * @property {(except: Pill) => Promise<Record<string, any>>} values what the others hold so far
 */

/**
 * @typedef {object} Pill
 * @property {Option} option
 * @property {HTMLElement} element
 * @property {() => void} focus
 * @property {() => import("./checks.js").Checked} check
 * @property {() => Promise<any>} value after a check that found nothing
 * @property {(files: File[]) => boolean} [take] whether it took the files
 */

/** @param {Option} option @param {Line} line @returns {Pill} */
export function makePill(option, line) {
  if (option.type === "attachment") return attachmentPill(option, line);
  if (option.autocomplete) return suggestedPill(option, line);
  if (option.choices || PICKED.has(option.type)) return pickedPill(option, line);
  return typedPill(option, line);
}

const PICKED = new Set(["boolean", "user", "channel", "role", "mentionable"]);

/** The frame: the option's name, and its field. @param {Option} option @param {HTMLElement} field @param {HTMLElement} focusable */
function frame(option, field, focusable) {
  focusable.id ||= freshId("option");
  return h("div", { class: "pill", dataset: { option: option.name } }, h("label", { htmlFor: focusable.id, dir: "auto" }, option.name), field);
}

/** @param {Option} option */
function textField(option) {
  const numeric = { integer: "numeric", number: "decimal" }[/** @type {string} */ (option.type)];
  const attributes = { class: "pill-field", dir: "auto", autocomplete: "off", autocapitalize: "off", spellcheck: option.type === "string", "aria-label": `${option.name}: ${option.description}`, "aria-required": String(option.required), inputMode: numeric ?? "text" };
  const field = h("textarea", { ...attributes, rows: 1, enterKeyHint: "send" });
  field.addEventListener("input", () => grow(field));
  return field;
}

/** As wide and as high as its text. @param {HTMLTextAreaElement} field */
export function grow(field) {
  field.style.width = "";
  const longest = Math.max(...field.value.split("\n").map((line) => line.length));
  field.style.width = `${Math.max(4, longest + 2)}ch`;
  field.style.height = "auto";
  field.style.height = `${Math.min(field.scrollHeight, 160)}px`;
}

/** @param {HTMLTextAreaElement} field @param {Pill} pill @param {Line} line @param {Listbox} [list] */
function listen(field, pill, line, list) {
  field.addEventListener("focus", () => line.onFocus(pill));
  field.addEventListener("keydown", (event) => {
    if (event.isComposing || list?.key(event)) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      line.onSubmit();
    } else if (event.key === "Backspace" && !field.value) {
      event.preventDefault();
      line.onErase(pill);
    }
  });
}

/** @param {Option} option @param {Line} line @returns {Pill} */
function typedPill(option, line) {
  const field = textField(option);
  const pill = { option, element: frame(option, field, field), focus: () => field.focus(), check: () => checkTyped(option, field.value), value: async () => checkTyped(option, field.value).value };
  listen(field, pill, line);
  field.addEventListener("input", () => line.onFault(pill, null));
  return pill;
}

/** @param {Option} option @param {Line} line @returns {Pill} */
function pickedPill(option, line) {
  const field = textField(option);
  /** @type {any} */
  let picked;
  const list = new Listbox({
    anchor: field,
    around: line.around,
    label: option.name,
    onPick(item) {
      picked = item.value;
      field.value = item.label;
      grow(field);
      list.hide();
      line.onFault(pill, null);
      line.onFilled(pill);
    },
  });
  const pill = { option, element: frame(option, field, field), focus: () => field.focus(), check: () => checkPicked(option, picked, field.value), value: async () => picked };
  const show = () => {
    const typed = picked === undefined ? field.value : "";
    const fitting = matching(offered(option, line.store), typed, (item) => item.label).slice(0, SHOWN_AT_MOST);
    list.show(fitting, { active: typed || option.required ? 0 : -1, empty: "Nothing here is called that." });
  };
  listen(field, pill, line, list);
  field.addEventListener("focus", show);
  field.addEventListener("blur", () => list.hide());
  field.addEventListener("input", () => {
    picked = undefined;
    line.onFault(pill, null);
    show();
  });
  field.addEventListener("keydown", (event) => !list.open && (event.key === "ArrowDown" || event.key === "ArrowUp") && show());
  return pill;
}

/** @param {Option} option @param {import("../store.js").Store} store @returns {Item[]} */
function offered(option, store) {
  if (option.choices) return option.choices.map(({ name, value }) => ({ key: String(value), label: name, value }));
  if (option.type === "boolean") return [{ key: "true", label: "True", value: true }, { key: "false", label: "False", value: false }];
  if (option.type === "channel") return store.channels.filter((channel) => !isDirect(channel)).map((channel) => ({ key: channel.id, label: channel.name, value: channel.id, picture: icon(channelIcon(channel)) }));
  const users = store.members.map((user) => ({ key: user.id, label: user.name, hint: user.username, value: user.id, picture: avatar(user, "small") }));
  const roles = store.roles.map((role) => ({ key: role.id, label: role.name, value: role.id, picture: rolePicture(role) }));
  return { user: users, role: roles, mentionable: [...users, ...roles] }[/** @type {"user"} */ (option.type)] ?? [];
}

/** @param {import("../types.js").Role} role */
function rolePicture(role) {
  const dot = h("i", { class: "role-dot" });
  if (role.hue !== null) dot.style.background = roleColour(role.hue);
  return dot;
}

/** Suggestions come from the bot while one types; text may be sent as typed. @param {Option} option @param {Line} line @returns {Pill} */
function suggestedPill(option, line) {
  const field = textField(option);
  /** @type {import("../types.js").Choice | undefined} */
  let picked;
  /** @type {AbortController | undefined} */
  let asking;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const list = new Listbox({
    anchor: field,
    around: line.around,
    label: option.name,
    onPick(item) {
      picked = item.value;
      field.value = item.label;
      grow(field);
      list.hide();
      line.onFault(pill, null);
      line.onFilled(pill);
    },
  });
  const check = () => (picked ? { value: picked.value } : checkTyped(option, field.value));
  const pill = { option, element: frame(option, field, field), focus: () => field.focus(), check, value: async () => check().value };

  async function ask() {
    asking?.abort();
    const controller = (asking = new AbortController());
    try {
      const { store, command } = line;
      const options = await line.values(pill);
      const body = { person: store.person, channel: store.channel, command: command.name, option: option.name, value: field.value, options };
      const { choices } = await post("autocomplete", body, controller.signal);
      if (controller.signal.aborted || document.activeElement !== field) return;
      const items = choices.map((/** @type {any} */ choice) => ({ key: String(choice.value), label: choice.name, value: choice }));
      list.show(items, { active: field.value ? 0 : -1, empty: "The bot suggests nothing for this." });
    } catch (error) {
      if (controller.signal.aborted) return;
      if (!(error instanceof Refused)) throw error;
      list.show([], { empty: `Suggestions failed: ${error.message}` });
    }
  }
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(ask, ASK_AFTER_MS);
  };
  listen(field, pill, line, list);
  field.addEventListener("focus", () => picked || later());
  field.addEventListener("blur", () => {
    clearTimeout(timer);
    asking?.abort();
    list.hide();
  });
  field.addEventListener("input", () => {
    picked = undefined;
    line.onFault(pill, null);
    later();
  });
  return pill;
}

/** @param {Option} option @param {Line} line @returns {Pill} */
function attachmentPill(option, line) {
  /** @type {Chosen | null} */
  let chosen = null;
  const button = h("button", { class: "pill-field pill-file", type: "button", "aria-label": `${option.name}: ${option.description}` });
  const draw = () => fill(button, chosen ? [preview(chosen.file), h("span", { dir: "auto" }, chosen.file.name), h("span", { class: "hint" }, time.size(chosen.file.size))] : [icon("clip"), "Choose, drop or paste a file"]);
  const check = () => (chosen || !option.required ? { value: undefined } : { fault: `${option.name} is required.` });
  /** @param {File[]} files */
  const take = (files) => {
    const { files: taken, fault } = takeable(files.slice(0, 1), { limits: line.store.limits, already: 0 });
    line.onFault(pill, fault);
    if (!taken.length) return Boolean(fault);
    chosen = new Chosen(taken[0]);
    chosen.ready.catch((error) => line.onFault(pill, error.message));
    draw();
    return true;
  };
  const pill = { option, element: frame(option, button, button), focus: () => button.focus(), check, value: async () => chosen?.reference(), take };
  button.addEventListener("focus", () => line.onFocus(pill));
  button.addEventListener("click", () => pickFiles({}, (files) => take(files) && line.onFilled(pill)));
  button.addEventListener("keydown", (event) => {
    if (event.key !== "Backspace" && event.key !== "Delete") return;
    event.preventDefault();
    if (!chosen) return line.onErase(pill);
    chosen = null;
    draw();
  });
  draw();
  return pill;
}
