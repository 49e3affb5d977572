// Orders with their timeline: intent, sent, acknowledged, filled, each with its milliseconds.
import { useState } from "preact/hooks";
import { call } from "../lib/api.js";
import * as format from "../lib/format.js";
import { html } from "../lib/html.js";
import { mayTrade, orders, putOrder, say } from "../lib/store.js";
import { Panel } from "./panel.js";

const { count, marketTime, price, ticker, wallTime } = format;
const STEPS = [["INTENT"], ["SENT"], ["OPEN"], ["FILLED", "PARTIALLY_FILLED"]];
const NAMES = ["intent", "sent", "acknowledged", "filled"];
const OPEN = new Set(["INTENT", "SENT", "OPEN", "PARTIALLY_FILLED", "UNKNOWN"]);
const BAD = new Set(["REJECTED", "EXPIRED", "NOT_DELIVERED"]);

/** Each step: whether it was reached, and when. @param {any} order */
export function timeline(order) {
  const entries = order.timeline ?? [];
  const reached = STEPS.map((states) => entries.findLast((entry) => states.includes(entry.state)) ?? null);
  const last = reached.findLastIndex(Boolean);
  return reached.map((entry, index) => {
    const wrong = BAD.has(order.state) && index === last + 1;
    const partly = index === 3 && entry?.state === "PARTIALLY_FILLED";
    // A fill implies what came before it, even if a step's own entry is still on its way.
    return {
      name: NAMES[index],
      entry,
      kind: wrong ? "bad" : entry || index < last ? (partly ? "part" : "done") : "todo",
    };
  });
}

/** The state in words, with reason and mend. @param {any} order */
export function verdict(order) {
  const { message, mend } = order.reason ?? {};
  const why = message ? `: ${message}${mend ? ` ${mend}` : ""}` : "";
  const partly = order.filled_quantity ? ` ${count(order.filled_quantity)} of ${count(order.quantity)}` : "";
  switch (order.state) {
    case "FILLED":
      return ["gain", "Filled"];
    case "PARTIALLY_FILLED":
      return ["", `${order.cancel_requested ? "Cancelling" : "Open"}${partly}`];
    case "OPEN":
      return [
        "",
        order.cancel_requested ? "Cancelling" : `Open${order.quantity > 1 ? ` 0 of ${count(order.quantity)}` : ""}`,
      ];
    case "INTENT":
      return order.delivery === "unknown"
        ? ["warn", "Delivery unknown"]
        : ["muted", order.cancel_requested ? "Cancelling" : "On its way"];
    case "SENT":
      return ["muted", order.cancel_requested ? "Cancelling" : "Sent"];
    case "UNKNOWN":
      return ["warn", `Unknown${why || ": the broker is being asked"}`];
    case "REJECTED":
      return ["loss", `Rejected${why}`];
    case "EXPIRED":
      return ["warn", `Expired${partly}${why}`];
    case "NOT_DELIVERED":
      return ["loss", `Not delivered${why}`];
    case "CANCELLED":
      return ["muted", `Cancelled${partly ? `,${partly} filled` : ""}${why}`];
    case "DRY_RUN":
      return ["muted", `Dry run${why || ": passed the gate"}`];
    default:
      return ["muted", order.state];
  }
}

const spoken = (steps) =>
  steps
    .filter((step) => step.entry)
    .map((step) => `${step.name} ${wallTime(step.entry.at, { ms: true })}, ${step.entry.ms} ms`)
    .join("; ");

function Dots({ order }) {
  const steps = timeline(order);
  return html`<span
    class="dots"
    role="img"
    aria-label=${spoken(steps) || "not sent"}
    title=${steps
      .filter((step) => step.entry)
      .map((step) => `${step.name} +${step.entry.ms} ms${step.entry.price ? ` at ${price(step.entry.price)}` : ""}`)
      .join("\n")}
  >${steps.map((step) => html`<i class="step ${step.kind}"></i>`)}</span>`;
}

const lastMs = (order) => {
  const acknowledged = timeline(order).findLast((step) => step.entry && step.name !== "intent");
  return acknowledged ? `${acknowledged.entry.ms} ms` : "";
};

