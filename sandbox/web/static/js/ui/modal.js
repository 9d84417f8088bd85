/**
 * A form that the bot shows: text inputs with limits and counters, selects, radio buttons, checkboxes, files.
 */

import { post, Refused } from "../api.js";
import { fill, freshId, h } from "../dom.js";
import { icon } from "../icons.js";
import { markdown } from "../render/markdown.js";
import { select } from "../render/select.js";
import { Chosen, pickFiles, preview, takeable } from "./uploads.js";

/**
 * @typedef {object} Drawn one field on the page
 * @property {HTMLElement} element
 * @property {string | null} id null for a field that only shows something
 * @property {() => string | null} [check] what is wrong with it
 * @property {() => any} [value]
 * @property {HTMLElement} [focus]
 * @property {HTMLElement} [fault]
 */

/**
 * @param {import("../types.js").Modal} modal
 * @param {import("../store.js").Store} store
 * @param {(outcome: import("../types.js").Outcome) => void} then
 */
export function openModal(modal, store, then) {
  const title = h("h2", { id: freshId("modal"), dir: "auto" }, modal.title);
  const fault = h("p", { class: "fault", role: "alert" });
  const fields = modal.fields.map((field) => draw(field, store));
  const submit = h("button", { class: "button primary", type: "submit" }, "Submit");
  const form = h("form", { method: "dialog", noValidate: true },
    h("header", {}, title, h("button", { class: "icon-button", type: "button", "aria-label": "Close", on: { click: () => dialog.close() } }, icon("close"))),
    h("p", { class: "modal-from hint" }, icon("bot"), h("span", {}, `This form was made by ${store.bot.name}. It goes to the bot and stays in the sandbox.`)),
    h("div", { class: "modal-fields" }, fields.map((field) => field.element)),
    fault,
    h("footer", {}, h("button", { class: "button", type: "button", on: { click: () => dialog.close() } }, "Cancel"), submit));
  const dialog = h("dialog", { class: "modal", "aria-labelledby": title.id }, form);
  dialog.addEventListener("close", () => dialog.remove());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    fault.textContent = "";
    if (!valid(fields)) return;
    submit.disabled = true;
    try {
      const outcome = await post("modal", { person: store.person, interaction: modal.interaction, values: await valuesOf(fields) });
      if (outcome.error) throw new Refused(outcome.error, 200);
      dialog.close();
      then(outcome);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      const field = fields.find((each) => each.id !== null && each.id === error.field);
      if (field) blame(field, error.message);
      else fault.textContent = error.message;
    } finally {
      submit.disabled = false;
    }
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  document.body.append(dialog);
  dialog.showModal();
  fields.find((field) => field.focus)?.focus?.focus();
}

/** @param {Drawn[]} fields @returns {boolean} false after the first wrong one got the focus */
function valid(fields) {
  const wrong = fields.filter((field) => {
    const problem = field.check?.() ?? null;
    blame(field, problem);
    return problem !== null;
  });
  wrong[0]?.focus?.focus();
  return wrong.length === 0;
}

/** @param {Drawn} field @param {string | null} problem */
function blame(field, problem) {
  if (field.fault) field.fault.textContent = problem ?? "";
  field.focus?.setAttribute("aria-invalid", String(problem !== null));
}

/** @param {Drawn[]} fields */
async function valuesOf(fields) {
  /** @type {Record<string, any>} */
  const values = {};
  for (const field of fields) {
    const value = await field.value?.();
    if (field.id !== null && value !== undefined) values[field.id] = value;
  }
  return values;
}

/** @param {any} field @param {import("../store.js").Store} store @returns {Drawn} */
function draw(field, store) {
  const make = FIELDS[/** @type {keyof typeof FIELDS} */ (field.type)];
  return make ? make(field, store) : { element: h("p", { class: "hint" }, "This sandbox cannot show one field of this form."), id: null };
}

const FIELDS = /** @type {Record<string, (field: any, store: any) => Drawn>} */ ({
  text: (field, store) => ({ element: markdown(field.html, store.now()), id: null }),
  text_input: textInput,
  select(field) {
    const drawn = select(field, { onChange: () => undefined, label: field.label });
    const check = () => amount(drawn.values().length, field);
    return framed(field, drawn.element, { focus: drawn.button, check, value: () => drawn.values() });
  },
  radio: (field) => choices(field, "radio"),
  checkboxes: (field) => choices(field, "checkbox"),
  checkbox(field) {
    const box = h("input", { type: "checkbox", id: freshId("field"), checked: field.value });
    const label = h("label", { class: "choice" }, box, h("span", { dir: "auto" }, field.label));
    return { element: h("div", { class: "modal-field" }, label, about(field)), id: field.id, focus: box, value: () => box.checked };
  },
  upload,
});

