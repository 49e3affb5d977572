// The checks of a ticket that need nothing but the order and its instrument: the same that the api makes, made earlier.
// Prices are compared as whole paise.
import { count } from "./format.js";
import { numberOf, RUPEES, readNumber } from "./numbers.js";

export const TYPES = [
  ["LIMIT", "Limit"],
  ["MARKET", "Market"],
  ["SL", "SL"],
  ["SL_M", "SL-M"],
];
export const needsPrice = (type) => type === "LIMIT" || type === "SL";
export const needsTrigger = (type) => type === "SL" || type === "SL_M";

/** Products that fit an instrument. @param {any} instrument */
export const productsFor = (instrument) =>
  instrument && ["future", "option"].includes(instrument.kind) ? ["NRML", "MIS"] : ["CNC", "MIS"];

/** Paise of a text in rupees, null when it is not one. @param {string} text */
export function paise(text) {
  const [whole, part = ""] = readNumber(text, RUPEES).text?.split(".") ?? [];
  return whole === undefined ? null : Number(whole) * 100 + Number(part.padEnd(2, "0"));
}

/** Rupees text of paise. @param {number} value */
export const fromPaise = (value) => `${Math.floor(value / 100)}.${String(value % 100).padStart(2, "0")}`;

/**
 * One tick up or down, from off-tick to the next one; null from a text that is no price: no price is made of it.
 * @param {string} text @param {string} tick @param {number} direction
 * @returns {string | null}
 */
export function step(text, tick, direction) {
  const size = paise(tick) || 5;
  const value = paise(text);
  if (value === null) return null;
  const next = direction > 0 ? Math.floor(value / size) * size + size : Math.ceil(value / size) * size - size;
  return fromPaise(Math.max(size, next));
}

/**
 * What is wrong, by field; empty when nothing is.
 * @param {{side: string, type: string, quantity: string, price: string, trigger_price: string, validity: string}} draft
 * @param {any} instrument
 */
export function check(draft, instrument) {
  /** @type {Record<string, string>} */
  const wrong = {};
  if (!instrument) return { symbol: "Choose a symbol." };
  if (!instrument.tradable) return { symbol: "An index cannot be traded itself." };
  const written = checkQuantity(draft.quantity, instrument);
  if (written) wrong.quantity = written;
  const price = needsPrice(draft.type) ? checkPrice("price", draft.price, instrument, wrong) : null;
  const trigger = needsTrigger(draft.type) ? checkPrice("trigger_price", draft.trigger_price, instrument, wrong) : null;
  if (price !== null && trigger !== null && !wrong.price && !wrong.trigger_price) {
    if (draft.side === "BUY" && price < trigger) wrong.price = "The limit of an SL buy lies at or above its trigger.";
    if (draft.side === "SELL" && price > trigger) wrong.price = "The limit of an SL sell lies at or below its trigger.";
  }
  if (draft.validity === "IOC" && needsTrigger(draft.type)) wrong.validity = "A stop order cannot be IOC.";
  return wrong;
}

function checkQuantity(text, instrument) {
  const { wrong } = readNumber(text);
  if (wrong) return wrong;
  const quantity = numberOf(text);
  if (!quantity) return "A whole number above zero.";
  if (quantity % instrument.lot_size) return `Whole lots of ${count(instrument.lot_size)}.`;
  const most = instrument.freeze_quantity;
  return most && quantity > most ? `At most ${count(most)} in one order.` : null;
}

function checkPrice(field, text, instrument, wrong) {
  const value = paise(text);
  if (value === null) wrong[field] = readNumber(text, RUPEES).wrong;
  else if (!value) wrong[field] = "A price above zero.";
  else if (value % (paise(instrument.tick_size) || 1)) wrong[field] = `In steps of ${instrument.tick_size}.`;
  return value;
}
