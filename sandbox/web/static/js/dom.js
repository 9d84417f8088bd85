/**
 * Elements without HTML strings: everything that people write reaches the page as text.
 */

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * An element with properties, listeners and children. Keys: `class`, `dataset`, `style` (an object, set through CSSOM,
 * which the page's strict CSP allows), `on` (listeners), `aria-*`, `role` and other attributes; the rest are properties.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any>} [props]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (key === "class") element.className = value;
    else if (key === "dataset") Object.assign(element.dataset, value);
    else if (key === "style") for (const [name, each] of Object.entries(value)) element.style.setProperty(name, each);
    else if (key === "on") for (const [name, listener] of Object.entries(value)) element.addEventListener(name, listener);
    else if (key in element && !key.startsWith("aria") && key !== "role" && key !== "list") element[key] = value;
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

/**
 * @param {Element} parent
 * @param {any[]} children nested lists are flattened, empty values left out
 */
export function append(parent, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) parent.append(child instanceof Node ? child : String(child));
  }
}

/**
 * Puts `children` in place of what `parent` holds.
 * @param {Element} parent
 * @param {...any} children
 */
export function fill(parent, ...children) {
  parent.replaceChildren();
  append(parent, children);
}

/** @param {string} id @returns {HTMLElement} */
export const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/**
 * Makes the children of `parent` those of `items` in that order, keeping, moving and renewing as little as possible.
 * @template T
 * @param {Element} parent
 * @param {T[]} items
 * @param {(item: T) => string} keyOf
 * @param {(item: T, old: Element | undefined) => Element} draw gives `old` back where it still fits
 */
export function keyed(parent, items, keyOf, draw) {
  const old = new Map([...parent.children].map((child) => [/** @type {HTMLElement} */ (child).dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const before = old.get(key);
    const element = draw(item, before);
    /** @type {HTMLElement} */ (element).dataset.key = key;
    old.delete(key);
    if (before && before !== element) {
      if (place === before) place = element;
      before.replaceWith(element);
    }
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
  for (const gone of old.values()) gone.remove();
}

let lastId = 0;
/** An id that no other element of the page has. @param {string} prefix */
export const freshId = (prefix) => `${prefix}-${++lastId}`;
