/**
 * The page's requests to its own server; see PROTOCOL.md beside this folder.
 */

/** What the server, in the name of Discord's client, did not let this person do. `field` is the option or field meant. */
export class Refused extends Error {
  /** @param {string} message @param {number} status @param {string | null} field */
  constructor(message, status, field = null) {
    super(message);
    this.name = "Refused";
    this.status = status;
    this.field = field;
  }
}

const TIMEOUT_MS = 20_000;
const UPLOAD_TIMEOUT_MS = 120_000;

/**
 * @param {string} path @param {RequestInit} init @param {number} timeout
 * @returns {Promise<any>} rejects with Refused, and with AbortError where `init.signal` says so
 */
async function request(path, init, timeout = TIMEOUT_MS) {
  const deadline = AbortSignal.timeout(timeout);
  const signal = init.signal ? AbortSignal.any([init.signal, deadline]) : deadline;
  let response;
  try {
    response = await fetch(path, { ...init, signal });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Refused("The sandbox does not answer. Is it still running?", 0);
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(answer.error ?? `The sandbox answered ${response.status}.`, response.status, answer.field ?? null);
  return answer;
}

/** @param {string} name @param {object} body @param {AbortSignal} [signal] */
export const post = (name, body, signal) =>
  request(`/api/${name}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Sandbox": "page" },
    body: JSON.stringify(body),
    signal,
  });

/** @param {string} name @param {Record<string, string | number>} query */
export const get = (name, query = {}) =>
  request(`/api/${name}?${new URLSearchParams(Object.entries(query).map(([key, value]) => [key, String(value)]))}`, {});

/**
 * Hands files to the server, which keeps them until a message or a command uses them.
 * @param {File[]} files
 * @returns {Promise<import("./types.js").Upload[]>}
 */
export async function upload(files) {
  const form = new FormData();
  for (const file of files) form.append("file", file, file.name || "pasted.png");
  const init = { method: "POST", headers: { "X-Sandbox": "page" }, body: form };
  return (await request("/api/upload", init, UPLOAD_TIMEOUT_MS)).uploads;
}
