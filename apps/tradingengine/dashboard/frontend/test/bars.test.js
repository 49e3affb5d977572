import assert from "node:assert/strict";
import { test } from "node:test";
import { Bars, barStart } from "../src/chart/bars.js";
import { follow } from "../src/chart/follow.js";

const candle = (time, close, volume, symbol = "NSE:TCS") => ({
  symbol,
  time,
  open: String(close),
  high: String(close + 1),
  low: String(close - 1),
  close: String(close),
  volume,
});
const shown = (time, open, high, low, close, volume) => ({ time, open, high, low, close, volume });
const history = (...items) => ({ run: "r", items });
const volumes = (bars) => bars.map(({ time, volume }) => [time, volume]);

const OPEN = 1_623_210_300; // 09:15 IST
for (const [interval, time, start] of [
  ["1m", OPEN + 59, OPEN],
  ["5m", OPEN + 299, OPEN],
  ["15m", OPEN + 900, OPEN + 900],
  ["1h", OPEN + 3599, OPEN],
  ["1h", OPEN + 3600, OPEN + 3600],
  ["1h", OPEN - 1, OPEN - 3600],
  ["1d", OPEN, 1_623_177_000], // midnight IST
  ["1d", 1_623_177_000 - 1, 1_623_177_000 - 86_400],
]) {
  test(`the ${interval} bar of ${time} starts at ${start}, as in the api`, () =>
    assert.equal(barStart(time, interval), start));
}

test("a message of a minute that is in the history already counts no volume twice", () => {
  const bars = new Bars("5m");
  const minutes = [candle(300, 10, 100), candle(360, 12, 100), candle(420, 8, 100)];
  assert.deepEqual(bars.read(history(candle(0, 9, 50), candle(300, 10, 300)), minutes), [
    shown(0, 9, 10, 8, 9, 50),
    shown(300, 10, 13, 7, 8, 300),
  ]);
  assert.equal(bars.hear(candle(420, 8, 100)).volume, 300);
  assert.equal(bars.hear(candle(360, 12, 100)).volume, 300);
  // The latest word about a minute takes the place of the one before, also for the price and also out of order.
  assert.deepEqual(bars.hear(candle(420, 9, 120)), shown(300, 10, 13, 8, 9, 320));
  assert.deepEqual(bars.hear(candle(300, 11, 90)), shown(300, 11, 13, 8, 9, 310));
  assert.equal(bars.hear(candle(480, 9, 5)).volume, 315);
  assert.equal(bars.hear(candle(480, 9, 9)).volume, 319);
  assert.deepEqual(bars.hear(candle(600, 9, 2)), shown(600, 9, 10, 8, 9, 2));
});

test("an hour and a day are built from their minutes too", () => {
  for (const interval of ["15m", "1h", "1d"]) {
    const bars = new Bars(interval);
    const minutes = [candle(OPEN, 10, 3), candle(OPEN + 60, 10, 4)];
    const start = barStart(OPEN, interval);
    assert.deepEqual(volumes(bars.read(history(candle(start, 10, 7)), minutes)), [[start, 7]]);
    assert.equal(bars.hear(candle(OPEN + 60, 10, 4)).volume, 7);
    assert.equal(bars.hear(candle(OPEN + 120, 10, 1)).volume, 8);
  }
});

test("what was heard before the history came is in the bars; a closed minute of the history wins over it", () => {
  const bars = new Bars("1m");
  for (const heard of [candle(60, 9, 1), candle(120, 9, 1), candle(180, 9, 3), candle(240, 9, 4)])
    assert.equal(bars.hear(heard), null);
  const items = [candle(60, 10, 10), candle(120, 10, 20)];
  assert.deepEqual(volumes(bars.read(history(...items), items)), [
    [60, 10],
    [120, 20],
    [180, 3],
    [240, 4],
  ]);
  const five = new Bars("5m");
  five.hear(candle(540, 9, 1));
  five.hear(candle(600, 9, 2));
  assert.deepEqual(volumes(five.read(history(candle(0, 9, 50), candle(300, 9, 7)), [candle(480, 9, 7)])), [
    [0, 50],
    [300, 8],
    [600, 2],
  ]);
});

test("a minute older than the last bar draws nothing; the next read has it where the history lacks it", () => {
  const bars = new Bars("1m");
  const items = [candle(0, 9, 1), candle(120, 9, 1)];
  bars.read(history(...items), items);
  assert.equal(bars.hear(candle(60, 9, 5)), null);
  assert.deepEqual(volumes(bars.read(history(...items), items)), [
    [0, 1],
    [60, 5],
    [120, 1],
  ]);
});

test("of another run nothing is left, and an empty history begins with what is heard", () => {
  const bars = new Bars("1m");
  assert.deepEqual(bars.read(history(), []), []);
  assert.deepEqual(bars.hear(candle(600, 9, 5)), shown(600, 9, 10, 8, 9, 5));
  assert.deepEqual(volumes(bars.read(history(), [])), [[600, 5]]);
  assert.deepEqual(bars.read({ run: "s", items: [candle(0, 9, 1)] }, [candle(0, 9, 1)]), [shown(0, 9, 10, 8, 9, 1)]);
});