/** @param {any} field @returns {Drawn} */
function textInput(field) {
  const make = { maxLength: field.max, value: field.value ?? "", placeholder: field.placeholder ?? "", class: "field", dir: "auto", id: freshId("field"), autocomplete: "off" };
  const input = field.style === "paragraph" ? h("textarea", { ...make, rows: 6 }) : h("input", { ...make, type: "text" });
  const counter = h("span", { class: "counter", "aria-hidden": "true" });
  const count = () => {
    counter.textContent = `${input.value.length} / ${field.max}`;
    counter.classList.toggle("near", field.max - input.value.length < Math.min(50, field.max / 5));
  };
  input.addEventListener("input", count);
  count();
  const check = () => {
    const { length } = input.value;
    if (!length) return field.required ? "Please fill this in." : null;
    return length < field.min ? `At least ${field.min} characters; these are ${length}.` : null;
  };
  return framed(field, h("div", { class: "counted" }, input, counter), { focus: input, check, value: () => input.value });
}

/** @param {any} field @param {"radio" | "checkbox"} type @returns {Drawn} */
function choices(field, type) {
  const group = freshId("group");
  const boxes = field.options.map((/** @type {any} */ option) => h("input", { type, name: group, value: option.value, checked: option.default }));
  const rows = field.options.map((/** @type {any} */ option, /** @type {number} */ index) => h("label", { class: "choice" }, boxes[index], h("span", { dir: "auto" }, option.label, option.description ? h("span", { class: "hint" }, option.description) : null)));
  const chosen = () => boxes.filter((/** @type {any} */ box) => box.checked).map((/** @type {any} */ box) => box.value);
  const limits = type === "radio" ? { min: 1, max: 1, required: field.required } : field;
  const element = h("div", { role: type === "radio" ? "radiogroup" : "group", "aria-label": field.label }, rows);
  const value = () => (type === "radio" ? chosen()[0] : chosen());
  return framed(field, element, { focus: boxes[0], check: () => amount(chosen().length, limits), value });
}

/** @param {any} field @param {import("../store.js").Store} store @returns {Drawn} */
function upload(field, store) {
  /** @type {Chosen[]} */
  let files = [];
  const list = h("div", { class: "upload-list" });
  const button = h("button", { class: "button", type: "button", id: freshId("field") }, icon("clip"), "Choose files");
  const drawn = framed(field, h("div", {}, list, button), {
    focus: button,
    check: () => amount(files.length, field),
    value: async () => ({ uploads: await Promise.all(files.map((file) => file.reference())) }),
  });
  const redraw = () => fill(list, files.map((chosen) => h("div", { class: "upload-card" }, preview(chosen.file), h("span", { dir: "auto" }, chosen.file.name),
    h("button", { class: "icon-button", type: "button", "aria-label": `Remove ${chosen.file.name}`, on: { click: () => { files = files.filter((each) => each !== chosen); redraw(); } } }, icon("close")))));
  button.addEventListener("click", () => pickFiles({ multiple: field.max > 1 }, (picked) => {
    const { files: taken, fault } = takeable(picked, { limits: { ...store.limits, files: field.max }, already: files.length });
    files.push(...taken.map((file) => new Chosen(file)));
    blame(drawn, fault);
    redraw();
  }));
  return drawn;
}

/** @param {number} count @param {{min: number, max: number, required: boolean}} field @returns {string | null} */
function amount(count, { min, max, required }) {
  if (!count) return required && min > 0 ? "Please choose." : null;
  if (count < min) return `Choose at least ${min}.`;
  return count > max ? `Choose at most ${max}.` : null;
}

/** @param {any} field */
const about = (field) => (field.description ? h("p", { class: "hint", dir: "auto" }, field.description) : null);

/** @param {any} field @param {HTMLElement} content @param {{focus: any, check: () => string | null, value: () => any}} how @returns {Drawn} */
function framed(field, content, { focus, check, value }) {
  const fault = h("p", { class: "fault", id: freshId("fault"), role: "alert" });
  focus?.setAttribute("aria-describedby", fault.id);
  focus?.setAttribute("aria-required", String(Boolean(field.required)));
  const star = field.required ? h("span", { class: "star", "aria-hidden": "true" }, " *") : null;
  const label = h("label", { htmlFor: focus?.id ?? "", dir: "auto" }, field.label, star);
  return { element: h("div", { class: "modal-field" }, label, about(field), content, fault), id: field.id, focus, check, value, fault };
}
