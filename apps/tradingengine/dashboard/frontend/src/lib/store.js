// The page's state: signals that components read. Nothing here touches the DOM or the network.
import { computed, effect, signal } from "@preact/signals";
import { epoch, number } from "./format.js";
import { feedAge, level, OTHER, PRICE } from "./stale.js";

/** @typedef {{state: "loading"|"ready"|"error", data: any, at: number, problem: any}} Resource */

/** @returns {import("@preact/signals").Signal<Resource>} */
const resource = () => signal({ state: "loading", data: null, at: 0, problem: null });

export const session = signal(null);
export const tab = signal("dashboard");
export const resources = {
  status: resource(),
  summary: resource(),
  positions: resource(),
  orders: resource(),
  alerts: resource(),
  system: resource(),
  instruments: resource(),
};
export const { status, summary, positions, orders, alerts } = resources;

/** Ours minus the server's clock is `-offset`; every envelope corrects it. */
let offset = 0;
export const now = signal(Date.now());
export const serverNow = () => Date.now() + offset;
export function hearClock(at) {
  const seen = at - Date.now();
  // Only a message that travelled for long can look older than the clocks differ: take the larger at once.
  offset = seen > offset || Math.abs(seen - offset) > 2000 ? seen : offset + (seen - offset) * 0.05;
}
export const tick = () => {
  now.value = serverNow();
};

/** The WebSocket: "connecting" | "open" (synced) | "lost"; since and last message in the server's ms. */
export const link = signal({ state: "connecting", since: serverNow() });
export const lastMessage = signal(0);
export const toast = signal(null);
export const live = signal({ polite: "", assertive: "" });
export const chosen = signal(null);
/** Key of the position whose exit form is open. */
export const exiting = signal(null);
export const ticketOpen = signal(false);
export const outdated = signal(false);
let toasts = 0;

/** Say something in the corner and to screen readers. @param {string} text @param {"info"|"good"|"error"} tone */
export function say(text, tone = "info") {
  toast.value = { text, tone, id: ++toasts };
  live.value = tone === "error" ? { polite: "", assertive: text } : { polite: text, assertive: "" };
}

export function put(name, data) {
  resources[name].value = { state: "ready", data, at: serverNow(), problem: null };
}
export function fail(name, problem) {
  const held = resources[name].peek();
  resources[name].value = { ...held, state: held.data === null ? "error" : "ready", problem };
}

const quoteSignals = new Map();
/** The newest time at which the edge sent any quote: proof that the feed lives. */
const newestQuote = signal(null);
/** @param {string} symbol */
export function quote(symbol) {
  if (!quoteSignals.has(symbol)) quoteSignals.set(symbol, signal(null));
  return quoteSignals.get(symbol);
}
export function putQuotes(items) {
  let newest = newestQuote.peek();
  for (const item of items) {
    const held = quote(item.symbol);
    const before = number(held.peek()?.last);
    const last = number(item.last);
    const move = before === null || last === before ? (held.peek()?.move ?? 0) : last > before ? 1 : -1;
    const flips = before !== null && last !== before ? (held.peek()?.flips ?? 0) + 1 : (held.peek()?.flips ?? 0);
    held.value = { ...item, move, flips };
    const at = epoch(item.at);
    if (at !== null && (newest === null || at > newest)) newest = at;
  }
  newestQuote.value = newest;
}

export const mode = computed(() => status.value.data?.mode ?? session.value?.engine.mode ?? "paper");
export const feed = computed(() => {
  const { data, at } = status.value;
  // The tick makes it run again; the time itself is read anew, since quotes arrive between ticks.
  const moment = Math.max(now.value, serverNow());
  const age = feedAge({ age: data?.feed?.age_ms ?? null, told: at || null, newest: newestQuote.value, now: moment });
  return { age, level: data === null && age === null ? "unknown" : level(age, PRICE) };
});

/** Edge state as last told, worse when the telling itself is old. */
export const edge = computed(() => {
  const { data, at } = status.value;
  if (!data) return { state: "unknown", age: null };
  const age = data.edge.age_ms === null ? null : data.edge.age_ms + Math.max(0, now.value - Math.max(at, proof()));
  return { ...data.edge, state: data.edge.state, age };
});

/** Last moment at which the open socket proved that pushed data are current. */
const proof = () => (link.value.state === "open" ? lastMessage.value : 0);

/** Age of a pushed resource; polled ones count from their own answer. */
export function ageOf(held, pushed = true) {
  if (!held.at) return null;
  return Math.max(0, now.value - Math.max(held.at, pushed ? proof() : 0));
}
export const levelOf = (held, pushed = true) => level(ageOf(held, pushed), OTHER);

export const halt = computed(() => {
  const held = status.value.data?.halt;
  return held && !held.released_at ? held : null;
});
export const halted = computed(() => {
  const state = status.value.data?.edge?.trading_state;
  return Boolean(state === "HALTED" || (halt.value && ["delivered", "confirmed"].includes(halt.value.state)));
});

