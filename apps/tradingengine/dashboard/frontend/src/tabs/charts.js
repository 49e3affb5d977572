// One chart and the watchlist.
import { effect, signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { INTERVALS } from "../chart/bars.js";
import { follow } from "../chart/follow.js";
import { get } from "../lib/api.js";
import * as format from "../lib/format.js";
import { html } from "../lib/html.js";
import { onCandle, onResync } from "../lib/socket.js";
import {
  chartInterval,
  chartSymbol,
  feed,
  indices,
  mayTrade,
  orders,
  positions,
  quote,
  resources,
  watched,
  watchlist,
} from "../lib/store.js";
import { IndexStrip } from "../ui/frame.js";
import { Icon } from "../ui/icons.js";
import { Empty, Panel, Trouble } from "../ui/panel.js";
import { ChangePercent, Last, priceLevel } from "../ui/price.js";
import { open, TABS } from "../ui/router.js";
import { SymbolSearch } from "../ui/search.js";
import { fillTicket } from "../ui/ticket.js";

const { price, ticker, tone, volume } = format;
const current = () => chartSymbol.value ?? indices.value[0]?.symbol ?? watched.value[0] ?? null;
const hovered = signal(null);
const newest = signal(null);

function Legend() {
  const bar = hovered.value ?? newest.value;
  if (!bar) return null;
  const change = bar.close - bar.open;
  return html`<div class="legend num" aria-hidden="true">
    ${[
      ["O", bar.open],
      ["H", bar.high],
      ["L", bar.low],
      ["C", bar.close],
    ].map(
      ([word, value]) =>
        html`<span><span class="muted">${word}</span> <span class=${tone(change)}>${price(value)}</span></span>`,
    )}
    ${bar.volume > 0 && html`<span class="muted">Vol ${volume(bar.volume)}</span>`}
  </div>`;
}

/** Keeps one chart in step with history, forming candles, orders and theme. */
function useChart(symbol, interval, setState) {
  const host = useRef(null);
  const view = useRef(null);
  useEffect(() => {
    if (!symbol) return undefined;
    let made = null;
    // The signals are read also while there is no chart: only so does the effect below hear of the next order.
    const draw = () => {
      const own = orders.value.data?.items ?? [];
      const position = (positions.value.data?.items ?? []).find((item) => item.symbol === symbol);
      view.current?.setOrders(own, symbol, position);
    };
    const bars = follow(symbol, interval, {
      get,
      ready: async () => {
        made = (await import("../chart/chart.js")).PriceChart;
      },
      show: (all, fresh) => {
        view.current ??= new made(host.current, (bar) => {
          hovered.value = bar;
        });
        view.current.setBars(all, fresh);
        newest.value = all.at(-1) ?? null;
        draw();
        setState({ state: all.length ? "live" : "empty" });
      },
      update: (bar) => {
        view.current.update(bar);
        newest.value = bar;
        setState((held) => (held.state === "empty" ? { state: "live" } : held));
      },
      fail: (problem) => setState({ state: "error", problem: problem.document ?? { detail: String(problem) } }),
    });
    const load = () => {
      setState({ state: "loading" });
      bars.load(true);
    };
    load();
    const stops = [bars.stop, onCandle(bars.hear), onResync(() => bars.load(false)), effect(draw)];
    const look = () => {
      view.current?.look();
      draw();
    };
    const dark = matchMedia("(prefers-color-scheme: dark)");
    addEventListener("te-look", look);
    dark.addEventListener("change", look);
    retry.current = load;
    return () => {
      for (const stop of stops) stop();
      removeEventListener("te-look", look);
      dark.removeEventListener("change", look);
      hovered.value = null;
      newest.value = null;
    };
  }, [symbol, interval]);
  useEffect(
    () => () => {
      view.current?.remove();
      view.current = null;
    },
    [],
  );
  const retry = useRef(() => {});
  return { host, retry };
}

function Chart() {
  const symbol = current();
  const interval = chartInterval.value;
  const [state, setState] = useState({ state: "loading" });
  const { host, retry } = useChart(symbol, interval, setState);
  const instrument = (resources.instruments.value.data?.items ?? []).find((item) => item.symbol === symbol);
  const level = priceLevel();
  const shown = state.state === "live" && level === "stale" ? "stale" : state.state;
  const trade = (side) => {
    fillTicket({ symbol, side });
    open(TABS[0]);
  };
  return html`<section class="panel chart" data-panel="chart" data-state=${shown} aria-label="Chart">
    <header class="panel-head">
      <h2>${symbol ? ticker(symbol) : "Chart"}</h2>
      ${symbol && html`<b class="num big-last"><${Last} symbol=${symbol} /></b> <${ChangePercent} symbol=${symbol} />`}
      <div class="segmented" role="group" aria-label="Interval">
        ${Object.keys(INTERVALS).map(
          (key) =>
            html`<button
              type="button"
              key=${key}
              aria-pressed=${interval === key}
              onClick=${() => {
                chartInterval.value = key;
              }}
            >${key}</button>`,
        )}
      </div>
      <span class="spacer"></span>
      ${
        level !== "live" &&
        state.state === "live" &&
        html`<span class="age warn">prices ${format.age(feed.value.age)} old</span>`
      }
      ${
        instrument?.tradable &&
        mayTrade.value &&
        html`
          <button type="button" class="button small buy-line" onClick=${() => trade("BUY")}>Buy</button>
          <button type="button" class="button small sell-line" onClick=${() => trade("SELL")}>Sell</button>
        `
      }
    </header>
    <div class="chart-body ${level === "stale" ? "dimmed" : ""}">
      <div
        class="chart-host"
        ref=${host}
        role="img"
        aria-label="Candles of ${symbol ? ticker(symbol) : "no symbol"}, interval ${interval}; last ${price(
          newest.value?.close,
        )}"
      ></div>
      <${Legend} />
      ${
        state.state === "loading" &&
        html`<div class="chart-cover"><span class="sr">Loading the chart</span><i class="skeleton-block"></i></div>`
      }
      ${
        state.state === "empty" &&
        html`<div class="chart-cover">
          <${Empty}
            text="No candles of ${ticker(symbol)} yet."
            step="The first bar shows when its minute has begun."
          />
        </div>`
      }
      ${
        state.state === "error" &&
        html`<div class="chart-cover"><${Trouble} problem=${state.problem} retry=${() => retry.current()} /></div>`
      }
    </div>
    <p class="attribution small muted">
      Charts by <a href="https://www.tradingview.com/" rel="noreferrer" target="_blank">TradingView</a> Lightweight
      Charts, Apache-2.0 · ▲ buy and ▼ sell mark your fills, dashed lines your open orders
    </p>
  </section>`;
}

function Watch({ symbol }) {
  const held = quote(symbol).value;
  const isCurrent = current() === symbol;
  return html`<tr aria-selected=${isCurrent}>
    <th scope="row">
      <button
        type="button"
        class="plain name"
        aria-pressed=${isCurrent}
        onClick=${() => {
          chartSymbol.value = symbol;
        }}
      >${ticker(symbol)}</button>
    </th>
    <td class="r num"><${Last} symbol=${symbol} /></td>
    <td class="r num c-change ${tone(held?.change)}" data-level=${priceLevel()}>
      ${price(held?.change, { plus: true })}
    </td>
    <td class="r num"><${ChangePercent} symbol=${symbol} /></td>
    <td class="r actions">
      <button
        type="button"
        class="plain remove"
        aria-label="Take ${ticker(symbol)} off the watchlist"
        onClick=${() => {
          watchlist.value = watched.value.filter((item) => item !== symbol);
        }}
      ><${Icon} name="close" /></button>
    </td>
  </tr>`;
}

function Watchlist() {
  const add = (item) => {
    watchlist.value = [...watched.value.filter((symbol) => symbol !== item.symbol), item.symbol];
    chartSymbol.value = item.symbol;
  };
  return html`<${Panel}
    name="instruments"
    title="Watchlist"
    resource=${resources.instruments}
    pushed=${true}
    class="watchlist"
    rows=${8}
    note=${format.count(watched.value.length)}
    actions=${html`<div class="watch-search">
      <${SymbolSearch} label="Add a symbol to the watchlist" placeholder="Add a symbol" onPick=${add} />
    </div>`}
    isEmpty=${() => !watched.value.length}
    empty=${{ text: "The watchlist is empty.", step: "Search a symbol above to add it." }}
  >
    ${() => html`<div class="scroll" tabindex="0" role="region" aria-label="Watchlist table">
      <table class="grid">
        <thead>
          <tr>
            <th scope="col">Symbol</th>
            <th scope="col" class="r">Last</th>
            <th scope="col" class="r c-change">Change</th>
            <th scope="col" class="r">%</th>
            <th scope="col"><span class="sr">Actions</span></th>
          </tr>
        </thead>
        <tbody>${watched.value.map((symbol) => html`<${Watch} key=${symbol} symbol=${symbol} />`)}</tbody>
      </table>
    </div>`}
  <//>`;
}

export function Charts() {
  return html`<div class="tab-charts"><${IndexStrip} class="phone-only" /><${Chart} /><${Watchlist} /></div>`;
}
