/**
 * The box at the bottom: a message with mentions, files and a reply, the edit of an older one, or a command.
 */

import { post, Refused } from "../api.js";
import { byId, fill, freshId, h } from "../dom.js";
import { icon } from "../icons.js";
import { avatar, name } from "../render/people.js";
import { channelIcon, isDirect } from "../render/places.js";
import * as time from "../time.js";
import { Listbox } from "../ui/listbox.js";
import { toast } from "../ui/toast.js";
import { Chosen, pickFiles, preview, takeable } from "../ui/uploads.js";
import { CommandLine } from "./command-line.js";
import { asked, matching } from "./matching.js";

const TYPING_EVERY_MS = 8_000;
const SUGGESTED_AT_MOST = 25;
const COUNTED_FROM = 200;
const NARROW = matchMedia("(max-width: 560px)");

export class Composer {
  /**
   * @param {import("../store.js").Store} store
   * @param {(outcome: import("../types.js").Outcome) => void} onOutcome
   */
  constructor(store, onOutcome) {
    this.store = store;
    this.onOutcome = onOutcome;
    /** @type {import("../types.js").Message | null} */ this.replyTo = null;
    /** @type {import("../types.js").Message | null} */ this.editing = null;
    /** @type {Chosen[]} */ this.files = [];
    /** @type {CommandLine | null} */ this.command = null;
    /** @type {Map<string, string>} what was mentioned, as it stands in the text, to what is sent */ this.mentioned = new Map();
    /** @type {Map<string, string>} unsent texts by channel */ this.drafts = new Map();
    this.ping = true;
    this.typedAt = -TYPING_EVERY_MS;
    this.#build();
    this.list = new Listbox({ anchor: this.text, around: this.box, label: "Suggestions", onPick: (item) => this.#picked(item) });
    this.#listen();
  }

  /** @param {import("../types.js").Message} message */
  reply(message) {
    this.#leaveCommand();
    this.#stopEditing();
    this.replyTo = message;
    this.ping = true;
    this.#drawContext();
    this.text.focus();
  }

  /** @param {import("../types.js").Message} message */
  edit(message) {
    this.#leaveCommand();
    this.replyTo = null;
    this.editing = message;
    this.text.value = message.text;
    this.#typed();
    this.#drawContext();
    this.text.focus();
    this.text.setSelectionRange(message.text.length, message.text.length);
  }

  /** @param {import("../types.js").User} user */
  mention(user) {
    const { value, selectionEnd } = this.text;
    this.#insert(selectionEnd, selectionEnd, `${value && !value.slice(0, selectionEnd).endsWith(" ") ? " " : ""}@${user.name}`, `<@${user.id}>`, `@${user.name}`);
    this.text.focus();
  }

  #build() {
    this.context = h("div", { class: "composer-context", hidden: true });
    this.cards = h("ul", { class: "composer-files", "aria-label": "Files to send", hidden: true });
    this.fault = h("p", { class: "fault composer-fault", role: "alert" });
    this.text = h("textarea", { id: "composer-text", class: "composer-text", rows: 1, dir: "auto", "aria-label": "Message", "aria-describedby": "composer-why", autocomplete: "off" });
    this.attach = h("button", { class: "icon-button", type: "button", title: "Attach files", "aria-label": "Attach files", on: { click: () => pickFiles({ multiple: true }, (files) => this.take(files)) } }, icon("plus"));
    this.counter = h("span", { class: "counter", hidden: true });
    this.send = h("button", { class: "icon-button send", type: "button", title: "Send", "aria-label": "Send", on: { click: () => (this.command ? this.command.submit() : this.#submit()) } }, icon("send"));
    this.place = h("div", { class: "composer-place" }, this.text);
    this.line = h("div", { class: "composer-line" }, this.attach, this.place, this.counter, this.send);
    this.why = h("p", { class: "composer-why", id: "composer-why", hidden: true });
    this.box = h("div", { class: "composer-box" }, this.context, this.cards, this.line, this.why);
    fill(byId("composer"), this.fault, this.box);
  }

  #listen() {
    const { text, store } = this;
    text.addEventListener("input", () => this.#typed());
    text.addEventListener("click", () => this.#suggest());
    text.addEventListener("blur", () => this.list.hide());
    text.addEventListener("keydown", (event) => this.#key(event));
    const room = byId("room");
    room.addEventListener("paste", (event) => this.#pasted(/** @type {ClipboardEvent} */ (event)));
    room.addEventListener("dragover", (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      room.classList.add("dropping");
    });
    room.addEventListener("dragleave", (event) => room.contains(/** @type {Node} */ (event.relatedTarget)) || room.classList.remove("dropping"));
    room.addEventListener("drop", (event) => {
      room.classList.remove("dropping");
      if (!event.dataTransfer?.files.length) return;
      event.preventDefault();
      this.take([...event.dataTransfer.files]);
    });
    store.on("channel", (/** @type {boolean} */ changed) => this.#moved(changed));
    store.on("commands", () => this.#allowed());
    store.on("gone", (/** @type {string} */ id) => {
      if (this.replyTo?.id === id) this.#drop();
      if (this.editing?.id === id) this.#stopEditing();
    });
  }

  /** @param {File[]} files */
  take(files) {
    if (this.command) return this.command.take(files);
    if (!this.store.may.attach) return this.#say("This person may not attach files here.");
    const { files: taken, fault } = takeable(files, { limits: this.store.limits, already: this.files.length });
    this.#say(fault ?? "");
    for (const file of taken) {
      const chosen = new Chosen(file);
      chosen.ready.catch((error) => {
        this.files = this.files.filter((each) => each !== chosen);
        this.#say(`${file.name}: ${error.message}`);
        this.#drawFiles();
      });
      this.files.push(chosen);
    }
    this.#drawFiles();
    this.text.focus();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.isComposing || this.list.key(event)) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      void this.#submit();
    } else if (event.key === "Escape" && (this.editing || this.replyTo)) {
      event.preventDefault();
      if (this.editing) this.#stopEditing();
      else this.#drop();
    } else if (event.key === "ArrowUp" && !this.text.value) this.#editLast(event);
  }

  /** @param {Event} event */
  #editLast(event) {
    const mine = this.store.order.toReversed().map((id) => this.store.messages.get(id)).find((message) => message?.may.edit);
    if (!mine) return;
    event.preventDefault();
    this.edit(mine);
  }

  #typed() {
    const { text, store } = this;
    text.style.height = "auto";
    text.style.height = `${Math.min(text.scrollHeight, innerHeight * 0.4)}px`;
    const left = store.limits.characters - text.value.length;
    this.counter.hidden = left > COUNTED_FROM;
    this.counter.textContent = String(left);
    this.counter.classList.toggle("near", left < 0);
    this.#say("");
    this.#suggest();
    if (text.value.trim() && !text.value.startsWith("/") && performance.now() - this.typedAt > TYPING_EVERY_MS) {
      this.typedAt = performance.now();
      post("typing", { person: store.person, channel: store.channel }).catch(() => undefined);
    }
  }

  #suggest() {
    const { text, store } = this;
    const wanted = this.editing && text.value.startsWith("/") ? null : asked(text.value, text.selectionEnd);
    this.wanted = wanted;
    if (!wanted) return this.list.hide();
    const { kind, typed } = wanted;
    if (kind === "/") {
      const exact = store.commands.find((command) => command.kind === "slash" && `${command.name} ` === typed);
      if (exact && store.may.use_commands) return this.#enter(exact);
      return this.list.show(this.#commandItems(typed), { empty: store.may.use_commands ? "The bot has no such command for this person here." : "This person may use no commands here." });
    }
    const items = kind === "@" ? this.#peopleItems(typed) : this.#channelItems(typed);
    this.list.show(items.slice(0, SUGGESTED_AT_MOST));
  }

  /** @param {string} typed */
  #commandItems(typed) {
    const slash = this.store.may.use_commands ? this.store.commands.filter((command) => command.kind === "slash") : [];
    return matching(slash, typed, (command) => command.name).map((command) => ({
      key: command.name,
      label: `/${command.name}`,
      hint: command.description,
      group: typed ? undefined : this.store.bot.name,
      picture: null,
      value: command,
    }));
  }

  /** @param {string} typed */
  #peopleItems(typed) {
    const { members, roles } = this.store;
    const users = matching(members, typed, (user) => user.name).map((user) => ({ key: user.id, label: `@${user.name}`, hint: user.bot ? "the bot" : user.username, picture: avatar(user, "small"), value: `<@${user.id}>` }));
    return [...users, ...matching(roles, typed, (role) => role.name).map((role) => ({ key: role.id, label: `@${role.name}`, hint: "role", picture: null, value: `<@&${role.id}>` }))];
  }

  /** @param {string} typed */
  #channelItems(typed) {
    const channels = this.store.channels.filter((channel) => !isDirect(channel) && channel.kind !== "category");
    return matching(channels, typed, (channel) => channel.name).map((channel) => ({ key: channel.id, label: `#${channel.name}`, picture: icon(channelIcon(channel)), value: `<#${channel.id}>` }));
  }

  /** @param {import("../ui/listbox.js").Item} item */
  #picked(item) {
    this.list.hide();
    if (!this.wanted) return;
    if (this.wanted.kind === "/") return this.#enter(item.value);
    this.#insert(this.wanted.from, this.text.selectionEnd, item.label, item.value, item.label);
  }

  /** @param {number} from @param {number} to @param {string} shown @param {string} sent @param {string} key */
  #insert(from, to, shown, sent, key) {
    this.mentioned.set(key, sent);
    this.text.setRangeText(`${shown} `, from, to, "end");
    this.#typed();
  }

  /** @param {import("../types.js").Command} command */
  #enter(command) {
    this.list.hide();
    this.#drop();
    this.text.value = "";
    this.#typed();
    const line = new CommandLine({
      store: this.store,
      command,
      around: this.box,
      onLeave: (text) => this.#leaveCommand(text),
      onSent: (outcome) => {
        this.#leaveCommand();
        this.onOutcome(outcome);
      },
    });
    this.command = line;
    fill(this.place, line.element);
    this.box.classList.add("commanding");
    this.attach.hidden = true;
    if (this.files.length) line.take(this.files.map((chosen) => chosen.file));
    this.files = [];
    this.#drawFiles();
    line.focus();
  }

