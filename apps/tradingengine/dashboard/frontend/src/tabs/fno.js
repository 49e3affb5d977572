import { useEffect, useState } from "preact/hooks";
import { get } from "../lib/api.js";
import * as format from "../lib/format.js";
import { html } from "../lib/html.js";
import { indices, quote, resources, status } from "../lib/store.js";
import { marketNow, segmentName } from "../ui/frame.js";
import { NotYet, Panel } from "../ui/panel.js";
import { ChangePercent, Last, priceLevel, Sparkline } from "../ui/price.js";

const { price, tone } = format;

function Underlying({ item }) {
  const now = quote(item.symbol).value;
  const range = Number(now?.high) - Number(now?.low);
  const place = range > 0 ? ((Number(now.last) - Number(now.low)) / range) * 100 : 0;
  return html`<tr>
    <th scope="row">${item.name}</th>
    <td class="r num"><b><${Last} symbol=${item.symbol} /></b></td>
    <td class="r num ${tone(now?.change)}" data-level=${priceLevel()}>${price(now?.change, { plus: true })}</td>
    <td class="r num"><${ChangePercent} symbol=${item.symbol} /></td>
    <td class="r num c-avg">${price(now?.open)}</td>
    <td class="r num c-stop">${price(now?.low)}</td>
    <td class="c-pct">
      <span class="range" role="img" aria-label="${Math.round(place)} percent of the day's range">
        <i style=${{ left: `${place}%` }}></i>
      </span>
    </td>
    <td class="r num c-stop">${price(now?.high)}</td>
    <td class="r num c-stop">${price(now?.previous_close)}</td>
  </tr>`;
}

/** The day of one index in five-minute closes, against the previous close; the last point is live. */
function DayLine({ item }) {
  const [bars, setBars] = useState([]);
  useEffect(() => {
    const read = () =>
      get(`/v1/candles?symbol=${encodeURIComponent(item.symbol)}&interval=5m&limit=75`).then(
        (answer) => setBars(answer.items),
        () => {},
      );
    read();
    const timer = setInterval(read, 60_000);
    return () => clearInterval(timer);
  }, [item.symbol]);
  const now = quote(item.symbol).value;
  const day = bars.filter((bar) => format.date(bar.time * 1000) === format.date(now?.market_time));
  return html`<figure class="day-line">
    <figcaption>
      <b>${item.name}</b> <span class="num"><${Last} symbol=${item.symbol} /></span> <${ChangePercent}
        symbol=${item.symbol}
      />
    </figcaption>
    ${
      now && day.length > 1
        ? html`<${Sparkline}
          label="${item.name} today in steps of five minutes"
          base=${Number(now.previous_close)}
          values=${[...day.map((bar) => bar.close), now.last]}
          width=${480}
          height=${120}
        />`
        : html`<p class="muted">The line starts with the second bar of five minutes.</p>`
    }
  </figure>`;
}

function Session() {
  const sessions = status.value.data?.market.sessions ?? [];
  const at = marketNow();
  return html`<table class="grid">
    <thead>
      <tr>
        <th scope="col">Segment</th>
        <th scope="col">State</th>
        <th scope="col" class="r">Until (IST)</th>
        <th scope="col" class="r">Left</th>
      </tr>
    </thead>
    <tbody>
      ${sessions.map(
        ({ segment, state, until }) => html`<tr key=${segment}>
          <th scope="row">${segmentName(segment)} <span class="tag">${segment}</span></th>
          <td><i class="dot ${state === "open" ? "ok" : "off"}" aria-hidden="true"></i> ${state}</td>
          <td class="r num">${until ? format.marketDayTime(until, at ?? 0) : format.NONE}</td>
          <td class="r num">${until && at !== null ? format.countdown(format.epoch(until) - at) : format.NONE}</td>
        </tr>`,
      )}
    </tbody>
  </table>`;
}

export function Fno() {
  return html`<div class="tab-two">
    <${Panel}
      name="instruments"
      title="Underlyings"
      resource=${resources.instruments}
      rows=${4}
      note="live"
      isEmpty=${() => !indices.value.length}
      empty=${{ text: "The feed names no index.", step: "Look at the feed on the System tab." }}
    >
      ${() => html`<div class="scroll" tabindex="0" role="region" aria-label="Underlyings table">
        <table class="grid">
          <thead>
            <tr>
              <th scope="col">Index</th>
              <th scope="col" class="r">Last</th>
              <th scope="col" class="r">Change</th>
              <th scope="col" class="r">%</th>
              <th scope="col" class="r c-avg">Open</th>
              <th scope="col" class="r c-stop">Low</th>
              <th scope="col" class="c-pct"><span class="sr">Range</span></th>
              <th scope="col" class="r c-stop">High</th>
              <th scope="col" class="r c-stop">Prev. close</th>
            </tr>
          </thead>
          <tbody>${indices.value.map((item) => html`<${Underlying} key=${item.symbol} item=${item} />`)}</tbody>
        </table>
      </div>`}
    <//>
    <${Panel}
      name="status"
      title="Trading sessions"
      resource=${status}
      rows=${2}
      note="market time"
      isEmpty=${(data) => !data.market.sessions.length}
      empty=${{ text: "This engine trades no segment.", step: "Ask whoever runs the desk to add one." }}
    >${() => html`<${Session} />`}<//>
    <${Panel}
      name="instruments"
      title="The day of the underlyings"
      resource=${resources.instruments}
      rows=${4}
      class="wide"
      note="against the previous close"
      isEmpty=${() => !indices.value.length}
      empty=${{ text: "The feed names no index.", step: "Look at the feed on the System tab." }}
    >
      ${() => html`<div class="day-lines">
        ${indices.value.slice(0, 4).map((item) => html`<${DayLine} key=${item.symbol} item=${item} />`)}
      </div>`}
    <//>
    <${NotYet} title="Option chain and builder">
      <p>
        Option contracts, Greeks, open interest and baskets are not in this version: its feed carries indices and
        shares, and its order path takes shares.
      </p>
      <p class="muted">
        What you see above is live: the underlyings that the chain will be centred on, and whether the F&O session is
        open.
      </p>
    <//>
  </div>`;
}
