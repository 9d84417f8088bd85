/**
 * The live connection: frames come in, a few go out, and it comes back by itself.
 */

const FIRST_PAUSE_MS = 300;
const LONGEST_PAUSE_MS = 5_000;

export class Socket {
  /**
   * @param {object} options
   * @param {() => Record<string, string>} options.query whom and what to show after a reconnect
   * @param {(frame: any) => void} options.onFrame
   * @param {(state: "open" | "lost") => void} options.onState
   */
  constructor({ query, onFrame, onState }) {
    this.query = query;
    this.onFrame = onFrame;
    this.onState = onState;
    this.pause = FIRST_PAUSE_MS;
    /** @type {WebSocket | null} */
    this.socket = null;
    // A machine that wakes up, or a page that is looked at again, need not wait for the pause to end.
    addEventListener("online", () => this.retryNow());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.retryNow());
    this.connect();
  }

  connect() {
    clearTimeout(this.timer);
    const address = new URL("/api/live", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.search = new URLSearchParams(this.query()).toString();
    const socket = (this.socket = new WebSocket(address));
    socket.addEventListener("open", () => {
      this.pause = FIRST_PAUSE_MS;
      this.onState("open");
    });
    socket.addEventListener("message", (event) => this.onFrame(JSON.parse(event.data)));
    socket.addEventListener("close", () => {
      if (this.socket !== socket) return;
      this.socket = null;
      this.onState("lost");
      this.timer = setTimeout(() => this.connect(), this.pause * (0.75 + Math.random() / 2));
      this.pause = Math.min(this.pause * 2, LONGEST_PAUSE_MS);
    });
  }

  retryNow() {
    if (!this.socket) this.connect();
  }

  /** @param {object} frame dropped while there is no connection: the query of the next one says the same */
  send(frame) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(frame));
  }
}
