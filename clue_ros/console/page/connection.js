// The WebSocket to the console: opens it, reads its messages, notices when it is gone and opens it again.

const FIRST_WAIT = 0.5,
  LONGEST_WAIT = 5,
  REFUSED_WAIT = 15; // seconds
const TOKEN_REFUSED = 4401,
  ORIGIN_REFUSED = 4403,
  TOO_MANY = 4429;
const SILENT = 6,
  PROBE_LIMIT = 4; // seconds without a message before it is asked, and that the answer may take
const MAX_HEADER_BYTES = 65536;

/** An address of this console, with the page's access token if it has one. */
export function address(path) {
  const url = new URL(path, document.baseURI);
  const token = new URLSearchParams(location.search).get("token");
  if (token !== null) url.searchParams.set("token", token);
  return url;
}

/** Splits a binary message: 4 bytes big-endian length of a JSON header, the header, the rest.
 *  Returns {header, bytes}; throws where it is not one. */
export function readBinary(buffer) {
  if (buffer.byteLength < 4) throw new Error("binary message without a header");
  const length = new DataView(buffer).getUint32(0);
  if (length > MAX_HEADER_BYTES || length + 4 > buffer.byteLength)
    throw new Error("binary message with a wrong length");
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  return { header, bytes: new Uint8Array(buffer, 4 + length) };
}

/** Events: "message" (detail: object), "binary" (detail: {header, bytes}), "status" (detail: {open, refused, retryAt}). */
export class Connection extends EventTarget {
  #socket = null;
  #wait = FIRST_WAIT;
  #timer = 0;
  #heard = 0; // when something came last, milliseconds
  #probing = false;
  status = { open: false, refused: "", retryAt: null };

  constructor() {
    super();
    addEventListener("online", () => this.retryNow());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.retryNow();
    });
    setInterval(() => this.#watch(), 1000);
  }

  open() {
    clearTimeout(this.#timer);
    const url = address("ws");
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#heard = performance.now();
    socket.addEventListener("message", (event) => {
      if (socket === this.#socket) this.#receive(event.data);
    });
    socket.addEventListener("close", (event) => {
      if (socket === this.#socket) this.#lost(event.code);
    });
  }

  /** Sends one object. False if there is no connection: nothing is kept for later. */
  send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN || !this.status.open) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  retryNow() {
    if (this.#socket === null) this.open();
  }

  #receive(data) {
    this.#heard = performance.now();
    try {
      if (typeof data !== "string") {
        this.dispatchEvent(new CustomEvent("binary", { detail: readBinary(data) }));
        return;
      }
      const message = JSON.parse(data);
      if (message.type === "hello") {
        this.#wait = FIRST_WAIT;
        this.#setStatus({ open: true, refused: "", retryAt: null });
      }
      this.dispatchEvent(new CustomEvent("message", { detail: message }));
    } catch (error) {
      console.warn("clue console: a message could not be read:", error); // the next one may be good
    }
  }

  #lost(code) {
    this.#socket = null;
    const refused = { [TOKEN_REFUSED]: "token", [ORIGIN_REFUSED]: "origin", [TOO_MANY]: "many" }[code] ?? "";
    const wait = refused ? REFUSED_WAIT : this.#wait;
    this.#wait = Math.min(LONGEST_WAIT, this.#wait * 1.7);
    this.#timer = setTimeout(() => this.open(), wait * 1000 * (0.8 + 0.4 * Math.random()));
    this.#setStatus({ open: false, refused, retryAt: performance.now() + wait * 1000 });
  }

  // A network that died without a word closes no socket: after a silence the console is asked, and without an answer
  // (or without a word since the socket was opened) the socket is given up.
  async #watch() {
    const socket = this.#socket,
      silent = (performance.now() - this.#heard) / 1000;
    if (socket === null || document.hidden || this.#probing || silent < SILENT) return;
    this.#probing = true;
    const alive = this.status.open && (await answers());
    this.#probing = false;
    if (alive) this.#heard = performance.now();
    if (alive || socket !== this.#socket) return;
    this.#lost(0);
    socket.close();
  }

  #setStatus(status) {
    this.status = status;
    this.dispatchEvent(new CustomEvent("status", { detail: status }));
  }
}

/** Whether the console answers a plain request in time. */
async function answers() {
  try {
    return (await fetch(address("healthz"), { cache: "no-store", signal: AbortSignal.timeout(PROBE_LIMIT * 1000) })).ok;
  } catch {
    return false;
  }
}
