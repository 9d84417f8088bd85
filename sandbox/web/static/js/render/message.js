/**
 * One message. It is drawn once; afterwards only the parts that changed are drawn anew, so that a stream of edits neither
 * closes a spoiler, nor reloads a picture, nor takes the focus from a button.
 */

import { fill, h } from "../dom.js";
import { icon } from "../icons.js";
import * as time from "../time.js";
import { components } from "./components.js";
import { embed } from "./embeds.js";
import { markdown, setMarkdown } from "./markdown.js";
import { attachments } from "./media.js";
import { avatar, botTag, name } from "./people.js";

/** How long no edit may come until a message counts as at rest, for screen readers. */
const SETTLED_MS = 1_500;

/**
 * @typedef {object} Doings what a message lets people do
 * @property {() => number} now
 * @property {(message: any, component: any, values: string[] | null, element: HTMLElement) => void} use
 * @property {(message: any) => void} dismiss
 * @property {(id: string) => void} jump
 * @property {(user: any, anchor: HTMLElement) => void} profile
 * @property {(message: any, emoji: string, add: boolean) => void} react
 */

export class MessageView {
  /** @param {import("../types.js").Message} message @param {Doings} doings */
  constructor(message, doings) {
    this.message = message;
    this.doings = doings;
    /** @type {Map<string, string>} what each part was last drawn from */
    this.drawn = new Map();
    this.dayLine = h("div", { class: "day", role: "separator" });
    this.above = h("div", { class: "above" });
    this.side = h("div", { class: "avatar-cell" });
    this.head = h("div", { class: "head" });
    this.text = h("div", { class: "markdown", dir: "auto" });
    this.attached = h("div", { class: "attachments" });
    this.embeds = h("div", { class: "embeds" });
    this.components = h("div", { class: "components" });
    this.reactions = h("div", { class: "reactions" });
    this.foot = h("div", { class: "foot" });
    this.body = h("div", { class: "body" }, this.head, this.text, this.attached, this.embeds, this.components, this.reactions, this.foot);
    this.article = h("article", { class: "message", tabIndex: -1, dataset: { id: message.id } }, this.above, this.side, this.body);
    this.element = h("div", { class: "entry" }, this.dayLine, this.article);
    this.update(message);
  }

  /** @param {import("../types.js").Message} message */
  update(message) {
    const again = this.drawn.size > 0;
    this.message = message;
    const flags = { "mentions-me": message.mentions_me, ephemeral: message.ephemeral, loading: message.loading };
    for (const [flag, on] of Object.entries(flags)) this.article.classList.toggle(flag, on);
    this.#part("above", [message.reply, message.used], () => this.#drawAbove());
    this.#part("text", [message.html, message.loading, message.edited_s], () => this.#drawText());
    this.#part("attached", message.attachments, () => this.#drawList(this.attached, attachments(message.attachments)));
    this.#part("embeds", message.embeds, () => this.#drawList(this.embeds, message.embeds.map((each) => embed(each, this.doings.now()))));
    this.#part("components", [message.components, message.may.use], () => this.#drawComponents());
    this.#part("reactions", message.reactions, () => this.#drawReactions());
    this.#part("foot", message.ephemeral, () => this.#drawFoot());
    if (again) this.#busy();
  }

