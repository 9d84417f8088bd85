/**
 * Files on their way to the server: checked as Discord's client checks them, uploaded at once, shown as small cards.
 */

import { upload } from "../api.js";
import { h } from "../dom.js";
import { icon } from "../icons.js";
import * as time from "../time.js";

/** One chosen file. `ready` is fulfilled with the upload, or rejects with words for the person. */
export class Chosen {
  /** @param {File} file */
  constructor(file) {
    this.file = file;
    this.description = "";
    this.spoiler = false;
    /** @type {Promise<import("../types.js").Upload>} */
    this.ready = upload([file]).then(([stored]) => stored);
    // Who waits for it hears of a failure; nobody has to.
    this.ready.catch(() => undefined);
  }

  /** @returns {Promise<import("../types.js").FileRef>} */
  async reference() {
    const { id } = await this.ready;
    return { id, description: this.description.trim() || null, spoiler: this.spoiler };
  }
}

/**
 * @param {File[]} files
 * @param {{limits: {upload_bytes: number, files: number}, already: number}} how
 * @returns {{files: File[], fault: string | null}} what may be taken, and why the rest may not
 */
export function takeable(files, { limits, already }) {
  const small = files.filter((file) => file.size <= limits.upload_bytes);
  const room = Math.max(0, limits.files - already);
  let fault = null;
  if (small.length < files.length) fault = `Files may be at most ${time.size(limits.upload_bytes)} here.`;
  else if (small.length > room) fault = `At most ${limits.files} files fit one message.`;
  return { files: small.slice(0, room), fault };
}

/** @param {File} file @param {string} [cls] */
export function preview(file, cls = "thumb") {
  if (!file.type.startsWith("image/")) return h("span", { class: cls }, icon("file"));
  const address = URL.createObjectURL(file);
  const image = h("img", { class: cls, src: address, alt: "" });
  image.addEventListener("load", () => URL.revokeObjectURL(address), { once: true });
  image.addEventListener("error", () => image.replaceWith(h("span", { class: cls }, icon("file"))), { once: true });
  return image;
}

/**
 * The browser's own file dialog.
 * @param {{multiple?: boolean}} how
 * @param {(files: File[]) => void} then
 */
export function pickFiles({ multiple = false }, then) {
  const input = h("input", { type: "file", multiple, class: "visually-hidden", tabIndex: -1, "aria-hidden": "true" });
  input.addEventListener("change", () => {
    then([...(input.files ?? [])]);
    input.remove();
  });
  input.addEventListener("cancel", () => input.remove());
  document.body.append(input);
  input.click();
}
