/**
 * The page: one store, one socket, and what draws the one and talks through the other.
 */

import { get, post, Refused } from "./api.js";
import { Composer } from "./composer/composer.js";
import { byId, fill, h } from "./dom.js";
import { icon } from "./icons.js";
import { drawPanel } from "./panel/panel.js";
import { drawBanner, drawBar } from "./render/bar.js";
import { listenForMarkdown, refreshTimes } from "./render/markdown.js";
import { drawMe, mayWhat } from "./render/me.js";
import { drawMembers } from "./render/members.js";
import { MessageList } from "./render/messages.js";
import { channelIcon, drawPlaces } from "./render/places.js";
import { drawTyping } from "./render/typing.js";
import { Socket } from "./socket.js";
import { Store } from "./store.js";
import { Columns } from "./ui/columns.js";
import { openMenu } from "./ui/menu.js";
import { openModal } from "./ui/modal.js";
import { openProfile } from "./ui/profile.js";
import { remember, remembered } from "./ui/theme.js";
import { announce, copy, toast } from "./ui/toast.js";

const TIMES_EVERY_MS = 15_000;

const store = new Store();
const columns = new Columns();
let panelOn = false;
const socket = new Socket({
  query: () => {
    const wanted = { person: store.person || remembered("sandbox.person"), channel: store.channel || remembered("sandbox.channel") };
    return /** @type {Record<string, string>} */ (Object.fromEntries(Object.entries(wanted).filter(([, value]) => value)));
  },
  onFrame: (frame) => store.apply(frame),
  onState(state) {
    store.connected(state);
    if (state === "open" && panelOn) socket.send({ op: "panel", on: true });
  },
});

/** What went wrong in words; what is no refusal is a fault of the page, and belongs on the console. @param {unknown} error */
function complain(error) {
  if (!(error instanceof Refused)) throw error;
  toast(error.message, "bad");
}

/** @param {string} name @param {object} body sent for the person and channel that are open */
const act = (name, body) => post(name, { person: store.person, channel: store.channel, ...body });

/** @param {import("./types.js").Outcome} outcome */
function follow(outcome) {
  if (outcome.modal) openModal(outcome.modal, store, follow);
  if (outcome.error) toast(outcome.error, "bad");
}

/** @param {string} channel */
function open(channel) {
  columns.closeDrawer();
  if (channel === store.channel) return;
  remember("sandbox.channel", channel);
  socket.send({ op: "open", channel });
}

/** @param {string} person */
function become(person) {
  remember("sandbox.person", person);
  socket.send({ op: "be", person });
  const user = store.people.find((each) => each.id === person);
  if (user) announce(`You are ${user.name} now: ${mayWhat(user)}`);
}

/** @param {string} kind @param {string} name @param {object} target */
const useMenu = (kind, name, target) => act("menu", { command: name, ...target }).then(follow, complain);

/** @param {import("./types.js").User} user @param {HTMLElement} anchor */
function profile(user, anchor) {
  const person = store.people.find((each) => each.id === user.id);
  const menus = store.commands.filter((command) => command.kind === "user");
  openProfile(person ? { ...user, note: mayWhat(person) } : user, {
    anchor,
    actions: [
      ...(person && user.id !== store.person ? [{ label: `Be ${user.name}`, kind: "primary", act: () => become(user.id) }] : []),
      { label: "Mention", act: () => (columns.closeDrawer(), composer.mention(user)) },
      ...menus.map((command) => ({ label: command.name, act: () => void useMenu("user", command.name, { user: user.id }) })),
      { label: "Copy ID", act: () => void copy(user.id, "ID copied") },
    ],
  });
}

/** @type {import("./render/message.js").Doings} */
const doings = {
  now: () => store.now(),
  async use(message, component, values, element) {
    element.classList.add("waiting");
    try {
      const body = { message: message.id, id: component.id };
      follow(await (values ? act("select", { ...body, values }) : act("click", body)));
    } catch (error) {
      complain(error);
    } finally {
      element.classList.remove("waiting");
    }
  },
  dismiss: (message) => void act("delete", { message: message.id }).catch(complain),
  jump: (id) => messages.jump(id) || toast("That message is further up; scroll to load it."),
  profile,
  react: (message, emoji, add) => void act("react", { message: message.id, emoji, add }).catch(complain),
};

const messages = new MessageList(store, doings, async () => {
  const { person, channel, order } = store;
  const older = await get("messages", { person, channel, before: order[0] }).catch(complain);
  if (older && store.channel === channel && store.person === person) store.addOlder(older.messages, older.more);
});
const composer = new Composer(store, follow);

drawPlaces(store, open);
drawMe(store, become);
drawMembers(store, profile);
drawBar(store, columns);
drawBanner(store);
drawTyping(store);
drawPanel(store, columns, (on) => {
  panelOn = on;
  socket.send({ op: "panel", on });
});
store.on("fault", (/** @type {string} */ words) => toast(words, "bad"));
store.on("channel", drawStart);

