// Keeps the bars of one chart whole: history over HTTP, minutes over the socket.
import { Bars, INTERVALS } from "./bars.js";

const BARS = 500;
/** The history is behind the socket by the journal's way into the database, one or two seconds. */
const BEHIND_MS = 5000;

/**
 * Follow one symbol at one interval until `stop`.
 * @param {string} symbol @param {string} interval
 * @param {{get: (path: string) => Promise<any>, ready: () => Promise<any>, show: (bars: any[], fresh: boolean) => void,
 *   update: (bar: any) => void, fail: (problem: any) => void}} how `show` takes all bars, `fresh` at first and after
 *   `load(true)`, and is called once `ready` is; `update` takes the last bar; `fail` hears why there are none
 */
export function follow(symbol, interval, { get, ready, show, update, fail }) {
  const model = new Bars(interval);
  let asked = 0;
  let timer = 0;
  let fresh = true;
  const candles = (length, rest) => get(`/v1/candles?symbol=${encodeURIComponent(symbol)}&interval=${length}&${rest}`);

  /** The history, and the minutes of its last bar. */
  const ask = async () => {
    const history = await candles(interval, `limit=${BARS}`);
    if (interval === "1m" || !history.items.length) return [history, history.items];
    const seconds = INTERVALS[interval];
    const rest = `before=${history.items.at(-1).time + seconds}&limit=${seconds / 60}`;
    return [history, (await candles("1m", rest)).items];
  };

  /**
   * Read everything, and once more when what had closed by now is stored too: its messages may never come again. The
   * second time fails in silence and is tried anew. Of two that overlap the later one counts.
   */
  const read = async (second) => {
    clearTimeout(timer);
    asked += 1;
    const mine = asked;
    let failed = null;
    try {
      const [[history, minutes]] = await Promise.all([ask(), ready()]);
      if (mine !== asked) return;
      show(model.read(history, minutes), fresh);
      fresh = false;
    } catch (problem) {
      failed = problem;
    }
    if (mine !== asked) return;
    if (failed && !second) fail(failed);
    else if (failed || !second) timer = setTimeout(() => read(true), BEHIND_MS);
  };

  return {
    /** Read everything anew. @param {boolean} again whether to draw it as for the first time */
    load: (again) => {
      fresh = fresh || again;
      return read(false);
    },
    /** @param {any} candle a candle message of the socket */
    hear: (candle) => {
      const bar = candle.symbol === symbol ? model.hear(candle) : null;
      if (bar) update(bar);
    },
    stop: () => {
      asked += 1;
      clearTimeout(timer);
    },
  };
}
