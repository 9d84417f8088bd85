/**
 * What the bot's own books say of the chosen person in this place.
 */

import { get, Refused } from "../api.js";
import { fill, h } from "../dom.js";
import { icon } from "../icons.js";
import * as time from "../time.js";

const AFTER_MS = 800;

/** @param {import("../store.js").Store} store @param {() => boolean} visible */
export function ledgerTab(store, visible) {
  const title = h("h3", { dir: "auto" });
  const where = h("p", { class: "hint", dir: "auto" });
  const standing = h("dl", { class: "standing" });
  const rows = h("tbody", {});
  const table = h("table", { class: "entries" }, h("caption", { class: "visually-hidden" }, "Entries, newest first"), h("thead", {}, h("tr", {}, ["When", "What", "Credits"].map((each) => h("th", { scope: "col" }, each)))), rows);
  const note = h("p", { class: "tab-empty" });
  const again = h("button", { class: "icon-button", type: "button", title: "Read again", "aria-label": "Read the ledger again", on: { click: () => read() } }, icon("refresh"));
  const element = h("section", { class: "ledger-tab" }, h("div", { class: "ledger-head" }, h("div", {}, title, where), again), standing, note, table);
  let asked = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  async function read() {
    clearTimeout(timer);
    if (!store.person || !store.channel) return;
    const mine = (asked += 1);
    try {
      const ledger = await get("ledger", { person: store.person, channel: store.channel });
      if (mine === asked) draw(ledger);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (mine === asked) draw({ known: false, where: "", standing: [], entries: [], error: error.message });
    }
  }
  /** @param {any} ledger */
  function draw(ledger) {
    title.textContent = store.me?.name ?? "";
    where.textContent = ledger.where;
    fill(standing, ledger.standing.map((/** @type {any} */ each) => h("div", {}, h("dt", {}, each.label), h("dd", { dir: "auto" }, each.value))));
    fill(rows, ledger.entries.map(row));
    table.hidden = !ledger.entries.length;
    note.textContent = ledger.error ?? (ledger.known && ledger.entries.length ? "" : `${store.me?.name ?? "This person"} has spent nothing here yet.`);
    note.hidden = !note.textContent;
  }
  /** An answer settles some time after its last words. */
  const later = () => {
    if (!visible()) return;
    clearTimeout(timer);
    timer = setTimeout(read, AFTER_MS);
  };
  store.on("channel message clock", later);
  return { element, shown: read };

  /** @param {any} entry */
  function row(entry) {
    const at = entry.at_s * 1000;
    return h("tr", {}, h("td", {}, h("time", { title: time.full(at) }, time.beside(at, store.now()))), h("td", { dir: "auto" }, h("strong", {}, entry.kind), h("span", { class: "hint" }, [entry.model, entry.note].filter(Boolean).join(" · "))), h("td", { class: "number" }, entry.credits));
  }
}
