import * as format from "../lib/format.js";
import { html } from "../lib/html.js";
import { alerts, dayPnl, summary, ticketOpen } from "../lib/store.js";
import { AlertList, IndexStrip } from "../ui/frame.js";
import { Orders } from "../ui/orders.js";
import { Panel } from "../ui/panel.js";
import { Positions } from "../ui/positions.js";
import { Meter, priceLevel, Sparkline } from "../ui/price.js";
import { Ticket } from "../ui/ticket.js";

const { rupees, short, count, percent, tone } = format;

const Tile = ({ title, children, resource = summary }) => {
  const held = resource.value;
  const state = held.data === null ? (held.state === "error" ? "error" : "loading") : "live";
  return html`<section class="tile" data-panel="tile" data-state=${state} aria-label=${title}>
    <h2>${title}</h2>
    ${
      held.data !== null
        ? children(held.data)
        : held.state === "error"
          ? html`<p class="muted">${held.problem.detail}</p>`
          : html`<i class="skeleton-line wide"></i><i class="skeleton-line"></i>`
    }
  </section>`;
};

function PnlTile({ data }) {
  const { pnl } = data;
  const value = dayPnl.value;
  const limit = Number(pnl.loss_limit ?? 0);
  const used = value !== null && value < 0 ? -value : 0;
  return html`
    <div class="tile-row">
      <p class="big num ${tone(value)}" data-level=${priceLevel()}>${rupees(value, { plus: true })}</p>
      <${Sparkline} label="Day P&L so far" values=${[...(pnl.sparkline ?? []), ...(value === null ? [] : [value])]} />
    </div>
    <${Meter} value=${used} limit=${limit} label="Daily loss used" tone=${used ? "" : "calm"} />
    <p class="small muted num">
      loss limit ${rupees(limit, { decimals: 0 })}
      , ${used ? `${percent((used / limit) * 100, { plus: false })} used` : "unused"}
    </p>
  `;
}

function ExposureTile({ data }) {
  const value = Number(data.exposure.value ?? 0);
  const limit = Number(data.exposure.limit ?? 0);
  return html`
    <p class="big num">${short(value)}</p>
    <p class="small muted num foot">limit ${short(limit)} per position</p>
  `;
}

function OrdersTile({ data }) {
  const { filled, open, rejected, total, median_ack_ms: median } = data.orders;
  return html`
    <p class="line">
      <span class="big num">${count(total)}</span> <span class="muted num">
        ${count(filled)} filled · ${count(open)} open · <span class=${rejected ? "loss" : ""}>
          ${count(rejected)} rejected
        </span>
      </span>
    </p>
    <p class="small muted num foot">
      ${median == null ? "none acknowledged yet" : `median ${Math.round(median)} ms to acknowledged`}
    </p>
  `;
}

function StrategiesTile({ data }) {
  const { running, paused, items } = data.strategies;
  const ranked = items.filter((item) => item.pnl != null).sort((a, b) => Number(b.pnl) - Number(a.pnl));
  const one = (word, item) =>
    html`
      ${word} ${item.name} <span class="num ${tone(item.pnl)}">${rupees(item.pnl, { plus: true })}</span>
    `;
  return html`
    <p class="line">
      <span class="big num">${count(running)}</span> <span class="muted num">
        running
        ${paused ? ` · ${paused} paused` : ""}
      </span>
    </p>
    <p class="small muted foot">
      ${
        !items.length
          ? "no strategy reports"
          : ranked.length > 1
            ? html`${one("best", ranked[0])} · ${one("worst", ranked.at(-1))}`
            : ranked.length
              ? one("", ranked[0])
              : items.map((item) => item.name).join(", ")
      }
    </p>
  `;
}

export function Dashboard() {
  return html`<div class="tab-dashboard">
    <${IndexStrip} class="phone-only" />
    <div class="tiles">
      <${Tile} title="Day P&L">${(data) => html`<${PnlTile} data=${data} />`}<//>
      <${Tile} title="Exposure">${(data) => html`<${ExposureTile} data=${data} />`}<//>
      <${Tile} title="Orders today">${(data) => html`<${OrdersTile} data=${data} />`}<//>
      <${Tile} title="Strategies">${(data) => html`<${StrategiesTile} data=${data} />`}<//>
    </div>
    <${Positions} />
    <${Orders} />
    <aside class=${`side${ticketOpen.value ? " sheet-open" : ""}`} aria-label="Order and alerts">
      <${Ticket} />
      <${Panel}
        name="alerts"
        title="Alerts"
        resource=${alerts}
        rows=${2}
        class="alerts"
        note=${alerts.value.data ? count(alerts.value.data.items.length) : ""}
        isEmpty=${(data) => !data.items.length}
        empty=${{ text: "No alerts.", step: "Rejects, lost links and halts show here." }}
      >${(data) => html`<${AlertList} items=${data.items} />`}<//>
    </aside>
    <button
      type="button"
      class="button primary new-order"
      onClick=${() => {
        ticketOpen.value = true;
      }}
    >New order</button>
  </div>`;
}
