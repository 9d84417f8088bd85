/**
 * Attachments: pictures alone or in a gallery, sound, video and files; and the dialog that shows a picture large.
 */

import { fill, h } from "../dom.js";
import { icon } from "../icons.js";
import * as time from "../time.js";

/** @typedef {import("../types.js").Media} Media */

/** @param {Media[]} media */
export function attachments(media) {
  const pictures = media.filter((each) => each.kind === "image" && each.url);
  const rest = media.filter((each) => !pictures.includes(each));
  return [pictures.length ? gallery(pictures) : null, ...rest.map(other)];
}

/** @param {Media[]} pictures all with an address */
export function gallery(pictures) {
  const grid = h("div", { class: "gallery", dataset: { count: String(pictures.length) } });
  if (pictures.length > 1) {
    grid.setAttribute("role", "group");
    grid.setAttribute("aria-label", `${pictures.length} pictures`);
  }
  pictures.forEach((each, index) => grid.append(picture(each, () => openLightbox(pictures, index))));
  return grid;
}

/** @param {Media} media @param {() => void} open */
function picture(media, open) {
  const words = media.description || media.name;
  const image = h("img", { src: media.url, alt: words, loading: "lazy", decoding: "async" });
  if (media.width && media.height) {
    // Both attributes give the browser the shape before the bytes are there, so that nothing jumps.
    image.width = media.width;
    image.height = media.height;
  }
  const button = h("button", { class: `picture ${media.spoiler ? "spoiler" : ""}`, type: "button" }, image, media.description ? h("span", { class: "alt", title: media.description, "aria-hidden": "true" }, "ALT") : null);
  button.setAttribute("aria-label", media.spoiler ? "Spoiler: show the picture" : `Show large: ${words}`);
  image.addEventListener("error", () => {
    button.classList.add("broken");
    fill(button, `${media.name} cannot be shown`);
  });
  button.addEventListener("click", () => {
    if (!button.classList.contains("spoiler")) return open();
    button.classList.remove("spoiler");
    button.setAttribute("aria-label", `Show large: ${words}`);
  });
  return button;
}

/** @param {Media} media */
function other(media) {
  if (media.kind === "video" && media.url) return h("video", { class: "video", src: media.url, controls: true, preload: "metadata", "aria-label": media.description || media.name });
  if (media.kind === "audio" && media.url) return h("audio", { src: media.url, controls: true, preload: "metadata", "aria-label": media.description || media.name });
  return file(media);
}

/** @param {Media} media */
export function file(media) {
  const address = media.url ? `${media.url}?download` : media.external;
  const link = address
    ? h("a", { href: address, dir: "auto", ...(media.url ? { download: media.name } : { target: "_blank", rel: "noopener noreferrer nofollow" }) }, media.name)
    : h("bdi", {}, media.name);
  const about = [media.description, media.size === null ? null : time.size(media.size)].filter(Boolean).join(" · ");
  return h("div", { class: "file" }, icon("file"), h("div", { class: "what" }, link, h("span", { dir: "auto" }, about || media.content_type)));
}

/** @type {HTMLDialogElement | null} */
let dialog = null;

/** @param {Media[]} pictures @param {number} index */
export function openLightbox(pictures, index) {
  dialog ??= lightbox();
  const shown = dialog;
  const several = pictures.length > 1;
  const show = (/** @type {number} */ next) => {
    index = (next + pictures.length) % pictures.length;
    const media = pictures[index];
    const image = h("img", { src: media.url, alt: media.description || media.name });
    const place = several ? `${index + 1} of ${pictures.length}` : "";
    fill(
      shown,
      h("figure", {}, image, h("figcaption", { dir: "auto" }, h("strong", {}, media.name), media.description ? h("span", {}, media.description) : null, h("span", { class: "hint" }, [place, media.width && `${media.width} × ${media.height}`, media.size && time.size(media.size)].filter(Boolean).join(" · ")))),
      h("div", { class: "lightbox-tools" },
        h("a", { class: "icon-button", href: media.url, target: "_blank", "aria-label": "Open in a new tab" }, icon("link")),
        h("button", { class: "icon-button", type: "button", autofocus: true, "aria-label": "Close", on: { click: () => shown.close() } }, icon("close"))),
      several ? h("button", { class: "icon-button turn back", type: "button", "aria-label": "Previous picture", on: { click: () => show(index - 1) } }, icon("left")) : null,
      several ? h("button", { class: "icon-button turn on", type: "button", "aria-label": "Next picture", on: { click: () => show(index + 1) } }, icon("right")) : null,
    );
  };
  shown.onkeydown = (event) => {
    if (several && event.key === "ArrowRight") show(index + 1);
    if (several && event.key === "ArrowLeft") show(index - 1);
  };
  show(index);
  shown.showModal();
}

function lightbox() {
  const element = h("dialog", { class: "lightbox", "aria-label": "Picture" });
  element.addEventListener("click", (event) => event.target === element && element.close());
  document.body.append(element);
  return element;
}
