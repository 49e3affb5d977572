// Open positions, each with its exit: by part, at the market, over HTTP even when the socket is gone.
import { useEffect, useRef, useState } from "preact/hooks";
import { call, load, newKey } from "../lib/api.js";
import * as format from "../lib/format.js";
import { html } from "../lib/html.js";
import { readNumber } from "../lib/numbers.js";
import {
  ageOf,
  chosen,
  edge,
  exiting,
  keyOf,
  link,
  livePosition,
  mayTrade,
  positions,
  putOrder,
  say,
} from "../lib/store.js";
import { Panel, Trouble } from "./panel.js";
import { Last, priceLevel } from "./price.js";
import { useSeen } from "./seen.js";
import { fillTicket } from "./ticket.js";

const { count, percent, price, rupees, ticker, tone } = format;

const TotalNote = ({ items }) => {
  const open = items.filter((item) => item.quantity);
  const total = items.reduce((sum, item) => sum + (livePosition(item).pnlNow ?? 0), 0);
  return html`<span class="num">
    ${open.length} open · <span class=${tone(total)}>${rupees(total, { plus: true })}</span>
  </span>`;
};

/** The server's order, closed ones last. */
const sorted = (items) => [...items].sort((a, b) => Number(b.quantity !== 0) - Number(a.quantity !== 0));

export function Positions() {
  return html`<${Panel}
    name="positions"
    title="Positions"
    resource=${positions}
    class="positions"
    rows=${5}
    note=${positions.value.data ? html`<${TotalNote} items=${positions.value.data.items} />` : ""}
    isEmpty=${(data) => !data.items.length}
    empty=${{ text: "No open position.", step: html`Choose a symbol in the order ticket, or press <kbd>B</kbd>.` }}
  >
    ${(data) => html`<div class="scroll" tabindex="0" role="region" aria-label="Positions table">
      <table class="grid">
        <thead>
          <tr>
            <th scope="col">Symbol</th>
            <th scope="col" class="r">Qty</th>
            <th scope="col" class="r c-avg">Avg</th>
            <th scope="col" class="r">Last</th>
            <th scope="col" class="r">P&L</th>
            <th scope="col" class="r c-pct">%</th>
            <th scope="col" class="r c-stop">Stop, where</th>
            <th scope="col" class="c-strategy">Strategy</th>
            <th scope="col"><span class="sr">Actions</span></th>
          </tr>
        </thead>
        <tbody>${sorted(data.items).map((item) => html`<${Row} key=${keyOf(item)} item=${item} />`)}</tbody>
      </table>
    </div>`}
  <//>`;
}

function Row({ item }) {
  const key = keyOf(item);
  const row = useRef(null);
  const seen = useSeen(row);
  const { pnlNow, percentNow } = livePosition(item, seen);
  const isChosen = chosen.value === key;
  const closed = item.quantity === 0;
  useEffect(() => {
    if (isChosen) row.current?.scrollIntoView({ block: "nearest" });
  }, [isChosen]);
  const lost = link.value.state === "lost";
  return html`
    <tr
      ref=${row}
      class=${closed ? "closed" : ""}
      aria-selected=${isChosen}
      data-symbol=${item.symbol}
      onClick=${() => {
        chosen.value = key;
      }}
    >
      <th scope="row">
        <button
          type="button"
          class="plain name"
          onClick=${() => {
            chosen.value = key;
            fillTicket({ symbol: item.symbol }, false);
          }}
        >${ticker(item.symbol)}</button> <span class="tag">${item.product}</span>
        <span class="phone-line num">
          ${count(item.quantity, { plus: true })} · <${Last} symbol=${item.symbol} follow=${seen} />
          ${
            !closed &&
            html` · <span class=${item.stop ? "" : "warn"}>stop ${item.stop ? price(item.stop.price) : "none"}</span>`
          }
        </span>
      </th>
      <td class="r num c-qty">${count(item.quantity, { plus: true })}</td>
      <td class="r num c-avg">${closed ? format.NONE : price(item.average_price)}</td>
      <td class="r num c-last"><${Last} symbol=${item.symbol} follow=${seen} /></td>
      <td class="r num ${tone(pnlNow)}" data-level=${priceLevel()}>${price(pnlNow, { plus: true })}</td>
      <td class="r num c-pct ${tone(percentNow)}" data-level=${priceLevel()}>
        ${closed ? "closed" : percent(percentNow)}
      </td>
      <td class="r num c-stop">
        ${
          closed
            ? ""
            : item.stop
              ? html`${price(item.stop.price)} <span class="muted">${item.stop.where}</span>`
              : html`<span class="warn">none <span aria-hidden="true">⚠\uFE0E</span></span>`
        }
      </td>
      <td class="c-strategy muted">${item.strategy ?? ""}</td>
      <td class="r actions">
        ${
          !closed &&
          mayTrade.value &&
          html`<button
            type="button"
            class="button small exit"
            aria-expanded=${exiting.value === key}
            onClick=${(event) => {
              event.stopPropagation();
              chosen.value = key;
              exiting.value = exiting.value === key ? null : key;
            }}
          >Exit${lost && html`<small> qty ${format.age(ageOf(positions.value))} old</small>`}</button>`
        }
      </td>
    </tr>
    ${
      exiting.value === key &&
      !closed &&
      html`<tr class="exit-row"><td colspan="9"><${ExitForm} item=${item} /></td></tr>`
    }
  `;
}

