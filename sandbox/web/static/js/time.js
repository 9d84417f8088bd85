/**
 * Times in words, by the browser's own locale and time zone. All arguments are unix milliseconds.
 */

const SHORT = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });
const DATED = new Intl.DateTimeFormat(undefined, { day: "2-digit", month: "2-digit", year: "numeric", hour: "2-digit", minute: "2-digit" });
const PRECISE = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });

/** @param {number} at */
export const hour = (at) => SHORT.format(at);
/** @param {number} at */
export const full = (at) => FULL.format(at);
/** @param {number} at */
export const day = (at) => DAY.format(at);
/** @param {number} at */
export const precise = (at) => PRECISE.format(at);

/**
 * As beside a name: the hour alone on the sandbox's present day, with the date on any other.
 * @param {number} at
 * @param {number} now the sandbox's clock, which may be a month ahead of ours
 */
export const beside = (at, now) => (sameDay(at, now) ? SHORT.format(at) : DATED.format(at));

/** @param {number} a @param {number} b */
export const sameDay = (a, b) => new Date(a).toDateString() === new Date(b).toDateString();

const UNITS = /** @type {const} */ ([["year", 31_536_000], ["month", 2_592_000], ["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]]);
const RELATIVE = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

/** @param {number} at @param {number} now */
export function relative(at, now) {
  const seconds = Math.round((at - now) / 1000);
  const [unit, length] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? UNITS[UNITS.length - 1];
  return RELATIVE.format(Math.trunc(seconds / length), unit);
}

/** @param {number} bytes */
export function size(bytes) {
  if (bytes < 1024) return `${bytes} bytes`;
  const units = ["KB", "MB", "GB"];
  let value = bytes;
  let unit = -1;
  do { value /= 1024; unit += 1; } while (value >= 1024 && unit < units.length - 1);
  return `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}
