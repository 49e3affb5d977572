import * as format from "../lib/format.js";
import { html } from "../lib/html.js";
import { dayPnl, keyOf, livePosition, orders, positions, summary } from "../lib/store.js";
import { NotYet, Panel } from "../ui/panel.js";
import { Last, priceLevel, Sparkline } from "../ui/price.js";

const { count, percent, price, rupees, short, ticker, tone } = format;
const held = (data) => data.items.filter((item) => item.quantity !== 0);

function Row({ item, total }) {
  const { lastNow, pnlNow, percentNow } = livePosition(item);
  const value = Math.abs((lastNow ?? Number(item.average_price)) * item.quantity);
  const share = total ? (value / total) * 100 : 0;
  return html`<tr>
    <th scope="row">${ticker(item.symbol)} <span class="tag">${item.product}</span></th>
    <td class="r num">${count(item.quantity, { plus: true })}</td>
    <td class="r num c-avg">${price(item.average_price)}</td>
    <td class="r num"><${Last} symbol=${item.symbol} /></td>
    <td class="r num">${short(value)}</td>
    <td class="c-pct">
      <span class="bar-share" role="img" aria-label="${share.toFixed(0)} percent of exposure">
        <i style=${{ width: `${share}%` }}></i>
      </span>
    </td>
    <td class="r num ${tone(pnlNow)}" data-level=${priceLevel()}>${price(pnlNow, { plus: true })}</td>
    <td class="r num c-pct ${tone(percentNow)}" data-level=${priceLevel()}>${percent(percentNow)}</td>
  </tr>`;
}

function Holdings({ data }) {
  const items = held(data);
  const total = items.reduce((sum, item) => sum + Math.abs((livePosition(item).lastNow ?? 0) * item.quantity), 0);
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Holdings table">
    <table class="grid">
      <thead>
        <tr>
          <th scope="col">Symbol</th>
          <th scope="col" class="r">Qty</th>
          <th scope="col" class="r c-avg">Avg</th>
          <th scope="col" class="r">Last</th>
          <th scope="col" class="r">Value</th>
          <th scope="col" class="c-pct">Share</th>
          <th scope="col" class="r">P&L</th>
          <th scope="col" class="r c-pct">%</th>
        </tr>
      </thead>
      <tbody>${items.map((item) => html`<${Row} key=${keyOf(item)} item=${item} total=${total} />`)}</tbody>
    </table>
  </div>`;
}

/** Realised and unrealised P&L of the day by symbol, best first. */
function bySymbol(items) {
  const sums = new Map();
  for (const item of items) {
    const sum = sums.get(item.symbol) ?? { symbol: item.symbol, realised: 0, open: 0, strategies: new Set() };
    const realised = Number(item.realised ?? 0);
    sum.realised += realised;
    sum.open += (livePosition(item).pnlNow ?? realised) - realised;
    if (item.strategy) sum.strategies.add(item.strategy);
    sums.set(item.symbol, sum);
  }
  return [...sums.values()].sort((a, b) => b.realised + b.open - (a.realised + a.open));
}

function Attribution({ data }) {
  const rows = bySymbol(data.items);
  const filled = (orders.value.data?.items ?? []).filter((order) => order.filled_quantity > 0);
  const total = rows.reduce((sum, row) => sum + row.realised + row.open, 0);
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Attribution table">
    <table class="grid">
      <thead>
        <tr>
          <th scope="col">Symbol</th>
          <th scope="col" class="r">Realised</th>
          <th scope="col" class="r">Unrealised</th>
          <th scope="col" class="r">Total</th>
          <th scope="col" class="c-strategy">Strategy</th>
          <th scope="col" class="r">Fills shown</th>
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (row) => html`<tr key=${row.symbol}>
            <th scope="row">${ticker(row.symbol)}</th>
            <td class="r num ${tone(row.realised)}">${price(row.realised, { plus: true })}</td>
            <td class="r num ${tone(row.open)}" data-level=${priceLevel()}>${price(row.open, { plus: true })}</td>
            <td class="r num ${tone(row.realised + row.open)}" data-level=${priceLevel()}>
              ${price(row.realised + row.open, { plus: true })}
            </td>
            <td class="c-strategy muted">${[...row.strategies].join(", ")}</td>
            <td class="r num">${filled.filter((order) => order.symbol === row.symbol).length}</td>
          </tr>`,
        )}
      </tbody>
      <tfoot>
        <tr>
          <th scope="row">All</th>
          <td></td>
          <td></td>
          <td class="r num ${tone(total)}">${rupees(total, { plus: true })}</td>
          <td class="c-strategy"></td>
          <td></td>
        </tr>
      </tfoot>
    </table>
  </div>`;
}

export function Portfolio() {
  return html`<div class="tab-two">
    <${Panel}
      name="positions"
      title="Holdings and open positions"
      resource=${positions}
      rows=${5}
      note=${positions.value.data ? count(held(positions.value.data).length) : ""}
      isEmpty=${(data) => !held(data).length}
      empty=${{ text: "Nothing is held.", step: "Filled orders show here as holdings." }}
    >${(data) => html`<${Holdings} data=${data} />`}<//>
    <${Panel}
      name="positions"
      title="P&L of the day by symbol"
      resource=${positions}
      rows=${4}
      isEmpty=${(data) => !data.items.length}
      empty=${{ text: "No P&L yet today.", step: "The first fill opens this table." }}
    >${(data) => html`<${Attribution} data=${data} />`}<//>
    <${Panel}
      name="summary"
      title="P&L of the day"
      resource=${summary}
      rows=${3}
      class="wide"
      note="every 15 s"
      isEmpty=${(data) => data.pnl.sparkline.length < 2}
      empty=${{
        text: "The line starts with its second point.",
        step: "It is kept every 15 seconds while the api runs.",
      }}
    >
      ${(data) => html`<div class="day-line">
        <${Sparkline}
          label="P&L of the day"
          values=${[...data.pnl.sparkline, dayPnl.value ?? data.pnl.value]}
          width=${960}
          height=${160}
        />
      </div>`}
    <//>
    <${NotYet} title="Equity curve, calendar, charges, statements">
      <p>
        They need days of settled history, contract notes and charges, which this version does not keep yet. Paper P&L
        above is before charges.
      </p>
    <//>
  </div>`;
}
