// Bars for the chart: history from the api, and the newest out of 1-minute candles.

export const INTERVALS = { "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "1d": 86_400 };
const MINUTE = 60;
const IST = 19_800;
/** Indian hours run from 09:15 IST, days from midnight IST; the others from the full hour. */
const ANCHOR = { "1h": 2700, "1d": -IST };
/** Minutes that are kept, of which the longest bar takes 1440. */
const MOST_MINUTES = 2000;

/**
 * The start of the bar that holds a time, as the api counts.
 * @param {number} time epoch seconds @param {string} interval
 */
export function barStart(time, interval) {
  const [seconds, anchor] = [INTERVALS[interval], ANCHOR[interval] ?? 0];
  return Math.floor((time - anchor) / seconds) * seconds + anchor;
}

/** The chart knows no time zones: it gets IST as if it were UTC. @param {number} time epoch seconds */
export const shift = (time) => time + IST;

/** @param {any} item a candle of the api or of the socket */
export const toBar = (item) => ({
  time: item.time,
  open: Number(item.open),
  high: Number(item.high),
  low: Number(item.low),
  close: Number(item.close),
  volume: Number(item.volume ?? 0),
});

/**
 * The bars of one symbol at one interval. What is not surely whole in the history, its newest bar and all after it, is
 * built from minutes; of each minute the latest word counts, so none counts twice.
 */
export class Bars {
  /** @param {string} interval */
  constructor(interval) {
    this.interval = interval;
    this.minutes = new Map();
    this.newest = null;
    this.run = null;
  }

  /**
   * A minute as the socket tells of it, forming or closed. It is kept also before the first `read`.
   * @param {any} candle a 1-minute candle
   * @returns the last bar with it, or null where there is nothing to draw: no history yet, or older than the last bar
   */
  hear(candle) {
    const minute = toBar(candle);
    this.keep(minute);
    const start = barStart(minute.time, this.interval);
    if (this.newest === null || start < this.newest) return null;
    this.newest = start;
    return this.build(start);
  }

  /**
   * Take over what the api answered. Its minutes are closed: they win over what was heard of them before.
   * @param {{run: string, items: any[]}} history bars of the interval, oldest first
   * @param {any[]} minutes the 1-minute candles of its last bar
   * @returns {any[]} all bars, oldest first, with those that only the socket has told of
   */
  read(history, minutes) {
    // Another run of a tape is another market: what was heard may be of the old one.
    if (this.run !== null && this.run !== history.run) this.minutes.clear();
    this.run = history.run;
    for (const minute of minutes) this.keep(toBar(minute));
    const bars = history.items.map(toBar);
    const since = (this.interval === "1m" ? bars[0] : bars.at(-1))?.time ?? Number.NEGATIVE_INFINITY;
    const starts = new Set([...this.minutes.keys()].map((time) => barStart(time, this.interval)));
    for (const { time } of bars) starts.delete(time);
    const all = [
      ...bars.map((bar) => (bar.time < since ? bar : (this.build(bar.time) ?? bar))),
      ...[...starts].filter((start) => start > since).map((start) => this.build(start)),
    ].sort((one, other) => one.time - other.time);
    this.newest = all.at(-1)?.time ?? Number.NEGATIVE_INFINITY;
    return all;
  }

  keep(minute) {
    this.minutes.delete(minute.time);
    this.minutes.set(minute.time, minute);
    if (this.minutes.size > MOST_MINUTES) this.minutes.delete(this.minutes.keys().next().value);
  }

  /** The bar that starts then out of its minutes; null when none is known. */
  build(start) {
    let bar = null;
    for (let time = start; time < start + INTERVALS[this.interval]; time += MINUTE) {
      const minute = this.minutes.get(time);
      if (!minute) continue;
      bar = {
        time: start,
        open: bar?.open ?? minute.open,
        high: Math.max(bar?.high ?? minute.high, minute.high),
        low: Math.min(bar?.low ?? minute.low, minute.low),
        close: minute.close,
        volume: (bar?.volume ?? 0) + minute.volume,
      };
    }
    return bar;
  }
}

/**
 * Fills of own orders as marks on the bars that hold them.
 * @param {any[]} orders @param {string} symbol @param {any[]} bars
 */
export function fillMarks(orders, symbol, bars) {
  if (!bars.length) return [];
  const marks = [];
  for (const order of orders) {
    if (order.symbol !== symbol || !order.filled_quantity || !order.market_time) continue;
    const at = Date.parse(order.market_time) / 1000;
    const bar = barAt(bars, at);
    if (bar)
      marks.push({
        time: bar.time,
        side: order.side,
        quantity: order.filled_quantity,
        price: order.average_price,
        id: order.id,
      });
  }
  return marks.sort((a, b) => a.time - b.time);
}

function barAt(bars, at) {
  if (at < bars[0].time) return null;
  let low = 0;
  let high = bars.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (bars[middle].time <= at) low = middle;
    else high = middle - 1;
  }
  return bars[low];
}