/** May this person do it? The server decides; the page only leaves out what it would refuse. */
export const mayTrade = computed(() =>
  (session.value?.user.roles ?? []).some((role) => role === "trader" || role === "admin"),
);

/** Why an order that adds risk cannot be sent now; null when it can. */
export const blocked = computed(() => {
  if (!mayTrade.value) return "Your role only looks: a trader may send orders.";
  if (halted.value) return "Trading is halted.";
  if (halt.value) return "A halt is on its way to the edge.";
  if (link.value.state === "lost") return "Connection lost: exits, cancels and HALT still go out.";
  if (status.value.data?.edge?.state === "unreachable")
    return "The edge is unreachable: an order would not be delivered.";
  if (feed.value.level === "stale") {
    const age = feed.value.age === null ? "unknown" : `${Math.round(feed.value.age / 1000)} s old`;
    return `Prices are ${age}: no new risk on them.`;
  }
  return null;
});

export const indices = computed(() =>
  (resources.instruments.value.data?.items ?? [])
    .filter((item) => item.kind === "index")
    .sort((a, b) => rank(a) - rank(b)),
);
const INDEX_ORDER = ["NIFTY", "BANKNIFTY", "SENSEX", "INDIAVIX"];
function rank(item) {
  const place = INDEX_ORDER.indexOf(item.symbol.split(":")[1].replace(/[^A-Z]/g, ""));
  return place < 0 ? INDEX_ORDER.length : place;
}

const positionKey = (item) => [item.account, item.broker, item.symbol, item.product].join("|");
export const keyOf = positionKey;

/** A position with its P&L at the newest quote. */
export function livePosition(item, follow = true) {
  const held = quote(item.symbol);
  const last = number((follow ? held.value : held.peek())?.last ?? item.last);
  const average = number(item.average_price);
  const realised = number(item.realised) ?? 0;
  if (last === null || average === null)
    return { ...item, lastNow: last, pnlNow: number(item.pnl), percentNow: number(item.pnl_percent) };
  const open = (last - average) * item.quantity;
  const cost = Math.abs(average * item.quantity);
  return { ...item, lastNow: last, pnlNow: realised + open, percentNow: cost ? (open / cost) * 100 : null };
}

export const dayPnl = computed(() => {
  const list = positions.value.data?.items;
  if (!list) return number(summary.value.data?.pnl?.value);
  let total = 0;
  for (const item of list) {
    const pnl = livePosition(item).pnlNow;
    if (pnl === null) return number(summary.value.data?.pnl?.value);
    total += pnl;
  }
  return total;
});

/** Put one order in place; the newest stand first. Late copies of an older state are dropped. */
export function putOrder(order) {
  const held = orders.peek();
  if (held.data === null) return;
  const list = held.data.items;
  const index = list.findIndex((item) => item.id === order.id);
  if (index >= 0 && epoch(list[index].updated_at) > epoch(order.updated_at)) return;
  const items = index >= 0 ? list.map((item, i) => (i === index ? order : item)) : [order, ...list].slice(0, 200);
  announceOrder(order, index >= 0 ? list[index] : null);
  orders.value = { ...held, data: { ...held.data, items }, at: serverNow(), problem: null };
}
const SPOKEN = { FILLED: "filled", REJECTED: "rejected", NOT_DELIVERED: "not delivered", EXPIRED: "expired" };
function announceOrder(order, before) {
  const word = SPOKEN[order.state];
  if (word && before?.state !== order.state) {
    live.value = { polite: `${order.side} ${order.quantity} ${order.symbol.split(":")[1]} ${word}`, assertive: "" };
  }
}
export function putAlert(alert) {
  const held = alerts.peek();
  const items = (held.data?.items ?? []).filter((item) => item.id !== alert.id);
  put("alerts", { items: [alert, ...items].slice(0, 100), next_cursor: null });
}

const stored = (name, fallback) => {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? fallback;
  } catch {
    return fallback;
  }
};
/** A signal kept in this browser. */
export function kept(name, fallback) {
  const held = signal(stored(name, fallback));
  effect(() => {
    try {
      localStorage.setItem(name, JSON.stringify(held.value));
    } catch {
      // A browser without storage forgets it with the page; nothing else depends on it.
    }
  });
  return held;
}
export const watchlist = kept("te-watchlist", null);
export const watched = computed(() => {
  const known = resources.instruments.value.data?.items ?? [];
  return (
    watchlist.value ??
    [...indices.value.slice(0, 4), ...known.filter((item) => item.tradable).slice(0, 20)].map((item) => item.symbol)
  );
});
export const chartSymbol = kept("te-chart-symbol", null);
export const chartInterval = kept("te-chart-interval", "1m");
export const ticketSymbol = signal(null);

/** All symbols whose quotes this page shows. */
export const wanted = computed(() => {
  const all = new Set([...indices.value.map((item) => item.symbol), ...watched.value]);
  for (const item of positions.value.data?.items ?? []) all.add(item.symbol);
  if (ticketSymbol.value) all.add(ticketSymbol.value);
  if (chartSymbol.value) all.add(chartSymbol.value);
  return [...all].sort();
});
