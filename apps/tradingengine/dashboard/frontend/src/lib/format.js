// Numbers the Indian way, times in IST. Money comes as text in rupees and is turned into a number for display only.

const MINUS = "\u2212";
const IST_MS = 19_800_000;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
export const NONE = "\u2013";

const two = new Intl.NumberFormat("en-IN", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const whole = new Intl.NumberFormat("en-IN", { maximumFractionDigits: 0 });

/** A number, or null for what is none. @param {unknown} value */
export function number(value) {
  if (value === null || value === undefined || value === "") return null;
  const parsed = Number(value);
  return Number.isFinite(parsed) ? parsed : null;
}

const sign = (value, text, plus) => {
  if (!/[1-9]/.test(text)) return text; // rounded to nothing, which has no sign
  return value < 0 ? MINUS + text : plus && value > 0 ? `+${text}` : text;
};

/** 12,34,567.00 @param {unknown} value @param {{plus?: boolean}} [options] */
export function price(value, { plus = false } = {}) {
  const n = number(value);
  return n === null ? NONE : sign(n, two.format(Math.abs(n)), plus);
}

/** A whole number, grouped. @param {unknown} value */
export function count(value, { plus = false } = {}) {
  const n = number(value);
  return n === null ? NONE : sign(n, whole.format(Math.abs(n)), plus);
}

/** +₹12,480.50 @param {unknown} value */
export function rupees(value, { plus = false, decimals = 2 } = {}) {
  const n = number(value);
  return n === null ? NONE : sign(n, `₹${(decimals ? two : whole).format(Math.abs(n))}`, plus);
}

/** ₹18.42 L, ₹1.20 Cr, below a lakh in full. @param {unknown} value */
export function short(value, { plus = false } = {}) {
  const n = number(value);
  if (n === null) return NONE;
  const size = Math.abs(n);
  if (size >= 1e7) return sign(n, `₹${(size / 1e7).toFixed(2)} Cr`, plus);
  if (size >= 1e5) return sign(n, `₹${(size / 1e5).toFixed(2)} L`, plus);
  return rupees(n, { plus, decimals: 0 });
}

/** Volume: 1.25 Cr, 3.10 L, 45.2 K. @param {unknown} value */
export function volume(value) {
  const n = number(value);
  if (n === null) return NONE;
  if (n >= 1e7) return `${(n / 1e7).toFixed(2)} Cr`;
  if (n >= 1e5) return `${(n / 1e5).toFixed(2)} L`;
  return n >= 1e3 ? `${(n / 1e3).toFixed(1)} K` : whole.format(n);
}

/** +0.31% @param {unknown} value */
export function percent(value, { plus = true } = {}) {
  const n = number(value);
  return n === null ? NONE : `${sign(n, Math.abs(n).toFixed(2), plus)}%`;
}

/** Class of a signed number. @param {unknown} value */
export function tone(value) {
  const n = number(value);
  return n === null || n === 0 ? "" : n > 0 ? "gain" : "loss";
}

/** ▲ or ▼, so that no meaning hangs on colour. @param {unknown} value */
export function arrow(value) {
  const n = number(value);
  return n === null || n === 0 ? "" : n > 0 ? "▲" : "▼";
}

const pad = (value, size = 2) => String(value).padStart(size, "0");

/** Epoch ms of an RFC 3339 text, null for none. @param {string|null|undefined} text */
export function epoch(text) {
  if (!text) return null;
  const at = Date.parse(text);
  return Number.isNaN(at) ? null : at;
}

const shifted = (at) => {
  const ms = typeof at === "string" ? epoch(at) : at;
  return ms === null || ms === undefined ? null : new Date(ms + IST_MS);
};

/**
 * 15:22:07 in IST, with ms 15:22:07.118: the time of the tape, by which prices, orders and sessions run. What shows it
 * says so once: a column, a panel's note, the clock of the top bar.
 * @param {string|number|null} at
 */
export function marketTime(at, { ms = false } = {}) {
  const date = shifted(at);
  if (!date) return NONE;
  const text = [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()].map((part) => pad(part)).join(":");
  return ms ? `${text}.${pad(date.getUTCMilliseconds(), 3)}` : text;
}

/**
 * 15:22:07 wall time, in IST: by the clocks of people and machines. Its text carries the label, so that it is never
 * taken for the other one. @param {string|number|null} at
 */
export const wallTime = (at, options) => (shifted(at) ? `${marketTime(at, options)} wall time` : NONE);

/** 21 Nov 2026 in IST. @param {string|number|null} at */
export function date(at) {
  const day = shifted(at);
  return day ? `${day.getUTCDate()} ${MONTHS[day.getUTCMonth()]} ${day.getUTCFullYear()}` : NONE;
}

/**
 * Market time Mon 09:15 in IST; without the day when it is the day of `now`.
 * @param {string|number} at @param {number} now
 */
export function marketDayTime(at, now) {
  const day = shifted(at);
  if (!day) return NONE;
  const clock = `${pad(day.getUTCHours())}:${pad(day.getUTCMinutes())}`;
  return date(at) === date(now) ? clock : `${DAYS[day.getUTCDay()]} ${clock}`;
}

/** An age: 80 ms, 4.2 s, 3 min, 2 h. @param {number|null} ms */
export function age(ms) {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return "unknown";
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 60_000) return `${Math.round(ms / 1000)} s`;
  return ms < 3_600_000 ? `${Math.floor(ms / 60_000)} min` : `${Math.floor(ms / 3_600_000)} h`;
}

/** A duration as 4:28 or 1:02:03. @param {number} ms */
export function countdown(ms) {
  const total = Math.max(0, Math.ceil(ms / 1000));
  const hours = Math.floor(total / 3600);
  const rest = `${pad(Math.floor((total % 3600) / 60), hours ? 2 : 1)}:${pad(total % 60)}`;
  return hours ? `${hours}:${rest}` : rest;
}

/** NSE:RELIANCE -> RELIANCE @param {string} symbol */
export const ticker = (symbol) => symbol.slice(symbol.indexOf(":") + 1);

/** Minutes after midnight IST. @param {number} at epoch ms */
export const minuteOfDay = (at) => Math.floor(((at + IST_MS) % 86_400_000) / 60_000);