function drawStart() {
  const here = store.here;
  if (!here) return;
  const direct = here.kind === "dm";
  const title = direct ? here.name : `Welcome to ${here.kind === "thread" ? "" : "#"}${here.name}`;
  const words = direct ? "Whatever you write here, the bot answers." : `This is where it begins. Mention @${store.bot.name}, or type / for its commands.`;
  fill(messages.start, h("div", { class: "icon-disc" }, icon(channelIcon(here))), h("h2", { dir: "auto" }, title), h("p", {}, words), store.simulated ? h("p", {}, "The bot is the real one. The answers are a simulation's, and nothing leaves this machine.") : null);
}

// The hover toolbar is one element that moves from message to message: five hundred of them would be for nothing.
const log = byId("log");
const tools = h("div", { class: "tools", role: "toolbar", "aria-label": "Message" });

/** @param {EventTarget | null} target */
function messageAt(target) {
  const article = /** @type {HTMLElement | null} */ (target instanceof Element ? target.closest(".message") : null);
  const message = article ? store.messages.get(article.dataset.id ?? "") : undefined;
  return article && message ? { article, message } : null;
}

/** @param {Event} event */
function equip(event) {
  const at = messageAt(event.target);
  if (!at || tools.parentElement === at.article) return;
  // Held by the keyboard elsewhere, it stays there: the pointer may not take the focus away.
  if (event.type === "pointerover" && tools.contains(document.activeElement)) return;
  drawTools(at.article, at.message);
}

/** @param {HTMLElement} article @param {import("./types.js").Message} message */
function drawTools(article, message) {
  const tool = (/** @type {any} */ name, /** @type {string} */ label, /** @type {(element: HTMLElement) => void} */ press) => {
    const button = h("button", { class: "icon-button", type: "button", title: label, "aria-label": label }, icon(name));
    button.addEventListener("click", () => press(button));
    return button;
  };
  fill(tools,
    message.may.reply ? tool("reply", "Reply", () => composer.reply(store.messages.get(message.id) ?? message)) : null,
    tool("copy", "Copy text", () => void copy((store.messages.get(message.id) ?? message).text)),
    tool("more", "More", (button) => {
      const box = button.getBoundingClientRect();
      showMenu(article, { x: box.left, y: box.bottom + 4 }, button);
    }));
  tools.dataset.reply = String(message.may.reply);
  article.append(tools);
}

/** @param {HTMLElement} article @param {{x: number, y: number}} at @param {HTMLElement} back */
function showMenu(article, at, back) {
  const message = store.messages.get(article.dataset.id ?? "");
  if (!message) return;
  const apps = store.commands.filter((command) => command.kind === "message");
  article.classList.add("menu-open");
  openMenu([
    ...(message.may.reply ? [{ label: "Reply", icon: "reply", act: () => composer.reply(message) }] : []),
    ...(message.may.edit ? [{ label: "Edit message", icon: "file", act: () => composer.edit(message) }] : []),
    { label: "Copy text", icon: "copy", act: () => void copy(message.text) },
    { label: "Copy ID", icon: "id", act: () => void copy(message.id, "ID copied") },
    ...(apps.length ? [/** @type {const} */ ("line"), { heading: "Apps" }, ...apps.map((command) => ({ label: command.name, icon: "app", act: () => void useMenu("message", command.name, { message: message.id }) }))] : []),
    ...(message.may.delete ? [/** @type {const} */ ("line"), { label: message.ephemeral ? "Dismiss" : "Delete message", icon: "trash", danger: true, act: () => doings.dismiss(message) }] : []),
  ], at, { label: `Message by ${message.author.name}`, back, onClose: () => article.classList.remove("menu-open") });
}

store.on("message", (/** @type {import("./types.js").Message} */ message) => {
  const article = tools.parentElement;
  // What is finished may be replied to; until then it could not.
  const stale = article?.dataset.id === message.id && tools.dataset.reply !== String(message.may.reply);
  if (article && stale && !tools.contains(document.activeElement)) drawTools(article, message);
});
log.addEventListener("pointerover", equip);
log.addEventListener("focusin", equip);
log.addEventListener("keydown", (event) => messages.walk(event));
log.addEventListener("contextmenu", (event) => {
  const at = messageAt(event.target);
  // On a link or a selection the browser's own menu is of more use; Shift always shows it.
  if (!at || event.shiftKey || /** @type {Element} */ (event.target).closest("a") || String(getSelection())) return;
  event.preventDefault();
  const box = at.article.getBoundingClientRect();
  const byKey = event.button !== 2 || (event.clientX === 0 && event.clientY === 0);
  showMenu(at.article, byKey ? { x: box.left + 60, y: Math.max(box.top, 60) + 24 } : { x: event.clientX, y: event.clientY }, at.article);
});
listenForMarkdown(byId("app"), (kind, id) => {
  if (kind === "channel" && store.channels.some((channel) => channel.id === id)) open(id);
  const user = kind === "user" ? store.user(id) : undefined;
  if (user) profile(user, /** @type {HTMLElement} */ (document.activeElement));
});
addEventListener("keydown", (event) => {
  // A key that writes goes to the message box from wherever nothing else wants it.
  const busy = /** @type {Element} */ (event.target).closest("input, textarea, select, dialog, [popover], [role=menu], [role=radiogroup]");
  const writes = event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey && !event.altKey;
  if (writes && !busy && !event.defaultPrevented && !composer.command) composer.text.focus();
});
setInterval(() => refreshTimes(log, store.now()), TIMES_EVERY_MS);
store.on("clock", () => refreshTimes(log, store.now()));