  /** @param {string} [text] what stands in the box then */
  #leaveCommand(text = "") {
    if (!this.command) return;
    this.command = null;
    fill(this.place, this.text);
    this.box.classList.remove("commanding");
    this.attach.hidden = !this.store.may.attach;
    this.text.value = text;
    this.text.focus();
    this.#typed();
  }

  async #submit() {
    const { text, store, editing } = this;
    const content = this.#sent(text.value);
    const files = this.files;
    if (!content.trim() && !files.length) return;
    if (content.length > store.limits.characters) return this.#say(`A message may have ${store.limits.characters} characters; this has ${content.length}.`);
    if (content.startsWith("/") && !editing) return this.#say("Choose a command from the list, or put something before the slash.");
    const target = { person: store.person, channel: store.channel };
    try {
      if (editing) await post("edit", { ...target, message: editing.id, text: content });
      else {
        this.send.disabled = true;
        const references = await Promise.all(files.map((file) => file.reference()));
        await post("say", { ...target, text: content, files: references, reply_to: this.replyTo?.id ?? null, ping: this.ping });
      }
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return this.#say(error.message);
    } finally {
      this.send.disabled = false;
    }
    this.#clear();
  }

  /** The text with names in place of ids put back. @param {string} shown */
  #sent(shown) {
    const names = [...this.mentioned.keys()].sort((a, b) => b.length - a.length);
    return names.reduce((text, each) => text.replaceAll(each, /** @type {string} */ (this.mentioned.get(each))), shown);
  }

  #clear() {
    this.text.value = "";
    this.mentioned.clear();
    this.files = [];
    this.typedAt = -TYPING_EVERY_MS;
    this.editing = null;
    this.#drop();
    this.#drawFiles();
    this.#typed();
  }

  #drop() {
    this.replyTo = null;
    this.#drawContext();
  }

  #stopEditing() {
    if (!this.editing) return;
    this.editing = null;
    this.text.value = "";
    this.#typed();
    this.#drawContext();
  }

  /** @param {boolean} changed another channel is open, and not only the same anew */
  #moved(changed) {
    // The same channel with other eyes: what was meant for another person's may not be there, or not be theirs.
    if (this.editing && !this.store.messages.get(this.editing.id)?.may.edit) this.#stopEditing();
    if (this.replyTo && !this.store.messages.has(this.replyTo.id)) this.#drop();
    if (!changed) return;
    this.#leaveCommand();
    this.#stopEditing();
    if (this.wasIn) this.drafts.set(this.wasIn, this.text.value);
    this.wasIn = this.store.channel;
    this.files = [];
    this.#drop();
    this.#drawFiles();
    this.text.value = this.drafts.get(this.store.channel) ?? "";
    this.#typed();
    this.list.hide();
  }

  #allowed() {
    const { store } = this;
    const { may, here } = store;
    const closed = !may.write && !may.use_commands;
    const at = here?.kind === "dm" ? `@${here.name}` : `#${here?.name ?? ""}`;
    this.text.disabled = closed;
    this.text.placeholder = closed ? "" : may.write ? (NARROW.matches ? `Message ${at}` : `Message ${at}, or / for a command`) : "Only commands here: type /";
    this.attach.hidden = !may.attach || Boolean(this.command);
    this.why.hidden = may.write;
    this.why.textContent = may.why ?? "";
    if (this.command && !store.commands.some((command) => command.kind === "slash" && command.name === this.command?.command.name)) {
      toast(`/${this.command.command.name} is not offered to this person here.`, "bad");
      this.#leaveCommand();
    }
    // A list that is open shows the commands of a moment ago.
    if (document.activeElement === this.text && this.wanted?.kind === "/") this.#suggest();
  }

  #drawContext() {
    const message = this.editing ?? this.replyTo;
    this.context.hidden = !message;
    if (!message) return fill(this.context);
    const cancel = h("button", { class: "icon-button", type: "button", "aria-label": this.editing ? "Stop editing" : "Do not reply", on: { click: () => (this.editing ? this.#stopEditing() : this.#drop()) } }, icon("close"));
    if (this.editing) return fill(this.context, h("span", { class: "what" }, "Editing your message"), h("span", { class: "hint keys" }, h("kbd", {}, "Esc"), " to stop"), cancel);
    const ping = h("button", { class: "ping", type: "button", "aria-pressed": String(this.ping), title: "Whether the reply pings its author" }, `@ ${this.ping ? "on" : "off"}`);
    ping.addEventListener("click", () => {
      this.ping = !this.ping;
      this.#drawContext();
      this.text.focus();
    });
    fill(this.context, icon("reply"), h("span", { class: "what" }, "Replying to ", name(message.author)), ping, cancel);
  }

  #drawFiles() {
    this.cards.hidden = !this.files.length;
    fill(this.cards, this.files.map((chosen) => this.#card(chosen)));
  }

  /** @param {Chosen} chosen */
  #card(chosen) {
    const id = freshId("alt");
    const alt = h("input", { class: "field", id, value: chosen.description, maxLength: 1024, placeholder: "Describe it", dir: "auto", "aria-label": `Description of ${chosen.file.name}` });
    alt.addEventListener("input", () => (chosen.description = alt.value));
    const spoiler = h("button", { class: "icon-button", type: "button", title: "Mark as spoiler", "aria-label": "Mark as spoiler", "aria-pressed": String(chosen.spoiler) }, icon("eye"));
    spoiler.addEventListener("click", () => {
      chosen.spoiler = !chosen.spoiler;
      spoiler.setAttribute("aria-pressed", String(chosen.spoiler));
    });
    const remove = h("button", { class: "icon-button", type: "button", title: "Remove", "aria-label": `Remove ${chosen.file.name}` }, icon("trash"));
    remove.addEventListener("click", () => {
      this.files = this.files.filter((each) => each !== chosen);
      this.#drawFiles();
      this.text.focus();
    });
    return h("li", { class: "file-card" }, h("div", { class: "file-card-tools" }, spoiler, remove), preview(chosen.file, "file-thumb"), h("span", { class: "file-name", dir: "auto" }, chosen.file.name), h("span", { class: "hint" }, time.size(chosen.file.size)), alt);
  }

  /** @param {ClipboardEvent} event */
  #pasted(event) {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    this.take(files);
  }

  /** @param {string} words */
  #say(words) {
    this.fault.textContent = words;
  }
}