/** One key per opened form: however often it is clicked, one exit goes out. */
function ExitForm({ item }) {
  const whole = Math.abs(item.quantity);
  const [quantity, setQuantity] = useState(String(whole));
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(null);
  const key = useRef(newKey());
  const field = useRef(null);
  useEffect(() => field.current?.select(), []);
  const change = (value) => {
    key.current = newKey();
    setQuantity(value);
  };
  const written = readNumber(quantity);
  const units = Number(written.text ?? Number.NaN);
  const valid = units >= 1 && units <= whole;
  const close = () => {
    exiting.value = null;
  };
  const submit = async (event) => {
    event.preventDefault();
    if (busy || !valid) return;
    setBusy(true);
    setProblem(null);
    try {
      const body = {
        symbol: item.symbol,
        product: item.product,
        quantity: units,
        account: item.account,
        broker: item.broker,
      };
      putOrder(await call("POST", "/v1/positions/exit", { body, key: key.current, safe: true }));
      say(`Exit of ${count(units)} ${ticker(item.symbol)} is on its way`, "good");
      close();
      load("positions");
    } catch (error) {
      setProblem(error);
    }
    setBusy(false);
  };
  const part = (share) => change(String(Math.max(1, Math.round(whole * share))));
  return html`<form class="exit-form" onSubmit=${submit} onKeyDown=${(event) => event.key === "Escape" && close()}>
    <label>
      Exit <input
        ref=${field}
        class="num"
        inputmode="numeric"
        value=${quantity}
        aria-label="Quantity to exit"
        aria-invalid=${!valid}
        onInput=${(event) => change(event.currentTarget.value)}
      />
    </label>
    <span class="muted num">of ${count(whole)}</span>
    ${[25, 50, 100].map(
      (share) => html`<button type="button" class="button small" onClick=${() => part(share / 100)}>
        ${share}
        %
      </button>`,
    )}
    <button type="submit" class="button small ${item.quantity > 0 ? "sell" : "buy"}" disabled=${busy || !valid}>
      ${item.quantity > 0 ? "Sell" : "Buy back"} ${valid ? count(units) : ""} ${ticker(item.symbol)} at market
    </button>
    <button type="button" class="button small plain" onClick=${close}>Keep</button>
    ${!valid && html`<span class="loss" role="alert">${written.wrong ?? `1 to ${count(whole)}`}</span>`}
    ${
      edge.value.state === "unreachable" &&
      html`<span class="warn">
        The edge is unreachable: the exit is queued and delivered first when the link is back.
      </span>`
    }
    ${problem && html`<${Trouble} problem=${problem.document ?? problem} compact />`}
  </form>`;
}
