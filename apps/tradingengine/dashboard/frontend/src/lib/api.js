// Calls of /v1. Every answer that is no success becomes a Problem with what, where and how to mend it.
import { BASE, path as pathOfPage } from "./base.js";
import { readWhole } from "./pages.js";
import { fail, outdated, put, putQuotes, session } from "./store.js";

const TIMEOUT_MS = 8000;
const RELOAD_GUARD_MS = 10_000;
const AGAIN_MS = 400;

export class Problem extends Error {
  /** @param {Record<string, any>} document an RFC 9457 problem document */
  constructor(document) {
    super(document.detail || document.title || "Something went wrong");
    Object.assign(this, document);
    this.document = document;
    this.code = String(document.type ?? "")
      .split("/")
      .pop();
  }
}

let reloading = false;
/** The page is about to be loaded again, all that was under way has had its word. @param {() => void} listener */
export const onReload = (listener) => addEventListener("pagehide", () => reloading && listener());

export function reload() {
  reloading = true;
  location.reload();
}

/** Load the page again, but never in a circle. */
export function reloadOnce() {
  const last = Number(sessionStorage.getItem("te-reload") || 0);
  if (Date.now() - last < RELOAD_GUARD_MS) {
    outdated.value = true;
    return;
  }
  sessionStorage.setItem("te-reload", String(Date.now()));
  reload();
}

export function toLogin() {
  location.assign(`${BASE}/login?next=${encodeURIComponent(pathOfPage())}`);
}

/**
 * @param {string} method @param {string} path
 * @param {{body?: any, key?: string, timeout?: number, safe?: boolean}} [options]
 * `safe` marks an act that reduces risk: any release may do it, and a withdrawn one only makes it go again.
 */
export async function call(method, path, options = {}) {
  const { body, key, timeout = TIMEOUT_MS, safe = false, again = safe } = options;
  const headers = { accept: "application/json" };
  if (!safe && session.peek()?.release) headers["x-te-release"] = session.peek().release;
  if (body !== undefined) headers["content-type"] = "application/json";
  if (key) headers["idempotency-key"] = key;
  let answer;
  try {
    answer = await fetch(safe ? path : BASE + path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(timeout),
    });
  } catch (error) {
    const late = error.name === "TimeoutError";
    throw new Problem({
      type: late ? "/problems/timeout" : "/problems/network",
      title: late ? "No answer in time" : "No connection",
      status: 0,
      detail: late ? `The server did not answer within ${timeout / 1000} s.` : "The server could not be reached.",
      mend: "Try again; the same order is never placed twice.",
    });
  }
  if (answer.ok) return answer.status === 204 ? null : answer.json().catch(() => null);
  const document = await answer.json().catch(() => ({}));
  const problem = new Problem({ title: answer.statusText, status: answer.status, ...document });
  if (answer.status === 409 && problem.code === "release-gone") {
    if (again)
      return new Promise((done) => setTimeout(done, AGAIN_MS)).then(() =>
        call(method, path, { ...options, again: false }),
      );
    reloadOnce();
  }
  if (answer.status === 401) toLogin();
  throw problem;
}

export const get = (path) => call("GET", path);

/** A key for one intended act; crypto.randomUUID is missing on pages without TLS. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const PATHS = {
  status: "/v1/status",
  summary: "/v1/summary",
  positions: "/v1/positions",
  orders: "/v1/orders?state=all&limit=50",
  alerts: "/v1/alerts",
  system: "/v1/system",
  instruments: "/v1/instruments?limit=100",
};

/** Read one resource into the store; true when it came. @param {keyof PATHS} name */
export async function load(name) {
  try {
    put(name, await (name === "positions" ? readWhole(PATHS[name], get) : get(PATHS[name])));
    return true;
  } catch (problem) {
    fail(name, problem.document ?? { title: "Something went wrong", detail: String(problem) });
    return false;
  }
}

/** Read all that a page shows at once. @param {string[]} [names] */
export async function loadAll(names = ["status", "summary", "positions", "orders", "alerts", "instruments"]) {
  return (await Promise.all(names.map(load))).every(Boolean);
}

/**
 * Symbols that nobody knows here, such as a watchlist's of another feed, are left out, and the others are asked again.
 * @param {string[]} symbols
 */
export async function loadQuotes(symbols) {
  if (!symbols.length) return;
  const list = symbols.slice(0, 200).map(encodeURIComponent).join();
  const answer = await get(`/v1/quotes?symbols=${list}`).catch((problem) => problem);
  if (answer.items) putQuotes(answer.items);
  else if (answer.unknown) await loadQuotes(symbols.filter((symbol) => !answer.unknown.includes(symbol)));
}
