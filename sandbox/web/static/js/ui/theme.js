/**
 * Dark or light: as the system says, until somebody presses the button; then remembered in this browser.
 */

const KEY = "sandbox.theme";
const system = matchMedia("(prefers-color-scheme: light)");

/** @returns {"dark" | "light"} */
export function theme() {
  const chosen = document.documentElement.dataset.theme;
  if (chosen === "dark" || chosen === "light") return chosen;
  return system.matches ? "light" : "dark";
}

export function toggleTheme() {
  const next = theme() === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  remember(KEY, next);
}

/** @param {() => void} listener */
export const onSystemTheme = (listener) => system.addEventListener("change", listener);

/** @param {string} key @param {string} value kept where the browser allows it */
export function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // A browser that keeps nothing is a browser's right.
  }
}

/** @param {string} key @returns {string | null} */
export function remembered(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}
