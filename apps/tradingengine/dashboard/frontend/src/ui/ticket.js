// The order ticket: what this version's order API takes, checked here as the api checks it, sent once per draft.
import { batch, computed, signal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { call, load, newKey, onReload } from "../lib/api.js";
import { check, needsPrice, needsTrigger, productsFor, step, TYPES } from "../lib/check.js";
import * as format from "../lib/format.js";
import { html } from "../lib/html.js";
import { numberOf, RUPEES, readNumber } from "../lib/numbers.js";
import {
  blocked,
  feed,
  mode,
  putOrder,
  quote,
  resources,
  say,
  session,
  ticketOpen,
  ticketSymbol,
} from "../lib/store.js";
import { Icon } from "./icons.js";
import { Trouble } from "./panel.js";
import { ChangePercent, Last } from "./price.js";
import { SymbolSearch } from "./search.js";

const REST_MS = 1200;
const blank = {
  side: "BUY",
  type: "LIMIT",
  quantity: "",
  price: "",
  trigger_price: "",
  product: "CNC",
  validity: "DAY",
};
const draft = signal(blank);
const picked = signal(null);
const problem = signal(null);
/** "idle" | "sending" | "sent" (resting, so that a second click of the same hand sends nothing) | "review" (LIVE) */
const phase = signal("idle");
const touched = signal(false);
/** The price field whose text was to move by a tick and could not be read; its error shows until something changes. */
const stuck = signal(null);
/** The order whose answer never came: until it does, the ticket sends nothing else. */
const unsure = signal(null);
const locked = computed(() => phase.value === "sending" || unsure.value !== null);
/** One key per draft: whatever is clicked, retried or answered late, it is one order. */
let key = newKey();

const KEPT = "te-ticket";
/** A page that loads again is back in seconds; a draft of long ago is a stranger's order. */
const KEPT_MS = 120_000;

/** Keep what was typed while the page loads again: an order whose answer did not come goes along with its key. */
function keep() {
  const asked = unsure.peek() ?? (phase.peek() === "sending" ? body() : null);
  const kept = { at: Date.now(), draft: draft.peek(), symbol: ticketSymbol.peek(), picked: picked.peek() };
  const more = { ours, open: ticketOpen.peek(), unsure: asked, key };
  sessionStorage.setItem(KEPT, JSON.stringify({ ...kept, ...more }));
}
onReload(keep);

/** Take up what was typed before the page loaded again. */
export function takeUp() {
  const text = sessionStorage.getItem(KEPT);
  sessionStorage.removeItem(KEPT);
  let kept;
  try {
    kept = JSON.parse(text);
  } catch {
    return;
  }
  if (!kept || Date.now() - kept.at > KEPT_MS) return;
  ours = kept.ours;
  // Nothing was done with what is not unsure, so it is another order; what is unsure can only ever be the same one.
  if (kept.unsure) key = kept.key;
  batch(() => {
    picked.value = kept.picked;
    ticketSymbol.value = kept.symbol;
    draft.value = { ...blank, ...kept.draft };
    unsure.value = kept.unsure;
    ticketOpen.value = kept.open;
  });
}

const instrument = computed(() => {
  const symbol = ticketSymbol.value;
  if (!symbol) return null;
  if (picked.value?.symbol === symbol) return picked.value;
  return (resources.instruments.value.data?.items ?? []).find((item) => item.symbol === symbol) ?? null;
});

/** Whether the price is still ours: then it follows the side's best price until somebody types one. */
let ours = true;

const edit = (change) => {
  if (locked.peek()) return;
  key = newKey();
  if ("price" in change) ours = change.ours ?? false;
  batch(() => {
    const next = { ...draft.peek(), ...change };
    if (change.side && ours) next.price = suggested(ticketSymbol.peek(), change.side);
    draft.value = needsTrigger(next.type) ? { ...next, validity: "DAY" } : next;
    problem.value = null;
    stuck.value = null;
    phase.value = "idle";
  });
};

/**
 * Put a symbol, and maybe a side, into the ticket.
 * @param {{symbol: string, side?: string}} what @param {boolean} [focus]
 */
export function fillTicket({ symbol, side }, focus = true) {
  if (locked.peek()) return;
  batch(() => {
    if (symbol !== ticketSymbol.peek()) {
      ticketSymbol.value = symbol;
      const products = productsFor(instrument.peek());
      edit({
        ours: true,
        price: suggested(symbol, side ?? draft.peek().side),
        trigger_price: "",
        product: products.includes(draft.peek().product) ? draft.peek().product : products[0],
      });
    }
    if (side) edit({ side });
    if (focus) ticketOpen.value = true;
  });
  if (focus) requestAnimationFrame(() => document.querySelector(".ticket [name=quantity]")?.focus());
}

const suggested = (symbol, side) => {
  const now = symbol && quote(symbol).peek();
  return now ? String((side === "BUY" ? now.ask : now.bid) ?? now.last ?? "") : "";
};

/** The numbers of a draft as they were read; what cannot be read is NaN. */
const numbersOf = ({ quantity, price, trigger_price: trigger }) => ({
  quantity: numberOf(quantity),
  price: numberOf(price, RUPEES),
  trigger: numberOf(trigger, RUPEES),
});

/** What is sent: each number as it was read, never as it was typed. */
const body = () => {
  const { side, type, quantity, price, trigger_price: trigger, product, validity } = draft.peek();
  return {
    symbol: ticketSymbol.peek(),
    side,
    type,
    quantity: numberOf(quantity),
    product,
    validity,
    price: needsPrice(type) ? readNumber(price, RUPEES).text : null,
    trigger_price: needsTrigger(type) ? readNumber(trigger, RUPEES).text : null,
  };
};

const line = () => {
  const { side, type, product } = draft.value;
  const { quantity, price, trigger } = numbersOf(draft.value);
  const name = format.ticker(ticketSymbol.value ?? "");
  if (!name || !quantity) return `${side === "BUY" ? "Buy" : "Sell"} ${name}`;
  const at = needsPrice(type)
    ? ` @ ${format.price(price)}`
    : type === "MARKET"
      ? " at market"
      : ` when ${format.price(trigger)}`;
  const held = mode.value === "live" ? ` ${product}` : "";
  return `${side === "BUY" ? "Buy" : "Sell"} ${format.count(quantity)} ${name}${at}${held}`;
};

async function send(event) {
  event.preventDefault();
  touched.value = true;
  if (phase.peek() === "sending" || phase.peek() === "sent" || blocked.peek()) return;
  const wrong = unsure.peek() ? {} : check(draft.peek(), instrument.peek());
  if (Object.keys(wrong).length) {
    document.querySelector(`.ticket [name=${Object.keys(wrong)[0]}], .ticket .search input`)?.focus();
    return;
  }
  if (mode.peek() === "live" && phase.peek() !== "review" && !unsure.peek()) {
    phase.value = "review";
    return;
  }
  const mine = unsure.peek() ?? body();
  batch(() => {
    phase.value = "sending";
    problem.value = null;
  });
  try {
    const order = await call("POST", "/v1/orders", { body: mine, key });
    putOrder(order);
    key = newKey();
    unsure.value = null;
    phase.value = "sent";
    touched.value = false;
    say(`${line()}: taken`, "good");
    setTimeout(() => {
      if (phase.peek() === "sent") phase.value = "idle";
    }, REST_MS);
  } catch (error) {
    // A refused order was never placed: the next try is another order. Where the answer leaves that open, key and
    // draft stay as they are, so that a repeat can only ever be the same order. That a release is gone says nothing of
    // a try before this one.
    const gone = error.code === "release-gone" && unsure.peek() !== null;
    const refused = !gone && ((error.status >= 400 && error.status < 500) || error.code === "edge_unreachable");
    if (refused) key = newKey();
    batch(() => {
      problem.value = error;
      phase.value = "idle";
      unsure.value = refused ? null : mine;
    });
    if (error.code === "edge_unreachable") {
      say("Not delivered: the edge is unreachable. The order is not sent later.", "error");
      load("orders");
    }
  }
}

const Field = ({
  name,
  label,
  note,
  wrong,
  children,
}) => html`<div class="field ${wrong ? "bad" : ""}" data-field=${name}>
  <label for="ticket-${name}"><span>${label}</span></label>
  <div class="control">${children}${note && html`<span class="control-note num">${note}</span>`}</div>
  ${wrong && html`<p class="field-error" id="ticket-${name}-error" role="alert">${wrong}</p>`}
</div>`;

/** A field for a number: it takes what is typed or pasted as it is, and `readNumber` judges it. */
const NumberInput = ({ name, wrong, mode: inputmode, onKeyDown }) => html`<input
  id="ticket-${name}"
  name=${name}
  class="num"
  inputmode=${inputmode}
  autocomplete="off"
  value=${draft.value[name]}
  aria-invalid=${Boolean(wrong)}
  aria-describedby=${wrong ? `ticket-${name}-error` : undefined}
  onInput=${(event) => edit({ [name]: event.currentTarget.value })}
  onKeyDown=${onKeyDown}
/>`;

function PriceField({ name, label, wrong }) {
  const tick = instrument.value?.tick_size ?? "0.05";
  const move = (direction) => {
    const next = step(draft.peek()[name] || suggested(ticketSymbol.peek(), draft.peek().side), tick, direction);
    if (next === null) stuck.value = name;
    else edit({ [name]: next });
  };
  const onKeyDown = (event) => {
    if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
    event.preventDefault();
    move(event.key === "ArrowUp" ? 1 : -1);
  };
  const stepper = (direction, word, sign) => html`<button
    type="button"
    tabindex="-1"
    aria-label="${label}: one tick of ${tick} ${word}"
    onClick=${() => move(direction)}
  >${sign}</button>`;
  return html`<${Field} name=${name} label=${label} wrong=${wrong}>
    <${NumberInput} name=${name} wrong=${wrong} mode="decimal" onKeyDown=${onKeyDown} />
    <span class="steppers">${stepper(-1, "down", "−")}${stepper(1, "up", "+")}</span>
  <//>`;
}

function QuantityField({ wrong }) {
  const size = instrument.value?.lot_size ?? 1;
  const units = numberOf(draft.value.quantity);
  const lots = size > 1 && units ? `${format.count(units / size)} lots` : "";
  return html`<${Field} name="quantity" label="Quantity" note=${lots} wrong=${wrong}>
    <${NumberInput} name="quantity" wrong=${wrong} mode="numeric" />
  <//>`;
}

const Select = ({ name, label, options, wrong }) => html`<${Field} name=${name} label=${label} wrong=${wrong}>
  <select
    id="ticket-${name}"
    name=${name}
    value=${draft.value[name]}
    onChange=${(event) => edit({ [name]: event.currentTarget.value })}
  >
    ${options.map(
      ([value, word]) => html`<option key=${value} value=${value} selected=${draft.value[name] === value}>
        ${word}
      </option>`,
    )}
  </select>
<//>`;

function SymbolField({ wrong }) {
  const symbol = ticketSymbol.value;
  const change = useRef(null);
  if (!symbol || !instrument.value) {
    return html`<div class="field ${wrong ? "bad" : ""}" data-field="symbol">
      <${SymbolSearch}
        label="Symbol of the order"
        tradableOnly
        invalid=${Boolean(wrong)}
        onPick=${(item) => {
          picked.value = item;
          fillTicket({ symbol: item.symbol });
        }}
      />
      ${wrong && html`<p class="field-error" role="alert">${wrong}</p>`}
    </div>`;
  }
  return html`<div class="field ${wrong ? "bad" : ""}" data-field="symbol">
    <button
      ref=${change}
      type="button"
      class="symbol-pick"
      disabled=${locked.value}
      onClick=${() => {
        ticketSymbol.value = null;
        requestAnimationFrame(() => document.querySelector(".ticket .search input")?.focus());
      }}
      title="Choose another symbol"
    >
      <b>${format.ticker(symbol)}</b> <span class="muted">${instrument.value.exchange}</span>
      <span class="spacer"></span>
      <b class="num"><${Last} symbol=${symbol} /></b> <${ChangePercent} symbol=${symbol} />
    </button>
    ${wrong && html`<p class="field-error" role="alert">${wrong}</p>`}
  </div>`;
}

function Book({ symbol }) {
  const now = quote(symbol).value;
  if (!now) return html`<p class="muted small">No quote for ${format.ticker(symbol)} yet.</p>`;
  const set = (value) => () =>
    edit({ type: needsPrice(draft.peek().type) ? draft.peek().type : "LIMIT", price: String(value) });
  return html`<div class="book num">
    <button type="button" class="plain" onClick=${set(now.bid)} title="Use the bid as price">
      <span class="muted">Bid</span> <b class="buy-text">${format.price(now.bid)}</b> <span class="muted">
        ${format.volume(now.bid_quantity)}
      </span>
    </button>
    <button type="button" class="plain" onClick=${set(now.ask)} title="Use the ask as price">
      <span class="muted">Ask</span> <b class="sell-text">${format.price(now.ask)}</b> <span class="muted">
        ${format.volume(now.ask_quantity)}
      </span>
    </button>
  </div>`;
}

function Figures() {
  const { type } = draft.value;
  const { quantity, price, trigger } = numbersOf(draft.value);
  const at = needsPrice(type) ? price : needsTrigger(type) ? trigger : quote(ticketSymbol.value).value?.last;
  const value = quantity * Number(at);
  const limit = Number(session.value.engine.risk?.order ?? 0);
  const above = limit > 0 && value > limit;
  return html`<dl class="figures num">
    <div><dt>Order value</dt><dd>${value ? format.rupees(value, { decimals: 0 }) : format.NONE}</dd></div>
    <div>
      <dt>Limit per order</dt>
      <dd class=${above ? "warn" : ""}>
        ${limit ? `${format.rupees(limit, { decimals: 0 })}${above ? " · above it" : ""}` : format.NONE}
      </dd>
    </div>
    <div><dt>Not sent after</dt><dd>${type === "MARKET" ? "5 s" : "30 s"}</dd></div>
  </dl>`;
}

function Sides({ side }) {
  const turn = (event) => {
    if (!event.key.startsWith("Arrow")) return;
    event.preventDefault();
    const other = side === "BUY" ? "SELL" : "BUY";
    edit({ side: other });
    event.currentTarget.parentElement.querySelector(`.${other.toLowerCase()}`).focus();
  };
  return html`<div class="sides" inert=${locked.value} role="radiogroup" aria-label="Side">
    ${["BUY", "SELL"].map(
      (value) => html`<button
        type="button"
        key=${value}
        role="radio"
        aria-checked=${side === value}
        tabindex=${side === value ? 0 : -1}
        class=${value.toLowerCase()}
        onClick=${() => edit({ side: value })}
        onKeyDown=${turn}
      >${value}</button>`,
    )}
  </div>`;
}

/** The server's answer stands at its field; what has no field stands above the button. */
function wrongFields() {
  const wrong = touched.value ? check(draft.value, instrument.value) : {};
  if (stuck.value) wrong[stuck.value] ??= readNumber(draft.value[stuck.value], RUPEES).wrong;
  const told = problem.value;
  if (told?.field) wrong[told.field] = `${told.detail}${told.mend ? ` ${told.mend}` : ""}`;
  return wrong;
}
const FIELDS = new Set(["symbol", "quantity", "price", "trigger_price", "type", "product", "validity"]);

const WORDS = { sending: "Sending", sent: "Taken", review: "Send now" };

/** What went wrong and belongs to no field. */
function Told() {
  const told = problem.value;
  if (told?.code === "edge_unreachable") {
    return html`<div class="trouble compact" role="alert" data-undelivered>
      <p class="trouble-what"><b>Not delivered.</b> ${told.message}</p>
      <p class="muted">${told.mend ?? "It is not sent when the link is back."}</p>
    </div>`;
  }
  return told && !FIELDS.has(told.field) && html`<${Trouble} problem=${told.document ?? told} compact />`;
}

export function Ticket() {
  const { side, type } = draft.value;
  const wrong = wrongFields();
  const ready = phase.value !== "sending" && phase.value !== "sent" && !blocked.value;
  return html`<section
    class="panel ticket"
    data-panel="ticket"
    data-phase=${phase.value}
    data-side=${side}
    aria-label="Order ticket"
  >
    <header class="panel-head">
      <h2>Order</h2>
      <span class="panel-note"><kbd>B</kbd> buy · <kbd>S</kbd> sell</span>
      <span class="spacer"></span>
      <button
        type="button"
        class="plain sheet-close"
        aria-label="Close the ticket"
        onClick=${() => {
          ticketOpen.value = false;
        }}
      ><${Icon} name="close" /></button>
    </header>
    <form class="panel-body pad" novalidate onSubmit=${send}>
      <${SymbolField} wrong=${wrong.symbol} />
      <${Sides} side=${side} />
      <div class="fields" inert=${locked.value}>
        <${QuantityField} wrong=${wrong.quantity} />
        <${Select}
          name="product"
          label="Product"
          options=${productsFor(instrument.value).map((value) => [value, value])}
          wrong=${wrong.product}
        />
        <${Select} name="type" label="Type" options=${TYPES} wrong=${wrong.type} />
        ${
          needsPrice(type)
            ? html`<${PriceField} name="price" label="Price" wrong=${wrong.price} />`
            : html`<div class="field">
              <span class="label muted">Price</span>
              <div class="control fixed muted">${type === "MARKET" ? "at market" : "at trigger"}</div>
            </div>`
        }
        ${
          needsTrigger(type) &&
          html`<${PriceField} name="trigger_price" label="Trigger" wrong=${wrong.trigger_price} />`
        }
        <${Select}
          name="validity"
          label="Validity"
          options=${
            needsTrigger(type)
              ? [["DAY", "Day"]]
              : [
                  ["DAY", "Day"],
                  ["IOC", "IOC"],
                ]
          }
          wrong=${wrong.validity}
        />
      </div>
      ${ticketSymbol.value && html`<${Book} symbol=${ticketSymbol.value} />`}
      <${Figures} />
      <${Told} />
      ${phase.value === "review" && html`<p class="review" role="status"><b>${line()}</b>. Press again to send.</p>`}
      <button
        type="submit"
        class="button send ${side.toLowerCase()}"
        aria-disabled=${!ready}
        aria-describedby="ticket-why"
      >
        ${WORDS[phase.value] ?? (unsure.value ? "Ask again" : line())}
      </button>
      <p class="small muted" id="ticket-why">
        ${
          blocked.value
            ? html`<span class="warn">${blocked.value}</span>`
            : `Quote ${format.age(feed.value.age)} old · the edge checks it again before the broker sees it`
        }
      </p>
    </form>
  </section>`;
}
