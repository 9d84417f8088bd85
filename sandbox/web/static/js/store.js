/**
 * What the page knows. Frames change it, topics say what changed, and renderers read it; nobody else holds state of the world.
 *
 * Topics: `place` (person, channels, members, roles), `channel` (another list of messages), `message` (with the message
 * and whether it is new), `gone` (with an id), `older` (with messages), `commands`, `typing`, `bot`, `clock`, `faults`,
 * `log` (with the new entries, or null for "all anew"), `limits`, `connection`, `unread`.
 */

const LOG_KEPT = 600;

/** @param {string} a @param {string} b snowflakes, as numbers: they sort by time */
export const inOrder = (a, b) => a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);

export class Store {
  constructor() {
    /** @type {string} */ this.person = "";
    /** @type {import("./types.js").User[]} */ this.people = [];
    /** @type {{id: string, name: string}} */ this.guild = { id: "", name: "" };
    /** @type {import("./types.js").Channel[]} */ this.channels = [];
    /** @type {import("./types.js").User[]} */ this.members = [];
    /** @type {import("./types.js").Role[]} */ this.roles = [];
    /** @type {import("./types.js").Bot} */ this.bot = { id: "", name: "", state: "starting" };
    this.clock = { now_s: Date.now() / 1000, advanced_s: 0 };
    this.clockRead = performance.now();
    /** @type {import("./types.js").Fault[]} */ this.faults = [];
    this.simulated = true;
    this.limits = { upload_bytes: 10 * 1024 * 1024, files: 10, characters: 2000 };
    /** @type {string} */ this.channel = "";
    /** @type {Map<string, import("./types.js").Message>} */ this.messages = new Map();
    /** @type {string[]} */ this.order = [];
    this.more = false;
    /** @type {import("./types.js").Command[]} */ this.commands = [];
    /** @type {import("./types.js").May} */
    this.may = { see: true, write: false, attach: false, use_commands: false, react: false, why: null };
    /** @type {{people: import("./types.js").User[], until_s: number}} */ this.typing = { people: [], until_s: 0 };
    /** @type {import("./types.js").Entry[]} */ this.log = [];
    /** @type {import("./types.js").Bucket[]} */ this.buckets = [];
    /** @type {Map<string, {mention: number}>} */ this.unread = new Map();
    /** @type {"connecting" | "open" | "lost"} */ this.connection = "connecting";
    this.loaded = false;
    /** @type {Map<string, Set<Function>>} */ this.listeners = new Map();
  }

  /** @param {string} topics separated by spaces @param {Function} listener */
  on(topics, listener) {
    for (const topic of topics.split(" ")) {
      const all = this.listeners.get(topic) ?? new Set();
      this.listeners.set(topic, all.add(listener));
    }
  }

  /** @param {string} topic @param {...any} facts */
  tell(topic, ...facts) {
    for (const listener of this.listeners.get(topic) ?? []) listener(...facts);
  }

  /** Unix milliseconds by the sandbox's clock. */
  now() {
    return this.clock.now_s * 1000 + (performance.now() - this.clockRead);
  }

  get me() {
    return this.people.find((person) => person.id === this.person);
  }

  get here() {
    return this.channels.find((channel) => channel.id === this.channel);
  }

  /** @param {string} id */
  user(id) {
    return this.members.find((user) => user.id === id) ?? this.people.find((user) => user.id === id);
  }

  /** @param {"open" | "lost"} state */
  connected(state) {
    this.connection = state;
    this.tell("connection");
  }

  /** @param {any} frame one of PROTOCOL.md; those of an unknown `op` are left alone */
  apply(frame) {
    const act = FRAMES[/** @type {keyof typeof FRAMES} */ (frame.op)];
    if (act) act(this, frame);
  }

  /** @param {import("./types.js").Message[]} messages older than all that is known */
  addOlder(messages, more) {
    const fresh = messages.filter((message) => !this.messages.has(message.id));
    for (const message of fresh) this.messages.set(message.id, message);
    this.order = [...fresh.map((message) => message.id), ...this.order].sort(inOrder);
    this.more = more;
    this.tell("older", fresh);
  }
}

/** @type {Record<string, (store: Store, frame: any) => void>} */
const FRAMES = {
  snapshot(store, frame) {
    for (const key of ["person", "people", "guild", "channels", "members", "roles", "bot", "faults", "simulated", "limits"]) store[key] = frame[key];
    store.log = [];
    store.buckets = [];
    store.loaded = true;
    setClock(store, frame.clock);
    for (const topic of ["place", "bot", "faults", "clock", "limits"]) store.tell(topic);
    store.tell("log", null);
  },
  channel(store, frame) {
    const changed = store.channel !== frame.channel;
    store.channel = frame.channel;
    store.messages = new Map(frame.messages.map((/** @type {any} */ message) => [message.id, message]));
    store.order = frame.messages.map((/** @type {any} */ message) => message.id);
    store.more = frame.more;
    store.commands = frame.commands;
    store.may = frame.may;
    store.typing = { people: [], until_s: 0 };
    store.unread.delete(frame.channel);
    for (const topic of ["place", "commands", "typing", "unread"]) store.tell(topic);
    store.tell("channel", changed);
  },
  message(store, { message }) {
    if (message.channel !== store.channel) return;
    const isNew = !store.messages.has(message.id);
    store.messages.set(message.id, message);
    if (isNew) insert(store.order, message.id);
    store.tell("message", message, isNew);
  },
  gone(store, { channel, id }) {
    if (channel !== store.channel || !store.messages.delete(id)) return;
    store.order = store.order.filter((each) => each !== id);
    store.tell("gone", id);
  },
  activity(store, { channel, mention }) {
    const before = store.unread.get(channel)?.mention ?? 0;
    store.unread.set(channel, { mention: before + (mention ? 1 : 0) });
    store.tell("unread");
  },
  typing(store, { channel, people, until_s }) {
    if (channel !== store.channel) return;
    store.typing = { people, until_s };
    store.tell("typing");
  },
  channels: (store, { channels }) => put(store, { channels }, "place"),
  members: (store, { members }) => put(store, { members }, "place"),
  commands: (store, { commands, may }) => put(store, { commands, may }, "commands"),
  bot: (store, { bot }) => put(store, { bot }, "bot"),
  faults: (store, { faults }) => put(store, { faults }, "faults"),
  limits: (store, { buckets }) => put(store, { buckets }, "limits"),
  clock(store, { clock }) {
    setClock(store, clock);
    store.tell("clock");
  },
  log(store, { entries }) {
    const last = store.log.at(-1)?.n ?? -1;
    const fresh = entries.filter((/** @type {any} */ entry) => entry.n > last);
    store.log.push(...fresh);
    if (store.log.length > LOG_KEPT) store.log.splice(0, store.log.length - LOG_KEPT);
    store.tell("log", fresh);
  },
  error(store, { error }) {
    store.tell("fault", error);
  },
};

/** @param {Store} store @param {object} values @param {string} topic */
function put(store, values, topic) {
  Object.assign(store, values);
  store.tell(topic);
}

/** @param {Store} store @param {import("./types.js").Clock} clock */
function setClock(store, clock) {
  store.clock = clock;
  store.clockRead = performance.now();
}

/** @param {string[]} order @param {string} id mostly the newest, so looked for from the end */
function insert(order, id) {
  let place = order.length;
  while (place > 0 && inOrder(order[place - 1], id) > 0) place -= 1;
  order.splice(place, 0, id);
}