/** Market time of the first step that has one: the cloud's own has none, since it only hears of the tape. */
const marketAt = (order) => order.timeline?.find((entry) => entry.market_time)?.market_time ?? order.market_time;
const shownPrice = (order) => order.average_price ?? order.price ?? order.trigger_price;

function Row({ order }) {
  const [busy, setBusy] = useState(false);
  const [kind, words] = verdict(order);
  const cancel = async () => {
    setBusy(true);
    try {
      const answer = await call("DELETE", `/v1/orders/${order.id}`, { safe: true });
      if (answer?.id === order.id) putOrder(answer);
      say(`Cancel of ${ticker(order.symbol)} is on its way`);
    } catch (problem) {
      say(`Cancel failed: ${problem.message} ${problem.mend ?? ""}`, "error");
      setBusy(false);
    }
  };
  const mayCancel = OPEN.has(order.state) && mayTrade.value;
  const where = shownPrice(order);
  const at = marketAt(order);
  return html`<tr data-order=${order.id} data-state=${order.state}>
    <td class="num muted c-time" title="Market time; placed ${wallTime(order.created_at, { ms: true })}">
      ${marketTime(at)}<span class="c-milli">${marketTime(at, { ms: true }).slice(8)}</span>
    </td>
    <td class=${order.side === "BUY" ? "buy-text" : "sell-text"}>${order.side}</td>
    <th scope="row">
      ${ticker(order.symbol)} <span class="tag c-tag">${order.product}</span>
      ${order.purpose !== "ENTRY" && html` <span class="tag c-tag">${order.purpose.toLowerCase()}</span>`}
      <span class="phone-line muted num">
        ${marketTime(at)} · ${count(order.quantity)} @ ${where === null ? order.type : price(where)}
      </span>
    </th>
    <td class="r num c-qty">${count(order.quantity)}</td>
    <td class="r num c-price">
      ${where === null ? html`<span class="muted">${order.type.replace("_", "-")}</span>` : price(where)}
    </td>
    <td class="c-dots"><${Dots} order=${order} /></td>
    <td class="r num muted c-ms">${lastMs(order)}</td>
    <td class="verdict ${kind}" title=${words}>${words}</td>
    <td class="c-by muted">${order.source === "strategy" ? order.strategy : order.placed_by}</td>
    <td class="r actions">
      ${
        mayCancel &&
        html`<button
          type="button"
          class="button small"
          disabled=${busy || order.cancel_requested}
          onClick=${cancel}
          aria-label="Cancel ${order.side} ${order.quantity} ${ticker(order.symbol)}"
        >Cancel</button>`
      }
    </td>
  </tr>`;
}

const FILTERS = [
  ["all", "All"],
  ["open", "Open"],
];

export function Orders() {
  const [filter, setFilter] = useState("all");
  const kept = (items) => (filter === "open" ? items.filter((order) => OPEN.has(order.state)) : items);
  return html`<${Panel}
    name="orders"
    title="Orders"
    resource=${orders}
    class="orders"
    rows=${4}
    note=${html`market time<span class="c-legend"> · intent → sent → acknowledged → filled</span>`}
    actions=${html`<div class="segmented" role="group" aria-label="Which orders">
      ${FILTERS.map(
        ([key, word]) => html`<button type="button" aria-pressed=${filter === key} onClick=${() => setFilter(key)}>
          ${word}
        </button>`,
      )}
    </div>`}
    isEmpty=${(data) => !kept(data.items).length}
    empty=${{
      text: filter === "open" ? "No open order." : "No orders yet today.",
      step: "Orders of people and strategies show here with every step they take.",
    }}
  >
    ${(data) => html`<div class="scroll" tabindex="0" role="region" aria-label="Orders table">
      <table class="grid">
        <thead class="sr">
          <tr>
            <th scope="col">Market time</th>
            <th scope="col">Side</th>
            <th scope="col">Symbol</th>
            <th scope="col">Quantity</th>
            <th scope="col">Price</th>
            <th scope="col">Steps</th>
            <th scope="col">Milliseconds</th>
            <th scope="col">State</th>
            <th scope="col">By</th>
            <th scope="col">Actions</th>
          </tr>
        </thead>
        <tbody>${kept(data.items).map((order) => html`<${Row} key=${order.id} order=${order} />`)}</tbody>
      </table>
    </div>`}
  <//>`;
}
