// One WebSocket per page. It says hello, pushes the latest value per key, and after a gap everything is read again
// over HTTP before the page lights up.
import { effect } from "@preact/signals";
import { get, loadAll, loadQuotes, reloadOnce, toLogin } from "./api.js";
import { BASE } from "./base.js";
import {
  hearClock,
  lastMessage,
  link,
  orders,
  positions,
  put,
  putAlert,
  putOrder,
  putQuotes,
  serverNow,
  session,
  status,
  wanted,
} from "./store.js";

const FIRST_WAIT_MS = 300;
const LONGEST_WAIT_MS = 5000;
const PING_MS = 2000;
const SILENCE_MS = 7000;
const VERSION = 1;

const candleListeners = new Set();
/** Hear forming 1-minute candles. @param {(candle: any) => void} listener */
export function onCandle(listener) {
  candleListeners.add(listener);
  return () => candleListeners.delete(listener);
}
const resyncListeners = new Set();
/** Hear that a gap was filled. @param {() => void} listener */
export function onResync(listener) {
  resyncListeners.add(listener);
  return () => resyncListeners.delete(listener);
}

let socket = null;
let wait = FIRST_WAIT_MS;
let pings = 0;
let retry = 0;
let syncing = false;
let again = false;

const handlers = {
  hello: () => sync(),
  resync: () => sync(),
  quotes: putQuotes,
  candle: (candle) => {
    for (const listener of candleListeners) listener(candle);
  },
  order: putOrder,
  position: (items) => put("positions", { items, next_cursor: null }),
  summary: (data) => put("summary", data),
  status: (data) => put("status", data),
  alert: putAlert,
  halt: (data) => {
    const held = status.peek();
    if (held.data) put("status", { ...held.data, halt: data && !data.released_at ? data : null });
  },
  pong: () => {},
};

/** Open the socket and keep it open. */
export function connect() {
  clearTimeout(retry);
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const release = session.peek()?.release;
  const opened = new WebSocket(
    `${scheme}://${location.host}${BASE}/ws${release ? `?release=${encodeURIComponent(release)}` : ""}`,
  );
  socket = opened;
  opened.onmessage = (event) => receive(opened, event.data);
  opened.onclose = (event) => closed(opened, event.code);
  opened.onopen = () => {
    lastMessage.value = serverNow();
    subscribe();
    clearInterval(pings);
    pings = setInterval(() => keepAlive(opened), PING_MS);
  };
}

function keepAlive(opened) {
  if (opened.readyState !== WebSocket.OPEN) return;
  if (serverNow() - lastMessage.peek() > SILENCE_MS) {
    // A dead path answers nothing, and the browser would notice only after minutes.
    opened.close(4000, "silence");
    closed(opened, 4000);
    return;
  }
  opened.send('{"t":"ping"}');
}

function receive(opened, text) {
  if (opened !== socket) return;
  let message;
  try {
    message = JSON.parse(text);
  } catch {
    return;
  }
  if (message.v !== VERSION) return;
  hearClock(message.at);
  lastMessage.value = serverNow();
  // The server says `resync` when it left something out; numbers that jump are the mark of a conflated client.
  handlers[message.t]?.(message.d);
}

/** Read everything again, then light up. */
async function sync() {
  if (syncing) {
    again = true;
    return;
  }
  syncing = true;
  const opened = socket;
  const complete = await loadAll();
  await loadQuotes(wanted.peek());
  syncing = false;
  if (opened !== socket) return;
  if (again) {
    again = false;
    await sync();
    return;
  }
  if (complete || (status.peek().data && orders.peek().data && positions.peek().data)) {
    wait = FIRST_WAIT_MS;
    link.value = { state: "open", since: serverNow() };
    for (const listener of resyncListeners) listener();
  }
}

function closed(opened, code) {
  if (opened !== socket) return;
  socket = null;
  clearInterval(pings);
  if (code === 4401) return toLogin();
  if (link.peek().state !== "lost") link.value = { state: "lost", since: serverNow() };
  if (code === 1012 || code === 4409) reloadOnce();
  // A refused handshake hides its status from the page: one call shows whether to log in or to load again.
  if (wait > FIRST_WAIT_MS) get("/v1/session").catch(() => {});
  retry = setTimeout(connect, wait * (0.7 + Math.random() * 0.6));
  wait = Math.min(wait * 2, LONGEST_WAIT_MS);
}

function subscribe() {
  if (socket?.readyState === WebSocket.OPEN) {
    socket.send(JSON.stringify({ t: "subscribe", d: { symbols: wanted.peek() } }));
  }
}

let subscribed = "";
effect(() => {
  const symbols = wanted.value.join();
  if (symbols !== subscribed) {
    subscribed = symbols;
    subscribe();
  }
});
