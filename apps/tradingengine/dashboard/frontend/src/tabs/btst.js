import * as format from "../lib/format.js";
import { html } from "../lib/html.js";
import { now, status } from "../lib/store.js";
import { marketNow } from "../ui/frame.js";
import { NotYet, Panel } from "../ui/panel.js";

const UNLOCK_MINUTE = 14 * 60 + 15;

/** Milliseconds until 14:15 IST of the market's day, negative after it. @param {number} at epoch ms */
export function untilUnlock(at) {
  const minute = format.minuteOfDay(at);
  return (UNLOCK_MINUTE - minute) * 60_000 - (at % 60_000);
}

function Lock({ data }) {
  const at = marketNow() ?? now.value;
  const cash = data.market.sessions.find((item) => item.segment === "NSE_EQ");
  const left = untilUnlock(at);
  const speed = Number(data.market.speed) || 1;
  if (cash?.state !== "open") {
    return html`<div class="lock">
      <p class="big">Locked</p>
      <p>
        The cash market is ${cash?.state ?? "unknown"}
        ${cash?.until && cash.state !== "unknown" ? `; it opens ${format.marketDayTime(cash.until, at)}` : ""}
        .
      </p>
    </div>`;
  }
  if (left > 0) {
    return html`<div class="lock">
      <p class="muted">Locked until 14:15 IST, market time</p>
      <p class="countdown num" role="timer">${format.countdown(left)}</p>
      ${
        speed !== 1 &&
        html`<p class="muted num">
          about ${format.countdown(left / speed)} by your clock at ×${speed}
        </p>`
      }
    </div>`;
  }
  return html`<div class="lock">
    <p class="big">No model, no candidates</p>
    <p>
      It is past 14:15 IST. This version has no model that scores shares, so nothing is proposed and nothing can be
      clicked.
    </p>
  </div>`;
}

export function Btst() {
  return html`<div class="tab-two">
    <${Panel} name="status" title="Buy today, sell tomorrow" resource=${status} rows=${3}>
      ${(data) => html`<${Lock} data=${data} />`}
    <//>
    <section class="panel" aria-label="Why it is locked">
      <header class="panel-head"><h2>Why it is locked</h2></header>
      <div class="panel-body pad prose">
        <p>
          A BTST trade buys near the close and sells after the next open. Before 14:15 most of the day's volume, range
          and closing strength are still to come, and a score made of half a day misleads.
        </p>
        <p>
          Candidates are scored from 0 to 10 and shown from 8.5. On a day without one the page will say so; no trade
          is forced.
        </p>
      </div>
    </section>
    <${NotYet} title="Scores and history">
      <p>
        The model, its scores by feature, overnight-gap statistics and the history of what earlier scores came to are
        not in this version. The tab shows the lock and the clock that they will follow.
      </p>
    <//>
  </div>`;
}