test("minutes are kept up to a bound, the longest bar whole", () => {
  const bars = new Bars("1d");
  bars.read(history(), []);
  const start = barStart(OPEN, "1d");
  let last = null;
  for (let minute = 0; minute < 1440 * 3; minute += 1) last = bars.hear(candle(start + minute * 60, 9, 1));
  assert.equal(last.volume, 1440);
  assert.equal(bars.minutes.size, 2000);
});

/** A chart that notes what it is told, and an api whose answers the test gives when it likes. */
function chart(interval) {
  const [asked, seen, failed] = [[], [], []];
  const followed = follow("NSE:TCS", interval, {
    get: (path) => new Promise((resolve, reject) => asked.push({ path, resolve, reject })),
    ready: async () => {},
    show: (bars, fresh) => seen.push([fresh, volumes(bars)]),
    update: (bar) => seen.push(bar.volume),
    fail: (problem) => failed.push(problem),
  });
  const settled = () => new Promise(setImmediate);
  const answer = async (...items) => {
    asked.shift().resolve(history(...items));
    await settled();
  };
  return { ...followed, asked, seen, failed, answer, settled };
}

test("bars that closed before and during the load are in the chart after all", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const page = chart("1m");
  page.load(true);
  // 60 closed before the page listened, 120 closes while it loads; the history has neither yet.
  page.hear(candle(120, 9, 7));
  page.hear(candle(120, 9, 8, "NSE:INFY"));
  assert.equal(page.asked[0].path, "/v1/candles?symbol=NSE%3ATCS&interval=1m&limit=500");
  await page.answer(candle(0, 9, 1));
  const first = [0, 1];
  assert.deepEqual(page.seen, [[true, [first, [120, 7]]]]);
  page.hear(candle(180, 9, 2));
  assert.equal(page.seen[1], 2);
  t.mock.timers.tick(4999);
  assert.equal(page.asked.length, 0);
  t.mock.timers.tick(1);
  await page.answer(candle(0, 9, 1), candle(60, 9, 6), candle(120, 9, 7));
  assert.deepEqual(page.seen[2], [false, [first, [60, 6], [120, 7], [180, 2]]]);
  t.mock.timers.tick(60_000);
  assert.equal(page.asked.length, 0);
});

test("the same after a resync, and a read that fails the second time is tried again in silence", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const page = chart("1m");
  page.load(true);
  await page.answer(candle(0, 9, 1));
  page.load(false);
  page.hear(candle(180, 9, 2));
  await page.answer(candle(0, 9, 1), candle(60, 9, 6));
  t.mock.timers.tick(5000);
  page.asked.shift().reject(new Error("no database"));
  await page.settled();
  assert.deepEqual(page.failed, []);
  t.mock.timers.tick(5000);
  await page.answer(candle(0, 9, 1), candle(60, 9, 6), candle(120, 9, 7));
  assert.deepEqual(page.seen.at(-1), [
    false,
    [
      [0, 1],
      [60, 6],
      [120, 7],
      [180, 2],
    ],
  ]);
  t.mock.timers.tick(60_000);
  assert.equal(page.asked.length, 0);
});

test("longer bars ask for the minutes of their last bar", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const page = chart("5m");
  page.load(true);
  await page.answer(candle(0, 9, 50), candle(300, 9, 300));
  assert.equal(page.asked[0].path, "/v1/candles?symbol=NSE%3ATCS&interval=1m&before=600&limit=5");
  page.hear(candle(420, 9, 100));
  await page.answer(candle(300, 9, 100), candle(360, 9, 100), candle(420, 9, 100));
  assert.deepEqual(page.seen[0][1][1], [300, 300]);
  page.hear(candle(420, 9, 100));
  page.hear(candle(480, 9, 4));
  assert.deepEqual(page.seen.slice(1), [300, 304]);
});

test("the first read says that it failed; an answer that was overtaken or comes after the end is left", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const page = chart("1m");
  page.load(true);
  page.asked.shift().reject(new Error("no database"));
  await page.settled();
  assert.equal(page.failed.length, 1);
  t.mock.timers.tick(60_000);
  assert.equal(page.asked.length, 0);
  page.load(true);
  page.load(false);
  const [old, late] = page.asked.splice(0);
  late.resolve(history(candle(60, 9, 2)));
  await page.settled();
  old.resolve(history(candle(0, 9, 1)));
  await page.settled();
  assert.deepEqual(page.seen, [[true, [[60, 2]]]]);
  page.load(false);
  page.stop();
  await page.answer(candle(60, 9, 3));
  t.mock.timers.tick(60_000);
  assert.equal(page.seen.length, 1);
  assert.equal(page.asked.length, 0);
});
