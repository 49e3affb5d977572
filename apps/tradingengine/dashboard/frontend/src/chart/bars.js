// Bars for the chart: history from the api, and the forming bar out of 1-minute candles.

export const INTERVALS = { "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "1d": 86_400 };
const IST = 19_800;

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
 * Follows one symbol at one interval. Buckets continue from the last bar of the history, so that they start where the
 * api's start. The volume of minutes that are already in the history is not counted twice.
 */
export class Forming {
  /** @param {string} interval @param {any[]} bars oldest first */
  constructor(interval, bars) {
    this.interval = interval;
    this.seconds = INTERVALS[interval];
    this.last = bars.at(-1) ?? null;
    this.base = this.last?.volume ?? 0;
    this.minutes = new Map();
    this.loadedMinute = null;
  }

  bucket(time) {
    if (this.interval === "1d") return this.last && sameDay(time, this.last.time) ? this.last.time : time;
    if (!this.last) return time - (time % this.seconds);
    return this.last.time + Math.floor((time - this.last.time) / this.seconds) * this.seconds;
  }

  /** The bar after this candle, or null for one that is too old. @param {any} candle a forming 1-minute candle */
  next(candle) {
    const minute = toBar(candle);
    const time = this.bucket(minute.time);
    if (this.last && time < this.last.time) return null;
    if (this.interval === "1m") {
      this.last = minute;
      return minute;
    }
    if (!this.last || time > this.last.time) {
      this.base = 0;
      this.minutes.clear();
      this.last = { ...minute, time };
    }
    this.minutes.set(minute.time, minute.volume);
    let volume = this.base;
    for (const part of this.minutes.values()) volume += part;
    const { open, high, low } = this.last;
    this.last = {
      time,
      open,
      high: Math.max(high, minute.high),
      low: Math.min(low, minute.low),
      close: minute.close,
      volume,
    };
    return this.last;
  }
}

const sameDay = (a, b) => Math.floor((a + IST) / 86_400) === Math.floor((b + IST) / 86_400);

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