  /**
   * How it stands among its neighbours.
   * @param {boolean} grouped below one of the same author, without a head of its own
   * @param {string | null} dayAbove
   */
  arrange(grouped, dayAbove) {
    this.#part("arrangement", [grouped, dayAbove, this.message.author, this.message.edited_s !== null], () => {
      const { author, created_s } = this.message;
      const at = created_s * 1000;
      this.article.classList.toggle("grouped", grouped);
      this.dayLine.hidden = dayAbove === null;
      this.dayLine.textContent = dayAbove ?? "";
      this.head.hidden = grouped;
      fill(this.side, grouped ? h("time", { class: "side-time", "aria-hidden": "true" }, time.hour(at)) : avatar(author));
      const who = h("button", { type: "button", class: "who-button" }, name(author));
      who.addEventListener("click", () => this.doings.profile(author, who));
      fill(this.head, who, author.bot ? botTag() : null, h("time", { dateTime: new Date(at).toISOString(), title: time.full(at) }, time.beside(at, this.doings.now())));
      this.article.setAttribute("aria-label", `${author.name}, ${time.hour(at)}`);
    });
  }

  /** @param {string} key @param {any} from @param {() => void} draw */
  #part(key, from, draw) {
    const source = JSON.stringify(from);
    if (this.drawn.get(key) === source) return;
    this.drawn.set(key, source);
    draw();
  }

  #drawAbove() {
    const { reply, used } = this.message;
    this.above.hidden = !reply && !used;
    if (used) {
      const did = used.kind === "component" ? "used a button or a list" : "used";
      fill(this.above, avatar(used.user, "tiny"), name(used.user), " ", h("span", {}, did), " ", used.kind === "component" ? null : h("span", { class: "command", dir: "ltr" }, used.kind === "menu" ? used.name : `/${used.name}`));
    } else if (reply) fill(this.above, this.#quote(reply));
  }

  /** @param {NonNullable<import("../types.js").Message["reply"]>} reply */
  #quote(reply) {
    if (reply.gone || !reply.author) return h("span", { class: "quote" }, "The message was deleted");
    const line = markdown(reply.html, this.doings.now(), "span");
    line.classList.add("quote");
    const jump = h("button", { type: "button", class: "quote", "aria-label": `In reply to ${reply.author.name}: ${line.textContent}` }, line);
    jump.addEventListener("click", () => this.doings.jump(reply.id));
    return [avatar(reply.author, "tiny"), name(reply.author), jump];
  }

  #drawText() {
    const { html, loading, author, edited_s } = this.message;
    if (loading && !html) {
      fill(this.text, h("div", { class: "thinking" }, dots(), h("span", {}, `${author.name} is thinking…`)));
      return;
    }
    setMarkdown(this.text, html, this.doings.now());
    this.text.hidden = !html && edited_s === null;
    if (edited_s === null || loading) return;
    const mark = h("span", { class: "edited", title: `Edited ${time.full(edited_s * 1000)}` }, "(edited)");
    const last = this.text.lastElementChild;
    // Beside the last words where those are a paragraph, on a line of its own below code and lists.
    if (last?.matches("p, small")) last.append(" ", mark);
    else this.text.append(mark);
  }

  /** @param {HTMLElement} place @param {any[]} drawn */
  #drawList(place, drawn) {
    fill(place, drawn);
    place.hidden = !place.hasChildNodes();
  }

  #drawComponents() {
    const focused = /** @type {HTMLElement | null} */ (this.components.contains(document.activeElement) ? document.activeElement : null);
    const id = /** @type {HTMLElement | null} */ (focused?.closest("[data-component]"))?.dataset.component;
    const { message, doings } = this;
    const context = { now: doings.now(), usable: message.may.use, use: (/** @type {any} */ component, /** @type {any} */ values, /** @type {any} */ element) => doings.use(this.message, component, values, element) };
    this.#drawList(this.components, components(message.components, context));
    if (!focused) return;
    const same = id ? this.components.querySelector(`[data-component="${CSS.escape(id)}"]`) : null;
    const heir = /** @type {HTMLElement} */ (same?.matches("button") ? same : same?.querySelector("button") ?? this.article);
    (/** @type {any} */ (heir).disabled ? this.article : heir).focus({ preventScroll: true });
  }

  #drawReactions() {
    this.#drawList(this.reactions, this.message.reactions.map((each) => {
      const chip = h("button", { class: `reaction ${each.mine ? "mine" : ""}`, type: "button", "aria-pressed": String(each.mine), "aria-label": `${each.emoji}, ${each.count}` }, `${each.emoji} ${each.count}`);
      chip.addEventListener("click", () => this.doings.react(this.message, each.emoji, !each.mine));
      return chip;
    }));
  }

  #drawFoot() {
    if (!this.message.ephemeral) return fill(this.foot);
    const dismiss = h("button", { type: "button", on: { click: () => this.doings.dismiss(this.message) } }, "Dismiss");
    fill(this.foot, h("div", { class: "only-you" }, icon("eye"), h("span", {}, "Only you can see this ·"), dismiss));
  }

  /** A screen reader waits with a busy message, and reads it once it has come to rest. */
  #busy() {
    this.article.setAttribute("aria-busy", "true");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.article.removeAttribute("aria-busy"), SETTLED_MS);
  }
}

export const dots = () => h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i"));
