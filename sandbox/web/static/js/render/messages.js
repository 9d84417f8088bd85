/**
 * The list of messages of the open channel: keyed by id, in order, and never jumping under the reader's eyes.
 */

import { byId as element, h } from "../dom.js";
import { icon } from "../icons.js";
import * as time from "../time.js";
import { MessageView } from "./message.js";

const GROUPED_WITHIN_S = 7 * 60;
const AT_BOTTOM_PX = 48;
const LOAD_OLDER_PX = 400;

export class MessageList {
  /**
   * @param {import("../store.js").Store} store
   * @param {import("./message.js").Doings} doings
   * @param {() => Promise<void>} loadOlder
   */
  constructor(store, doings, loadOlder) {
    this.store = store;
    this.doings = doings;
    this.loadOlder = loadOlder;
    /** @type {Map<string, MessageView>} */
    this.views = new Map();
    this.log = element("log");
    this.pill = element("new-messages");
    this.start = h("div", { class: "log-start" });
    this.list = h("div", { class: "log-list" });
    this.log.append(this.start, this.list);
    this.stuck = true;
    this.unseen = 0;
    this.loading = false;
    this.shape = "";
    this.log.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.pill.addEventListener("click", () => {
      this.toBottom();
      this.log.focus({ preventScroll: true });
    });
    const observer = new ResizeObserver(() => this.#stick());
    observer.observe(this.list);
    observer.observe(this.log);
    store.on("channel", () => this.#all());
    store.on("message", (/** @type {any} */ message, /** @type {boolean} */ isNew) => this.#one(message, isNew));
    store.on("gone", (/** @type {string} */ id) => this.#gone(id));
    store.on("older", (/** @type {any[]} */ messages) => this.#older(messages));
  }

  /** @param {string} id @returns {boolean} whether it is loaded */
  jump(id) {
    const view = this.views.get(id);
    if (!view) return false;
    this.stuck = false;
    view.article.scrollIntoView({ block: "center" });
    view.article.focus({ preventScroll: true });
    view.article.classList.remove("flash");
    void view.article.offsetWidth; // restarts the animation
    view.article.classList.add("flash");
    return true;
  }

  toBottom() {
    this.stuck = true;
    this.#stick();
    this.#pill();
  }

  /** @param {KeyboardEvent} event arrows walk from message to message */
  walk(event) {
    const ids = this.store.order;
    const here = /** @type {HTMLElement} */ (event.target).closest(".message");
    const at = here ? ids.indexOf(/** @type {HTMLElement} */ (here).dataset.id ?? "") : ids.length;
    const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: ids.length - 1 }[event.key];
    if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target !== here && event.target !== this.log) return;
    event.preventDefault();
    this.views.get(ids[Math.max(0, Math.min(ids.length - 1, to))])?.article.focus();
  }

  #all() {
    const { store } = this;
    this.views = new Map(store.order.map((id) => [id, this.#view(/** @type {any} */ (store.messages.get(id)))]));
    store.order.forEach((_, index) => this.#arrange(index));
    this.list.replaceChildren(...store.order.map((id) => /** @type {MessageView} */ (this.views.get(id)).element));
    this.unseen = 0;
    this.toBottom();
    this.start.hidden = store.more;
  }

  /** @param {import("../types.js").Message} message @param {boolean} isNew */
  #one(message, isNew) {
    const old = this.views.get(message.id);
    const index = this.store.order.indexOf(message.id);
    if (old) old.update(message);
    else {
      const view = this.#view(message);
      this.views.set(message.id, view);
      const next = this.views.get(this.store.order[index + 1]);
      this.list.insertBefore(view.element, next?.element ?? null);
    }
    this.#arrange(index);
    this.#arrange(index + 1);
    if (isNew && message.author.id === this.store.person) this.stuck = true;
    if (isNew && !this.stuck) this.unseen += 1;
    this.#stick();
    this.#pill();
  }

  /** @param {string} id */
  #gone(id) {
    const view = this.views.get(id);
    if (!view) return;
    const held = view.element.contains(document.activeElement);
    view.element.remove();
    this.views.delete(id);
    this.store.order.forEach((_, index) => this.#arrange(index));
    if (held) this.log.focus({ preventScroll: true });
  }

  /** @param {import("../types.js").Message[]} messages */
  #older(messages) {
    const anchor = this.list.firstElementChild;
    const before = anchor?.getBoundingClientRect().top ?? 0;
    const views = messages.map((message) => this.#view(message));
    views.forEach((view) => this.views.set(view.message.id, view));
    for (let index = 0; index <= messages.length; index += 1) this.#arrange(index);
    this.list.prepend(...views.map((view) => view.element));
    this.start.hidden = this.store.more;
    if (anchor) this.log.scrollTop += anchor.getBoundingClientRect().top - before;
  }

  /** @param {import("../types.js").Message} message */
  #view(message) {
    return new MessageView(message, this.doings);
  }

  /** @param {number} index */
  #arrange(index) {
    const { order, messages } = this.store;
    const message = messages.get(order[index]);
    const view = this.views.get(order[index]);
    if (!message || !view) return;
    const before = messages.get(order[index - 1]);
    const newDay = !before || !time.sameDay(before.created_s * 1000, message.created_s * 1000);
    const grouped = !newDay && before.author.id === message.author.id && before.ephemeral === message.ephemeral && !message.reply && !message.used && message.created_s - before.created_s < GROUPED_WITHIN_S;
    view.arrange(grouped, newDay ? time.day(message.created_s * 1000) : null);
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.log;
    // Where the list or its frame changed its height, the browser moved it and not the reader.
    if (this.stuck && this.shape !== `${scrollHeight} ${clientHeight}`) return this.#stick();
    this.stuck = scrollHeight - scrollTop - clientHeight < AT_BOTTOM_PX;
    this.#pill();
    if (scrollTop < LOAD_OLDER_PX && this.store.more && !this.loading) void this.#load();
  }

  async #load() {
    this.loading = true;
    try {
      await this.loadOlder();
    } finally {
      this.loading = false;
    }
  }

  #stick() {
    if (!this.stuck) return;
    this.log.scrollTop = this.log.scrollHeight;
    this.shape = `${this.log.scrollHeight} ${this.log.clientHeight}`;
  }

  #pill() {
    if (this.stuck) this.unseen = 0;
    const { scrollHeight, scrollTop, clientHeight } = this.log;
    const far = scrollHeight - scrollTop > clientHeight * 3;
    const words = this.unseen ? `${this.unseen} new message${this.unseen === 1 ? "" : "s"}` : "Jump to the newest";
    this.pill.hidden = this.stuck || (!this.unseen && !far);
    if (!this.pill.hidden && this.pill.textContent !== words) this.pill.replaceChildren(words, icon("arrowDown"));
  }
}
