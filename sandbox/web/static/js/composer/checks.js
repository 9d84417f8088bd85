/**
 * What Discord's client checks before a command is sent. Pure: an option and what was typed in, a value or a sentence out.
 */

/** Discord's own bound for a text option, in UTF-16 units. */
const TEXT_LIMIT = 6_000;

/** @typedef {{value: any, fault?: undefined} | {fault: string, value?: undefined}} Checked `value` undefined: not given */

/**
 * A text or a number as typed.
 * @param {import("../types.js").Option} option @param {string} typed
 * @returns {Checked}
 */
export function checkTyped(option, typed) {
  if (!typed.trim()) return option.required ? { fault: `${option.name} is required.` } : { value: undefined };
  if (option.type === "string") return checkLength(option, typed.trim());
  return checkNumber(option, typed.trim());
}

/**
 * Something picked from a list, or not picked yet.
 * @param {import("../types.js").Option} option @param {any} picked @param {string} typed what stands in the field instead
 * @returns {Checked}
 */
export function checkPicked(option, picked, typed) {
  if (picked !== undefined) return { value: picked };
  if (typed.trim()) return { fault: `Choose ${option.name} from the list.` };
  return option.required ? { fault: `${option.name} is required.` } : { value: undefined };
}

/** @param {import("../types.js").Option} option @param {string} text @returns {Checked} */
function checkLength(option, text) {
  const low = option.min ?? 0;
  const high = option.max ?? TEXT_LIMIT;
  if (text.length < low) return { fault: `${option.name} takes at least ${low} characters; this has ${text.length}.` };
  if (text.length > high) return { fault: `${option.name} takes at most ${high} characters; this has ${text.length}.` };
  return { value: text };
}

/** @param {import("../types.js").Option} option @param {string} typed @returns {Checked} */
function checkNumber(option, typed) {
  const whole = option.type === "integer";
  const number = Number(typed.replace(",", "."));
  const pattern = whole ? /^[-+]?\d+$/u : /^[-+]?(\d+([.,]\d*)?|[.,]\d+)$/u;
  if (!pattern.test(typed) || !Number.isFinite(number)) return { fault: `${option.name} takes ${whole ? "a whole number" : "a number"}, like ${example(option)}.` };
  if (whole && !Number.isSafeInteger(number)) return { fault: `${option.name} is too large a number.` };
  if (option.min !== null && number < option.min) return { fault: `${option.name} is at least ${option.min}.` };
  if (option.max !== null && number > option.max) return { fault: `${option.name} is at most ${option.max}.` };
  return { value: number };
}

/** @param {import("../types.js").Option} option */
const example = (option) => option.min ?? option.max ?? (option.type === "integer" ? 3 : 2.5);
